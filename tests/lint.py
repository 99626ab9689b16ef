#!/usr/bin/env python3
"""lint.py [FILE...] - the rules of form that a machine can hold, over all source files of the project or those named.

Rules: every file begins with a comment that says what it is; functions of C have at most 70 lines; files at most 800 lines, lines at most
140 columns; no tabs, no trailing blanks, one newline at the end; none of the unbounded string functions; no notes that promise later work;
no paths of somebody's machine; every public function is documented where it is declared. Before looking, the rules are tried on a bad
example each, so that a rule that finds nothing because it is broken is noticed. Standard library only.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("lib", "include", "tests", "examples", "bench", "python", "tools", "docs", ".ci")
ENDINGS = (".c", ".h", ".py", ".sh", ".build", ".pml", ".md", ".cc", ".cpp", ".txt")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
LINE_COLUMNS_MAX = 140

UNBOUNDED = re.compile(r"\b(strcpy|strncpy|stpcpy|strcat|strncat|sprintf|vsprintf|gets|alloca)\s*\(")
# Put together from pieces, so that this file does not break its own rule.
LATER = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b|not imple" r"mented|\bfor n" r"ow\b|place" r"holder")
MACHINE = re.compile(r"(?<![\w.$}/])/(wo" r"rk|ro" r"ot|fa" r"rm|home/\w+)/|/tm" r"p/(build|stud)")


def first_comment_is_there(path, lines):
    rest = lines[1:] if lines and lines[0].startswith("#!") else lines
    first = next((line for line in rest if line.strip()), "")
    if path.endswith((".c", ".h", ".pml", ".cc", ".cpp")):
        return first.startswith(("/*", "//"))
    if path.endswith(".py") and not os.path.basename(path).startswith("test_"):
        return first.startswith(('"""', "'''", 'r"""', "#"))
    if path.endswith(".sh") or "." not in os.path.basename(path):
        return first.startswith("#")
    return True


def functions(lines):
    """(line number, lines) of each function of a C file: its brace stands alone in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def undocumented(lines):
    """Line numbers of public declarations that no comment explains: one must end just above, or stand behind, or head the group."""
    for number, line in enumerate(lines, 1):
        if not line.startswith("MLKV_API"):
            continue
        end = number
        while end < len(lines) and ";" not in lines[end - 1]:
            end += 1
        above = number - 2
        while above >= 0 and lines[above].startswith("MLKV_API"):
            above -= 1
        if "/*" not in lines[end - 1] and not (above >= 0 and lines[above].rstrip().endswith("*/")):
            yield number


def problems(path, text):
    lines = text.split("\n")
    if not first_comment_is_there(path, lines):
        yield 1, "does not begin with a comment that says what it is"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield len(lines), "does not end with exactly one newline"
    if len(lines) - 1 > FILE_LINES_MAX and not path.endswith(".md"):
        yield len(lines), f"has {len(lines) - 1} lines, more than {FILE_LINES_MAX}"
    code = path.endswith((".c", ".h"))
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX and not path.endswith((".md", ".build")):
            yield number, f"has {len(line)} columns, more than {LINE_COLUMNS_MAX}"
        if "\t" in line and not path.endswith(".md"):
            yield number, "has a tab"
        if line.rstrip() != line and not path.endswith(".md"):
            yield number, "ends in blanks"
        if code and UNBOUNDED.search(line):
            yield number, "calls an unbounded string function"
        if LATER.search(line):
            yield number, "promises work for later"
        if MACHINE.search(line):
            yield number, "names a path of somebody's machine"
    if code:
        for number, size in functions(lines):
            if size > FUNCTION_LINES_MAX:
                yield number, f"is a function of {size} lines, more than {FUNCTION_LINES_MAX}"
    if os.sep + os.path.join("include", "mlkv") + os.sep in os.sep + path:
        for number in undocumented(lines):
            yield number, "declares a public function without a comment"


def self_test():
    bad = {
        "a.c": "int x;\n", "b.c": "/* b */", "c.c": "/* c */\n" + "\n" * 900 + "x\n",
        "d.c": "/* d */\n" + "x" * 141 + "\n", "e.c": "/* e */\n\tx\n", "f.c": "/* f */\nstrc" "py(a, b);\n",
        "g.c": "/* TO" "DO */\n", "h.c": "/* /ro" "ot/x */\n", "i.c": "/* i */\n{\n" + "x\n" * 80 + "}\n",
        "include/mlkv/j.h": "/* j */\nint x;\nMLKV_API int f(void);\n",
        "k.py": "import os\n", "l.sh": "#!/bin/sh\nls\n", "m.c": "/* m */\nx \n",
    }
    good = {"a.c": "/* a */\nint f(void)\n{\n    return 0;\n}\n",
            "include/mlkv/b.h": "/* b */\n/* f. */\nMLKV_API int f(void);\nMLKV_API int g(int a,\n  int b); /* g */\n"}
    for path, text in bad.items():
        if not list(problems(path, text)):
            sys.exit(f"lint.py: its own bad example {path} passes")
    for path, text in good.items():
        for number, message in problems(path, text):
            sys.exit(f"lint.py: its own good example {path}:{number} {message}")


def source_files():
    for folder in FOLDERS:
        for place, names, files in os.walk(os.path.join(ROOT, folder)):
            names[:] = [name for name in names if not name.startswith(("build", "__pycache__", ".")) and not name.endswith(".egg-info")]
            for name in files:
                if name.endswith(ENDINGS) or folder == ".ci":
                    yield os.path.relpath(os.path.join(place, name), ROOT)
    for name in ("meson.build", "meson_options.txt", "README.md"):
        if os.path.exists(os.path.join(ROOT, name)):
            yield name


def main():
    self_test()
    count = 0
    paths = sys.argv[1:] or sorted(source_files())
    for path in paths:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        for number, message in problems(path, text):
            print(f"{path}:{number}: {message}")
            count += 1
    print(f"lint: {len(paths)} files, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""check_documents.py [--run BUILD] - what the documentation names exists, and the programs that it shows work.

Reads README.md and docs/*.md. Links lead to files; a path between backquotes exists; each mlkv_ and MLKV_ name occurs in the headers, the
sources or the scripts. With --run, each fenced block of C, C++ or Python that is a whole program (has a main; for Python, imports mlkv) is
compiled against BUILD's library and run in an empty folder, and must end with status 0. A block under a line "<!-- from FILE -->" stands in
that file word for word, but for its indent. Standard library only.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUOTE = re.compile(r"^<!-- from (\S+) -->\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:md|py|sh|build|c|h|pml))`")
NAME = re.compile(r"\bmlkv_\w+|\bMLKV_\w+")
COMMAND = re.compile(r"^\$?\s*(?:sh|python3|/usr/bin/python3) ((?:[\w.-]+/)+[\w.-]+)", re.MULTILINE)
TIMEOUT_S = 300


def documents():
    return [os.path.join(ROOT, "README.md")] + sorted(glob.glob(os.path.join(ROOT, "docs", "*.md")))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def known_names():
    names = set()
    for folder in ("include", "lib", "tests", "tools", "python", "examples", "bench"):
        for place, _, files in os.walk(os.path.join(ROOT, folder)):
            for name in files:
                if name.endswith((".c", ".h", ".py", ".sh", ".build")) and name != os.path.basename(__file__):
                    names.update(NAME.findall(read(os.path.join(place, name))))
    return names


def references(path, text, names):
    """What a document names and the project does not have."""
    here = os.path.dirname(path)
    for target in LINK.findall(text):
        if "://" not in target and not os.path.exists(os.path.join(here, target)):
            yield f"links to {target}"
    for target, block in QUOTE.findall(text):
        source = read(os.path.join(ROOT, target)) if os.path.exists(os.path.join(ROOT, target)) else ""
        if not any("\n" + textwrap.indent(textwrap.dedent(block), " " * indent) in source for indent in range(0, 25, 4)):
            yield f"quotes what is not in {target}: {block.splitlines()[0].strip()} ..."
    prose = FENCE.sub("", text)
    for target in set(PATH.findall(prose)):
        # A file named without its folder may stand anywhere; build folders come and go.
        places = (ROOT, here, os.path.join(ROOT, "lib"), os.path.join(ROOT, "include"))
        found = any(os.path.exists(os.path.join(place, target)) for place in places)
        if not found and "/" not in target:
            found = bool(glob.glob(os.path.join(ROOT, "*", "**", target), recursive=True))
        if not found and not target.startswith("build"):
            yield f"names the file {target}"
    for target in COMMAND.findall(text):
        if not os.path.exists(os.path.join(ROOT, target)):
            yield f"runs {target}"
    for name in sorted(set(NAME.findall(text)) - names):
        if not (name.endswith("_") and any(other.startswith(name) for other in names)):
            yield f"names {name}"


def command_of(language, source, build, folder):
    """(compile command or None, run command), or None if the block is no whole program."""
    library = os.path.join(build, "lib")
    program = os.path.join(folder, "program")
    after = ["source", "-x", "none", "-I" + os.path.join(ROOT, "include"), "-L" + library, "-Wl,-rpath," + library]
    after += ["-lmlkv", "-lpthread", "-o", program]
    if language == "c" and "int main" in source:
        return [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-x", "c", *after], [program]
    if language in ("cpp", "c++") and "int main" in source:
        return [os.environ.get("CXX", "c++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-x", "c++", *after], [program]
    if language == "python" and "import mlkv" in source:
        return None, ["python3", "source"]
    return None


def run_blocks(path, text, build):
    environment = dict(os.environ, MLKV_LIBRARY=os.path.join(build, "lib", "libmlkv.so"), PYTHONPATH=os.path.join(ROOT, "python"))
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        with tempfile.TemporaryDirectory() as folder:
            commands = command_of(match.group(1), match.group(2), build, folder)
            if commands is None:
                continue
            with open(os.path.join(folder, "source"), "w", encoding="utf-8") as file:
                file.write(match.group(2))
            for command in filter(None, commands):
                done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, universal_newlines=True, timeout=TIMEOUT_S)
                if done.returncode != 0:
                    yield f"the program at line {line} fails, status {done.returncode}:\n{done.stdout}"
                    break
        print(f"{os.path.relpath(path, ROOT)}:{line}: {match.group(1)} program run")


def main():
    build = os.path.abspath(sys.argv[2]) if len(sys.argv) == 3 and sys.argv[1] == "--run" else None
    names = set() if build else known_names()
    count = 0
    for path in documents():
        text = read(path)
        for problem in run_blocks(path, text, build) if build else references(path, text, names):
            print(f"{os.path.relpath(path, ROOT)}: {problem}")
            count += 1
    print(f"documents: {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())

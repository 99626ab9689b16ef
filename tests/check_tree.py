#!/usr/bin/env python3
"""check_tree.py - the shape of the project: what stands at the top, and that no source file is without a build entry and a test.

Each lib/PART/NAME.c is listed in lib/PART/meson.build, and has tests/PART/test_NAME.c, or a line "lib/PART/NAME.c TESTFILE" in
tests/coverage.txt that names the test which covers it. Each test program is listed in a meson.build. Standard library only.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = {"bench", "docs", "examples", "include", "lib", "python", "tests", "tools", "meson.build", "meson_options.txt",
       "README.md", "LICENSE"}
NEEDED = TOP | {".ci", ".clang-format", ".gitignore"}


def read(*path):
    try:
        with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def exists(path):
    return os.path.exists(os.path.join(ROOT, path))


def top_level():
    entries = set(os.listdir(ROOT))
    for name in sorted(entries):
        if name not in TOP and not name.startswith((".", "build")) and name != "__pycache__":
            yield f"{name}: unexpected at the top"
    for name in sorted(NEEDED - entries):
        yield f"{name}: missing at the top"


def coverage():
    rows = {}
    for line in read("tests", "coverage.txt").splitlines():
        words = line.split("#")[0].split()
        if words:
            rows[words[0]] = words[1:]
    return rows


def sources():
    rows = coverage()
    seen = set()
    for part in sorted(os.listdir(os.path.join(ROOT, "lib"))):
        folder = os.path.join(ROOT, "lib", part)
        if not os.path.isdir(folder):
            continue
        build = read("lib", part, "meson.build")
        for name in sorted(os.listdir(folder)):
            path = f"lib/{part}/{name}"
            if not name.endswith(".c"):
                continue
            if f"'{name}'" not in build:
                yield f"{path}: not in lib/{part}/meson.build"
            if path in rows:
                seen.add(path)
                yield from (f"{path}: its test {test} of tests/coverage.txt does not exist" for test in rows[path] if not exists(test))
                if not rows[path]:
                    yield f"{path}: tests/coverage.txt names no test"
            elif not exists(f"tests/{part}/test_{name}"):
                yield f"{path}: neither tests/{part}/test_{name} nor a line in tests/coverage.txt"
    yield from (f"tests/coverage.txt: {path} does not exist" for path in sorted(set(rows) - seen))


def programs():
    for place, _, names in os.walk(os.path.join(ROOT, "tests")):
        build = "".join(read(os.path.relpath(os.path.join(place, name), ROOT)) for name in names if name == "meson.build")
        for name in sorted(names):
            if re.fullmatch(r"test_\w+\.c", name) and f"'{name[:-2]}'" not in build and f"'{name}'" not in build:
                yield f"{os.path.relpath(os.path.join(place, name), ROOT)}: in no meson.build"


def main():
    found = [*top_level(), *sources(), *programs()]
    for problem in found:
        print(problem)
    print(f"tree: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

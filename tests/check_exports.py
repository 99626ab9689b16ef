#!/usr/bin/env python3
"""check_exports.py LIBRARY - the shared library exports exactly the functions that the public headers declare with MLKV_API.

Reads the headers' text and the output of nm. Also: the library's soname is libmlkv.so.MAJOR. Standard library only.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def declared():
    names = set()
    folder = os.path.join(ROOT, "include", "mlkv")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.DOTALL)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
        for line in re.findall(r"\bMLKV_API\b([^;]*);", text):
            names.add(re.search(r"(\w+)\s*\(", line).group(1))
    return names


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def main():
    library = sys.argv[1]
    rows = [line.split() for line in output("nm", "-D", "--defined-only", library).splitlines()]
    exported = {row[-1].split("@")[0] for row in rows if row[-2] != "A"}
    wanted = declared()
    problems = [f"{name}: declared, not exported" for name in sorted(wanted - exported)]
    problems += [f"{name}: exported, not declared" for name in sorted(exported - wanted)]
    if not re.search(r"SONAME.*\[libmlkv\.so\.\d+\]", output("readelf", "-d", library)):
        problems.append("no soname of the form libmlkv.so.N")
    for problem in problems:
        print(problem)
    print(f"exports: {len(exported)} functions, {len(problems)} problems")
    return 1 if problems or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""check_coverage.py BUILD LINES BRANCHES - what of lib/ the tests have reached that ran in BUILD, a build with -Db_coverage=true.

Reads gcov's JSON of each object, adds up what several objects have of one header, and prints a table of folders and the files that
are reached least. BUILD/coverage.txt gets every file, with the lines that were never reached. Fails if of all lines less than LINES
per cent were reached, or of all branches less than BRANCHES. A branch is one way out of a condition, as gcc compiles it. Not counted
are the branches of assert(), whose other way out only a bug of the library takes. What runs in a process that a test kills is not
counted by gcov. Standard library only.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORST = 12


class File:
    """Counts of one source file: by line number, and by (line number, which branch of it)."""

    def __init__(self, path):
        self.lines, self.branches = {}, {}
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            self.asserts = {number for number, line in enumerate(source, 1) if "assert(" in line}

    def add(self, line):
        number = line["line_number"]
        self.lines[number] = self.lines.get(number, 0) + line["count"]
        if number in self.asserts:
            return
        for which, branch in enumerate(line.get("branches", [])):
            if not branch["throw"]:
                self.branches[number, which] = self.branches.get((number, which), 0) + branch["count"]

    def counts(self):
        """lines reached, lines, branches taken, branches"""
        return (sum(1 for n in self.lines.values() if n), len(self.lines), sum(1 for n in self.branches.values() if n), len(self.branches))

    def missed(self):
        """ "12-14 20", the lines never reached."""
        ranges = []
        for number in sorted(self.lines):
            if self.lines[number]:
                ranges.append(None)
            elif ranges and ranges[-1]:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        return " ".join(f"{a}-{b}" if a != b else str(a) for a, b in filter(None, ranges))


def read_objects(build):
    files = {}
    notes = [os.path.join(place, name) for place, _, names in os.walk(os.path.join(build, "lib")) for name in names
             if name.endswith(".gcno")]
    for start in range(0, len(notes), 40):
        result = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *notes[start:start + 40]],
                                cwd=build, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        for text in result.stdout.decode().splitlines():
            for entry in json.loads(text)["files"]:
                path = os.path.relpath(os.path.realpath(os.path.join(build, entry["file"])), ROOT)
                if path.startswith("lib" + os.sep):
                    if path not in files:
                        files[path] = File(path)
                    for line in entry["lines"]:
                        files[path].add(line)
    return files


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0


def row(name, counts):
    reached, lines, taken, branches = counts
    return (f"{name:32} {lines:6} {percent(reached, lines):6.1f} %   {branches:6} {percent(taken, branches):6.1f} %")


def total(many):
    return tuple(sum(column) for column in zip(*many)) if many else (0, 0, 0, 0)


def main():
    build, line_floor, branch_floor = os.path.abspath(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    files = read_objects(build)
    counts = {path: one.counts() for path, one in files.items()}
    everything = total(list(counts.values()))
    head = f"{'':32} {'lines':>6} {'reached':>8}   {'branches':>6} {'taken':>6}"
    print("coverage:")
    print(head)
    for folder in sorted({os.path.dirname(path) for path in counts}):
        print(row(folder, total([n for path, n in counts.items() if os.path.dirname(path) == folder])))
    print(row("all", everything))
    by_lines = sorted(counts, key=lambda path: percent(*counts[path][:2]))
    print("reached least:")
    for path in by_lines[:WORST]:
        print(row("  " + path, counts[path]))
    with open(os.path.join(build, "coverage.txt"), "w", encoding="utf-8") as report:
        print(head, file=report)
        for path in sorted(counts):
            print(row(path, counts[path]), file=report)
            print("    never reached:", files[path].missed() or "nothing", file=report)
    print(f"each file, with the lines never reached: {os.path.join(build, 'coverage.txt')}")
    good = percent(*everything[:2]) >= line_floor and percent(*everything[2:]) >= branch_floor
    if not good:
        print(f"less than the floor: {line_floor} % of the lines, {branch_floor} % of the branches")
    return 0 if good and everything[1] else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""tally.py KIND LOG... - turns logs of test programs into counts: the last line printed is "PASSED FAILED".

KIND is
  meson     LOG is meson's testlog.json. A program that uses Check says "100%: Checks: 12, Failures: 0, Errors: 0" and its checks
            are counted; a program that says no such thing counts as one; one that crashed, timed out or ran no check has failed.
  unittest  LOG is what `python3 -m unittest` printed ("Ran 12 tests", "FAILED (failures=1, errors=2, skipped=3)").
Before the counts come the tails of what the failing programs printed. Standard library only.
"""
import json
import re
import sys

CHECK_LINE = re.compile(r"^\s*\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.MULTILINE)
TAIL_LINES = 60


def tail(text):
    lines = text.rstrip().splitlines()
    return "\n".join("    | " + line for line in lines[-TAIL_LINES:])


def count_program(entry):
    """(passed, failed) of one line of testlog.json."""
    output = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
    result = entry.get("result", "")
    if result == "SKIP":
        print(f"  skipped: {entry['name']}")
        return 0, 0
    found = CHECK_LINE.findall(output)
    checks = sum(int(row[0]) for row in found)
    bad = sum(int(row[1]) + int(row[2]) for row in found)
    if result in ("OK", "EXPECTEDFAIL") and bad == 0:
        if found and checks == 0:
            print(f"  {entry['name']}: ran no check")
            return 0, 1
        return (checks, 0) if found else (1, 0)
    bad = max(bad, 1)
    print(f"  FAILED: {entry['name']} ({result}, status {entry.get('returncode')}, {entry.get('duration', 0):.1f} s)")
    print(tail(output))
    return max(checks - bad, 0), bad


def tally_meson(path):
    passed = failed = 0
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            entries = [json.loads(line) for line in log if line.strip()]
    except (OSError, ValueError) as error:
        print(f"  no log of the tests: {error}")
        return 0, 1
    for entry in entries:
        good, bad = count_program(entry)
        passed, failed = passed + good, failed + bad
    if not entries:
        print("  no test was run")
        failed = 1
    slowest = sorted(entries, key=lambda entry: -entry.get("duration", 0))[:3]
    print("  slowest: " + ", ".join(f"{entry['name'].split(' / ')[-1]} {entry.get('duration', 0):.1f} s" for entry in slowest))
    return passed, failed


def tally_unittest(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        text = log.read()
    ran = sum(int(number) for number in re.findall(r"^Ran (\d+) tests?", text, re.MULTILINE))
    verdict = re.findall(r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", text, re.MULTILINE)
    details = dict(re.findall(r"(\w[\w ]*)=(\d+)", verdict[-1][1])) if verdict else {}
    bad = int(details.get("failures", 0)) + int(details.get("errors", 0)) + int(details.get("unexpected successes", 0))
    skipped = int(details.get("skipped", 0))
    if not verdict or (verdict[-1][0] != "OK" and bad == 0) or ran == 0:
        bad = max(bad, 1)
    if bad:
        print(tail(text))
    return max(ran - bad - skipped, 0), bad


def main():
    kinds = {"meson": tally_meson, "unittest": tally_unittest}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    passed = failed = 0
    for path in sys.argv[2:]:
        good, bad = kinds[sys.argv[1]](path)
        passed, failed = passed + good, failed + bad
    print(passed, failed)


if __name__ == "__main__":
    main()

"""table.py - what was tried: for each command and each option how often it ran, and how often without an error. Standard library only."""
from typing import Dict, List, Optional, Set, Tuple

RUNS_LEAST = 1000
FINE_LEAST = 0.70
# What Redis always answers with an error where there is no such policy; and a word that is only allowed without what it counts.
ERRORS_ONLY = {("OBJECT", "FREQ")}

Counts = Dict[Tuple[str, str], List[int]]


def add(total: Counts, counts: Counts) -> None:
    for key, (runs, fine) in counts.items():
        row = total.setdefault(key, [0, 0])
        row[0] += runs
        row[1] += fine


def rows(counts: Counts, wanted: Dict[str, Set[str]]) -> List[Tuple[str, str, int, int]]:
    result = []
    for name in sorted(wanted):
        for option in ["", *sorted(wanted[name])]:
            runs, fine = counts.get((name, option), (0, 0))
            result.append((name, option, runs, fine))
    return result


def show(counts: Counts, wanted: Dict[str, Set[str]]) -> str:
    lines = [f"{'command':20}{'option':16}{'runs':>10}{'no errors':>12}{'':>8}"]
    for name, option, runs, fine in rows(counts, wanted):
        share = f"{fine / runs:8.1%}" if runs else ""
        lines.append(f"{'' if option else name:20}{option:16}{runs:10}{fine:12}{share}")
    return "\n".join(lines)


def lacking(counts: Counts, wanted: Dict[str, Set[str]], least: int) -> List[str]:
    """What came up too seldom: each option that often, and that often without an error."""
    found = []
    for name, option, runs, fine in rows(counts, wanted):
        if (runs if (name, option) in ERRORS_ONLY else fine) < least:
            found.append(f"{name} {option}".strip() + f": {runs} runs, {fine} without an error; {least} are wanted")
    return found


def share(commands: int, fine: int) -> Optional[str]:
    """None, or that too many replies were errors."""
    if commands and fine < FINE_LEAST * commands:
        return f"only {fine / commands:.1%} of the replies were no errors; {FINE_LEAST:.0%} are wanted"
    return None

"""shrink.py - a failing sequence made short: delta debugging over units, each trial from empty sides. Standard library only."""
import time
from typing import Callable, List, Optional, Sequence

from generate import Step, Unit
from session import Mismatch

SECONDS_MAX = 120.0

Try = Callable[[Sequence[Unit]], Optional[Mismatch]]


def alike(first: Mismatch, other: Mismatch) -> bool:
    """Whether two failures may be one: neither or both came from looking at all keys, or they are of one command."""
    return first.step.name == other.step.name or min(first.index, other.index) < 0


def shrink(units: List[Unit], failure: Mismatch, attempt: Try) -> List[Unit]:
    """A short sequence that fails like the whole; the whole, if it does not fail again."""
    last = time.monotonic() + SECONDS_MAX

    def fails(candidate: List[Unit]) -> bool:
        found = attempt(candidate)
        return found is not None and alike(failure, found)

    if not fails(units):
        return units
    pieces = 2
    while len(units) > 1 and time.monotonic() < last:
        size = max(1, -(-len(units) // pieces))
        parts = [units[i:i + size] for i in range(0, len(units), size)]
        # The later half first: what fails stands at the end.
        smaller = next((part for part in reversed(parts) if len(parts) <= 4 and fails(part)), None)
        if smaller is not None:
            units, pieces = smaller, 2
            continue
        changed = False
        for i in range(len(parts)):
            if time.monotonic() > last:
                break
            rest = [unit for j, part in enumerate(parts) if j != i and part for unit in part]
            if rest and fails(rest):
                parts[i] = []
                units, changed = rest, True
        if size == 1 and not changed:
            break
        pieces = min(len(units), pieces * 2 if not changed else max(2, pieces))
    return shrink_words(units, fails, last)


def shrink_words(units: List[Unit], fails: Callable[[List[Unit]], bool], last: float) -> List[Unit]:
    """Leaves out single words behind the key, where it fails without them, too."""
    for i, unit in enumerate(units):
        for k, step in enumerate(unit):
            place = len(step.words) - 1
            while place > 1 and step.rule in ("exact", "bag", "map") and time.monotonic() < last and len(units) <= 30:
                shorter = Step(step.name, [*step.words[:place], *step.words[place + 1:]], step.rule, step.options, step.where)
                candidate = [*units[:i], [*unit[:k], shorter, *unit[k + 1:]], *units[i + 1:]]
                if fails(candidate):
                    units, unit, step = candidate, candidate[i], shorter
                place -= 1
    return units

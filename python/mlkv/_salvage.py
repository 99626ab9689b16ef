"""salvage(): a new store of what is left of a damaged one."""

from __future__ import annotations

import os
from typing import Any, List, NamedTuple, Tuple, Union

from . import _library
from ._library import library
from ._view import check


class SalvageReport(NamedTuple):
    """What salvage() found and lost."""

    pages: int
    pages_damaged: int
    records_found: int
    records_lost: int
    uncertain: int
    frames: int
    keys: int
    elements: int
    blobs: int
    bytes: int
    keys_lost: int
    elements_lost: int
    lost: Tuple[str, ...]
    repaired: Tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is missing, and nothing uncertain."""
        return not self.lost and self.uncertain == 0


def salvage(damaged: Union[str, os.PathLike], new: Union[str, os.PathLike]) -> SalvageReport:
    """Makes a new store in the folder `new` (empty, or not there) of what is left of the one in `damaged`, which is only read and
    must not be open anywhere. What was lost is in the report, sentence by sentence; an exception means that nothing was made."""
    lost: List[str] = []
    repaired: List[str] = []

    def note(_context: Any, is_lost: int, sentence: bytes) -> int:
        (lost if is_lost else repaired).append(sentence.decode("utf-8", "replace"))
        return 0

    report = _library.SalvageReport()
    check(library.mlkv_salvage(os.fsencode(damaged), os.fsencode(new), _library.SalvageCallback(note), None, report))
    counts = {name: getattr(report, name) for name in SalvageReport._fields if name not in ("lost", "repaired")}
    return SalvageReport(**counts, lost=tuple(lost), repaired=tuple(repaired))

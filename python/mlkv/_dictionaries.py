"""Dictionaries: what many small values have in common, learned once."""

from __future__ import annotations

import ctypes
from typing import List, NamedTuple, Optional

from . import _library
from ._library import Buffer, library
from ._values import Value
from ._view import View, check


class DictionaryInfo(NamedTuple):
    """One dictionary, and what it saved of the values that it was tried on."""

    prefix: bytes
    id: int
    version: int
    bytes: int
    created_ms: int
    samples: int
    tried_bytes: int
    without_bytes: int
    with_bytes: int
    current: bool

    @property
    def ratio(self) -> float:
        """What values take with it, of what they take without."""
        return self.with_bytes / self.without_bytes if self.without_bytes else 1.0


def _info(prefix: bytes, info: _library.DictionaryInfo) -> DictionaryInfo:
    names = [name for name in DictionaryInfo._fields if name not in ("prefix", "current")]
    return DictionaryInfo(prefix=prefix, current=bool(info.current), **{name: getattr(info, name) for name in names})


class DictionaryCommands(View):
    """What a pipeline does not collect."""

    def dictionary_train(
        self, prefix: Value = "", dictionary_bytes: int = 0, sample_max_bytes: int = 0
    ) -> Optional[DictionaryInfo]:
        """Learns a dictionary from the values of the keys that begin with the prefix, with which such values of 32 bytes to 32 KiB are
        coded from then on, by all processes. None: there are too few of them, or it would not pay."""
        info = _library.DictionaryInfo()
        options = _library.DictionaryOptions()
        options.dictionary_bytes, options.sample_max_bytes = dictionary_bytes, sample_max_bytes
        name = self._codec.encode(prefix)
        if check(library.mlkv_dictionary_train(self._handle, self._codec.slice(name), options, info)) != 0:
            return None
        return _info(name, info)

    def dictionary_list(self) -> List[DictionaryInfo]:
        """All dictionaries that the store has had, in the order in which they were made."""
        found: List[DictionaryInfo] = []
        info, prefix = _library.DictionaryInfo(), Buffer()
        while check(library.mlkv_dictionary_next(self._handle, found[-1].id if found else 0, info, prefix)) == 0:
            found.append(_info(ctypes.string_at(prefix.data, prefix.size) if prefix.size else b"", info))
        return found

    def dictionary_drop(self, prefix: Value = "") -> bool:
        """Values of this prefix are no longer coded with its dictionary; what was stays readable. False: it had none."""
        return check(library.mlkv_dictionary_drop(self._handle, self._codec.slice(prefix))) == 0

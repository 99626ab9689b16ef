"""Commands on the bits of a string."""

from __future__ import annotations

import ctypes
from typing import Optional

from ._library import library
from ._time import int64
from ._values import Value
from ._view import View, check
from .errors import CommandError, DataError

_OPERATIONS = {"AND": 0, "OR": 1, "XOR": 2, "NOT": 3}
_UNITS = {"BYTE": 0, "BIT": 1}


def _unit(mode: Optional[str]) -> int:
    unit = _UNITS.get("BYTE" if mode is None else mode.upper())
    if unit is None:
        raise DataError(f"{mode!r} is neither BYTE nor BIT")
    return unit


def _offset(offset: int) -> int:
    offset = int64(offset)
    if offset < 0:
        raise DataError("the offset is negative")
    return offset


class BitCommands(View):
    def setbit(self, name: Value, offset: int, value: int) -> int:
        """Sets a bit; what it was."""
        old = ctypes.c_int()
        bit = int(value)
        if bit not in (0, 1):
            raise DataError("a bit is 0 or 1")
        check(library.mlkv_bits_set(self._handle, self._codec.slice(name), _offset(offset), bit, old))
        return old.value

    def getbit(self, name: Value, offset: int) -> int:
        """A bit; 0 behind the end."""
        bit = ctypes.c_int()
        check(library.mlkv_bits_get(self._handle, self._codec.slice(name), _offset(offset), bit))
        return bit.value

    def bitcount(
        self, key: Value, start: Optional[int] = None, end: Optional[int] = None, mode: Optional[str] = None
    ) -> int:
        """How many bits are 1, in all or from start to end, in bytes or (mode "BIT") bits."""
        if (start is None) != (end is None):
            raise DataError("start and end go together")
        count = ctypes.c_uint64()
        first, last = (0, -1) if start is None or end is None else (int64(start), int64(end))
        check(library.mlkv_bits_count(self._handle, self._codec.slice(key), first, last, _unit(mode), count))
        return count.value

    def bitpos(
        self, key: Value, bit: int, start: Optional[int] = None, end: Optional[int] = None, mode: Optional[str] = None
    ) -> int:
        """Where the first such bit stands; -1: nowhere."""
        if bit not in (0, 1):
            raise DataError("a bit is 0 or 1")
        if start is None and end is not None:
            raise DataError("end needs start")
        position = ctypes.c_int64()
        stop = None if end is None else ctypes.c_int64(int64(end))
        first = 0 if start is None else int64(start)
        check(library.mlkv_bits_find(self._handle, self._codec.slice(key), bit, first, stop, _unit(mode), position))
        return position.value

    def bitop(self, operation: str, dest: Value, *keys: Value) -> int:
        """Combines values by AND, OR, XOR or NOT into the key dest; the length of the result."""
        number = _OPERATIONS.get(operation.upper())
        if number is None:
            raise DataError(f"{operation!r} is none of AND, OR, XOR, NOT")
        if number == _OPERATIONS["NOT"] and len(keys) > 1:
            raise CommandError("BITOP NOT must be called with a single source key.")
        length = ctypes.c_uint64()
        slices = self._codec.slices(keys)
        check(library.mlkv_bits_combine(self._handle, number, self._codec.slice(dest), slices, slices.count, length))
        return length.value

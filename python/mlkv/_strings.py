"""String commands."""

from __future__ import annotations

import ctypes
from typing import Any, List, Mapping, Optional

from ._library import library
from ._values import Result, Value, flatten
from ._view import ABSENT, View, check
from .errors import DataError

_ALWAYS, _IF_ABSENT, _IF_PRESENT = 0, 1, 2
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def int64(amount: int) -> int:
    """ctypes would cut a larger number silently."""
    amount = int(amount)
    if not _INT64_MIN <= amount <= _INT64_MAX:
        raise DataError(f"{amount} is not a signed 64-bit number")
    return amount


class StringCommands(View):
    def set(
        self,
        name: Value,
        value: Value,
        ex: None = None,
        px: None = None,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        get: bool = False,
    ) -> Optional[Result]:
        """True, or None if nx (only if absent) or xx (only if present) did not hold. With get: the old value instead.

        Keys do not expire: ex and px are refused, keepttl changes nothing."""
        if ex is not None or px is not None:
            raise DataError("keys do not expire: ex and px are not supported")
        if nx and xx:
            raise DataError("nx and xx exclude each other")
        condition = _IF_ABSENT if nx else _IF_PRESENT if xx else _ALWAYS
        if get:
            with self._atomic() as view:
                old = view.get(name)
                view.set(name, value, nx=nx, xx=xx)
                return old
        codec = self._codec
        result = check(library.mlkv_string_set(self._handle, codec.slice(name), codec.slice(value), condition))
        return None if result == ABSENT else True

    def setnx(self, name: Value, value: Value) -> bool:
        """Sets the value if the key is absent; whether it did."""
        return self.set(name, value, nx=True) is True

    def get(self, name: Value) -> Optional[Result]:
        """The value, or None."""
        buffer = self._pool.take_buffer()
        if check(library.mlkv_string_get(self._handle, self._codec.slice(name), buffer)) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return self._codec.decode(self._pool.give_buffer(buffer))

    def mget(self, keys: Any, *args: Value) -> List[Optional[Result]]:
        """The values of several keys, as of one moment; None for an absent one or one of another type."""
        names = self._codec.slices(flatten(keys, args))
        rows = self._pool.take_rows()
        check(library.mlkv_string_get_many(self._handle, names, names.count, rows))
        optional = self._codec.optional
        return [optional(value) for value in self._pool.give_rows(rows)]

    def mset(self, mapping: Mapping[Any, Value]) -> bool:
        """Sets several keys, all at once."""
        pairs = self._codec.slices(part for pair in mapping.items() for part in pair)
        check(library.mlkv_string_set_many(self._handle, pairs, len(mapping)))
        return True

    def strlen(self, name: Value) -> int:
        """Bytes of the value; 0 for an absent key."""
        length = ctypes.c_uint64()
        check(library.mlkv_string_length(self._handle, self._codec.slice(name), length))
        return length.value

    def incrby(self, name: Value, amount: int = 1) -> int:
        """Adds to the number under the key, atomically in all processes; the new number. An absent key counts from 0."""
        value = ctypes.c_int64()
        check(library.mlkv_string_add(self._handle, self._codec.slice(name), int64(amount), value))
        return value.value

    def incr(self, name: Value, amount: int = 1) -> int:
        """incrby."""
        return self.incrby(name, amount)

    def decrby(self, name: Value, amount: int = 1) -> int:
        """incrby of the negative amount."""
        return self.incrby(name, -amount)

    def decr(self, name: Value, amount: int = 1) -> int:
        """incrby of the negative amount."""
        return self.incrby(name, -amount)

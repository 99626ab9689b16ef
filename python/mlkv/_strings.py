"""String commands."""

from __future__ import annotations

import ctypes
from typing import Any, List, Mapping, Optional

from ._library import Buffer, Match, library
from ._values import Result, Value, flatten
from ._time import Duration, Moment, expiry_of, int64
from ._view import ABSENT, View, check
from .errors import DataError

_ALWAYS, _IF_ABSENT, _IF_PRESENT = 0, 1, 2


class StringCommands(View):
    def set(
        self,
        name: Value,
        value: Value,
        ex: Optional[Duration] = None,
        px: Optional[Duration] = None,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        get: bool = False,
        exat: Optional[Moment] = None,
        pxat: Optional[Moment] = None,
    ) -> Optional[Result]:
        """True, or None if nx (only if absent) or xx (only if present) did not hold. With get: the old value, or None.

        The key ends after ex seconds or px milliseconds, or at exat (seconds since 1970, or a datetime) or pxat (milliseconds); else
        it has no expiry afterwards, or with keepttl the one that it has."""
        if nx and xx:
            raise DataError("nx and xx exclude each other")
        condition = _IF_ABSENT if nx else _IF_PRESENT if xx else _ALWAYS
        expiry = expiry_of(ex, px, exat, pxat, keep=keepttl)
        codec, existed = self._codec, ctypes.c_int(0)
        old = self._pool.take_buffer() if get else None
        result = check(
            library.mlkv_string_set_with(self._handle, codec.slice(name), codec.slice(value), condition, expiry, old, existed)
        )
        if old is None:
            return None if result == ABSENT else True
        if existed.value:
            return codec.decode(self._pool.give_buffer(old))
        self._pool.keep_buffer(old)
        return None

    def setex(self, name: Value, time: Duration, value: Value) -> bool:
        """set with ex."""
        return self.set(name, value, ex=time) is True

    def psetex(self, name: Value, time_ms: Duration, value: Value) -> bool:
        """set with px."""
        return self.set(name, value, px=time_ms) is True

    def getset(self, name: Value, value: Value) -> Optional[Result]:
        """set with get."""
        return self.set(name, value, get=True)

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

    def _value(self, function: Any, name: Value, *arguments: Any) -> Optional[Result]:
        buffer = self._pool.take_buffer()
        if check(function(self._handle, self._codec.slice(name), *arguments, buffer)) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return self._codec.decode(self._pool.give_buffer(buffer))

    def getdel(self, name: Value) -> Optional[Result]:
        """The value, and the key is deleted; or None."""
        return self._value(library.mlkv_string_get_delete, name)

    def getex(
        self,
        name: Value,
        ex: Optional[Duration] = None,
        px: Optional[Duration] = None,
        exat: Optional[Moment] = None,
        pxat: Optional[Moment] = None,
        persist: bool = False,
    ) -> Optional[Result]:
        """The value, or None; and the key's expiry changes as set changes it, or ends (persist)."""
        expiry = expiry_of(ex, px, exat, pxat, keep=not persist)
        return self._value(library.mlkv_string_get_expire, name, expiry)

    def getrange(self, key: Value, start: int, end: int) -> Result:
        """The bytes from start to end, both included; negative ones count from the end."""
        value = self._value(library.mlkv_string_get_range, key, int64(start), int64(end))
        assert value is not None
        return value

    def substr(self, name: Value, start: int, end: int = -1) -> Result:
        """getrange."""
        return self.getrange(name, start, end)

    def append(self, key: Value, value: Value) -> int:
        """Adds bytes at the end; the new length."""
        length = ctypes.c_uint64()
        check(library.mlkv_string_append(self._handle, self._codec.slice(key), self._codec.slice(value), length))
        return length.value

    def setrange(self, name: Value, offset: int, value: Value) -> int:
        """Overwrites bytes from offset on; the new length."""
        if int(offset) < 0:
            raise DataError("the offset is negative")
        length = ctypes.c_uint64()
        codec = self._codec
        check(library.mlkv_string_set_range(self._handle, codec.slice(name), int64(offset), codec.slice(value), length))
        return length.value

    def incrbyfloat(self, name: Value, amount: float = 1.0) -> float:
        """Adds to the number under the key; the new number."""
        buffer = self._pool.take_buffer()
        check(library.mlkv_string_add_float(self._handle, self._codec.slice(name), float(amount), buffer))
        return float(self._pool.give_buffer(buffer))

    def lcs(
        self,
        key1: Value,
        key2: Value,
        len: bool = False,  # noqa: A002 - redis-py's name
        idx: bool = False,
        minmatchlen: int = 0,
        withmatchlen: bool = False,
    ) -> Any:
        """The longest common subsequence; with len its length; with idx ["matches", [...], "len", length], each match being the two
        ranges (first and last byte) and, withmatchlen, its length."""
        if len and idx:
            raise DataError("len and idx exclude each other")
        length, text, found = ctypes.c_uint64(), Buffer(), Buffer()
        codec = self._codec
        least = max(0, int(minmatchlen))
        check(library.mlkv_string_lcs(self._handle, codec.slice(key1), codec.slice(key2), least, length, text, found))
        if len:
            return length.value
        if not idx:
            return codec.decode(ctypes.string_at(text.data, text.size) if text.size else b"")
        matches: List[List[Any]] = []
        for i in range(found.size // ctypes.sizeof(Match)):
            match = Match.from_address(found.data + i * ctypes.sizeof(Match))
            last = match.length - 1
            ranges: List[Any] = [[match.a_begin, match.a_begin + last], [match.b_begin, match.b_begin + last]]
            matches.append([*ranges, match.length] if withmatchlen else ranges)
        return [codec.decode(b"matches"), matches, codec.decode(b"len"), length.value]

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

    def msetnx(self, mapping: Mapping[Any, Value]) -> bool:
        """mset, if none of the keys exists; whether it did."""
        pairs = self._codec.slices(part for pair in mapping.items() for part in pair)
        return check(library.mlkv_string_set_many_if_absent(self._handle, pairs, len(mapping))) != ABSENT

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

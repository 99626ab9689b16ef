"""Hash commands."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ._expiry import condition_of
from ._keys import SCAN_HASH, Scanning
from ._library import library
from ._time import Duration, Moment, duration_ms, int64, moment_ms
from ._values import Result, Value, flatten
from ._view import ABSENT, check
from .errors import DataError


class HashCommands(Scanning):
    def hset(
        self,
        name: Value,
        key: Optional[Value] = None,
        value: Optional[Value] = None,
        mapping: Optional[Mapping[Any, Value]] = None,
        items: Optional[Sequence[Value]] = None,
    ) -> int:
        """Sets a field, the fields of a mapping, and those of a flat list of fields and values, all at once; how many are new."""
        parts: List[Value] = list(items or ())
        if len(parts) % 2:
            raise DataError("items has a field without a value")
        if key is not None:
            parts += [key, value]  # type: ignore[list-item]
        if mapping:
            for pair in mapping.items():
                parts += pair
        if not parts:
            raise DataError("hset with no field")
        pairs = self._codec.slices(parts)
        added = ctypes.c_size_t()
        check(library.mlkv_hash_set(self._handle, self._codec.slice(name), pairs, pairs.count // 2, added))
        return added.value

    def hmset(self, name: Value, mapping: Mapping[Any, Value]) -> bool:
        """Sets the fields of a mapping, all at once."""
        if not mapping:
            raise DataError("hmset with an empty mapping")
        self.hset(name, mapping=mapping)
        return True

    def hsetnx(self, name: Value, key: Value, value: Value) -> int:
        """Sets the field if it is absent: 1 if it did, else 0."""
        codec = self._codec
        arguments = codec.slice(name), codec.slice(key), codec.slice(value)
        return 0 if check(library.mlkv_hash_set_if_absent(self._handle, *arguments)) == ABSENT else 1

    def hget(self, name: Value, key: Value) -> Optional[Result]:
        """The field's value, or None."""
        codec = self._codec
        buffer = self._pool.take_buffer()
        if check(library.mlkv_hash_get(self._handle, codec.slice(name), codec.slice(key), buffer)) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return codec.decode(self._pool.give_buffer(buffer))

    def hmget(self, name: Value, keys: Any, *args: Value) -> List[Optional[Result]]:
        """The values of several fields, as of one moment; None for an absent one."""
        fields = self._codec.slices(flatten(keys, args))
        rows = self._pool.take_rows()
        if check(library.mlkv_hash_get_many(self._handle, self._codec.slice(name), fields, fields.count, rows)) == ABSENT:
            return [None] * fields.count
        optional = self._codec.optional
        return [optional(value) for value in self._pool.give_rows(rows)]

    def hgetall(self, name: Value) -> Dict[Result, Result]:
        """All fields and values, as of one moment; {} for an absent key."""
        flat = self._all(library.mlkv_hash_get_all, name)
        return dict(zip(flat[0::2], flat[1::2]))

    def hkeys(self, name: Value) -> List[Result]:
        """All fields."""
        return self._all(library.mlkv_hash_keys, name)

    def hvals(self, name: Value) -> List[Result]:
        """All values, in the order of their fields."""
        return self._all(library.mlkv_hash_values, name)

    def hdel(self, name: Value, *keys: Value) -> int:
        """Deletes fields; how many there were."""
        fields = self._codec.slices(keys)
        deleted = ctypes.c_size_t()
        check(library.mlkv_hash_delete(self._handle, self._codec.slice(name), fields, fields.count, deleted))
        return deleted.value

    def hlen(self, name: Value) -> int:
        """Number of fields; 0 for an absent key."""
        length = ctypes.c_uint64()
        check(library.mlkv_hash_length(self._handle, self._codec.slice(name), length))
        return length.value

    def hexists(self, name: Value, key: Value) -> bool:
        """Whether the field is there."""
        codec = self._codec
        return check(library.mlkv_hash_exists(self._handle, codec.slice(name), codec.slice(key))) != ABSENT

    def hstrlen(self, name: Value, key: Value) -> int:
        """Bytes of the field's value; 0 for an absent one. The value is not read."""
        codec = self._codec
        length = ctypes.c_uint64()
        check(library.mlkv_hash_value_length(self._handle, codec.slice(name), codec.slice(key), length))
        return length.value

    def hincrby(self, name: Value, key: Value, amount: int = 1) -> int:
        """Adds to the number in the field, atomically in all processes; the new number."""
        codec = self._codec
        value = ctypes.c_int64()
        check(library.mlkv_hash_add(self._handle, codec.slice(name), codec.slice(key), int64(amount), value))
        return value.value

    def hincrbyfloat(self, name: Value, key: Value, amount: float = 1.0) -> float:
        """The same for a floating-point number; an expiry stays."""
        codec = self._codec
        buffer = self._pool.take_buffer()
        check(library.mlkv_hash_add_float(self._handle, codec.slice(name), codec.slice(key), float(amount), buffer))
        return float(self._pool.give_buffer(buffer))

    def hrandfield(
        self, key: Value, count: Optional[int] = None, withvalues: bool = False
    ) -> Union[Optional[Result], List[Result]]:
        """A field by chance, or None. With a count: a list of up to so many different fields; of exactly so many, with repetition, if it
        is negative; withvalues: each with its value behind it."""
        wanted = 1 if count is None else abs(count)
        distinct = count is None or count >= 0
        rows = self._pool.take_rows()
        check(library.mlkv_hash_random(self._handle, self._codec.slice(key), wanted, distinct, withvalues and count is not None, rows))
        fields = self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]
        return fields if count is not None else fields[0] if fields else None

    def _outcomes(self, function: Any, name: Value, fields: Sequence[Value], *arguments: int) -> List[int]:
        """What a function that fills a number for each field says."""
        if not fields:
            raise DataError("no field is named")
        names = self._codec.slices(fields)
        outcomes = (ctypes.c_int64 * names.count)()
        check(function(self._handle, self._codec.slice(name), names, names.count, *arguments, outcomes))
        return list(outcomes)

    def hexpire(
        self, name: Value, seconds: Duration, *fields: Value, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> List[int]:
        """The fields end after so many seconds. nx: only those without an expiry; xx: only those with one; gt, lt: only if the new one is
        later or sooner. For each field: 1; 0 if the condition did not hold; 2 if the time was over and it is deleted; -2 if there is
        none."""
        condition = condition_of(nx, xx, gt, lt)
        return self._outcomes(library.mlkv_hash_expire, name, fields, duration_ms(seconds, 1000), condition)

    def hpexpire(
        self, name: Value, milliseconds: Duration, *fields: Value, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> List[int]:
        """hexpire in milliseconds."""
        condition = condition_of(nx, xx, gt, lt)
        return self._outcomes(library.mlkv_hash_expire, name, fields, duration_ms(milliseconds, 1), condition)

    def hexpireat(
        self, name: Value, unix_time_seconds: Moment, *fields: Value,
        nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> List[int]:
        """hexpire at a datetime, or so many seconds after 1970."""
        condition = condition_of(nx, xx, gt, lt)
        return self._outcomes(library.mlkv_hash_expire_at, name, fields, moment_ms(unix_time_seconds, 1000), condition)

    def hpexpireat(
        self, name: Value, unix_time_milliseconds: Moment, *fields: Value,
        nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False
    ) -> List[int]:
        """hexpireat in milliseconds."""
        condition = condition_of(nx, xx, gt, lt)
        return self._outcomes(library.mlkv_hash_expire_at, name, fields, moment_ms(unix_time_milliseconds, 1), condition)

    def hpersist(self, name: Value, *fields: Value) -> List[int]:
        """The fields' expiries go: 1; -1 if it has none; -2 if there is no such field."""
        return self._outcomes(library.mlkv_hash_persist, name, fields)

    def hpttl(self, key: Value, *fields: Value) -> List[int]:
        """Milliseconds until each field ends; -1: it has no expiry; -2: no such field."""
        return self._outcomes(library.mlkv_hash_ttl, key, fields)

    def httl(self, key: Value, *fields: Value) -> List[int]:
        """hpttl in seconds, rounded up."""
        return [_seconds(ms) for ms in self.hpttl(key, *fields)]

    def hpexpiretime(self, key: Value, *fields: Value) -> List[int]:
        """When each field ends, in milliseconds since 1970; -1: never; -2: no such field."""
        return self._outcomes(library.mlkv_hash_expiry, key, fields)

    def hexpiretime(self, key: Value, *fields: Value) -> List[int]:
        """hpexpiretime in seconds, rounded up."""
        return [_seconds(ms) for ms in self.hpexpiretime(key, *fields)]

    def hscan(
        self, name: Value, cursor: int = 0, match: Optional[Value] = None, count: Optional[int] = None
    ) -> Tuple[int, Dict[Result, Result]]:
        """A part of the fields: (cursor of the next part or 0, fields and values)."""
        token, pairs = self._scan(SCAN_HASH, name, cursor, match, count)
        decode = self._codec.decode
        return token, {decode(field): decode(value) for field, value in pairs}

    def hscan_iter(
        self, name: Value, match: Optional[Value] = None, count: Optional[int] = None
    ) -> Iterator[Tuple[Result, Result]]:
        """Fields and values one after another; what is written meanwhile may be in it or not."""
        decode = self._codec.decode
        for field, value in self._scan_iter(SCAN_HASH, name, match, count):
            yield decode(field), decode(value)


def _seconds(ms: int) -> int:
    return ms if ms < 0 else (ms + 999) // 1000

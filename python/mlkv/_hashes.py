"""Hash commands."""

from __future__ import annotations

import ctypes
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._keys import SCAN_HASH, Scanning
from ._library import library
from ._strings import int64
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
        """Bytes of the field's value; 0 for an absent one."""
        codec = self._codec
        buffer = self._pool.take_buffer()
        absent = check(library.mlkv_hash_get(self._handle, codec.slice(name), codec.slice(key), buffer)) == ABSENT
        size = 0 if absent else int(buffer.size)
        self._pool.keep_buffer(buffer)
        return size

    def hincrby(self, name: Value, key: Value, amount: int = 1) -> int:
        """Adds to the number in the field, atomically in all processes; the new number."""
        codec = self._codec
        value = ctypes.c_int64()
        check(library.mlkv_hash_add(self._handle, codec.slice(name), codec.slice(key), int64(amount), value))
        return value.value

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

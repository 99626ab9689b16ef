"""Commands on keys of any type, and scans over keys, fields and members."""

from __future__ import annotations

import ctypes
from typing import Any, Iterator, List, Optional, Tuple

from ._glob import compile_glob
from ._library import Query, Slice, SliceOut, library
from ._values import Result, Value
from ._view import ABSENT, View, check
from .errors import ArgumentError, WrongTypeError

SCAN_KEYS, SCAN_HASH, SCAN_SET = 0, 1, 2
SCAN_TENSORS = 5
_SCAN_COUNT = 1000  # entries looked at in one part of a scan: enough that opening the cursor costs little, few enough to wait for
NO_LIMIT = 1 << 62


class Scanning(View):
    """Scans in parts. No cursor of the library stays open between two parts, so a scan may be left, forked or closed at any time; a part
    begins after the last name of the one before."""

    def _all(self, function: Any, name: Value) -> List[Result]:
        """The items of a function that fills rows from a key."""
        rows = self._pool.take_rows()
        if check(function(self._handle, self._codec.slice(name), rows)) == ABSENT:
            self._pool.keep_rows(rows)
            return []
        return self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]

    def _scan(
        self, kind: int, name: Optional[Value], cursor: int, match: Optional[Value], count: Optional[int]
    ) -> Tuple[int, List[Tuple[bytes, bytes]]]:
        """A part: (cursor after it or 0 at the end, names and values). A cursor is the library's position as a number, so any process may
        go on with it at any time."""
        number = int(cursor)
        position = number.to_bytes((number.bit_length() + 7) // 8, "big")[1:] if number > 0 else b""
        next_position, found = self._part(kind, name, position, match, _SCAN_COUNT if count is None else max(1, int(count)))
        return (0 if next_position is None else int.from_bytes(b"\x01" + next_position, "big")), found

    def _scan_iter(
        self, kind: int, name: Optional[Value], match: Optional[Value], count: Optional[int]
    ) -> Iterator[Tuple[bytes, bytes]]:
        limit = _SCAN_COUNT if count is None else max(1, int(count))
        position: Optional[bytes] = b""
        while position is not None:
            position, found = self._part(kind, name, position, match, limit)
            yield from found

    def _part(
        self, kind: int, name: Optional[Value], position: bytes, match: Optional[Value], limit: int
    ) -> Tuple[Optional[bytes], List[Tuple[bytes, bytes]]]:
        encode = self._codec.encode
        prefix, expression = compile_glob(b"*" if match is None else encode(match))
        return self._walk(kind, b"" if name is None else encode(name), prefix, expression, position, limit)

    def _walk(
        self, kind: int, key: bytes, prefix: bytes, expression: Any, position: bytes, limit: int
    ) -> Tuple[Optional[bytes], List[Tuple[bytes, bytes]]]:
        """(position after it or None at the end, names and values), of one moment, those that begin with prefix and match expression."""
        query = Query()
        query.kind = kind
        query.key = Slice(key, len(key))
        query.prefix = Slice(prefix, len(prefix))
        query.token = Slice(position, len(position))
        cursor = ctypes.c_void_p()
        if check(library.mlkv_cursor_open(self._handle, query, cursor)) == ABSENT:
            return None, []
        try:
            ended, found = _collect(cursor, expression, limit)
            if ended:
                return None, found
            buffer = self._pool.take_buffer()
            check(library.mlkv_cursor_token(cursor, buffer))
            return self._pool.give_buffer(buffer), found
        finally:
            library.mlkv_cursor_close(cursor)


def _collect(cursor: ctypes.c_void_p, expression: Any, limit: int) -> Tuple[bool, List[Tuple[bytes, bytes]]]:
    """Up to limit entries of a cursor, those that match: (whether the cursor came to its end, names and values)."""
    step, copy = library.mlkv_cursor_next, ctypes.string_at
    name, value = SliceOut(), SliceOut()
    found = []
    for _ in range(limit):
        if check(step(cursor, name, value)) == ABSENT:
            return True, found
        text = copy(name.data, name.size) if name.size else b""
        if expression is None or expression.fullmatch(text):
            found.append((text, copy(value.data, value.size) if value.size else b""))
    return False, found


class KeyCommands(Scanning):
    def exists(self, *names: Value) -> int:
        """How many of the keys are there; one named twice counts twice."""
        return self._count(library.mlkv_key_exists, names)

    def delete(self, *names: Value) -> int:
        """Deletes keys of any type, all at once; how many there were."""
        return self._count(library.mlkv_key_delete, names)

    def unlink(self, *names: Value) -> int:
        """delete, which always reclaims the elements in the background."""
        return self._count(library.mlkv_key_delete, names)

    def _count(self, function: Any, names: Tuple[Value, ...]) -> int:
        slices = self._codec.slices(names)
        count = ctypes.c_size_t()
        check(function(self._handle, slices, slices.count, count))
        return count.value

    def type(self, name: Value) -> Result:
        """b"string", b"hash", b"set", b"tensor" ..., b"none" for an absent key."""
        number = ctypes.c_int()
        check(library.mlkv_key_type(self._handle, self._codec.slice(name), number))
        return self._codec.decode(library.mlkv_type_name(number))

    def dbsize(self) -> int:
        """Number of keys."""
        count = ctypes.c_uint64()
        check(library.mlkv_key_count(self._handle, count))
        return count.value

    def keys(self, pattern: Value = "*") -> List[Result]:
        """All keys that match, in order, as of one moment."""
        _, found = self._part(SCAN_KEYS, None, b"", pattern, NO_LIMIT)
        return self._codec.list([name for name, _ in found])

    def scan(
        self,
        cursor: int = 0,
        match: Optional[Value] = None,
        count: Optional[int] = None,
        _type: Optional[str] = None,
    ) -> Tuple[int, List[Result]]:
        """A part of the keys: (cursor of the next part or 0, keys)."""
        token, found = self._scan(SCAN_KEYS, None, cursor, match, count)
        return token, self._codec.list([name for name, kind in found if _is_type(kind, _type)])

    def scan_iter(
        self, match: Optional[Value] = None, count: Optional[int] = None, _type: Optional[str] = None
    ) -> Iterator[Result]:
        """Keys one after another; what is written meanwhile may be in it or not."""
        decode = self._codec.decode
        for name, kind in self._scan_iter(SCAN_KEYS, None, match, count):
            if _is_type(kind, _type):
                yield decode(name)

    def __getitem__(self, name: Value) -> Any:
        """A string's value, or a tensor as tensor_get gives it."""
        try:
            value = self.get(name)  # type: ignore[attr-defined]
        except WrongTypeError:
            if self.type(name) not in ("tensor", b"tensor"):  # type: ignore[attr-defined]
                raise
            value = self.tensor_get(name)  # type: ignore[attr-defined]
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: Value, value: Any) -> None:
        """Stores a numpy array or a torch tensor as a tensor, anything else as a string."""
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            self.tensor_set(name, value)  # type: ignore[attr-defined]
        else:
            self.set(name, value)  # type: ignore[attr-defined]

    def __delitem__(self, name: Value) -> None:
        self.delete(name)

    def __contains__(self, name: Value) -> bool:
        return self.exists(name) > 0


def _is_type(kind: bytes, wanted: Optional[str]) -> bool:
    if wanted is not None and not isinstance(wanted, str):
        raise ArgumentError(f"_type is a type's name, not {wanted!r}")
    return wanted is None or kind == wanted.lower().encode()

"""From Python values to bytes and back, and from lists of bytes to the library's arrays of slices and back.

Values go in as redis-py takes them: bytes as they are, str in the client's encoding, int and float as text. In addition a dict, list or
tuple goes in as JSON text. None and bool are refused (DataError), because they would come back as something else.
"""

from __future__ import annotations

import ctypes
import json
from array import array
from itertools import accumulate
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Union

from ._library import Buffer, Reply, Rows, Slice
from .errors import ArgumentError, DataError

Value = Union[bytes, bytearray, memoryview, str, int, float, Mapping[Any, Any], Sequence[Any]]
Result = Any
"""bytes, or str where the client decodes responses."""

# A C pointer and a size_t are both an unsigned long on every platform that the library runs on.
_WORD = "L"
assert array(_WORD).itemsize == ctypes.sizeof(ctypes.c_void_p) == ctypes.sizeof(ctypes.c_size_t)

_KEEP_BYTES_MAX = 1 << 20  # what has grown beyond is given back rather than kept for the next call
_KEEP_COUNT_MAX = 32  # more than that many calls at once are rare
_NODE_BYTES = 40  # sizeof(mlkv_reply_node)


class Codec:
    """How one client encodes and decodes. Immutable, so any thread may use it."""

    __slots__ = ("encoding", "errors", "decode_responses", "decode")

    def __init__(self, encoding: str, errors: str, decode_responses: bool) -> None:
        self.encoding = encoding
        self.errors = errors
        self.decode_responses = decode_responses
        self.decode: Callable[[bytes], Result] = self._to_text if decode_responses else _same

    def _to_text(self, value: bytes) -> str:
        return value.decode(self.encoding, self.errors)

    def encode(self, value: Value) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, str):
            return value.encode(self.encoding, self.errors)
        if isinstance(value, bool) or value is None:
            raise DataError(f"{value!r} has no form as bytes; give bytes, str, int, float, dict or list")
        if isinstance(value, int):
            return int.__repr__(value).encode()
        if isinstance(value, float):
            return float.__repr__(value).encode()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if isinstance(value, (dict, list, tuple)):
            return self._to_json(value)
        raise DataError(f"a {type(value).__name__} has no form as bytes; give bytes, str, int, float, dict or list")

    def _to_json(self, value: Union[Mapping[Any, Any], Sequence[Any]]) -> bytes:
        try:
            return json.dumps(value, ensure_ascii=False).encode(self.encoding, self.errors)
        except (TypeError, ValueError) as error:
            raise DataError(f"a {type(value).__name__} that JSON cannot hold: {error}") from None

    def slice(self, value: Value) -> Slice:
        encoded = value if type(value) is bytes else self.encode(value)
        return Slice(encoded, len(encoded))

    def slices(self, values: Iterable[Value]) -> "Slices":
        encode = self.encode
        return Slices([encode(value) for value in values])

    def optional(self, value: Optional[bytes]) -> Result:
        return None if value is None else self.decode(value)

    def list(self, values: List[bytes]) -> List[Result]:
        if not self.decode_responses:
            return values
        decode = self.decode
        return [decode(value) for value in values]


def _same(value: bytes) -> bytes:
    return value


class Slices:
    """An array of mlkv_slice, or of mlkv_pair (two slices each), over one joined copy of the bytes. Pass it where its address is wanted."""

    __slots__ = ("count", "_joined", "_words", "_as_parameter_")

    def __init__(self, parts: List[bytes]) -> None:
        self.count = len(parts)
        self._joined = b"".join(parts)
        sizes = array(_WORD, map(len, parts))
        base = ctypes.cast(self._joined, ctypes.c_void_p).value or 0
        self._words = array(_WORD, bytes(2 * sizes.itemsize * len(sizes)))
        self._words[1::2] = sizes
        self._words[0::2] = array(_WORD, accumulate(sizes[:-1], initial=base)) if parts else sizes
        self._as_parameter_ = ctypes.c_void_p(self._words.buffer_info()[0])


class Pool:
    """Buffers and rows between two calls. list.pop and list.append are atomic, so threads, signal handlers and finalizers may all call
    at once, and each has a buffer of its own."""

    __slots__ = ("_buffers", "_rows", "_replies")

    def __init__(self) -> None:
        self._buffers: List[Buffer] = []
        self._rows: List[Rows] = []
        self._replies: List[Reply] = []

    def take_buffer(self) -> Buffer:
        try:
            return self._buffers.pop()
        except IndexError:
            return Buffer()

    def give_buffer(self, buffer: Buffer) -> bytes:
        """The buffer's bytes; the buffer is kept for another call."""
        value = ctypes.string_at(buffer.data, buffer.size) if buffer.size else b""
        self.keep_buffer(buffer)
        return value

    def keep_buffer(self, buffer: Buffer) -> None:
        if buffer.capacity <= _KEEP_BYTES_MAX and len(self._buffers) < _KEEP_COUNT_MAX:
            self._buffers.append(buffer)

    def take_rows(self) -> Rows:
        try:
            return self._rows.pop()
        except IndexError:
            return Rows()

    def give_rows(self, rows: Rows) -> List[Optional[bytes]]:
        """The rows' items, None for an absent one; the rows are kept for another call."""
        values = rows_items(rows)
        self.keep_rows(rows)
        return values

    def keep_rows(self, rows: Rows) -> None:
        if rows.arena_capacity <= _KEEP_BYTES_MAX and len(self._rows) < _KEEP_COUNT_MAX:
            self._rows.append(rows)

    def take_reply(self) -> Reply:
        try:
            return self._replies.pop()
        except IndexError:
            return Reply()

    def keep_reply(self, reply: Reply) -> None:
        # Beside the reply itself: what the command read.
        held = max(reply.capacity * _NODE_BYTES, reply.arena_capacity, reply.value_capacity, reply.numbers_capacity, reply.rows_capacity)
        if held <= _KEEP_BYTES_MAX and len(self._replies) < _KEEP_COUNT_MAX:
            self._replies.append(reply)


def rows_items(rows: Rows) -> List[Optional[bytes]]:
    """Copies the arena once and cuts it."""
    if not rows.count:
        return []
    words = array(_WORD)
    words.frombytes(ctypes.string_at(rows.items, 2 * words.itemsize * rows.count))
    arena = ctypes.string_at(rows.arena, rows.arena_size) if rows.arena_size else b""
    base = rows.arena or 0
    return [
        arena[address - base : address - base + size] if size else (b"" if address else None)
        for address, size in zip(words[0::2], words[1::2])
    ]


def flatten(first: Any, others: Sequence[Any]) -> List[Any]:
    """redis-py's rule for commands that take several names: one, or a list of them, then more."""
    if isinstance(first, (bytes, bytearray, memoryview, str, int, float)):
        return [first, *others]
    try:
        return [*first, *others]
    except TypeError:
        raise ArgumentError(f"names are bytes, str or a list of these, not {type(first).__name__}") from None

"""Replies of commands as Python values, in the shapes of protocol 2, on which redis-py's callbacks work.

The library gives a reply as a flat array of nodes, a collection before its elements, and one arena of bytes. Both are copied once and
cut. That is 1.3 (one value) to 3 times (a thousand) as fast as parsing the same reply in its form for the wire.

A node is (kind, reserved, integer, number, address, size), as mlkv_reply_node. Scores are text, as Redis sends them.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from typing import Any, Callable, List, Tuple

from ._library import Reply
from ._values import Result

NIL, NIL_ARRAY, STATUS, ERROR, INTEGER, DOUBLE, BYTES, TEXT = range(8)  # what is above is a collection

_NODE = struct.Struct("iIqdPN")
_NODE_INTS = _NODE.size // array("i").itemsize
_NODE_WORDS = _NODE.size // array("L").itemsize
_ADDRESS, _SIZE = 3, 4  # words of a node
_LEAVES = frozenset((NIL, NIL_ARRAY, BYTES))

Decode = Callable[[bytes], Result]


def first_kind(reply: Reply) -> int:
    """What the whole reply is; NIL if it is empty."""
    return ctypes.c_int.from_address(reply.nodes).value if reply.count else NIL


def error_text(reply: Reply) -> str:
    """The text of a reply that is an error."""
    _, _, _, _, address, size = _NODE.unpack(ctypes.string_at(reply.nodes, _NODE.size))
    return ctypes.string_at(address, size).decode("utf-8", "replace")


def read_reply(reply: Reply, decode: Decode) -> Any:
    """The reply as Python has it; decode is applied to every text."""
    nodes = ctypes.string_at(reply.nodes, reply.count * _NODE.size)
    if reply.count == 1:
        return _one(_NODE.unpack(nodes), decode)
    base = reply.arena or 0
    arena = ctypes.string_at(base, reply.arena_size) if reply.arena_size else b""
    if _LEAVES.issuperset(array("i", nodes)[_NODE_INTS::_NODE_INTS]):
        return _flat(nodes, arena, base, decode)
    return _tree(nodes, arena, base, decode)


def _one(node: Tuple[Any, ...], decode: Decode) -> Any:
    kind, _, integer, number, address, size = node
    if kind == INTEGER:
        return integer
    if kind == DOUBLE:
        return decode(_score_text(number))
    if kind > TEXT:
        return []
    return None if kind <= NIL_ARRAY else decode(ctypes.string_at(address, size))


def _flat(nodes: bytes, arena: bytes, base: int, decode: Decode) -> List[Any]:
    """A collection of nothing but bytes and nil, as most are."""
    kinds, words = array("i", nodes)[_NODE_INTS::_NODE_INTS], array("L", nodes)
    places = zip(kinds, words[_NODE_WORDS + _ADDRESS :: _NODE_WORDS], words[_NODE_WORDS + _SIZE :: _NODE_WORDS])
    return [decode(arena[address - base : address - base + size]) if kind == BYTES else None for kind, address, size in places]


def _tree(nodes: bytes, arena: bytes, base: int, decode: Decode) -> Any:
    """Any reply. `left` elements of `filled` are to come; the collections around it wait in `outer`, so that no depth is too deep."""
    whole: List[Any] = []
    filled, left = whole, 1
    outer: List[Tuple[List[Any], int]] = []
    for kind, _, integer, number, address, size in _NODE.iter_unpack(nodes):
        left -= 1
        if kind > TEXT:
            inner: List[Any] = []
            filled.append(inner)
            outer.append((filled, left))
            filled, left = inner, integer
        elif kind == INTEGER:
            filled.append(integer)
        elif kind == DOUBLE:
            filled.append(decode(_score_text(number)))
        elif kind <= NIL_ARRAY:
            filled.append(None)
        else:
            filled.append(decode(arena[address - base : address - base + size]))
        while left == 0 and outer:
            filled, left = outer.pop()
    return whole[0]


def _score_text(score: float) -> bytes:
    return b"%.17g" % score

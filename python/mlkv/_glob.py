"""Redis's patterns for names: * ? [abc] [^a] [a-z] and a backslash before a character that stands for itself."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Optional, Pattern, Tuple


@lru_cache(maxsize=64)
def compile_glob(pattern: bytes) -> Tuple[bytes, Optional[Pattern[bytes]]]:
    """(prefix that every match begins with, regular expression for the whole name; None if the prefix alone decides)."""
    prefix = bytearray()
    expression = bytearray()
    literal = True
    i = 0
    while i < len(pattern):
        special = pattern[i : i + 1]
        if special == b"*":
            expression += b".*"
            literal = False
            i += 1
        elif special == b"?":
            expression += b"."
            literal = False
            i += 1
        elif special == b"[":
            piece, i = _bracket(pattern, i + 1)
            expression += piece
            literal = False
        else:
            if special == b"\\" and i + 1 < len(pattern):
                i += 1
            byte = pattern[i : i + 1]
            expression += re.escape(byte)
            if literal:
                prefix += byte
            i += 1
    if bytes(expression) == re.escape(bytes(prefix)) + b".*":
        return bytes(prefix), None
    return bytes(prefix), re.compile(bytes(expression), re.DOTALL)


def _bracket(pattern: bytes, i: int) -> Tuple[bytes, int]:
    """The class that starts after '[' at i: (regular expression, index after it). One that is never closed ends with the pattern."""
    negated = pattern[i : i + 1] == b"^"
    if negated:
        i += 1
    members = bytearray()
    while i < len(pattern) and pattern[i : i + 1] != b"]":
        if pattern[i : i + 1] == b"\\" and i + 1 < len(pattern):
            i += 1
            members += re.escape(pattern[i : i + 1])
            i += 1
        elif pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern):
            members += _range(*sorted((pattern[i], pattern[i + 2]), key=_signed))
            i += 3
        else:
            members += re.escape(pattern[i : i + 1])
            i += 1
    if not members:
        return (b"." if negated else b"(?!)"), i + 1
    return b"[" + (b"^" if negated else b"") + bytes(members) + b"]", i + 1


def _signed(byte: int) -> int:
    """Redis compares bytes as signed ones."""
    return byte - 256 if byte > 127 else byte


def _range(low: int, high: int) -> bytes:
    """All bytes from low to high, counted as signed ones, as members of a class."""
    pairs = [(low, high)] if low <= high else [(low, 255), (0, high)]
    return b"".join(re.escape(bytes([first])) + b"-" + re.escape(bytes([last])) for first, last in pairs)

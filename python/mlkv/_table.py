"""The library's table of commands, and the grammar of its synopses.

A synopsis is the words after the command's name: `name:kind` is one word, with `...` one or more; a word in capitals is itself, A|B one
of them; [...] may be left out, and a bar in it that does not stand between two capital words separates ways; (...)... is one or more
times these words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple, Union

from ._library import CommandInfo, library

BLOCKS = 1 << 4  # MLKV_COMMAND_BLOCKS


class Word(NamedTuple):
    """name:kind, one or (many) more."""

    name: str
    kind: str
    many: bool


class Token(NamedTuple):
    """One of these words, itself."""

    choices: Tuple[str, ...]


class Group(NamedTuple):
    """These words, again and again."""

    words: Tuple["Node", ...]


class Maybe(NamedTuple):
    """One of these sequences, or nothing; (many) or several."""

    ways: Tuple[Tuple["Node", ...], ...]
    many: bool


Node = Union[Word, Token, Group, Maybe]

_PART = re.compile(r"\.\.\.|[][()|]|[^][()|.\s]+")


class _Parser:
    """By descent; a synopsis is nested three deep at most, and is the library's own."""

    def __init__(self, synopsis: str) -> None:
        self._parts = _PART.findall(synopsis)
        self._place = 0

    def _peek(self, ahead: int = 0) -> str:
        place = self._place + ahead
        return self._parts[place] if place < len(self._parts) else ""

    def _take(self, expected: str = "") -> str:
        part = self._peek()
        if expected and part != expected:
            raise ValueError(f"{expected!r} is missing in {' '.join(self._parts)!r}")
        self._place += 1
        return part

    def _is_many(self) -> bool:
        many = self._peek() == "..."
        self._place += many
        return many

    def ways(self) -> Tuple[Tuple[Node, ...], ...]:
        """Up to a closing bracket or the end."""
        ways: List[List[Node]] = [[]]
        while self._peek() not in ("", "]", ")"):
            if self._peek() == "|":
                self._take()
                ways.append([])
            else:
                ways[-1].append(self._node())
        return tuple(tuple(way) for way in ways)

    def _node(self) -> Node:
        part = self._take()
        if part == "[":
            ways = self.ways()
            self._take("]")
            return Maybe(ways, self._is_many())
        if part == "(":
            words = self.ways()[0]
            self._take(")")
            self._take("...")
            return Group(words)
        if ":" in part:
            name, _, kind = part.partition(":")
            return Word(name, kind, self._is_many())
        choices = [part]
        while self._peek() == "|" and self._peek(1).isupper() and ":" not in self._peek(1):
            self._take()
            choices.append(self._take())
        return Token(tuple(choices))


def parse(synopsis: str) -> Tuple[Node, ...]:
    """The nodes of a synopsis, in order."""
    parser = _Parser(synopsis)
    return parser.ways()[0]


class Row(NamedTuple):
    """A command, as mlkv_command_info has it."""

    name: str
    group: str
    summary: str
    synopsis: str
    flags: int


def _rows() -> Iterator[Row]:
    info = CommandInfo()
    place = 0
    while library.mlkv_command_row(place, info) == 0:
        yield Row(*((getattr(info, field) or b"").decode() for field in Row._fields[:-1]), info.flags)
        place += 1


ROWS: Tuple[Row, ...] = tuple(_rows())

# Where redis-py, or this package before the table was, has another name for a command.
_METHODS: Dict[str, str] = {
    "del": "delete",
    "tensor.addrows": "tensor_add_rows",
    "tensor.getrows": "tensor_read_rows",
    "tensor.setrows": "tensor_write_rows",
}


@lru_cache(maxsize=None)
def split(row: Row) -> Tuple[Tuple[str, ...], Sequence[Node]]:
    """The words that are always the same (MEMORY USAGE), and the nodes after them."""
    nodes = parse(row.synopsis)
    fixed = [row.name.upper()]
    while nodes and isinstance(nodes[0], Token) and len(nodes[0].choices) == 1:
        fixed.append(nodes[0].choices[0])
        nodes = nodes[1:]
    return tuple(fixed), nodes


def method_name(row: Row) -> str:
    """The name of the row's method in Python: MEMORY USAGE is memory_usage."""
    fixed, _ = split(row)
    return _METHODS.get(row.name) or "_".join(fixed).lower().replace(".", "_")

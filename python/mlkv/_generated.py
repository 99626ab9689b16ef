"""Methods made from the table of commands, for every command that no class here has a method for.

A parameter comes of each part of the synopsis that may differ: `key:key` is name, [REPLACE] is replace=False, [SAMPLES count:integer] is
samples=None, [LIMIT offset:integer count:integer] is offset=None, num=None, what may be repeated a list or, at the end, *names. Where
redis-py spells it in another way stands in _SPELLINGS. The method puts the words together and calls execute_command.

The functions are compiled from a line each, as those of namedtuple are, so signatures, errors and help() are those of ordinary methods.
"""

from __future__ import annotations

import keyword
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ._table import ROWS, Group, Maybe, Node, Row, Token, Word, method_name, split
from ._values import flatten
from .errors import DataError

_Values = Mapping[str, Any]
_Emit = Callable[[_Values, List[Any]], None]
_REQUIRED: Any = ...  # as a default: there is none


class Spelling(NamedTuple):
    """How redis-py calls the parts of a synopsis, and, if their order is another or some are left out, the whole list."""

    names: Mapping[str, str] = {}
    parameters: Optional[str] = None
    options: Optional[Callable[[_Values], Dict[str, Any]]] = None
    """What the callback on the reply is told."""


def _groups(values: _Values) -> Dict[str, Any]:
    """redis-py's option of sort: tuples of what several patterns get."""
    if not values["groups"]:
        return {}
    patterns = values["get"]
    if not patterns or isinstance(patterns, (str, bytes)) or len(patterns) < 2:
        raise DataError("groups needs at least two patterns in get")
    return {"groups": len(patterns)}


_SORT = "start=None, num=None, by=None, get=None, desc=False, alpha=False"
_LIMIT = {"offset": "start", "count": "num"}

_SPELLINGS: Dict[str, Spelling] = {
    "copy": Spelling({"db": "destination_db"}),
    "flushall": Spelling({"async": "asynchronous"}, "asynchronous=False"),
    "flushdb": Spelling({"async": "asynchronous"}, "asynchronous=False"),
    "memory_usage": Spelling({"key": "key"}),
    "object": Spelling({"choice": "infotype", "key": "key"}, "infotype, key"),
    "rename": Spelling({"key": "src", "newkey": "dst"}),
    "renamenx": Spelling({"key": "src", "newkey": "dst"}),
    "restore": Spelling({"serialized-value": "value", "freq": "frequency"}),
    "sort": Spelling(_LIMIT, f"name, {_SORT}, store=None, groups=False", _groups),
    "sort_ro": Spelling({**_LIMIT, "key": "key"}, f"key, {_SORT}"),
    "touch": Spelling({"key": "args"}),
}

_KINDS = {"integer": "int", "float": "float", "cursor": "int"}  # annotations, as the other modules have them: texts


class _Maker:
    """The parameters of one command, and what makes its words of their values."""

    def __init__(self, spelling: Spelling) -> None:
        self._names = spelling.names
        self.required: List[str] = []
        self.optional: List[str] = []
        self.kinds: Dict[str, str] = {}

    def _parameter(self, slot: str, kind: str, default: Any = _REQUIRED, many: bool = False, star: bool = False) -> str:
        plain = f"{slot}s" if many else "name" if slot == "key" else slot
        name = self._names.get(slot) or plain.replace("-", "_")
        if keyword.iskeyword(name):
            name += "_"
        while name in self.kinds:  # BITPOS has a bit and a unit BIT
            name += "_"
        if default is _REQUIRED:
            self.required.append(f"*{name}" if star else name)
        else:
            self.optional.append(f"{name}={default!r}")
        self.kinds[name] = f"Optional[{kind}]" if default is None else kind
        return name

    def parameters(self) -> str:
        """Those that must be given, those that may, and what is repeated without end."""
        plain = [name for name in self.required if name[0] != "*"]
        return ", ".join([*plain, *self.optional, *(name for name in self.required if name[0] == "*")])

    def emitters(self, nodes: Sequence[Node]) -> List[_Emit]:
        emitters: List[_Emit] = []
        for place, node in enumerate(nodes):
            following = nodes[place + 1] if place + 1 < len(nodes) else None
            if isinstance(node, Maybe):
                for way in node.ways:
                    emitters += self._maybe(way, node.many)
            elif isinstance(node, Group):
                first = node.words[0]
                is_score = isinstance(first, Word) and first.kind == "float"  # redis-py has {member: score}
                emitters.append(_pairs_of(self._parameter("mapping", "Mapping[Any, Value]"), is_score))
            elif isinstance(node, Token) and len(node.choices) == 1:
                emitters.append(_constant(node.choices[0]))
            elif isinstance(node, Token):
                emitters.append(_value_of(self._parameter("choice", "str")))
            elif node.name.startswith("num") and isinstance(following, Word) and following.many:
                continue  # the number of what follows, which is counted
            elif node.many:
                before = nodes[place - 1] if place else None
                is_counted = isinstance(before, Word) and before.name.startswith("num")
                star = following is None and not is_counted
                name = self._parameter(node.name, "Value" if star else "Sequence[Value]", many=True, star=star)
                emitters.append(_values_of(name, is_counted))
            else:
                emitters.append(_value_of(self._parameter(node.name, _KINDS.get(node.kind, "Value"))))
        return emitters

    def _maybe(self, way: Sequence[Node], many: bool) -> List[_Emit]:
        """What may be left out: flags, a word before a value, a word before several, or values alone."""
        head, rest = way[0], way[1:]
        if not isinstance(head, Token):
            return self._trailing(way)
        if not rest:
            return [_flag(self._parameter(choice.lower(), "bool", False), choice) for choice in head.choices]
        token = head.choices[0]
        if len(rest) == 1:
            is_list = many or isinstance(rest[0], Word) and rest[0].many
            kind = "Any" if is_list else _KINDS.get(rest[0].kind, "Value") if isinstance(rest[0], Word) else "str"
            name = self._parameter(token.lower(), kind, None)
            return [_each(name, token, many)] if is_list else [_all_or_none((name,), token)]
        names = tuple(self._parameter(word.name, _KINDS.get(word.kind, "Value"), None) for word in rest if isinstance(word, Word))
        return [_all_or_none(names, token)]

    def _trailing(self, way: Sequence[Node]) -> List[_Emit]:
        emitters: List[_Emit] = []
        for node in way:
            if isinstance(node, Word):
                emitters.append(_all_or_none((self._parameter(node.name, _KINDS.get(node.kind, "Value"), None),), None))
            elif isinstance(node, Maybe):
                for inner in node.ways:
                    emitters += self._maybe(inner, node.many)
        return emitters


# --- what makes words of values ---


def _constant(token: str) -> _Emit:
    return lambda values, words: words.append(token)


def _value_of(name: str) -> _Emit:
    return lambda values, words: words.append(values[name])


def _values_of(name: str, is_counted: bool) -> _Emit:
    def emit(values: _Values, words: List[Any]) -> None:
        parts = flatten(values[name], ())
        words.extend([len(parts), *parts] if is_counted else parts)

    return emit


def _pairs_of(name: str, is_reversed: bool) -> _Emit:
    step = -1 if is_reversed else 1
    return lambda values, words: words.extend(part for pair in values[name].items() for part in pair[::step])


def _flag(name: str, token: str) -> _Emit:
    def emit(values: _Values, words: List[Any]) -> None:
        if values.get(name):
            words.append(token)

    return emit


def _all_or_none(names: Tuple[str, ...], token: Optional[str]) -> _Emit:
    def emit(values: _Values, words: List[Any]) -> None:
        given = [values.get(name) for name in names]
        if any(value is None for value in given):
            if any(value is not None for value in given):
                raise DataError(f"{' and '.join(names)} go together")
            return
        words.extend(given if token is None else [token, *given])

    return emit


def _each(name: str, token: str, is_repeated: bool) -> _Emit:
    """One value or a list of them: TOKEN a TOKEN b, or TOKEN a b."""

    def emit(values: _Values, words: List[Any]) -> None:
        value = values.get(name)
        if value is None:
            return
        parts = flatten(value, ())
        words.extend(word for part in parts for word in (token, part)) if is_repeated else words.extend([token, *parts])

    return emit


# --- methods ---


def _document(row: Row, fixed: Sequence[str]) -> str:
    words = re.sub(r":[a-z]+", "", row.synopsis)
    spelled = f"{row.name.upper()} {words}".rstrip()
    return f"{row.summary}\n\n    {spelled}\n\nMirrors {' '.join(fixed)}."


def make_method(row: Row, owner: str, module: str) -> Callable[..., Any]:
    """The method for a command."""
    name = method_name(row)
    spelling = _SPELLINGS.get(name, Spelling())
    fixed, nodes = split(row)
    maker = _Maker(spelling)
    emitters = maker.emitters(nodes)
    parameters = maker.parameters() if spelling.parameters is None else spelling.parameters
    command = " ".join(fixed)

    def call(view: Any, values: _Values) -> Any:
        words: List[Any] = [command]
        options = {} if spelling.options is None else spelling.options(values)
        for emit in emitters:
            emit(values, words)
        return view.execute_command(*words, **options)

    given = [part.split("=")[0].strip().lstrip("*") for part in parameters.split(",") if part.strip()]
    values = ", ".join(f"{part!r}: {part}" for part in given)
    space: Dict[str, Any] = {"_call": call}
    source = f"def {name}(self{', ' if parameters else ''}{parameters}):\n    return _call(self, {{{values}}})\n"
    exec(compile(source, f"<mlkv {row.name}>", "exec"), space)  # noqa: S102 - names of the library's own table
    method: Callable[..., Any] = space[name]
    method.__doc__ = _document(row, fixed)
    method.__qualname__ = f"{owner}.{name}"
    method.__module__ = module
    method.__annotations__ = {part: maker.kinds.get(part, "Any") for part in (*given, "return")}
    return method


def add_methods(owner: type) -> None:
    """Gives the class a method for each command that it has none for."""
    for row in ROWS:
        name = method_name(row)
        if not hasattr(owner, name):
            setattr(owner, name, make_method(row, owner.__name__, owner.__module__))


__all__ = ["Spelling", "add_methods", "make_method"]

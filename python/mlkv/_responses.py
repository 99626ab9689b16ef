"""What redis-py makes of the replies: True for "OK", a dict for HGETALL, and so on, by the command's name.

A callback takes the reply, in the shape of protocol 2, and the options that were given to execute_command by name (withscores, ...), as
redis-py's do. A command that is not here gives its reply as it is.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

Callback = Callable[..., Any]

_OK = (b"OK", "OK")


def _is_true(reply: Any, **_: Any) -> bool:
    return bool(reply)


def _is_ok(reply: Any, **_: Any) -> bool:
    return reply in _OK


def _float(reply: Any, **_: Any) -> Optional[float]:
    return None if reply is None else float(reply)


def _set_result(reply: Any, get: bool = False, **_: Any) -> Any:
    """True or None; with the option GET the old value."""
    return reply if get or reply is None else reply in _OK


def _set(reply: Any, **_: Any) -> Set[Any]:
    return set(reply or ())


def _dict(reply: Any, **_: Any) -> Dict[Any, Any]:
    parts = iter(reply or ())
    return dict(zip(parts, parts))


def _dict_or_none(reply: Any, **_: Any) -> Optional[Dict[Any, Any]]:
    return None if reply is None else _dict(reply)


def _tuple(reply: Any, **_: Any) -> Optional[Tuple[Any, ...]]:
    return tuple(reply) if reply else None


def _key_and_score(reply: Any, **_: Any) -> Optional[Tuple[Any, Any, float]]:
    return (reply[0], reply[1], float(reply[2])) if reply else None


def _pairs(reply: Any, score_cast_func: Callable[[Any], Any] = float) -> List[Tuple[Any, Any]]:
    parts = iter(reply)
    return [(member, score_cast_func(score)) for member, score in zip(parts, parts)]


def _scored(reply: Any, withscores: bool = False, score_cast_func: Callable[[Any], Any] = float, **_: Any) -> Any:
    return _pairs(reply, score_cast_func) if reply and withscores else reply


def _added(reply: Any, as_score: bool = False, **_: Any) -> Any:
    """How many; with the option INCR the score."""
    return float(reply) if reply is not None and as_score else reply


def _scores(reply: Any, **_: Any) -> List[Optional[float]]:
    return [_float(score) for score in reply]


def _scan(reply: Any, **_: Any) -> Tuple[int, List[Any]]:
    return int(reply[0]), reply[1]


def _scan_dict(reply: Any, **_: Any) -> Tuple[int, Dict[Any, Any]]:
    return int(reply[0]), _dict(reply[1])


def _scan_scores(reply: Any, score_cast_func: Callable[[Any], Any] = float, **_: Any) -> Tuple[int, List[Any]]:
    return int(reply[0]), _pairs(reply[1], score_cast_func)


def _sorted(reply: Any, groups: Optional[int] = None, **_: Any) -> Any:
    """With several GET patterns and groups, their number: tuples of so many."""
    if not groups or not isinstance(reply, list):
        return reply
    return list(zip(*(reply[part::groups] for part in range(groups))))


def _or_none(reply: Any, **_: Any) -> Any:
    return reply or None


_NAMES: Dict[Callback, str] = {
    _is_true: "COPY EXPIRE EXPIREAT HEXISTS HMSET MSETNX PERSIST PEXPIRE PEXPIREAT PSETEX RENAMENX SETEX SETNX SISMEMBER SMOVE",
    _is_ok: "FLUSHALL FLUSHDB LSET LTRIM MSET RENAME TENSOR.ADD TENSOR.ADDROWS TENSOR.SET TENSOR.SETROWS",
    _float: "HINCRBYFLOAT INCRBYFLOAT ZINCRBY ZSCORE",
    _set_result: "SET",
    _set: "SDIFF SINTER SMEMBERS SUNION",
    _dict: "HGETALL",
    _dict_or_none: "TENSOR.GET TENSOR.INFO",
    _tuple: "BLPOP BRPOP",
    _key_and_score: "BZPOPMAX BZPOPMIN",
    _scored: "ZDIFF ZINTER ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYSCORE ZREVRANGE ZREVRANGEBYSCORE ZUNION",
    _added: "ZADD",
    _scores: "ZMSCORE",
    _scan: "SCAN SSCAN",
    _scan_dict: "HSCAN",
    _scan_scores: "ZSCAN",
    _sorted: "SORT SORT_RO",
    _or_none: "RANDOMKEY",
}

CALLBACKS: Dict[str, Callback] = {name: callback for callback, names in _NAMES.items() for name in names.split()}

BINARY = frozenset(("DUMP", "TENSOR.GET", "TENSOR.GETROWS"))
"""Commands whose replies are no text, and are never decoded."""

"""Sorted set commands."""

from __future__ import annotations

import ctypes
from array import array
from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ._keys import Scanning
from ._library import RangeSpec, Rows, Scored, Slice, library
from ._values import Result, Value, flatten
from ._view import ABSENT, check
from .errors import ArgumentError, CommandError, DataError, NumberError

SCAN_ZSET = 4

_NEW, _PRESENT, _GREATER, _LESS = 1, 2, 4, 8
_BY_RANK, _BY_SCORE, _BY_MEMBER = 0, 1, 2
_INCLUDED, _EXCLUDED, _LOWEST, _HIGHEST = 0, 1, 2, 3
_AGGREGATES = {None: 0, "SUM": 0, "MIN": 1, "MAX": 2}

Score = Union[int, float, str, bytes]
Pairs = List[Tuple[Result, float]]


def score_text(score: float) -> bytes:
    """A score as Redis says it: 17 digits where they are needed."""
    return b"%.17g" % score


def _number(value: Any) -> float:
    """A score given as a number or its text, also "inf", "+inf", "-inf"."""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("ascii", "replace")
    if isinstance(value, str) and ("_" in value or value != value.strip()):
        raise NumberError(f"{value!r} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise NumberError(f"{value!r} is not a number") from None


def _score_bound(value: Any) -> Tuple[float, int]:
    """ "(1" excludes 1."""
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("ascii", "replace")
    if isinstance(value, str) and value[:1] == "(":
        return _number(value[1:]), _EXCLUDED
    return _number(value), _INCLUDED


class ZSetCommands(Scanning):
    # --- members and scores ---

    def zadd(
        self,
        name: Value,
        mapping: Mapping[Any, Score],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Union[int, float, None]:
        """Adds members {member: score}, or gives them new scores, all at once; how many are new (ch: or changed). nx: only new ones; xx:
        only those there; gt, lt: only if the score grows, falls. incr: adds to the score of the one member, and returns the sum, or None
        if a condition did not hold."""
        if not mapping:
            raise DataError("zadd with no member")
        if nx and (xx or gt or lt) or gt and lt:
            raise DataError("zadd: nx goes with none of xx, gt and lt; gt not with lt")
        conditions = nx * _NEW | xx * _PRESENT | gt * _GREATER | lt * _LESS
        if incr:
            if len(mapping) != 1:
                raise DataError("zadd with incr takes one member")
            ((member, amount),) = mapping.items()
            return self._zincr(name, member, amount, conditions)
        members = [self._codec.encode(member) for member in mapping]
        pairs = (Scored * len(members))(*(Scored(Slice(m, len(m)), _number(s)) for m, s in zip(members, mapping.values())))
        added, changed = ctypes.c_size_t(), ctypes.c_size_t()
        check(library.mlkv_zset_add(self._handle, self._codec.slice(name), pairs, len(members), conditions, added, changed))
        return changed.value if ch else added.value

    def _zincr(self, name: Value, member: Value, amount: Score, conditions: int) -> Optional[float]:
        codec, score = self._codec, ctypes.c_double()
        arguments = codec.slice(name), codec.slice(member), _number(amount), conditions
        return None if check(library.mlkv_zset_add_score(self._handle, *arguments, score)) == ABSENT else score.value

    def zincrby(self, name: Value, amount: Score, value: Value) -> float:
        """Adds to the member's score, atomically in all processes; the new score. An absent member counts from 0."""
        return self._zincr(name, value, amount, 0)  # type: ignore[return-value]

    def zrem(self, name: Value, *values: Value) -> int:
        """Removes members, all at once; how many there were."""
        members, removed = self._codec.slices(values), ctypes.c_size_t()
        check(library.mlkv_zset_remove(self._handle, self._codec.slice(name), members, members.count, removed))
        return removed.value

    def zscore(self, name: Value, value: Value) -> Optional[float]:
        """The member's score, or None."""
        codec, score = self._codec, ctypes.c_double()
        absent = check(library.mlkv_zset_score(self._handle, codec.slice(name), codec.slice(value), score)) == ABSENT
        return None if absent else score.value

    def zmscore(self, key: Value, members: List[Value]) -> List[Optional[float]]:
        """The scores of several members, as of one moment; None for an absent one."""
        if not members:
            raise DataError("zmscore with no member")
        slices = self._codec.slices(members)
        scores = (ctypes.c_double * slices.count)()
        check(library.mlkv_zset_scores(self._handle, self._codec.slice(key), slices, slices.count, scores))
        return [None if score != score else score for score in scores]

    def zcard(self, name: Value) -> int:
        """Number of members; 0 for an absent key."""
        count = ctypes.c_uint64()
        check(library.mlkv_zset_count(self._handle, self._codec.slice(name), count))
        return count.value

    # --- ranks and ranges ---

    def zrank(self, name: Value, value: Value) -> Optional[int]:
        """The member's place in the order of scores, from 0, or None."""
        return self._z_rank(name, value, 0)

    def zrevrank(self, name: Value, value: Value) -> Optional[int]:
        """The member's place counted from the highest score, or None."""
        return self._z_rank(name, value, 1)

    def _z_rank(self, name: Value, value: Value, reverse: int) -> Optional[int]:
        codec, rank = self._codec, ctypes.c_uint64()
        arguments = codec.slice(name), codec.slice(value), reverse
        return None if check(library.mlkv_zset_rank(self._handle, *arguments, rank, None)) == ABSENT else rank.value

    def _z_spec(
        self, by: int, low: Any, high: Any, reverse: bool = False, offset: Optional[int] = None, num: Optional[int] = None
    ) -> RangeSpec:
        spec = RangeSpec()
        spec.by, spec.reverse = by, reverse
        if (offset is None) != (num is None):
            raise DataError("offset and num go together")
        if offset is not None:
            spec.limited, spec.offset, spec.limit = 1, int(offset), int(num)  # type: ignore[arg-type]
        if by == _BY_RANK:
            spec.start, spec.stop = int(low), int(high)
        elif by == _BY_SCORE:
            spec.min, spec.min_bound = _score_bound(low)
            spec.max, spec.max_bound = _score_bound(high)
        else:
            spec.min_member, spec.min_bound = self._z_member_bound(low)
            spec.max_member, spec.max_bound = self._z_member_bound(high)
        return spec

    def _z_member_bound(self, value: Value) -> Tuple[Slice, int]:
        """ "[a" includes a, "(a" excludes it, "-" and "+" are the ends."""
        text = self._codec.encode(value)
        if text in (b"-", b"+"):
            return Slice(b"", 0), _LOWEST if text == b"-" else _HIGHEST
        if text[:1] not in (b"[", b"("):
            raise CommandError(f"{value!r} is no bound of members: it begins with [ or (, or is - or +")
        return Slice(text[1:], len(text) - 1), _INCLUDED if text[:1] == b"[" else _EXCLUDED

    def _z_pairs(self, function: Callable[..., int], *arguments: Any) -> Optional[Tuple[List[Result], "array[float]"]]:
        """Members and scores of a function that fills rows and a buffer; None if it says absent."""
        rows, buffer = self._pool.take_rows(), self._pool.take_buffer()
        absent = check(function(self._handle, *arguments, rows, buffer)) == ABSENT
        scores = array("d")
        scores.frombytes(self._pool.give_buffer(buffer))
        members = self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]
        return None if absent else (members, scores)

    def _z_members(self, function: Callable[..., int], *arguments: Any) -> List[Result]:
        rows: Rows = self._pool.take_rows()
        check(function(self._handle, *arguments, rows, None))
        return self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]

    def _z_range(self, name: Value, spec: RangeSpec, withscores: bool, cast: Callable[[Any], Any]) -> List[Any]:
        if not withscores:
            return self._z_members(library.mlkv_zset_range, self._codec.slice(name), spec)
        members, scores = self._z_pairs(library.mlkv_zset_range, self._codec.slice(name), spec)  # type: ignore[misc]
        return list(zip(members, self._z_cast(scores, cast)))

    def _z_cast(self, scores: Iterable[float], cast: Callable[[Any], Any]) -> Iterable[Any]:
        """The scores as redis-py gives them: a function of the caller's own sees their text."""
        if cast is float:
            return scores
        decode = self._codec.decode
        return (cast(decode(score_text(score))) for score in scores)

    @staticmethod
    def _z_by(byscore: bool, bylex: bool, limited: bool) -> int:
        if byscore and bylex:
            raise DataError("byscore and bylex exclude each other")
        if limited and not (byscore or bylex):
            raise DataError("offset and num go with byscore or bylex")
        return _BY_SCORE if byscore else _BY_MEMBER if bylex else _BY_RANK

    def zrange(
        self,
        name: Value,
        start: Any,
        end: Any,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Callable[[Any], Any] = float,
        byscore: bool = False,
        bylex: bool = False,
        offset: Optional[int] = None,
        num: Optional[int] = None,
    ) -> List[Any]:
        """Members from start to end, both included: ranks, or with byscore scores ("(1" excludes 1), or with bylex members ("[a", "(a",
        "-", "+"). desc: from the highest; start is then the upper end, as in Redis. withscores: (member, score) pairs."""
        by = self._z_by(byscore, bylex, offset is not None or num is not None)
        low, high = (end, start) if desc and by != _BY_RANK else (start, end)
        return self._z_range(name, self._z_spec(by, low, high, desc, offset, num), withscores, score_cast_func)

    def zrevrange(
        self, name: Value, start: int, end: int, withscores: bool = False, score_cast_func: Callable[[Any], Any] = float
    ) -> List[Any]:
        """Members by rank, from the highest score."""
        return self._z_range(name, self._z_spec(_BY_RANK, start, end, True), withscores, score_cast_func)

    def zrangebyscore(
        self,
        name: Value,
        min: Score,
        max: Score,
        start: Optional[int] = None,
        num: Optional[int] = None,
        withscores: bool = False,
        score_cast_func: Callable[[Any], Any] = float,
    ) -> List[Any]:
        """Members with scores from min to max."""
        return self._z_range(name, self._z_spec(_BY_SCORE, min, max, False, start, num), withscores, score_cast_func)

    def zrevrangebyscore(
        self,
        name: Value,
        max: Score,
        min: Score,
        start: Optional[int] = None,
        num: Optional[int] = None,
        withscores: bool = False,
        score_cast_func: Callable[[Any], Any] = float,
    ) -> List[Any]:
        """Members with scores from max down to min."""
        return self._z_range(name, self._z_spec(_BY_SCORE, min, max, True, start, num), withscores, score_cast_func)

    def zrangebylex(
        self, name: Value, min: Value, max: Value, start: Optional[int] = None, num: Optional[int] = None
    ) -> List[Result]:
        """Members between two members, where all scores are equal."""
        return self._z_range(name, self._z_spec(_BY_MEMBER, min, max, False, start, num), False, float)

    def zrevrangebylex(
        self, name: Value, max: Value, min: Value, start: Optional[int] = None, num: Optional[int] = None
    ) -> List[Result]:
        """The same, from the last one."""
        return self._z_range(name, self._z_spec(_BY_MEMBER, min, max, True, start, num), False, float)

    def zrangestore(
        self,
        dest: Value,
        name: Value,
        start: Any,
        end: Any,
        byscore: bool = False,
        bylex: bool = False,
        desc: bool = False,
        offset: Optional[int] = None,
        num: Optional[int] = None,
    ) -> int:
        """Stores a range, as of zrange, under dest, in place of what it held; how many members that are."""
        by = self._z_by(byscore, bylex, offset is not None or num is not None)
        low, high = (end, start) if desc and by != _BY_RANK else (start, end)
        spec, count = self._z_spec(by, low, high, desc, offset, num), ctypes.c_uint64()
        codec = self._codec
        check(library.mlkv_zset_range_store(self._handle, codec.slice(dest), codec.slice(name), spec, count))
        return count.value

    def _z_on_range(self, function: Callable[..., int], name: Value, spec: RangeSpec) -> int:
        count = ctypes.c_uint64()
        check(function(self._handle, self._codec.slice(name), spec, count))
        return count.value

    def zcount(self, name: Value, min: Score, max: Score) -> int:
        """How many members have scores from min to max."""
        return self._z_on_range(library.mlkv_zset_range_count, name, self._z_spec(_BY_SCORE, min, max))

    def zlexcount(self, name: Value, min: Value, max: Value) -> int:
        """How many members are between two members, where all scores are equal."""
        return self._z_on_range(library.mlkv_zset_range_count, name, self._z_spec(_BY_MEMBER, min, max))

    def zremrangebyrank(self, name: Value, min: int, max: int) -> int:
        """Removes members by rank; how many."""
        return self._z_on_range(library.mlkv_zset_range_remove, name, self._z_spec(_BY_RANK, min, max))

    def zremrangebyscore(self, name: Value, min: Score, max: Score) -> int:
        """Removes members by score; how many."""
        return self._z_on_range(library.mlkv_zset_range_remove, name, self._z_spec(_BY_SCORE, min, max))

    def zremrangebylex(self, name: Value, min: Value, max: Value) -> int:
        """Removes members between two members, where all scores are equal; how many."""
        return self._z_on_range(library.mlkv_zset_range_remove, name, self._z_spec(_BY_MEMBER, min, max))

    # --- taking out, by chance ---

    def zpopmin(self, name: Value, count: Optional[int] = None) -> Pairs:
        """Removes and returns the members with the lowest scores, one or `count`: [(member, score)]."""
        return self._z_pop(name, count, 0)

    def zpopmax(self, name: Value, count: Optional[int] = None) -> Pairs:
        """The same with the highest scores."""
        return self._z_pop(name, count, 1)

    def _z_pop(self, name: Value, count: Optional[int], highest: int) -> Pairs:
        number = 1 if count is None else int(count)
        if number < 0:
            raise ArgumentError("count is below 0")
        members, scores = self._z_pairs(library.mlkv_zset_pop, self._codec.slice(name), number, highest)  # type: ignore[misc]
        return list(zip(members, scores))

    def zmpop(
        self, num_keys: int, keys: List[Value], min: Optional[bool] = False, max: Optional[bool] = False, count: Optional[int] = 1
    ) -> Optional[List[Any]]:
        """Pops from the first key that has members: [key, [[member, score text], ...]], or None."""
        if bool(min) == bool(max):
            raise DataError("zmpop takes either min or max")
        if num_keys != len(keys):
            raise DataError("num_keys is not the number of keys")
        slices, index = self._codec.slices(keys), ctypes.c_size_t()
        arguments = slices, slices.count, 1 if count is None else int(count), bool(max), index
        found = self._z_pairs(library.mlkv_zset_pop_first, *arguments)
        if found is None:
            return None
        decode = self._codec.decode
        name = decode(self._codec.encode(keys[index.value]))
        return [name, [[member, decode(score_text(score))] for member, score in zip(*found)]]

    def zrandmember(self, key: Value, count: Optional[int] = None, withscores: bool = False) -> Any:
        """A member by chance, or None. With a count: a list of up to so many different members; of exactly so many, with repetition, if it
        is negative. withscores: member, score text, member, score text ..."""
        wanted = 1 if count is None else abs(count)
        distinct = count is None or count >= 0
        arguments = self._codec.slice(key), wanted, distinct
        if count is None:
            members = self._z_members(library.mlkv_zset_random, *arguments)
            return members[0] if members else None
        if not withscores:
            return self._z_members(library.mlkv_zset_random, *arguments)
        return self._z_flat(*self._z_pairs(library.mlkv_zset_random, *arguments))  # type: ignore[misc]

    def _z_flat(self, members: List[Result], scores: Iterable[float]) -> List[Result]:
        decode = self._codec.decode
        return [part for member, score in zip(members, scores) for part in (member, decode(score_text(score)))]

    # --- several sorted sets ---

    def _z_operands(self, keys: Any) -> Tuple[Any, int, Any]:
        """Keys and weights of a list, or of a mapping of keys to weights."""
        weights = None
        if isinstance(keys, Mapping):
            weights = (ctypes.c_double * len(keys))(*map(_number, keys.values()))
            keys = list(keys)
        slices = self._codec.slices(flatten(keys, ()))
        return slices, slices.count, weights

    @staticmethod
    def _z_aggregate(name: Optional[str]) -> int:
        try:
            return _AGGREGATES[None if name is None else name.upper()]
        except KeyError:
            raise DataError("aggregate can be sum, min or max") from None

    def _z_joined(self, function: Callable[..., int], keys: Any, aggregate: Optional[str], withscores: bool) -> List[Any]:
        arguments = (*self._z_operands(keys), self._z_aggregate(aggregate))
        if not withscores:
            return self._z_members(function, *arguments)
        members, scores = self._z_pairs(function, *arguments)  # type: ignore[misc]
        return list(zip(members, scores))

    def _z_joined_store(self, function: Callable[..., int], dest: Value, keys: Any, aggregate: Optional[str]) -> int:
        count = ctypes.c_uint64()
        check(function(self._handle, self._codec.slice(dest), *self._z_operands(keys), self._z_aggregate(aggregate), count))
        return count.value

    def zunion(
        self, keys: Union[Sequence[Value], Mapping[Any, float]], aggregate: Optional[str] = None, withscores: bool = False
    ) -> List[Any]:
        """Members of any of the sorted sets or sets; a mapping gives each key a weight. withscores: (member, score) pairs."""
        return self._z_joined(library.mlkv_zset_union, keys, aggregate, withscores)

    def zinter(
        self, keys: Union[Sequence[Value], Mapping[Any, float]], aggregate: Optional[str] = None, withscores: bool = False
    ) -> List[Any]:
        """Members of all of the sorted sets or sets; as zunion."""
        return self._z_joined(library.mlkv_zset_intersection, keys, aggregate, withscores)

    def zdiff(self, keys: Sequence[Value], withscores: bool = False) -> List[Any]:
        """Members of the first key and of no other. withscores: member, score text, member, score text ..."""
        slices, count, _ = self._z_operands(keys)
        if not withscores:
            return self._z_members(library.mlkv_zset_difference, slices, count)
        return self._z_flat(*self._z_pairs(library.mlkv_zset_difference, slices, count))  # type: ignore[misc]

    def zunionstore(
        self, dest: Value, keys: Union[Sequence[Value], Mapping[Any, float]], aggregate: Optional[str] = None
    ) -> int:
        """Stores zunion under dest, in place of what it held; how many members that are."""
        return self._z_joined_store(library.mlkv_zset_union_store, dest, keys, aggregate)

    def zinterstore(
        self, dest: Value, keys: Union[Sequence[Value], Mapping[Any, float]], aggregate: Optional[str] = None
    ) -> int:
        """Stores zinter under dest, in place of what it held; how many members that are."""
        return self._z_joined_store(library.mlkv_zset_intersection_store, dest, keys, aggregate)

    def zdiffstore(self, dest: Value, keys: Sequence[Value]) -> int:
        """Stores zdiff under dest, in place of what it held; how many members that are."""
        slices, n, _ = self._z_operands(keys)
        count = ctypes.c_uint64()
        check(library.mlkv_zset_difference_store(self._handle, self._codec.slice(dest), slices, n, count))
        return count.value

    def zintercard(self, numkeys: int, keys: List[Value], limit: int = 0) -> int:
        """How many members all keys have, counted up to the limit."""
        if numkeys != len(keys):
            raise DataError("numkeys is not the number of keys")
        slices, count = self._codec.slices(keys), ctypes.c_uint64()
        check(library.mlkv_zset_intersection_count(self._handle, slices, slices.count, limit, count))
        return count.value

    # --- scans ---

    def zscan(
        self,
        name: Value,
        cursor: int = 0,
        match: Optional[Value] = None,
        count: Optional[int] = None,
        score_cast_func: Callable[[Any], Any] = float,
    ) -> Tuple[int, List[Tuple[Result, Any]]]:
        """A part of the members: (cursor of the next part or 0, members and scores)."""
        token, pairs = self._scan(SCAN_ZSET, name, cursor, match, count)
        decode = self._codec.decode
        return token, [(decode(member), score_cast_func(decode(score))) for member, score in pairs]

    def zscan_iter(
        self,
        name: Value,
        match: Optional[Value] = None,
        count: Optional[int] = None,
        score_cast_func: Callable[[Any], Any] = float,
    ) -> Iterator[Tuple[Result, Any]]:
        """Members and scores one after another; what is written meanwhile may be in it or not."""
        decode = self._codec.decode
        for member, score in self._scan_iter(SCAN_ZSET, name, match, count):
            yield decode(member), score_cast_func(decode(score))

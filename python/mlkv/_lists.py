"""List commands."""

from __future__ import annotations

import ctypes
from array import array
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

from ._keys import Scanning
from ._library import library
from ._time import int64
from ._values import Result, Value
from ._view import ABSENT, check
from .errors import ArgumentError, DataError, DurabilityError, ResponseError, error_of

_SCAN_LIST = 3
_ENDS = {"LEFT": 0, "RIGHT": 1}
_SIDES = {"BEFORE": 0, "AFTER": 1}
_UINT64_MAX = (1 << 64) - 1


class ListCommands(Scanning):
    """A pop or a move whose durability fails raises DurabilityError; what it took stands in the error's attribute `taken`, because nobody
    else will get it any more."""

    # --- both ends ---

    def lpush(self, name: Value, *values: Value) -> int:
        """Pushes values on the left, one after another, all at once; how many elements there are now."""
        return self._push(library.mlkv_list_push, name, 0, values)

    def rpush(self, name: Value, *values: Value) -> int:
        """The same on the right."""
        return self._push(library.mlkv_list_push, name, 1, values)

    def lpushx(self, name: Value, *values: Value) -> int:
        """lpush, but only if the list exists; otherwise 0."""
        return self._push(library.mlkv_list_push_if_present, name, 0, values)

    def rpushx(self, name: Value, value: Value, *values: Value) -> int:
        """rpush, but only if the list exists; otherwise 0."""
        return self._push(library.mlkv_list_push_if_present, name, 1, (value, *values))

    def _push(self, function: Any, name: Value, end: int, values: Tuple[Value, ...]) -> int:
        if not values:
            raise DataError("a push without values")
        elements = self._codec.slices(values)
        length = ctypes.c_uint64()
        check(function(self._handle, self._codec.slice(name), end, elements, elements.count, length))
        return length.value

    def lpop(self, name: Value, count: Optional[int] = None) -> Union[Optional[Result], List[Result]]:
        """Takes the first element away: it, or None. With a count: a list of up to so many, or None if there is no list."""
        return self._pop(name, 0) if count is None else self._pop_many(name, 0, count)

    def rpop(self, name: Value, count: Optional[int] = None) -> Union[Optional[Result], List[Result]]:
        """The same from the right: the last element first."""
        return self._pop(name, 1) if count is None else self._pop_many(name, 1, count)

    def _pop(self, name: Value, end: int) -> Optional[Result]:
        codec = self._codec
        buffer = self._pool.take_buffer()
        result = library.mlkv_list_pop(self._handle, codec.slice(name), end, buffer)
        return self._taken_value(result, buffer)

    def _taken_value(self, result: int, buffer: Any) -> Optional[Result]:
        if _look(result, lambda: self._codec.decode(self._pool.give_buffer(buffer))) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return self._codec.decode(self._pool.give_buffer(buffer))

    def _pop_many(self, name: Value, end: int, count: int) -> Optional[List[Result]]:
        rows = self._pool.take_rows()
        result = library.mlkv_list_pop_many(self._handle, self._codec.slice(name), end, _positive(count, "count", 0), rows)
        return self._taken_rows(result, rows)

    def _taken_rows(self, result: int, rows: Any) -> Optional[List[Result]]:
        def take() -> List[Result]:
            return self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]

        if _look(result, take) == ABSENT:
            self._pool.keep_rows(rows)
            return None
        return take()

    def lmpop(self, num_keys: int, *args: Value, direction: Optional[str] = None, count: Optional[int] = 1) -> Optional[List[Any]]:
        """Up to count elements from the LEFT or RIGHT of the first of the lists that exists: [its name, [elements]], or None."""
        if num_keys != len(args):
            raise ArgumentError(f"num_keys is {num_keys}, and there are {len(args)} keys")
        names = [self._codec.encode(name) for name in args]
        slices = self._codec.slices(names)
        which = ctypes.c_size_t()
        rows = self._pool.take_rows()
        wanted = 1 if count is None else _positive(count, "count", 1)
        end = _choose(_ENDS, direction, "direction")
        result = library.mlkv_list_pop_first(self._handle, slices, slices.count, end, wanted, which, rows)
        elements = self._taken_rows(result, rows)
        return None if elements is None else [self._codec.decode(names[which.value]), elements]

    def lmove(self, first_list: Value, second_list: Value, src: str = "LEFT", dest: str = "RIGHT") -> Optional[Result]:
        """Moves an element from an end of the first list to an end of the second (the same list is rotated), atomically: it, or None."""
        codec = self._codec
        ends = _choose(_ENDS, src, "src"), _choose(_ENDS, dest, "dest")
        buffer = self._pool.take_buffer()
        result = library.mlkv_list_move(self._handle, codec.slice(first_list), codec.slice(second_list), *ends, buffer)
        return self._taken_value(result, buffer)

    def rpoplpush(self, src: Value, dst: Value) -> Optional[Result]:
        """lmove from the right of src to the left of dst."""
        return self.lmove(src, dst, "RIGHT", "LEFT")

    # --- reading ---

    def llen(self, name: Value) -> int:
        """Number of elements; 0 for an absent key."""
        length = ctypes.c_uint64()
        check(library.mlkv_list_length(self._handle, self._codec.slice(name), length))
        return length.value

    def lindex(self, name: Value, index: int) -> Optional[Result]:
        """The element at an index (-1: the last), or None. The cost does not depend on where it stands."""
        codec = self._codec
        buffer = self._pool.take_buffer()
        if check(library.mlkv_list_get(self._handle, codec.slice(name), int64(index), buffer)) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return codec.decode(self._pool.give_buffer(buffer))

    def lrange(self, name: Value, start: int, end: int) -> List[Result]:
        """The elements from index start to index end, both included, as of one moment."""
        rows = self._pool.take_rows()
        check(library.mlkv_list_range(self._handle, self._codec.slice(name), int64(start), int64(end), rows))
        return self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]

    def lpos(
        self,
        name: Value,
        value: Value,
        rank: Optional[int] = None,
        count: Optional[int] = None,
        maxlen: Optional[int] = None,
    ) -> Union[Optional[int], List[int]]:
        """The index of the first element equal to value, or None. rank: 2 is the second match, -1 the last. With a count: a list of the
        indexes of so many, 0 of all. maxlen: how many elements are looked at."""
        codec = self._codec
        buffer = self._pool.take_buffer()
        wanted = 1 if count is None else _positive(count, "count", 0)
        limits = int64(1 if rank is None else rank), wanted, _positive(maxlen or 0, "maxlen", 0)
        check(library.mlkv_list_find_many(self._handle, codec.slice(name), codec.slice(value), *limits, buffer))
        indexes = array("Q", self._pool.give_buffer(buffer)).tolist()
        return indexes if count is not None else indexes[0] if indexes else None

    def lscan_iter(self, name: Value, match: Optional[Value] = None, count: Optional[int] = None) -> Iterator[Result]:
        """Elements one after another, for lists that do not fit memory. Pushes and pops meanwhile do no harm; insertions and removals in
        the middle may let it pass over elements, or give some twice."""
        decode = self._codec.decode
        for element, _ in self._scan_iter(_SCAN_LIST, name, match, count):
            yield decode(element)

    # --- editing ---

    def lset(self, name: Value, index: int, value: Value) -> bool:
        """Replaces the element at an index. ResponseError if there is no list, RangeError if the index is outside."""
        codec = self._codec
        if check(library.mlkv_list_set(self._handle, codec.slice(name), int64(index), codec.slice(value))) == ABSENT:
            raise ResponseError("no such key")
        return True

    def ltrim(self, name: Value, start: int, end: int) -> bool:
        """Keeps only the elements from index start to index end."""
        check(library.mlkv_list_trim(self._handle, self._codec.slice(name), int64(start), int64(end)))
        return True

    def lrem(self, name: Value, count: int, value: Value) -> int:
        """Removes the first count elements equal to value, the last -count if it is negative, all if it is 0; how many there were. O(n)."""
        removed = ctypes.c_uint64()
        codec = self._codec
        check(library.mlkv_list_remove(self._handle, codec.slice(name), int64(count), codec.slice(value), removed))
        return removed.value

    def linsert(self, name: Value, where: str, refvalue: Value, value: Value) -> int:
        """Inserts value BEFORE or AFTER the first element equal to refvalue: how many elements there are now; -1 if refvalue is not there,
        0 if there is no list. O(n)."""
        codec = self._codec
        side = _choose(_SIDES, where, "where")
        length = ctypes.c_int64()
        values = codec.slice(refvalue), codec.slice(value)
        check(library.mlkv_list_insert(self._handle, codec.slice(name), side, *values, length))
        return length.value


def _look(result: int, take: Callable[[], Any]) -> int:
    """check, for what takes elements away."""
    if result < 0:
        error = error_of(result)
        if isinstance(error, DurabilityError):
            error.taken = take()  # type: ignore[attr-defined]
        raise error
    return result


def _positive(number: int, name: str, least: int) -> int:
    if not least <= number <= _UINT64_MAX:
        raise ArgumentError(f"{name} is {number}; the least is {least}")
    return number


def _choose(names: dict[str, int], given: Optional[str], name: str) -> int:
    try:
        return names[given.upper()]  # type: ignore[union-attr]
    except (AttributeError, KeyError):
        raise ArgumentError(f"{name} is {given!r}; there are {', '.join(names)}") from None

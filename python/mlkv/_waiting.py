"""Blocking pops of lists and sorted sets, and watches. They sleep in the library, without polling; in turns of a second, so
that a signal (Ctrl-C) is seen."""

from __future__ import annotations

import ctypes
import time
from array import array
from types import TracebackType
from typing import Any, Callable, Iterable, List, Optional, Tuple, Type, Union

from ._library import Slice, WatchQuery, library
from ._lists import _ENDS, ListCommands, _choose
from ._values import Result, Value
from ._view import ABSENT, View, check
from ._zsets import ZSetCommands, score_text
from .errors import ArgumentError, DataError

_TURN_SECONDS = 1.0
Seconds = Union[int, float]


def in_turns(seconds: Optional[Seconds], call: Callable[[int], int]) -> int:
    """Calls with a timeout in milliseconds, until the result is not ABSENT or the time (None: none) is over. At least once."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        left = _TURN_SECONDS if end is None else min(_TURN_SECONDS, end - time.monotonic())
        result = call(max(0, int(left * 1000 + 0.999)))
        if result != ABSENT or (end is not None and time.monotonic() >= end):
            return result


def _timeout(view: View, timeout: Optional[Seconds]) -> Optional[float]:
    """redis-py's: None and 0 mean for ever; but nothing is waited for in a transaction."""
    seconds = 0.0 if timeout is None else float(timeout)
    if seconds < 0 or seconds != seconds:
        raise DataError("the timeout is negative, or no number")
    return (seconds or None) if view._waits else 0.0


def _names(keys: Any) -> List[Value]:
    """One key, or several."""
    return [keys] if isinstance(keys, (str, bytes, bytearray, memoryview, int, float)) else list(keys)


class WaitingCommands(ListCommands, ZSetCommands):
    def blpop(self, keys: Any, timeout: Optional[Seconds] = 0) -> Optional[Tuple[Result, Result]]:
        """(name, element): the first element of the first of the lists that has one, waiting for it up to timeout seconds (0: for ever);
        None if the time is over."""
        return self._pop_one(keys, "LEFT", timeout)

    def brpop(self, keys: Any, timeout: Optional[Seconds] = 0) -> Optional[Tuple[Result, Result]]:
        """blpop from the right."""
        return self._pop_one(keys, "RIGHT", timeout)

    def _pop_one(self, keys: Any, direction: str, timeout: Optional[Seconds]) -> Optional[Tuple[Result, Result]]:
        taken = self._pop_waiting(_names(keys), direction, 1, timeout)
        return None if taken is None else (taken[0], taken[1][0])

    def _pop_waiting(
        self, keys: List[Value], direction: str, count: int, timeout: Optional[Seconds]
    ) -> Optional[Tuple[Result, List[Result]]]:
        names = [self._codec.encode(name) for name in keys]
        slices, which, rows = self._codec.slices(names), ctypes.c_size_t(), self._pool.take_rows()
        end = _choose(_ENDS, direction, "direction")

        def turn(timeout_ms: int) -> int:
            return library.mlkv_list_pop_wait(self._handle, slices, slices.count, end, count, timeout_ms, which, rows)

        elements = self._taken_rows(in_turns(_timeout(self, timeout), turn), rows)
        return None if elements is None else (self._codec.decode(names[which.value]), elements)

    def blmpop(
        self, timeout: Seconds, numkeys: int, *args: Value, direction: str, count: Optional[int] = 1
    ) -> Optional[List[Any]]:
        """lmpop, waiting up to timeout seconds (0: for ever)."""
        if numkeys != len(args):
            raise ArgumentError(f"numkeys is {numkeys}, and there are {len(args)} keys")
        wanted = 1 if count is None else int(count)
        if wanted < 1:
            raise DataError("count is less than 1")
        taken = self._pop_waiting(list(args), direction, wanted, timeout)
        return None if taken is None else list(taken)

    def blmove(
        self, first_list: Value, second_list: Value, timeout: Seconds, src: str = "LEFT", dest: str = "RIGHT"
    ) -> Optional[Result]:
        """lmove, waiting up to timeout seconds (0: for ever)."""
        codec, buffer = self._codec, self._pool.take_buffer()
        ends = _choose(_ENDS, src, "src"), _choose(_ENDS, dest, "dest")
        source, destination = codec.slice(first_list), codec.slice(second_list)

        def turn(timeout_ms: int) -> int:
            return library.mlkv_list_move_wait(self._handle, source, destination, *ends, timeout_ms, buffer)

        return self._taken_value(in_turns(_timeout(self, timeout), turn), buffer)

    def brpoplpush(self, src: Value, dst: Value, timeout: Optional[Seconds] = 0) -> Optional[Result]:
        """blmove from the right of src to the left of dst."""
        return self.blmove(src, dst, 0 if timeout is None else timeout, "RIGHT", "LEFT")

    def bzpopmin(self, keys: Any, timeout: Optional[Seconds] = 0) -> Optional[Tuple[Result, Result, float]]:
        """(name, member, score): the member with the lowest score of the first of the sorted sets that has one, waiting for it up to
        timeout seconds (0: for ever); None if the time is over."""
        return self._z_pop_one(keys, 0, timeout)

    def bzpopmax(self, keys: Any, timeout: Optional[Seconds] = 0) -> Optional[Tuple[Result, Result, float]]:
        """bzpopmin of the highest score."""
        return self._z_pop_one(keys, 1, timeout)

    def _z_pop_one(self, keys: Any, highest: int, timeout: Optional[Seconds]) -> Optional[Tuple[Result, Result, float]]:
        taken = self._z_pop_waiting(_names(keys), 1, highest, timeout)
        return None if taken is None else (taken[0], taken[1][0], taken[2][0])

    def _z_pop_waiting(
        self, keys: List[Value], count: int, highest: int, timeout: Optional[Seconds]
    ) -> Optional[Tuple[Result, List[Result], "array[float]"]]:
        names = [self._codec.encode(name) for name in keys]
        slices, which, seconds = self._codec.slices(names), ctypes.c_size_t(), _timeout(self, timeout)

        def wait(handle: Any, *outputs: Any) -> int:
            arguments = handle, slices, slices.count, count, highest
            return in_turns(seconds, lambda timeout_ms: library.mlkv_zset_pop_wait(*arguments, timeout_ms, which, *outputs))

        found = self._z_pairs(wait)
        return None if found is None else (self._codec.decode(names[which.value]), *found)

    def bzmpop(
        self,
        timeout: Seconds,
        numkeys: int,
        keys: List[Value],
        min: Optional[bool] = False,
        max: Optional[bool] = False,
        count: Optional[int] = 1,
    ) -> Optional[List[Any]]:
        """zmpop, waiting up to timeout seconds (0: for ever)."""
        if bool(min) == bool(max):
            raise DataError("bzmpop takes either min or max")
        if numkeys != len(keys):
            raise ArgumentError(f"numkeys is {numkeys}, and there are {len(keys)} keys")
        wanted = 1 if count is None else int(count)
        if wanted < 1:
            raise DataError("count is less than 1")
        taken = self._z_pop_waiting(list(keys), wanted, int(bool(max)), timeout)
        if taken is None:
            return None
        decode = self._codec.decode
        return [taken[0], [[member, decode(score_text(score))] for member, score in zip(taken[1], taken[2])]]

    def watch(self, *keys: Value, prefixes: Iterable[Value] = ()) -> "Watch":
        """Watches keys, and all keys that begin with one of the prefixes, from now on."""
        return Watch(self, keys, tuple(prefixes))


class Watch:
    """What changed under some keys or prefixes: wait() for it, or begin a transaction only if nothing did."""

    def __init__(self, view: View, keys: Tuple[Value, ...], prefixes: Tuple[Value, ...]) -> None:
        self._view = view
        self._pointer: Optional[ctypes.c_void_p] = None
        slices, begins = view._codec.slices(keys), view._codec.slices(prefixes)
        query = WatchQuery()
        query.keys = ctypes.cast(slices, ctypes.c_void_p)
        query.key_count = len(keys)
        query.prefixes = ctypes.cast(begins, ctypes.c_void_p)
        query.prefix_count = len(prefixes)
        pointer = ctypes.c_void_p()
        check(library.mlkv_watch_open(view._handle, query, pointer))
        self._pointer = pointer

    def wait(self, timeout: Optional[Seconds] = None) -> bool:
        """Whether something changed since the watch began or since the last time this said so; waits for it up to timeout seconds (None:
        for ever)."""
        if self._pointer is None:
            raise ArgumentError("this watch is closed")
        pointer = self._pointer
        return check(in_turns(timeout, lambda timeout_ms: library.mlkv_watch_wait(pointer, timeout_ms))) != ABSENT

    def close(self) -> None:
        """Ends it. Closing twice does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            library.mlkv_watch_close(pointer)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

"""Get or compute: db.get_or_compute(...) and @db.cached(...). At most one computation for a key at a time, over all threads and
processes; the others wait for it, or take the value that was there before."""

from __future__ import annotations

import ctypes
import functools
import inspect
import pickle
import time
from typing import Any, Callable, Dict, Optional, TypeVar, Union

from ._library import ComputeCounts, ComputeFunction, ComputePolicy, library
from ._time import int64
from ._values import Result, Value
from ._view import ABSENT, View, check
from ._waiting import Seconds
from .errors import BusyError, DataError

_TURN_SECONDS = 1.0
_FAILED = 1000  # what the callback says when the function raised; no result of the library's
Key = Union[None, str, Callable[..., Value]]
Function = TypeVar("Function", bound=Callable[..., Any])


class Absent(Exception):
    """Raised by a function that computes: there is no such thing. With `absent` seconds this is remembered."""


def _ms(seconds: Optional[Seconds]) -> int:
    if seconds is None:
        return 0
    if seconds < 0 or seconds != seconds:
        raise DataError("a time is negative, or no number")
    return max(1, int64(int(seconds * 1000))) if seconds else 0


class _Computation:
    """One call's function as the library calls it; it keeps what cannot pass through C."""

    def __init__(self, compute: Callable[[], bytes]) -> None:
        self._compute = compute
        self.error: Optional[BaseException] = None
        self.callback = ComputeFunction(self._run)

    def _run(self, _context: Optional[int], _key: Any, buffer: int) -> int:
        try:
            value = self._compute()
        except Absent:
            return ABSENT
        except BaseException as error:  # noqa: B902 - passed on to the caller
            self.error = error
            return _FAILED
        return library.mlkv_buffer_assign(buffer, value, len(value))


class CachedFunction:
    """A function whose results are kept in a store (db.cached)."""

    def __init__(self, view: "ComputingCommands", function: Callable[..., Any], key: Key, serializer: Any, policy: Dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self._view, self._function, self._key, self._serializer, self._policy = view, function, key, serializer, policy
        self._signature = inspect.signature(function)

    def key_of(self, *arguments: Any, **named: Any) -> Value:
        """The key under which the result of this call stands."""
        if callable(self._key):
            return self._key(*arguments, **named)
        bound = self._signature.bind(*arguments, **named)
        bound.apply_defaults()
        if self._key is not None:
            return self._key.format(*bound.args, **bound.arguments)
        words = ", ".join(f"{name}={value!r}" for name, value in bound.arguments.items())
        return f"{self._function.__module__}.{self._function.__qualname__}({words})"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        def compute() -> bytes:
            made = self._serializer.dumps(self._function(*arguments, **named))
            return made.encode() if isinstance(made, str) else bytes(made)

        found = self._view._computed(self.key_of(*arguments, **named), compute, **self._policy)
        return None if found is None else self._serializer.loads(found)

    def __get__(self, owner: Any, kind: Optional[type] = None) -> Any:
        return self if owner is None else functools.partial(self, owner)

    def forget(self, *arguments: Any, **named: Any) -> bool:
        """The result of this call is wrong: it is removed, and what is being computed now is not stored. Whether there was one."""
        return self._view.forget_computed(self.key_of(*arguments, **named))


class ComputingCommands(View):
    def get_or_compute(
        self,
        name: Value,
        compute: Callable[[], Value],
        ttl: Optional[Seconds] = None,
        stale: Seconds = 0,
        refresh_ahead: Seconds = 0,
        absent: Seconds = 0,
        lease: Optional[Seconds] = None,
        wait: Optional[Seconds] = None,
        jitter_percent: int = 0,
        stale_on_error: bool = False,
    ) -> Optional[Result]:
        """The key's string; if it has none that is fresh, what compute() returns (a string, bytes, a number), which is stored.

        At most one thread of one process computes a key at a time. Fresh for ttl seconds (None: for ever); served for `stale` seconds more
        while one caller computes it anew, which begins `refresh_ahead` seconds before it gets stale. compute may raise Absent: then None is
        the answer, for `absent` seconds without asking again. Other exceptions reach the caller that computed, and nothing is stored; with
        stale_on_error an old value is the answer instead. Others wait for at most `wait` seconds (None: for ever), then BusyError. A
        computation that takes longer than `lease` seconds (None: there is no limit) loses its right, as one whose process dies. Times vary
        by jitter_percent."""
        found = self._computed(
            name, lambda: self._codec.encode(compute()), ttl, stale, refresh_ahead, absent, lease, wait, jitter_percent, stale_on_error
        )
        return None if found is None else self._codec.decode(found)

    def _computed(
        self,
        name: Value,
        compute: Callable[[], bytes],
        ttl: Optional[Seconds] = None,
        stale: Seconds = 0,
        refresh_ahead: Seconds = 0,
        absent: Seconds = 0,
        lease: Optional[Seconds] = None,
        wait: Optional[Seconds] = None,
        jitter_percent: int = 0,
        stale_on_error: bool = False,
    ) -> Optional[bytes]:
        policy = ComputePolicy(
            ctypes.sizeof(ComputePolicy), _ms(ttl), _ms(stale), _ms(refresh_ahead), _ms(absent), _ms(lease), 0, jitter_percent,
            int(stale_on_error), None, ctypes.addressof(self._compute_counts()),
        )  # fmt: skip
        computation, key, buffer = _Computation(compute), self._codec.slice(name), self._pool.take_buffer()

        end = None if wait is None else time.monotonic() + wait
        while True:  # in turns, so that a signal (Ctrl-C) is seen
            left = _TURN_SECONDS if end is None else min(_TURN_SECONDS, end - time.monotonic())
            policy.wait_ms = max(0, int(left * 1000 + 0.999))
            result = library.mlkv_get_or_compute(self._handle, key, policy, computation.callback, None, buffer, None)
            if result != BusyError.code or (end is not None and time.monotonic() >= end):
                break
        if result == _FAILED and computation.error is not None:
            self._pool.keep_buffer(buffer)
            raise computation.error
        if check(result) == ABSENT:
            self._pool.keep_buffer(buffer)
            return None
        return self._pool.give_buffer(buffer)

    def cached(
        self,
        ttl: Optional[Seconds] = None,
        key: Key = None,
        stale: Seconds = 0,
        refresh_ahead: Seconds = 0,
        absent: Seconds = 0,
        lease: Optional[Seconds] = None,
        wait: Optional[Seconds] = None,
        jitter_percent: int = 0,
        stale_on_error: bool = False,
        serializer: Any = pickle,
    ) -> Callable[[Function], Any]:
        """Keeps a function's results in the store, as get_or_compute does.

        key: a template ("user:{0}", "user:{user}"), or a function of the same arguments; None: the function's name and the
        arguments' repr. serializer: a module or object with dumps and loads. The default, pickle, runs what the store says: fit for
        stores that only your own programs write to; json is a safe one."""
        policy = {
            "ttl": ttl, "stale": stale, "refresh_ahead": refresh_ahead, "absent": absent, "lease": lease, "wait": wait,
            "jitter_percent": jitter_percent, "stale_on_error": stale_on_error,
        }  # fmt: skip

        def decorate(function: Function) -> Any:
            return CachedFunction(self, function, key, serializer, policy)

        return decorate

    def forget_computed(self, name: Value) -> bool:
        """Removes a key and what is remembered of its absence; what is being computed now is not stored. Whether there was any."""
        return check(library.mlkv_compute_forget(self._handle, self._codec.slice(name))) != ABSENT

    def _compute_counts(self) -> ComputeCounts:
        counts = self.__dict__.get("_counts")
        if counts is None:
            counts = self.__dict__.setdefault("_counts", ComputeCounts())
        return counts

    def compute_stats(self) -> Dict[str, int]:
        """What get_or_compute and cached functions did through this object: hits, misses, computations, times in ns ..."""
        counts = self._compute_counts()
        return {name: int(getattr(counts, name)) for name, _ in ComputeCounts._fields_}

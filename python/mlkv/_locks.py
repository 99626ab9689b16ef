"""Locks by name, as redis-py has them: db.lock("name")."""

from __future__ import annotations

import ctypes
import threading
from types import TracebackType
from typing import Any, Optional, Type, Union

from ._library import LockGrant, library
from ._time import int64
from ._values import Value
from ._view import ABSENT, View, check
from ._waiting import in_turns
from .errors import Error

Seconds = Union[int, float]


class LockError(Error):
    """A lock was not to be had, or was released or extended by who does not hold it."""


class LockNotOwnedError(LockError):
    """It is not held (any more) by who says so."""


def _ms(seconds: Optional[Seconds]) -> int:
    return 0 if seconds is None else max(1, int64(int(seconds * 1000)))


class Lock:
    """One holder at a time, over all threads and processes of the store. Free again when it is released, when its timeout ends, or when
    the process that acquired it dies."""

    def __init__(
        self, view: View, name: Value, timeout: Optional[Seconds], blocking: bool, blocking_timeout: Optional[Seconds], thread_local: bool
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.blocking = blocking
        self.blocking_timeout = blocking_timeout
        self._view = view
        self._key = view._codec.encode(name)
        self.local: Any = threading.local() if thread_local else type("Held", (), {})()
        self.local.grant = None

    def acquire(
        self, sleep: Optional[float] = None, blocking: Optional[bool] = None, blocking_timeout: Optional[Seconds] = None
    ) -> bool:
        """Takes the lock, waiting for it up to blocking_timeout seconds (None: for ever) if blocking. Whether it did. sleep is not
        needed: a waiting thread is woken."""
        del sleep
        wait = self.blocking if blocking is None else blocking
        limit = self.blocking_timeout if blocking_timeout is None else blocking_timeout
        grant, key, lease_ms = LockGrant(), self._view._codec.slice(self._key), _ms(self.timeout)

        def turn(timeout_ms: int) -> int:
            return library.mlkv_lock_acquire(self._view._handle, key, lease_ms, timeout_ms, grant)

        if check(in_turns(limit if wait and self._view._waits else 0, turn)) == ABSENT:
            return False
        self.local.grant = grant
        return True

    def _held(self) -> LockGrant:
        grant = getattr(self.local, "grant", None)
        if grant is None:
            raise LockError("this lock is not held")
        return grant

    def through(self, view: View) -> "Lock":
        """A copy of this lock, held or not as it is, through another view of its store: so a transaction can take, extend or release it
        along with what it writes. If that is given up, this one is held as before."""
        lock = Lock(view, self.name, self.timeout, self.blocking, self.blocking_timeout, False)
        lock.local.grant = getattr(self.local, "grant", None)
        return lock

    @property
    def fence(self) -> int:
        """The fencing number: larger than that of every holder before."""
        return self._held().fence

    def release(self) -> None:
        """Frees the lock. LockNotOwnedError if it was lost meanwhile."""
        grant = self._held()
        self.local.grant = None
        if check(library.mlkv_lock_release(self._view._handle, self._view._codec.slice(self._key), grant)) == ABSENT:
            raise LockNotOwnedError("the lock is not held any more")

    def extend(self, additional_time: Seconds, replace_ttl: bool = False) -> bool:
        """It ends so many seconds later than it would (replace_ttl: than now)."""
        grant, key = self._held(), self._view._codec.slice(self._key)
        lease_ms = _ms(additional_time)
        if not replace_ttl:
            left = ctypes.c_int64()
            if check(library.mlkv_key_ttl(self._view._handle, key, left)) == ABSENT:
                raise LockNotOwnedError("the lock is not held any more")
            lease_ms += max(0, left.value)
        return self._renew(grant, lease_ms)

    def reacquire(self) -> bool:
        """It ends `timeout` seconds from now."""
        return self._renew(self._held(), _ms(self.timeout))

    def _renew(self, grant: LockGrant, lease_ms: int) -> bool:
        if check(library.mlkv_lock_renew(self._view._handle, self._view._codec.slice(self._key), grant, lease_ms)) == ABSENT:
            raise LockNotOwnedError("the lock is not held any more")
        return True

    def _holder(self) -> Optional[LockGrant]:
        found = LockGrant()
        result = check(library.mlkv_lock_holder(self._view._handle, self._view._codec.slice(self._key), found))
        return None if result == ABSENT else found

    def locked(self) -> bool:
        """Whether anybody holds it."""
        return self._holder() is not None

    def owned(self) -> bool:
        """Whether this object holds it."""
        grant, found = getattr(self.local, "grant", None), self._holder()
        return grant is not None and found is not None and bytes(grant) == bytes(found)

    def __enter__(self) -> "Lock":
        if not self.acquire():
            raise LockError("the lock was not to be had within the time")
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.release()


class LockCommands(View):
    def lock(
        self,
        name: Value,
        timeout: Optional[Seconds] = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: Optional[Seconds] = None,
        lock_class: Optional[Type[Any]] = None,
        thread_local: bool = True,
    ) -> Any:
        """A lock by name, to be acquired; for `with`. timeout: seconds after which it is free by itself. sleep is not needed: a waiting
        thread is woken."""
        del sleep
        made = Lock if lock_class is None else lock_class
        return made(self, name, timeout, blocking, blocking_timeout, thread_local)

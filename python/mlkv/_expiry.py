"""Commands on the expiry of keys."""

from __future__ import annotations

import ctypes
from typing import Any

from ._library import library
from ._time import Duration, Moment, duration_ms, moment_ms
from ._values import Value
from ._view import ABSENT, View, check
from .errors import DataError

_NO_KEY, _NO_EXPIRY = -2, -1


def condition_of(nx: bool, xx: bool, gt: bool, lt: bool) -> int:
    given = [number for number, wanted in enumerate((nx, xx, gt, lt), 1) if wanted]
    if len(given) > 1:
        raise DataError("nx, xx, gt, lt exclude each other")
    return given[0] if given else 0


class ExpiryCommands(View):
    def _expire(self, function: Any, name: Value, ms: int, condition: int) -> bool:
        return check(function(self._handle, self._codec.slice(name), ms, condition)) != ABSENT

    def expire(self, name: Value, time: Duration, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False) -> bool:
        """The key ends after so many seconds. nx: only if it has no expiry; xx: only if it has one; gt, lt: only if the new one is
        later or sooner. False: no such key, or not done."""
        return self._expire(library.mlkv_key_expire, name, duration_ms(time, 1000), condition_of(nx, xx, gt, lt))

    def pexpire(self, name: Value, time: Duration, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False) -> bool:
        """expire in milliseconds."""
        return self._expire(library.mlkv_key_expire, name, duration_ms(time, 1), condition_of(nx, xx, gt, lt))

    def expireat(self, name: Value, when: Moment, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False) -> bool:
        """The key ends at a datetime, or so many seconds after 1970."""
        return self._expire(library.mlkv_key_expire_at, name, moment_ms(when, 1000), condition_of(nx, xx, gt, lt))

    def pexpireat(self, name: Value, when: Moment, nx: bool = False, xx: bool = False, gt: bool = False, lt: bool = False) -> bool:
        """expireat in milliseconds."""
        return self._expire(library.mlkv_key_expire_at, name, moment_ms(when, 1), condition_of(nx, xx, gt, lt))

    def persist(self, name: Value) -> bool:
        """The key's expiry goes; False: no such key, or it has none."""
        return check(library.mlkv_key_persist(self._handle, self._codec.slice(name))) != ABSENT

    def _ask(self, function: Any, name: Value) -> int:
        ms = ctypes.c_int64()
        return _NO_KEY if check(function(self._handle, self._codec.slice(name), ms)) == ABSENT else ms.value

    def pttl(self, name: Value) -> int:
        """Milliseconds until the key ends; -1: it has no expiry; -2: no such key."""
        return self._ask(library.mlkv_key_ttl, name)

    def ttl(self, name: Value) -> int:
        """pttl in seconds, rounded."""
        ms = self.pttl(name)
        return ms if ms < 0 else (ms + 500) // 1000

    def pexpiretime(self, key: Value) -> int:
        """When the key ends, in milliseconds since 1970; -1: never; -2: no such key."""
        return self._ask(library.mlkv_key_expiry, key)

    def expiretime(self, key: Value) -> int:
        """pexpiretime in seconds, rounded."""
        ms = self.pexpiretime(key)
        return ms if ms < 0 else (ms + 500) // 1000

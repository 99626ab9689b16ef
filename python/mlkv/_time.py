"""Durations and moments, as redis-py takes them, and numbers that must fit the library's."""

from __future__ import annotations

import datetime
from typing import Optional, Union

from ._library import Expiry
from .errors import DataError

Duration = Union[int, datetime.timedelta]
Moment = Union[int, datetime.datetime]

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_NONE, _KEEP, _IN, _AT = range(4)


def int64(amount: int) -> int:
    """ctypes would cut a larger number silently."""
    amount = int(amount)
    if not _INT64_MIN <= amount <= _INT64_MAX:
        raise DataError(f"{amount} is not a signed 64-bit number")
    return amount


def duration_ms(time: Duration, unit_ms: int) -> int:
    """A number of units, or a timedelta, in milliseconds."""
    if isinstance(time, datetime.timedelta):
        return int64(time // datetime.timedelta(milliseconds=1))
    return int64(int(time) * unit_ms)


def moment_ms(when: Moment, unit_ms: int) -> int:
    """A number of units since 1970, or a datetime, in milliseconds since 1970."""
    if isinstance(when, datetime.datetime):
        return int64(int(when.timestamp() * 1000))
    return int64(int(when) * unit_ms)


def expiry_of(
    ex: Optional[Duration], px: Optional[Duration], exat: Optional[Moment], pxat: Optional[Moment], keep: bool
) -> Expiry:
    """What a call's arguments say of the expiry; at most one of them may."""
    given = [value for value in (ex, px, exat, pxat) if value is not None]
    if len(given) > 1:
        raise DataError("ex, px, exat, pxat exclude each other")
    if ex is not None or px is not None:
        return Expiry(_IN, 0, duration_ms(ex, 1000) if ex is not None else duration_ms(px, 1))  # type: ignore[arg-type]
    if exat is not None or pxat is not None:
        return Expiry(_AT, 0, moment_ms(exat, 1000) if exat is not None else moment_ms(pxat, 1))  # type: ignore[arg-type]
    return Expiry(_KEEP if keep else _NONE, 0, 0)

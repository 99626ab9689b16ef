"""What a client, a transaction and a snapshot have in common: a handle of the library, a codec, a pool of buffers.

The handle is an object of its own, which each call into the library holds on to while it runs. So close() in one thread cannot pull the
handle away under a call in another: the handle is closed when the last call has let go of it.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, ContextManager, NoReturn, Optional

from ._library import library
from ._values import Codec, Pool
from .errors import ClosedError, error_of

ABSENT = 1  # MLKV_ABSENT


class Handle:
    """Owns an mlkv *; passes as one in calls."""

    __slots__ = ("_as_parameter_", "_close", "__weakref__")

    def __init__(self, pointer: ctypes.c_void_p) -> None:
        self._as_parameter_: Optional[ctypes.c_void_p] = pointer
        self._close = library.mlkv_close

    def take(self) -> Optional[ctypes.c_void_p]:
        """Gives the pointer away: whoever takes it ends it."""
        pointer, self._as_parameter_ = self._as_parameter_, None
        return pointer

    def __del__(self) -> None:
        pointer = self.take()
        if pointer is not None:
            self._close(pointer)


class View:
    """Base of everything that can be read from."""

    _handle: Handle
    _codec: Codec
    _pool: Pool
    _closed_message = "this view is closed"
    _waits = True  # not in a transaction: nobody else can write

    def _attach(self, handle: Handle, codec: Codec, pool: Pool) -> None:
        self._handle = handle
        self._codec = codec
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        # _handle is deleted by close(): an open view never comes here, so calls pay nothing for the check. (Any: what the
        # table of commands adds is not known to those who check types.)
        if name == "_handle":
            raise ClosedError(self._closed_message)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _detach(self) -> Optional[Handle]:
        """The handle, no longer the view's; None if it was closed before."""
        return self.__dict__.pop("_handle", None)

    @property
    def closed(self) -> bool:
        """Whether close() was called, or the transaction ended."""
        return "_handle" not in self.__dict__

    def close(self) -> None:
        """Ends the view. Closing it again does nothing. Errors are those of the final write."""
        handle = self._detach()
        # 2: this variable and getrefcount's own argument. More: another thread is in a call, and the last to leave it closes.
        if handle is not None and sys.getrefcount(handle) <= 2:
            pointer = handle.take()
            if pointer is not None:
                check(library.mlkv_close(pointer))

    def _atomic(self) -> ContextManager[Any]:
        """A context in which several calls on the view that it gives are one write."""
        raise NotImplementedError

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: it belongs to one process; pickle the client")


def check(result: int) -> int:
    """Passes 0 and MLKV_ABSENT on; raises for an error."""
    if result < 0:
        raise error_of(result)
    return result

"""The exceptions: one class for each error code of the library, made from the library's own table.

Every class derives from Error and carries `code` (the C result, such as -5), `symbol` (its name, such as "type") and `detail` (what
exactly went wrong: the argument, the file, the record). Two also derive from the built-in exception of the same meaning.

================  =====================  ==================================================================
name in the table class                  when
================  =====================  ==================================================================
argument          ArgumentError          an argument is not valid (also a ValueError)
memory            OutOfMemoryError       out of memory (also a MemoryError)
io                FileError              the operating system refused an operation on a file
corrupt           CorruptError           stored bytes do not have the form that they must have
type              WrongTypeError         the key holds another type
number            NumberError            the value is not a number of the kind asked for
range             RangeError             a result or an index is out of range
readonly          ReadOnlyError          a write through a snapshot or a read-only client
busy              BusyError              a lock was not to be had in time
full              FullError              the disk or the quota is full
version           VersionError           the store was written by another version of the format
mismatch          MismatchError          journal and store do not belong together
recovery          RecoveryError          a read-only opening of a store that needs recovery
owner             OwnerError             a transaction used by another thread or process, or after its end
poisoned          PoisonedError          an earlier failure of the disk stopped all writing until a reopening
absent_store      AbsentStoreError       there is no store at this path
shape             ShapeError             dtype, shape or row range do not fit the tensor
size              SizeError              something is larger than its limit
platform          PlatformError          the processes that share a store do not share what that needs
permission        StorePermissionError   the operating system denies access to the store
durability        DurabilityError        the write was made, and whether it is durable is not known
format            FormatError            a file to be imported is not of its format (an ArgumentError)
contiguous        ContiguousError        the tensor is not stored so that it can be lent
================  =====================  ==================================================================

A code that a newer library adds gets a class too, its name in CamelCase with "Error" at the end.

For programs that were written for redis-py there are RedisError (Error), ResponseError (base of WrongTypeError, NumberError, RangeError,
ReadOnlyError, ShapeError and SizeError), DataError (an ArgumentError: a value that has no form as bytes) and WatchError (never raised: a
transaction here holds the writer lock, so nothing can come in between). A command of words that is refused for what it says raises
CommandError, an ArgumentError that is a ResponseError too; RESTORE of what DUMP did not give PayloadError, a CorruptError that is one.
"""

from __future__ import annotations

import ctypes
from typing import Type

from ._library import library


class Error(Exception):
    """Base of all errors of the library."""

    code: int = 0
    symbol: str = ""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class ResponseError(Error):
    """An operation that does not fit what is stored under the key."""


RedisError = Error

ArgumentError: Type[Error]
OutOfMemoryError: Type[Error]
FileError: Type[Error]
CorruptError: Type[Error]
WrongTypeError: Type[Error]
NumberError: Type[Error]
RangeError: Type[Error]
ReadOnlyError: Type[Error]
BusyError: Type[Error]
FullError: Type[Error]
VersionError: Type[Error]
MismatchError: Type[Error]
RecoveryError: Type[Error]
OwnerError: Type[Error]
PoisonedError: Type[Error]
AbsentStoreError: Type[Error]
ShapeError: Type[Error]
SizeError: Type[Error]
PlatformError: Type[Error]
StorePermissionError: Type[Error]
DurabilityError: Type[Error]
FormatError: Type[Error]
ContiguousError: Type[Error]

# Names that CamelCase alone would make equal to a built-in exception's, or unclear.
_NAMES = {
    "memory": "OutOfMemoryError",
    "io": "FileError",
    "type": "WrongTypeError",
    "readonly": "ReadOnlyError",
    "permission": "StorePermissionError",
}
_BASES: dict[str, tuple[type, ...]] = {
    "argument": (Error, ValueError),
    "memory": (Error, MemoryError),
    "type": (ResponseError,),
    "number": (ResponseError,),
    "range": (ResponseError,),
    "readonly": (ResponseError,),
    "shape": (ResponseError,),
    "size": (ResponseError,),
}


_ARGUMENT = -1  # its code, which is pinned
_PREFIXES = ("ERR", "READONLY", "EXECABORT")


def _make_classes() -> dict[int, Type[Error]]:
    classes: dict[int, Type[Error]] = {}
    code, symbol, message = ctypes.c_int(), ctypes.c_char_p(), ctypes.c_char_p()
    row = 0
    while library.mlkv_error_row(row, code, symbol, message) == 0:
        row += 1
        if code.value >= 0:
            continue
        name = (symbol.value or b"").decode()
        class_name = _NAMES.get(name) or "".join(word.capitalize() for word in name.split("_")) + "Error"
        body = {"__doc__": (message.value or b"").decode(), "__module__": __name__, "code": code.value, "symbol": name}
        bases = (classes[_ARGUMENT],) if name == "format" else _BASES.get(name, (Error,))
        classes[code.value] = type(class_name, bases, body)
    return classes


CLASSES = _make_classes()
"""code: class"""

globals().update({made.__name__: made for made in CLASSES.values()})


class DataError(ArgumentError):  # type: ignore[misc,valid-type]
    """A Python value that has no form as bytes, such as None or a bool."""


class CommandError(ResponseError, ArgumentError):  # type: ignore[misc,valid-type]
    """A command of words was refused: it does not exist, or not with such arguments, or not for such keys."""


class PayloadError(ResponseError, CorruptError):  # type: ignore[misc,valid-type]
    """What RESTORE was given is not what DUMP gave."""


class ClosedError(ArgumentError):  # type: ignore[misc,valid-type]
    """A client, snapshot or transaction was used after its end."""


class WatchError(Error):
    """Never raised; here for programs that handle redis-py's."""


def error_of(code: int) -> Error:
    """The exception for a negative result of the call that this thread has just made."""
    detail = library.mlkv_error_detail().decode("utf-8", "replace")
    made = CLASSES.get(code, Error)
    error = made(detail or made.__doc__ or f"result {code}")
    if code not in CLASSES:
        error.code = code
    return error


def error_of_reply(code: int, text: str) -> Error:
    """The exception for a command's error: the class by the code, the message Redis's own, without the prefixes that redis-py takes
    away."""
    found = CLASSES.get(code, Error)
    made = CommandError if found is ArgumentError else PayloadError if "DUMP payload" in text else found
    kind, _, rest = text.partition(" ")
    error = made(rest if kind in _PREFIXES else text)
    if code not in CLASSES:
        error.code = code
    return error


__all__ = [
    "Error", "RedisError", "ResponseError", "DataError", "CommandError", "PayloadError",
    "ClosedError", "WatchError", "CLASSES", "error_of",
    *sorted(made.__name__ for made in CLASSES.values()),
]  # fmt: skip

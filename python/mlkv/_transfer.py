"""What import, export and state dicts share.

Files are read and written by the library (mlkv/file.h), in blocks of FILE_BLOCK_BYTES. A path is looked at here first, so that what is
wrong with it is the OSError that Python has for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import stat
from typing import Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from ._library import FileOptions, Slice, library
from ._tensors import DType
from ._view import View, check
from .errors import ArgumentError, FileError, FormatError

FILE_BLOCK_BYTES = 32 << 20  # of a file that are held in memory at once
COLUMNS_BYTES_MAX = 64 << 20  # of a .npy file in Fortran's order, which is put into rows in memory

PathLike = Union[str, bytes, "os.PathLike[str]"]


class Transfer(NamedTuple):
    """What was imported, exported or saved."""

    names: Tuple[Any, ...]
    """The keys, as the client gives keys (bytes, or str with decode_responses)."""
    bytes: int
    """Of all elements, uncompressed."""
    metadata: Dict[str, str] = {}
    """The file's, where it has such."""


class Part(NamedTuple):
    """One tensor to be saved. open() gives the address of its elements, and keeps them there as long as it is entered."""

    key: bytes
    dtype: DType
    shape: Tuple[int, ...]
    bytes: int
    open: Callable[[], ContextManager[Optional[int]]]


class TransferView(View):
    """Base of what the views get from the modules that save and load."""

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[Any]:
        """A view in which nothing changes while several tensors are read."""
        yield self


def kind_of(view: Any, key: bytes) -> str:
    """ "none", "tensor", "string" ..."""
    number = ctypes.c_int()
    check(library.mlkv_key_type(view._handle, Slice(key, len(key)), number))
    name: bytes = library.mlkv_type_name(number)
    return name.decode()


def literal(prefix: bytes) -> bytes:
    """A pattern that matches nothing but these bytes."""
    return re.sub(rb"([*?\[\]^\\])", rb"\\\1", prefix)


# --- reading files ---


class Source:
    """A file that is read: a regular one, which must not change meanwhile."""

    def __init__(self, path: PathLike) -> None:
        self.path = os.fsdecode(path)
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would wait
        try:
            self._was = os.fstat(self.file)
            if not stat.S_ISREG(self._was.st_mode):
                raise self.error("is not a regular file")
        except BaseException:
            os.close(self.file)
            raise
        self.size = self._was.st_size

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: Any) -> None:
        os.close(self.file)

    def error(self, what: str) -> Exception:
        return FormatError(f"{self.path}: {what}")

    def unchanged(self, _view: Any = None) -> None:
        """Raises if somebody wrote to the file since it was opened: what was read may be of two states."""
        now = os.fstat(self.file)
        if (now.st_size, now.st_mtime_ns) != (self._was.st_size, self._was.st_mtime_ns):
            raise FileError(f"{self.path} was changed while it was read; nothing was imported")

    def read(self, offset: int, size: int) -> bytearray:
        """Bytes that must be there."""
        data = bytearray(size)
        self.read_into(offset, memoryview(data))
        return data

    def read_into(self, offset: int, memory: memoryview) -> None:
        done = 0
        while done < memory.nbytes:
            count = os.preadv(self.file, [memory[done:]], offset + done)
            if count == 0:
                raise FileError(f"{self.path} ends at byte {offset + done}, while it was read")
            done += count


# --- files that the library reads and writes ---


def readable(path: PathLike) -> bytes:
    """The path for the library; OSError if it cannot be opened."""
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))  # a pipe without a writer would wait
    return os.fsencode(path)


def writable(path: PathLike) -> bytes:
    """The same of a file that is to be made; OSError if its folder is not there, or it is a folder itself."""
    name = os.fsencode(path)
    folder = os.path.dirname(name) or b"."
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(folder))
    if os.path.isdir(name) and not os.path.islink(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(name))
    return name


def file_options(block_bytes: int = 0) -> FileOptions:
    options = FileOptions()
    options.block_bytes = block_bytes or FILE_BLOCK_BYTES
    return options


def refuse_same(keys: Sequence[bytes]) -> None:
    """Two names that are the same key, as an encoding with replacement makes them."""
    seen = set()
    for key in keys:
        if key in seen:
            raise ArgumentError(f"two of the tensors would have the key {key!r}")
        seen.add(key)

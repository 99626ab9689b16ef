"""What import, export and state dicts share: many tensors become visible at once, and files that are there.

Saving a state dict. The tensors of one call are put in one of two ways, and both end in one transaction, so that no reader ever sees
some of them:

1. Up to TOGETHER_BYTES_MAX in all, and always within the caller's own transaction: put in that transaction, under their own names.
2. More: each is put under a temporary name first, outside every lock, and the transaction at the end only renames. Where a tensor of
   the same form stands already, the temporary one begins as its copy, which shares its chunks: only what differs is written.

A temporary name begins with STAGED and names the process by its boot, number and start. What a killed process left is deleted by the
next save of the second way; what an exception leaves, at once. Only names that end like those here are looked at.

Files are read and written by the library (mlkv/file.h), in blocks of FILE_BLOCK_BYTES. A path is looked at here first, so that what is
wrong with it is the OSError that Python has for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import stat
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from . import _library
from ._keys import SCAN_KEYS
from ._library import FileOptions, Slice, library
from ._tensors import DType
from ._view import View, check
from .errors import ArgumentError, Error, FileError, FormatError, WrongTypeError

BLOCK_BYTES = 64 << 20  # up to this much of a copy is held in memory, whatever its chunks
FILE_BLOCK_BYTES = 32 << 20  # of a file that are held in memory at once
COLUMNS_BYTES_MAX = 64 << 20  # of a .npy file in Fortran's order, which is put into rows in memory
TOGETHER_BYTES_MAX = 64 << 20  # the writer lock is held while that much is compressed: a tenth of a second or two
COPY_CHUNK_BYTES = 32 << 10  # of smaller chunks a copy shares nothing, and holds all of them in memory
STAGED = b"mlkv:staged:"
_STAGED_FORM = re.compile(re.escape(STAGED) + rb"([0-9a-f]+-[0-9]+-[0-9]+):[0-9]+:[0-9]+")
_SCAN_COUNT = 256

PathLike = Union[str, bytes, "os.PathLike[str]"]
_numbers = itertools.count()


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

    _stages = False  # whether the second way is possible: not in a transaction, which is the caller's

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[Any]:
        """A view in which nothing changes while several tensors are read."""
        yield self


# --- saving ---


def save(view: Any, parts: Sequence[Part], settle: Callable[[Any], None]) -> None:
    """Puts all tensors at once, without expiries; settle(view) is called last in the same transaction, and its exception gives up all."""
    _refuse_other_types(view, parts)
    if not view._stages or sum(part.bytes for part in parts) <= TOGETHER_BYTES_MAX:
        _save_together(view, parts, settle)
    else:
        _save_staged(view, parts, settle)


def _save_together(view: Any, parts: Sequence[Part], settle: Callable[[Any], None]) -> None:
    if not view._stages:  # the lock is held already
        for part in parts:
            with part.open() as address:
                _put(view, part.key, part, address)
                view.persist(part.key)
        return settle(view)
    with contextlib.ExitStack() as opened:
        addresses = [opened.enter_context(part.open()) for part in parts]
        with view._atomic() as transaction:
            for part, address in zip(parts, addresses):
                _put(transaction, part.key, part, address)
                transaction.persist(part.key)
            settle(transaction)


def _save_staged(view: Any, parts: Sequence[Part], settle: Callable[[Any], None]) -> None:
    _delete_leftovers(view)
    start = STAGED + f"{_process(os.getpid())}:{next(_numbers)}:".encode()
    names = [start + str(number).encode() for number in range(len(parts))]
    try:
        for name, part in zip(names, parts):
            _begin_as_copy(view, part, name)
            with part.open() as address:
                _put(view, name, part, address)
        with view._atomic() as transaction:
            _refuse_other_types(transaction, parts)
            for name, part in zip(names, parts):
                transaction.rename(name, part.key)
            settle(transaction)
    except BaseException:
        with contextlib.suppress(Error):  # what is left is deleted when this process is no more
            _delete(view, names)
        raise


def _delete(view: Any, names: Sequence[bytes]) -> None:
    for first in range(0, len(names), _SCAN_COUNT):
        view.delete(*names[first : first + _SCAN_COUNT])


def _begin_as_copy(view: Any, part: Part, name: bytes) -> None:
    """So that chunks which do not differ are shared. Whatever happens to the original meanwhile is harmless: the put comes after."""
    info = view.tensor_info(part.key)
    if info is None or (info.dtype, info.shape) != (part.dtype.name, part.shape):
        return
    if info.raw_bytes <= BLOCK_BYTES or info.chunk_rows * info.row_bytes >= COPY_CHUNK_BYTES:
        with view._atomic() as transaction:
            if transaction.copy(part.key, name):
                transaction.persist(name)


def _put(view: Any, key: bytes, part: Part, address: Optional[int]) -> None:
    form = _library.Tensor(part.dtype.code, len(part.shape), part.shape)
    check(library.mlkv_tensor_put(view._handle, Slice(key, len(key)), form, address, None))


def _refuse_other_types(view: Any, parts: Sequence[Part]) -> None:
    for part in parts:
        kind = kind_of(view, part.key)
        if kind not in ("none", "tensor"):
            raise WrongTypeError(f"the key {part.key!r} holds a {kind}, not a tensor")


def kind_of(view: Any, key: bytes) -> str:
    """ "none", "tensor", "string" ..."""
    number = ctypes.c_int()
    check(library.mlkv_key_type(view._handle, Slice(key, len(key)), number))
    name: bytes = library.mlkv_type_name(number)
    return name.decode()


def _delete_leftovers(view: Any) -> None:
    """Of processes that are no more. Their numbers mean the same to all who have the store open: the library refuses other namespaces."""
    dead: List[bytes] = []
    for key, _ in view._scan_iter(SCAN_KEYS, None, literal(STAGED) + b"*", None):
        found = _STAGED_FORM.fullmatch(key)
        if found and not _alive(found[1].decode()):
            dead.append(key)
    _delete(view, dead)


def _process(number: int) -> str:
    """A process, by a name that no other one ever has; "" if there is none of this number."""
    try:
        words = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""
    return f"{boot}-{number}-{int(words[19])}"  # the start, in ticks since the boot


def _alive(process: str) -> bool:
    return _process(int(process.split("-")[1])) == process


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

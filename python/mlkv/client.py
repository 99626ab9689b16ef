"""Client, Transaction, Snapshot: the three views of a store."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type, Union, overload

from . import _library
from ._commands import Commands
from ._dictionaries import DictionaryCommands
from ._lending import LendingCommands
from ._library import VERSION, library
from ._models import ModelCommands
from ._npy import NpyCommands
from ._safetensors import SafetensorsCommands
from ._samples import SampleCommands
from ._values import Codec, Pool, Value
from ._view import Handle, check
from .errors import ArgumentError, CorruptError, DataError, OwnerError
from .pipeline import Pipeline

_DURABILITIES = {"default": 0, "journal": 1, "sync": 2, "store": 3}
_READ_ONLY, _NO_CREATE, _ACCEPT_LOSS = 1, 2, 4
_NUMBERS = (
    "cache_bytes", "ring_bytes", "batch_bytes", "sync_interval_ms", "lock_timeout_ms", "compress_threshold_bytes", "compress_level",
    "threads",
)  # fmt: skip


class Report(NamedTuple):
    """What verify() found."""

    records: int
    keys: int
    elements: int
    blobs: int
    bytes: int
    unclaimed: int
    problems: Tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


class _Commands(SafetensorsCommands, NpyCommands, ModelCommands, DictionaryCommands, SampleCommands, LendingCommands, Commands):
    """With what reads and writes files, or many tensors at once, which a pipeline does not collect."""


class Client(_Commands):
    """An open store, for any number of threads, and for processes forked with it open.

    path: the store's folder, made as needed; None for a store in memory, of this process and its forked children.

    Options, all by name: decode_responses (str instead of bytes), encoding, encoding_errors; read_only, create (False: the store must be
    there), accept_loss; durability ("journal", "sync" or "store"); cache_bytes, ring_bytes, batch_bytes, sync_interval_ms,
    lock_timeout_ms, compress_threshold_bytes, compress_level, threads as in mlkv/db.h.

    A client pickles as its path and options: under multiprocessing's spawn the child opens the same store. One in memory cannot.
    """

    _closed_message = "this client is closed"

    def __init__(
        self,
        path: Union[str, bytes, "os.PathLike[str]", None] = None,
        *,
        decode_responses: bool = False,
        encoding: str = "utf-8",
        encoding_errors: str = "strict",
        read_only: bool = False,
        create: bool = True,
        accept_loss: bool = False,
        durability: str = "default",
        **numbers: int,
    ) -> None:
        self.path: Optional[str] = None if path is None else os.path.abspath(os.fsdecode(path))
        self.options: Dict[str, Any] = dict(
            decode_responses=decode_responses, encoding=encoding, encoding_errors=encoding_errors, read_only=read_only,
            create=create, accept_loss=accept_loss, durability=durability, **numbers,
        )  # fmt: skip
        options = _library.Options()
        options.flags = read_only * _READ_ONLY | (not create) * _NO_CREATE | accept_loss * _ACCEPT_LOSS
        if durability not in _DURABILITIES:
            raise ArgumentError(f"durability is {durability!r}; there are {', '.join(_DURABILITIES)}")
        options.durability = _DURABILITIES[durability]
        for name, number in numbers.items():
            _set_number(options, name, number)
        pointer = ctypes.c_void_p()
        check(library.mlkv_open(None if self.path is None else os.fsencode(self.path), options, pointer))
        self._attach(Handle(pointer), Codec(encoding, encoding_errors, decode_responses), Pool())

    def __repr__(self) -> str:
        return f"mlkv.Client({self.path!r}{', closed' if self.closed else ''})"

    def __reduce__(self) -> Any:
        if self.path is None:
            raise TypeError("a client of a store in memory cannot be pickled: its store belongs to this process and its forks")
        return _open_again, (type(self), self.path, self.options)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextmanager
    def _atomic(self) -> Iterator["Transaction"]:
        with self.transaction() as view:
            yield view

    @contextmanager
    def _frozen(self) -> Iterator["Snapshot"]:
        with self.snapshot() as view:
            yield view

    @overload
    def transaction(self) -> "Transaction": ...

    @overload
    def transaction(self, func: Callable[[Pipeline], Any], *watches: Value, value_from_callable: bool = False, **_: Any) -> Any: ...

    def transaction(
        self, func: Optional[Callable[[Pipeline], Any]] = None, *watches: Value, value_from_callable: bool = False, **_: Any
    ) -> Any:
        """A write transaction, which holds the store's one writer lock from `with` to its end:

            with client.transaction() as t:
                t.set("balance", int(t.get("balance")) - 1)

        Commits at the end, or aborts if an exception leaves the block. It belongs to the thread that entered it.

        With a function it is redis-py's: the function is given a pipeline, which watches the keys; the result is that of execute(), or,
        value_from_callable, the function's."""
        if func is None:
            return Transaction(self)
        with self.pipeline() as pipe:
            if watches:
                pipe.watch(*watches)
            value = func(pipe)
            results = pipe.execute()
        return value if value_from_callable else results

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """redis-py's pipeline: commands are collected, execute() runs them, in one transaction unless transaction=False."""
        return Pipeline(self, transaction)

    def snapshot(self) -> "Snapshot":
        """A consistent view of everything written so far, for reading only. Close it, or use it with `with`."""
        pointer = ctypes.c_void_p()
        check(library.mlkv_snapshot(self._handle, pointer))
        return Snapshot(pointer, self._codec, self._pool)

    def flush(self, level: str = "sync") -> bool:
        """Waits until all that was written before is as durable as level says: "journal", "sync" (on the disk) or "store" (in LMDB)."""
        if level not in _DURABILITIES:
            raise ArgumentError(f"level is {level!r}; there are {', '.join(_DURABILITIES)}")
        check(library.mlkv_flush(self._handle, _DURABILITIES[level]))
        return True

    def save(self) -> bool:
        """flush("store"): everything is in LMDB, synced."""
        return self.flush("store")

    def bgsave(self, schedule: bool = True) -> bool:
        """flush("sync"): everything is on the disk. The way into LMDB goes on in the background at all times."""
        return self.flush("sync")

    def backup(self, path: Union[str, bytes, "os.PathLike[str]"]) -> bool:
        """Copies everything written so far into a new (or empty) folder, compacted, as a store of its own: one consistent state, made
        while all processes go on reading and writing. ArgumentError if something is there; a copy that fails is removed."""
        check(library.mlkv_backup(self._handle, os.fsencode(path)))
        return True

    def compact(self) -> int:
        """Gives disk space that the store does not need back to the file system, as holes in data.mdb, while all processes go on.
        Returns how many bytes. PlatformError if the file system cannot punch holes. A background thread does it by itself when much
        is free."""
        freed = ctypes.c_uint64()
        check(library.mlkv_compact(self._handle, freed))
        return freed.value

    def verify(self) -> Report:
        """Reads the whole store and checks it. Problems are in the report; an exception means that it could not be read to its end."""
        problems: List[str] = []

        def note(_context: Any, problem: bytes) -> int:
            problems.append(problem.decode("utf-8", "replace"))
            return 0

        report = _library.Report()
        try:
            check(library.mlkv_verify(self._handle, _library.VerifyCallback(note), None, report))
        except CorruptError as error:
            if not problems:
                problems.append(error.detail)
        counts = {name: getattr(report, name) for name in Report._fields if name != "problems"}
        return Report(**counts, problems=tuple(problems))

    def stats(self) -> Dict[str, int]:
        """Counters of the store as this process sees it; their meaning stands in mlkv/db.h."""
        stats = _library.Stats()
        check(library.mlkv_stats_get(self._handle, stats))
        return {name: getattr(stats, name) for name, *_ in stats._fields_ if name != "size"}

    def info(self, section: Optional[str] = None) -> Dict[str, Any]:
        """stats(), with the version, the path, and the number of keys where redis-py has it."""
        stats = self.stats()
        return {
            "mlkv_version": library.mlkv_version().decode(), "mlkv_python_version": VERSION, "path": self.path,
            "process_id": os.getpid(), "db0": {"keys": stats["keys"], "expires": 0}, **stats,
        }  # fmt: skip


class Snapshot(_Commands):
    """A consistent, unchanging view; writes are refused (ReadOnlyError). Any thread may read it; it does not cross a fork."""

    _closed_message = "this snapshot is closed"

    def __init__(self, pointer: ctypes.c_void_p, codec: Codec, pool: Pool) -> None:
        self._attach(Handle(pointer), codec, pool)

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextmanager
    def _atomic(self) -> Iterator["Snapshot"]:
        yield self


class Transaction(_Commands):
    """Reads and writes that become visible all at once, or not at all. Begins at `with` or begin()."""

    _closed_message = "this transaction is over, or was not begun"
    _waits = False

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread = 0

    def begin(self) -> "Transaction":
        """Takes the writer lock. BusyError if another holds it for longer than lock_timeout_ms."""
        if not self.closed:
            raise OwnerError("this transaction has begun already")
        pointer = ctypes.c_void_p()
        check(library.mlkv_begin(self._client._handle, pointer))
        self._thread = threading.get_ident()
        self._attach(Handle(pointer), self._client._codec, self._client._pool)
        return self

    def commit(self) -> None:
        """Makes the writes visible, and durable as the client says."""
        self._end(library.mlkv_commit)

    def abort(self) -> None:
        """Gives the writes up. Aborting what is over does nothing."""
        if not self.closed:
            self._end(library.mlkv_abort)

    close = abort

    def _end(self, end: Callable[[Any], int]) -> None:
        if threading.get_ident() != self._thread:
            raise OwnerError("a transaction is ended by the thread that began it")
        handle = self._handle
        self._detach()
        pointer = handle.take()
        if pointer is not None:
            check(end(pointer))

    def __enter__(self) -> "Transaction":
        return self.begin()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.closed:
            return
        if kind is None:
            self.commit()
        else:
            self.abort()

    @contextmanager
    def _atomic(self) -> Iterator["Transaction"]:
        yield self


def _set_number(options: Any, name: str, number: int) -> None:
    """Sets a numeric option; refuses what ctypes would cut silently."""
    if name not in _NUMBERS:
        raise TypeError(f"there is no option {name!r}")
    setattr(options, name, number)
    if getattr(options, name) != number:
        raise DataError(f"{name} cannot be {number!r}")


def _open_again(kind: Type[Client], path: str, options: Dict[str, Any]) -> Client:
    """What a pickled client is."""
    return kind(path, **options)


def open(path: Union[str, bytes, "os.PathLike[str]", None] = None, **options: Any) -> Client:
    """Opens the store in a folder, or, without a path, one in memory. Options as for Client."""
    return Client(path, **options)

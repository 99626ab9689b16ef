"""Finds libmlkv, checks its version, and declares its structures and functions for ctypes.

The library is looked for in this order, and the first that loads is taken:

1. the file that the environment variable MLKV_LIBRARY names (then nothing else is tried),
2. beside this package (a wheel that carries the library),
3. the build folders of a source checkout: build/lib, then every other build*/lib,
4. the system: what ctypes.util.find_library says, then libmlkv.so.0 by the loader's own path.

It is loaded with CDLL, which lets go of the interpreter's lock during every call, so threads of one process work at once.
The loaded library is the only state that this package keeps for the whole process.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Iterator

VERSION = "0.1.0"
"""The version of the C interface that this package was written for. Major and minor must be those of the library."""

DIMENSIONS_MAX = 8


class Slice(ctypes.Structure):
    """Bytes lent to the library for one call: Slice(b"...", size)."""

    _fields_ = [("data", c_char_p), ("size", c_size_t)]


class SliceOut(ctypes.Structure):
    """The same, as the library gives it: an address."""

    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class Buffer(ctypes.Structure):
    """One result. Used again and again; gives its memory back when Python drops it."""

    _fields_ = [("data", c_void_p), ("size", c_size_t), ("capacity", c_size_t)]

    def free(self) -> None:
        library.mlkv_buffer_free(self)

    def __del__(self) -> None:
        if self.data:
            self.free()


class Rows(ctypes.Structure):
    """Many results in one arena."""

    _fields_ = [
        ("items", c_void_p),
        ("count", c_size_t),
        ("item_capacity", c_size_t),
        ("arena", c_void_p),
        ("arena_size", c_size_t),
        ("arena_capacity", c_size_t),
    ]

    def free(self) -> None:
        library.mlkv_rows_free(self)

    def __del__(self) -> None:
        if self.items or self.arena:
            self.free()


class SizedStructure(ctypes.Structure):
    """A structure that begins with its own size."""

    def __init__(self) -> None:
        super().__init__(ctypes.sizeof(type(self)))


class Options(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint32),
        ("durability", c_int32),
        ("cache_bytes", c_size_t),
        ("ring_bytes", c_size_t),
        ("batch_bytes", c_size_t),
        ("sync_interval_ms", c_uint32),
        ("lock_timeout_ms", c_uint32),
        ("compress_threshold_bytes", c_size_t),
        ("compress_level", c_int32),
        ("reserved", c_uint32),
    ]


class Stats(SizedStructure):
    _fields_ = [("size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "cache_hits cache_misses pending_hits cache_bytes cache_bytes_max ring_bytes ring_used_bytes tail applied synced "
            "frames_appended frames_caught_up batches_applied records_applied throttled overtaken oldest_snapshot_age readers "
            "store_bytes keys blobs_written"
        ).split()
    ]


class Report(SizedStructure):
    _fields_ = [("size", c_size_t)] + [
        (name, c_uint64) for name in "records keys elements blobs bytes problems unclaimed".split()
    ]


class Query(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("kind", c_int32),
        ("reserved", c_uint32),
        ("key", Slice),
        ("prefix", Slice),
        ("token", Slice),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", c_int32), ("dimensions", c_uint32), ("shape", c_uint64 * DIMENSIONS_MAX)]


class TensorOptions(SizedStructure):
    _fields_ = [("size", c_size_t), ("chunk_bytes", c_size_t)]


class TensorInfo(SizedStructure):
    _fields_ = [("size", c_size_t), ("tensor", Tensor)] + [
        (name, c_uint64) for name in "raw_bytes stored_bytes rows row_bytes chunk_rows chunks version".split()
    ]


VerifyCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)

_V = c_void_p  # a view, a cursor, or the address of an array of slices
_COUNT = POINTER(c_size_t)
_U64 = POINTER(c_uint64)
_I64 = POINTER(c_int64)
_BUFFER = POINTER(Buffer)
_ROWS = POINTER(Rows)
_HANDLE = POINTER(c_void_p)

# name: result, then arguments
_PROTOTYPES: dict[str, tuple] = {
    "mlkv_version": (c_char_p,),
    "mlkv_buffer_free": (None, _BUFFER),
    "mlkv_rows_free": (None, _ROWS),
    "mlkv_error_detail": (c_char_p,),
    "mlkv_error_row": (c_int, c_size_t, POINTER(c_int), POINTER(c_char_p), POINTER(c_char_p)),
    "mlkv_open": (c_int, c_char_p, POINTER(Options), _HANDLE),
    "mlkv_close": (c_int, _V),
    "mlkv_begin": (c_int, _V, _HANDLE),
    "mlkv_commit": (c_int, _V),
    "mlkv_abort": (c_int, _V),
    "mlkv_snapshot": (c_int, _V, _HANDLE),
    "mlkv_flush": (c_int, _V, c_int),
    "mlkv_backup": (c_int, _V, c_char_p),
    "mlkv_stats_get": (c_int, _V, POINTER(Stats)),
    "mlkv_verify": (c_int, _V, VerifyCallback, c_void_p, POINTER(Report)),
    "mlkv_key_exists": (c_int, _V, _V, c_size_t, _COUNT),
    "mlkv_key_delete": (c_int, _V, _V, c_size_t, _COUNT),
    "mlkv_key_type": (c_int, _V, Slice, POINTER(c_int)),
    "mlkv_key_count": (c_int, _V, _U64),
    "mlkv_type_name": (c_char_p, c_int),
    "mlkv_cursor_open": (c_int, _V, POINTER(Query), _HANDLE),
    "mlkv_cursor_next": (c_int, _V, POINTER(SliceOut), POINTER(SliceOut)),
    "mlkv_cursor_token": (c_int, _V, _BUFFER),
    "mlkv_cursor_close": (None, _V),
    "mlkv_string_set": (c_int, _V, Slice, Slice, c_int),
    "mlkv_string_get": (c_int, _V, Slice, _BUFFER),
    "mlkv_string_length": (c_int, _V, Slice, _U64),
    "mlkv_string_add": (c_int, _V, Slice, c_int64, _I64),
    "mlkv_string_get_many": (c_int, _V, _V, c_size_t, _ROWS),
    "mlkv_string_set_many": (c_int, _V, _V, c_size_t),
    "mlkv_hash_set": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_hash_set_if_absent": (c_int, _V, Slice, Slice, Slice),
    "mlkv_hash_get": (c_int, _V, Slice, Slice, _BUFFER),
    "mlkv_hash_get_many": (c_int, _V, Slice, _V, c_size_t, _ROWS),
    "mlkv_hash_get_all": (c_int, _V, Slice, _ROWS),
    "mlkv_hash_delete": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_hash_length": (c_int, _V, Slice, _U64),
    "mlkv_hash_exists": (c_int, _V, Slice, Slice),
    "mlkv_hash_keys": (c_int, _V, Slice, _ROWS),
    "mlkv_hash_values": (c_int, _V, Slice, _ROWS),
    "mlkv_hash_add": (c_int, _V, Slice, Slice, c_int64, _I64),
    "mlkv_set_add": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_set_remove": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_set_contains": (c_int, _V, Slice, _V, c_size_t, POINTER(c_uint8)),
    "mlkv_set_members": (c_int, _V, Slice, _ROWS),
    "mlkv_set_count": (c_int, _V, Slice, _U64),
    "mlkv_set_random": (c_int, _V, Slice, c_size_t, c_int, _ROWS),
    "mlkv_dtype_size": (c_size_t, c_int),
    "mlkv_dtype_name": (c_char_p, c_int),
    "mlkv_tensor_put": (c_int, _V, Slice, POINTER(Tensor), _V, POINTER(TensorOptions)),
    "mlkv_tensor_get_info": (c_int, _V, Slice, POINTER(TensorInfo)),
    "mlkv_tensor_get": (c_int, _V, Slice, _V, c_size_t),
    "mlkv_tensor_read_rows": (c_int, _V, Slice, c_uint64, c_uint64, _V, c_size_t),
    "mlkv_tensor_write_rows": (c_int, _V, Slice, c_uint64, c_uint64, _V, c_size_t),
    "mlkv_tensor_add": (c_int, _V, Slice, c_double, POINTER(Tensor), _V),
    "mlkv_tensor_add_rows": (c_int, _V, Slice, c_double, c_uint64, c_uint64, _V, c_size_t),
}


def _candidates() -> Iterator[str]:
    """Files and names to try, best first."""
    package = Path(__file__).resolve().parent
    yield from (str(path) for path in sorted(package.glob("libmlkv.so*")))
    checkout = package.parent.parent
    if (checkout / "include" / "mlkv" / "mlkv.h").is_file():
        folders = sorted(checkout.glob("build*/lib"), key=lambda folder: (folder.parent.name != "build", folder.parent.name))
        yield from (str(folder / "libmlkv.so") for folder in folders if (folder / "libmlkv.so").is_file())
    found = ctypes.util.find_library("mlkv")
    if found:
        yield found
    yield "libmlkv.so.0"


def _load() -> ctypes.CDLL:
    named = os.environ.get("MLKV_LIBRARY")
    refused = []
    for candidate in [named] if named else _candidates():
        try:
            loaded = ctypes.CDLL(candidate)
            _declare(loaded, candidate)
            return loaded
        except (OSError, ImportError) as error:
            refused.append(f"{candidate}: {error}")
    tried = "\n  ".join(refused)
    raise ImportError(f"libmlkv was not found; name its file in the environment variable MLKV_LIBRARY. Tried:\n  {tried}")


def _declare(loaded: ctypes.CDLL, candidate: str) -> None:
    """Sets the prototypes; ImportError if the library is not one that this package can talk to."""
    try:
        for name, (result, *arguments) in _PROTOTYPES.items():
            function = getattr(loaded, name)
            function.restype = result
            function.argtypes = arguments
    except AttributeError as error:
        raise ImportError(f"it lacks a function: {error}") from None
    version = loaded.mlkv_version().decode()
    if version.split(".")[:2] != VERSION.split(".")[:2]:
        raise ImportError(f"{candidate} is version {version}, and this package needs {'.'.join(VERSION.split('.')[:2])}")


library = _load()

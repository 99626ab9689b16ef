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
        ("threads", c_uint32),
        ("_parallel", c_void_p),
        ("_parallel_context", c_void_p),
    ]


class Stats(SizedStructure):
    _fields_ = [("size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "cache_hits cache_misses pending_hits cache_bytes cache_bytes_max ring_bytes ring_used_bytes tail applied synced "
            "frames_appended frames_caught_up batches_applied records_applied throttled overtaken oldest_snapshot_age readers "
            "store_bytes keys blobs_written store_disk_bytes store_free_bytes "
            "decoded_hits decoded_misses decoded_bytes loans loan_bytes oldest_loan_ms dictionary_bytes"
        ).split()
    ]


class Report(SizedStructure):
    _fields_ = [("size", c_size_t)] + [
        (name, c_uint64) for name in "records keys elements blobs bytes problems unclaimed".split()
    ]


class SalvageReport(SizedStructure):
    _fields_ = [("size", c_size_t)] + [
        (name, c_uint64)
        for name in (
            "pages pages_damaged records_found records_lost uncertain frames keys elements blobs bytes keys_lost elements_lost "
            "losses repairs"
        ).split()
    ]


class DictionaryOptions(SizedStructure):
    _fields_ = [("size", c_size_t), ("dictionary_bytes", c_size_t), ("sample_max_bytes", c_size_t)]


class DictionaryInfo(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("id", c_uint32),
        ("version", c_uint32),
        ("bytes", c_uint64),
        ("created_ms", c_int64),
        ("samples", c_uint64),
        ("tried_bytes", c_uint64),
        ("without_bytes", c_uint64),
        ("with_bytes", c_uint64),
        ("current", c_int32),
        ("reserved", c_int32),
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


class Expiry(ctypes.Structure):
    """What becomes of a key's expiry; passed by value."""

    _fields_ = [("kind", c_int32), ("reserved", c_uint32), ("ms", c_int64)]


class WatchQuery(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("keys", c_void_p),
        ("key_count", c_size_t),
        ("prefixes", c_void_p),
        ("prefix_count", c_size_t),
    ]


class CommandInfo(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("name", c_char_p),
        ("group", c_char_p),
        ("summary", c_char_p),
        ("synopsis", c_char_p),
        ("flags", c_uint32),
        ("arity", c_int32),
        ("first_key", c_int32),
        ("last_key", c_int32),
        ("key_step", c_int32),
    ]


class Reply(ctypes.Structure):
    """The reply to a command. Used again and again; gives its memory back when Python drops it. Its buffers are words here: as Buffer
    objects they would be freed twice."""

    _fields_ = [
        ("nodes", c_void_p),
        ("count", c_size_t),
        ("capacity", c_size_t),
        ("arena", c_void_p),
        ("arena_size", c_size_t),
        ("arena_capacity", c_size_t),
        ("value", c_size_t * 2),
        ("value_capacity", c_size_t),
        ("numbers", c_size_t * 2),
        ("numbers_capacity", c_size_t),
        ("rows", c_size_t * 5),
        ("rows_capacity", c_size_t),
        ("failed", c_int32),
        ("reserved", c_uint32),
    ]

    def __del__(self) -> None:
        library.mlkv_reply_free(self)


class LockGrant(ctypes.Structure):
    _fields_ = [("token", ctypes.c_char * 32), ("fence", c_uint64)]


class ComputeCounts(ctypes.Structure):
    _fields_ = [
        (name, c_uint64)
        for name in (
            "hits", "stale_hits", "absent_hits", "misses", "computations", "failures", "absences", "unwanted", "waits", "refreshes",
            "compute_ns", "saved_ns",
        )
    ]  # fmt: skip


class ComputePolicy(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("ttl_ms", c_int64),
        ("stale_ms", c_int64),
        ("refresh_ahead_ms", c_int64),
        ("absent_ms", c_int64),
        ("lease_ms", c_int64),
        ("wait_ms", c_int64),
        ("jitter_percent", c_uint32),
        ("stale_on_failure", c_uint32),
        ("refresher", c_void_p),
        ("counts", c_void_p),
    ]


class TopK(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("metric", c_int32),
        ("reserved", c_uint32),
        ("queries", c_void_p),
        ("n", c_size_t),
        ("query_bytes", c_size_t),
        ("k", c_size_t),
        ("filter", c_void_p),
        ("filter_bytes", c_size_t),
    ]


class Match(ctypes.Structure):
    _fields_ = [("a_begin", c_uint64), ("b_begin", c_uint64), ("length", c_uint64)]


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", c_int32), ("dimensions", c_uint32), ("shape", c_uint64 * DIMENSIONS_MAX)]


class TensorOptions(SizedStructure):
    _fields_ = [("size", c_size_t), ("chunk_bytes", c_size_t), ("contiguous", c_size_t)]


class TensorInfo(SizedStructure):
    _fields_ = [("size", c_size_t), ("tensor", Tensor)] + [
        (name, c_uint64) for name in "raw_bytes stored_bytes rows row_bytes chunk_rows chunks version contiguous".split()
    ]


class FileOptions(SizedStructure):
    _fields_ = [("size", c_size_t), ("chunk_bytes", c_size_t), ("block_bytes", c_size_t), ("contiguous", c_size_t)]


class FileInfo(SizedStructure):
    _fields_ = [("size", c_size_t), ("tensors", c_uint64), ("bytes", c_uint64), ("chunks_written", c_uint64)]


class PublishOptions(SizedStructure):
    _fields_ = [("size", c_size_t), ("keep_last", c_uint32), ("carry_rest", c_uint32), ("metadata", Slice)]


class ModelInfo(SizedStructure):
    _fields_ = [
        ("size", c_size_t), ("version", c_uint64), ("published_ms", c_int64), ("tensors", c_uint64), ("raw_bytes", c_uint64),
        ("stored_bytes", c_uint64), ("new_bytes", c_uint64), ("current", c_uint32), ("reserved", c_uint32),
    ]  # fmt: skip


ModelBegin = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint64)
ModelPlace = ctypes.CFUNCTYPE(c_void_p, c_void_p, c_size_t, SliceOut, POINTER(TensorInfo))
ModelVisit = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(ModelInfo))


class ModelReader(SizedStructure):
    _fields_ = [
        ("size", c_size_t), ("begin", ModelBegin), ("place", ModelPlace), ("context", c_void_p), ("metadata", POINTER(Buffer)),
    ]  # fmt: skip


class Scored(ctypes.Structure):
    _fields_ = [("member", Slice), ("score", c_double)]


class RangeSpec(SizedStructure):
    _fields_ = [
        ("size", c_size_t),
        ("by", c_int32),
        ("min_bound", c_int32),
        ("max_bound", c_int32),
        ("reverse", c_int32),
        ("start", c_int64),
        ("stop", c_int64),
        ("min", c_double),
        ("max", c_double),
        ("min_member", Slice),
        ("max_member", Slice),
        ("limited", c_int32),
        ("reserved", c_uint32),
        ("offset", c_int64),
        ("limit", c_int64),
    ]


VerifyCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_char_p)
ComputeFunction = ctypes.CFUNCTYPE(c_int, c_void_p, SliceOut, c_void_p)
SalvageCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_char_p)

_V = c_void_p  # a view, a cursor, or the address of an array of slices
_COUNT = POINTER(c_size_t)
_U64 = POINTER(c_uint64)
_I64 = POINTER(c_int64)
_BUFFER = POINTER(Buffer)
_ROWS = POINTER(Rows)
_DOUBLE = POINTER(c_double)
_RANGE = POINTER(RangeSpec)
_HANDLE = POINTER(c_void_p)

# name: result, then arguments
_PROTOTYPES: dict[str, tuple] = {
    "mlkv_version": (c_char_p,),
    "mlkv_buffer_free": (None, _BUFFER),
    "mlkv_buffer_assign": (c_int, _V, c_char_p, c_size_t),
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
    "mlkv_compact": (c_int, _V, POINTER(c_uint64)),
    "mlkv_stats_get": (c_int, _V, POINTER(Stats)),
    "mlkv_verify": (c_int, _V, VerifyCallback, c_void_p, POINTER(Report)),
    "mlkv_dictionary_train": (c_int, _V, Slice, POINTER(DictionaryOptions), POINTER(DictionaryInfo)),
    "mlkv_dictionary_next": (c_int, _V, c_uint32, POINTER(DictionaryInfo), _BUFFER),
    "mlkv_dictionary_drop": (c_int, _V, Slice),
    "mlkv_salvage": (c_int, c_char_p, c_char_p, SalvageCallback, c_void_p, POINTER(SalvageReport)),
    "mlkv_key_exists": (c_int, _V, _V, c_size_t, _COUNT),
    "mlkv_key_delete": (c_int, _V, _V, c_size_t, _COUNT),
    "mlkv_key_type": (c_int, _V, Slice, POINTER(c_int)),
    "mlkv_key_count": (c_int, _V, _U64),
    "mlkv_key_expire": (c_int, _V, Slice, c_int64, c_int),
    "mlkv_key_expire_at": (c_int, _V, Slice, c_int64, c_int),
    "mlkv_key_persist": (c_int, _V, Slice),
    "mlkv_key_expiry": (c_int, _V, Slice, _I64),
    "mlkv_key_ttl": (c_int, _V, Slice, _I64),
    "mlkv_type_name": (c_char_p, c_int),
    "mlkv_cursor_open": (c_int, _V, POINTER(Query), _HANDLE),
    "mlkv_cursor_next": (c_int, _V, POINTER(SliceOut), POINTER(SliceOut)),
    "mlkv_cursor_token": (c_int, _V, _BUFFER),
    "mlkv_cursor_close": (None, _V),
    "mlkv_string_set": (c_int, _V, Slice, Slice, c_int),
    "mlkv_string_set_with": (c_int, _V, Slice, Slice, c_int, Expiry, _BUFFER, POINTER(c_int)),
    "mlkv_string_set_many_if_absent": (c_int, _V, _V, c_size_t),
    "mlkv_string_get": (c_int, _V, Slice, _BUFFER),
    "mlkv_string_get_delete": (c_int, _V, Slice, _BUFFER),
    "mlkv_string_get_expire": (c_int, _V, Slice, Expiry, _BUFFER),
    "mlkv_string_get_range": (c_int, _V, Slice, c_int64, c_int64, _BUFFER),
    "mlkv_string_append": (c_int, _V, Slice, Slice, _U64),
    "mlkv_string_set_range": (c_int, _V, Slice, c_uint64, Slice, _U64),
    "mlkv_string_add_float": (c_int, _V, Slice, ctypes.c_double, _BUFFER),
    "mlkv_string_lcs": (c_int, _V, Slice, Slice, c_uint64, _U64, _BUFFER, _BUFFER),
    "mlkv_bits_set": (c_int, _V, Slice, c_uint64, c_int, POINTER(c_int)),
    "mlkv_bits_get": (c_int, _V, Slice, c_uint64, POINTER(c_int)),
    "mlkv_bits_count": (c_int, _V, Slice, c_int64, c_int64, c_int, _U64),
    "mlkv_bits_find": (c_int, _V, Slice, c_int, c_int64, _I64, c_int, _I64),
    "mlkv_bits_combine": (c_int, _V, c_int, Slice, _V, c_size_t, _U64),
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
    "mlkv_hash_add_float": (c_int, _V, Slice, Slice, ctypes.c_double, _BUFFER),
    "mlkv_hash_value_length": (c_int, _V, Slice, Slice, _U64),
    "mlkv_hash_random": (c_int, _V, Slice, c_size_t, c_int, c_int, _ROWS),
    "mlkv_hash_expire": (c_int, _V, Slice, _V, c_size_t, c_int64, c_int, _I64),
    "mlkv_hash_expire_at": (c_int, _V, Slice, _V, c_size_t, c_int64, c_int, _I64),
    "mlkv_hash_persist": (c_int, _V, Slice, _V, c_size_t, _I64),
    "mlkv_hash_expiry": (c_int, _V, Slice, _V, c_size_t, _I64),
    "mlkv_hash_ttl": (c_int, _V, Slice, _V, c_size_t, _I64),
    "mlkv_list_push": (c_int, _V, Slice, c_int, _V, c_size_t, _U64),
    "mlkv_list_push_if_present": (c_int, _V, Slice, c_int, _V, c_size_t, _U64),
    "mlkv_list_pop": (c_int, _V, Slice, c_int, _BUFFER),
    "mlkv_list_pop_many": (c_int, _V, Slice, c_int, c_uint64, _ROWS),
    "mlkv_list_pop_first": (c_int, _V, _V, c_size_t, c_int, c_uint64, _COUNT, _ROWS),
    "mlkv_list_move": (c_int, _V, Slice, Slice, c_int, c_int, _BUFFER),
    "mlkv_list_length": (c_int, _V, Slice, _U64),
    "mlkv_list_get": (c_int, _V, Slice, c_int64, _BUFFER),
    "mlkv_list_range": (c_int, _V, Slice, c_int64, c_int64, _ROWS),
    "mlkv_list_find": (c_int, _V, Slice, Slice, c_int64, c_uint64, _U64),
    "mlkv_list_find_many": (c_int, _V, Slice, Slice, c_int64, c_uint64, c_uint64, _BUFFER),
    "mlkv_list_set": (c_int, _V, Slice, c_int64, Slice),
    "mlkv_list_trim": (c_int, _V, Slice, c_int64, c_int64),
    "mlkv_list_remove": (c_int, _V, Slice, c_int64, Slice, _U64),
    "mlkv_list_insert": (c_int, _V, Slice, c_int, Slice, Slice, _I64),
    "mlkv_set_add": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_set_remove": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_set_contains": (c_int, _V, Slice, _V, c_size_t, POINTER(c_uint8)),
    "mlkv_set_members": (c_int, _V, Slice, _ROWS),
    "mlkv_set_count": (c_int, _V, Slice, _U64),
    "mlkv_set_random": (c_int, _V, Slice, c_size_t, c_int, _ROWS),
    "mlkv_set_pop": (c_int, _V, Slice, c_size_t, _ROWS),
    "mlkv_set_move": (c_int, _V, Slice, Slice, Slice),
    "mlkv_set_intersection": (c_int, _V, _V, c_size_t, _ROWS),
    "mlkv_set_union": (c_int, _V, _V, c_size_t, _ROWS),
    "mlkv_set_difference": (c_int, _V, _V, c_size_t, _ROWS),
    "mlkv_set_intersection_count": (c_int, _V, _V, c_size_t, c_uint64, _U64),
    "mlkv_set_intersection_store": (c_int, _V, Slice, _V, c_size_t, _U64),
    "mlkv_set_union_store": (c_int, _V, Slice, _V, c_size_t, _U64),
    "mlkv_set_difference_store": (c_int, _V, Slice, _V, c_size_t, _U64),
    "mlkv_list_pop_wait": (c_int, _V, _V, c_size_t, c_int, c_uint64, c_int64, _COUNT, _ROWS),
    "mlkv_list_move_wait": (c_int, _V, Slice, Slice, c_int, c_int, c_int64, _BUFFER),
    "mlkv_watch_open": (c_int, _V, POINTER(WatchQuery), _HANDLE),
    "mlkv_watch_wait": (c_int, _V, c_int64),
    "mlkv_watch_close": (None, _V),
    "mlkv_get_or_compute": (c_int, _V, Slice, POINTER(ComputePolicy), ComputeFunction, _V, _BUFFER, _V),
    "mlkv_compute_forget": (c_int, _V, Slice),
    "mlkv_lock_acquire": (c_int, _V, Slice, c_int64, c_int64, POINTER(LockGrant)),
    "mlkv_lock_renew": (c_int, _V, Slice, POINTER(LockGrant), c_int64),
    "mlkv_lock_release": (c_int, _V, Slice, POINTER(LockGrant)),
    "mlkv_lock_holder": (c_int, _V, Slice, POINTER(LockGrant)),
    "mlkv_zset_add": (c_int, _V, Slice, POINTER(Scored), c_size_t, c_uint32, _COUNT, _COUNT),
    "mlkv_zset_add_score": (c_int, _V, Slice, Slice, c_double, c_uint32, _DOUBLE),
    "mlkv_zset_remove": (c_int, _V, Slice, _V, c_size_t, _COUNT),
    "mlkv_zset_score": (c_int, _V, Slice, Slice, _DOUBLE),
    "mlkv_zset_scores": (c_int, _V, Slice, _V, c_size_t, _DOUBLE),
    "mlkv_zset_count": (c_int, _V, Slice, _U64),
    "mlkv_zset_rank": (c_int, _V, Slice, Slice, c_int, _U64, _DOUBLE),
    "mlkv_zset_range": (c_int, _V, Slice, _RANGE, _ROWS, _BUFFER),
    "mlkv_zset_range_count": (c_int, _V, Slice, _RANGE, _U64),
    "mlkv_zset_range_remove": (c_int, _V, Slice, _RANGE, _U64),
    "mlkv_zset_range_store": (c_int, _V, Slice, Slice, _RANGE, _U64),
    "mlkv_zset_pop": (c_int, _V, Slice, c_uint64, c_int, _ROWS, _BUFFER),
    "mlkv_zset_pop_first": (c_int, _V, _V, c_size_t, c_uint64, c_int, _COUNT, _ROWS, _BUFFER),
    "mlkv_zset_pop_wait": (c_int, _V, _V, c_size_t, c_uint64, c_int, c_int64, _COUNT, _ROWS, _BUFFER),
    "mlkv_zset_random": (c_int, _V, Slice, c_size_t, c_int, _ROWS, _BUFFER),
    "mlkv_zset_union": (c_int, _V, _V, c_size_t, _DOUBLE, c_int, _ROWS, _BUFFER),
    "mlkv_zset_intersection": (c_int, _V, _V, c_size_t, _DOUBLE, c_int, _ROWS, _BUFFER),
    "mlkv_zset_difference": (c_int, _V, _V, c_size_t, _ROWS, _BUFFER),
    "mlkv_zset_union_store": (c_int, _V, Slice, _V, c_size_t, _DOUBLE, c_int, _U64),
    "mlkv_zset_intersection_store": (c_int, _V, Slice, _V, c_size_t, _DOUBLE, c_int, _U64),
    "mlkv_zset_difference_store": (c_int, _V, Slice, _V, c_size_t, _U64),
    "mlkv_zset_intersection_count": (c_int, _V, _V, c_size_t, c_uint64, _U64),
    "mlkv_command": (c_int, _V, _V, c_size_t, POINTER(Reply)),
    "mlkv_command_row": (c_int, c_size_t, POINTER(CommandInfo)),
    "mlkv_reply_free": (None, POINTER(Reply)),
    "mlkv_dtype_size": (c_size_t, c_int),
    "mlkv_dtype_name": (c_char_p, c_int),
    "mlkv_tensor_put": (c_int, _V, Slice, POINTER(Tensor), _V, POINTER(TensorOptions)),
    "mlkv_tensor_put_counted": (c_int, _V, Slice, POINTER(Tensor), _V, POINTER(TensorOptions), POINTER(c_uint64)),
    "mlkv_tensor_borrow": (c_int, _V, Slice, ctypes.c_uint, POINTER(TensorInfo), POINTER(_V), POINTER(_V)),
    "mlkv_loan_return": (c_int, _V),
    "mlkv_loan_to_dlpack": (c_int, _V, c_int, POINTER(_V)),
    "mlkv_model_begin": (c_int, _V, Slice, _HANDLE),
    "mlkv_publication_version": (c_uint64, _V),
    "mlkv_model_put": (c_int, _V, Slice, POINTER(Tensor), _V, POINTER(TensorOptions), _U64),
    "mlkv_model_carry": (c_int, _V, Slice),
    "mlkv_model_include": (c_int, _V, Slice),
    "mlkv_model_publish": (c_int, _V, POINTER(PublishOptions), _U64),
    "mlkv_model_abort": (c_int, _V),
    "mlkv_model_current": (c_int, _V, Slice, _U64),
    "mlkv_model_wait": (c_int, _V, Slice, c_uint64, c_int64, _U64),
    "mlkv_model_key": (c_int, Slice, c_uint64, Slice, _BUFFER),
    "mlkv_model_current_key": (c_int, _V, Slice, Slice, _BUFFER, _U64),
    "mlkv_model_read": (c_int, _V, Slice, c_uint64, POINTER(ModelReader), _U64),
    "mlkv_model_tensors": (c_int, _V, Slice, c_uint64, POINTER(Rows), _U64),
    "mlkv_model_metadata": (c_int, _V, Slice, c_uint64, _BUFFER),
    "mlkv_model_list": (c_int, _V, Slice, ModelVisit, c_void_p),
    "mlkv_model_names": (c_int, _V, POINTER(Rows)),
    "mlkv_model_rollback": (c_int, _V, Slice, c_uint64, _U64),
    "mlkv_model_drop": (c_int, _V, Slice, c_uint64),
    "mlkv_tensor_get_info": (c_int, _V, Slice, POINTER(TensorInfo)),
    "mlkv_tensor_get": (c_int, _V, Slice, _V, c_size_t),
    "mlkv_tensor_read_rows": (c_int, _V, Slice, c_uint64, c_uint64, _V, c_size_t),
    "mlkv_tensor_write_rows": (c_int, _V, Slice, c_uint64, c_uint64, _V, c_size_t),
    "mlkv_tensor_add": (c_int, _V, Slice, c_double, POINTER(Tensor), _V),
    "mlkv_tensor_add_rows": (c_int, _V, Slice, c_double, c_uint64, c_uint64, _V, c_size_t),
    "mlkv_tensor_top_k": (c_int, _V, Slice, POINTER(TopK), _V, _V, _V),
    "mlkv_tensor_gather": (c_int, _V, Slice, _V, c_size_t, _V, c_size_t),
    "mlkv_tensor_scatter": (c_int, _V, Slice, _V, c_size_t, _V, c_size_t),
    "mlkv_tensor_scatter_add": (c_int, _V, Slice, c_double, _V, c_size_t, _V, c_size_t),
    "mlkv_tensor_append_rows": (c_int, _V, Slice, c_uint64, _V, c_size_t, POINTER(c_uint64)),
    "mlkv_tensor_scale": (c_int, _V, Slice, c_double),
    "mlkv_safetensors_import": (c_int, _V, c_char_p, Slice, POINTER(FileOptions), _ROWS, _ROWS, POINTER(FileInfo)),
    "mlkv_safetensors_export": (c_int, _V, c_char_p, Slice, _V, c_size_t, POINTER(FileOptions), _ROWS, POINTER(FileInfo)),
    "mlkv_npy_import": (c_int, _V, Slice, c_char_p, c_int, POINTER(FileOptions), POINTER(FileInfo)),
    "mlkv_npy_export": (c_int, _V, Slice, c_char_p, POINTER(FileOptions), POINTER(FileInfo)),
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

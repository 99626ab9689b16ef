"""The nearest rows of a tensor: exact search by inner product, cosine or distance (mlkv_tensor_top_k)."""

from __future__ import annotations

import array as arrays
import ctypes
import sys
from typing import Any, List, NamedTuple, Optional, Tuple

from ._library import TopK, library
from ._values import Value
from ._view import ABSENT, View, check
from .errors import ArgumentError

_METRICS = {"ip": 1, "cosine": 2, "l2": 3}


class Nearest(NamedTuple):
    """Row numbers and scores, the best first: a list of each for every query (numpy arrays for a numpy query)."""

    rows: Any
    scores: Any


def _floats(queries: Any) -> Tuple[Any, int, int, bool]:
    """Queries as floats in memory: their owner, how many, numbers in all, whether it was one vector alone."""
    numpy = sys.modules.get("numpy")
    if hasattr(queries, "detach"):  # torch
        queries = queries.detach().cpu().float().numpy()
    if numpy is not None and isinstance(queries, numpy.ndarray):
        made = numpy.ascontiguousarray(queries, dtype="float32")
        if made.ndim not in (1, 2):
            raise ArgumentError(f"queries of shape {made.shape}: one vector, or one a row")
        return made, made.shape[0] if made.ndim == 2 else 1, made.size, made.ndim == 1
    vectors: List[Any] = list(queries)
    alone = not vectors or isinstance(vectors[0], (int, float))
    vectors = [vectors] if alone else vectors
    if len({len(vector) for vector in vectors}) > 1:
        raise ArgumentError("queries of different lengths")
    flat = arrays.array("f", (number for vector in vectors for number in vector))
    return flat, len(vectors), len(flat), alone


class NearestCommands(View):
    def tensor_top_k(self, name: Value, queries: Any, k: int, metric: str = "ip", rows: Any = None) -> Optional[Nearest]:
        """The k best rows of a table for a vector, or for each of several, compared with all of its rows.

        metric: "ip" (inner product, the largest first), "cosine", "l2" (the square of the distance, the smallest first). rows: the only
        numbers that may be found (None: all). Fewer than k are found if there are no more. None for an absent key."""
        if metric not in _METRICS:
            raise ArgumentError(f"metric {metric!r}: one of {', '.join(_METRICS)}")
        owner, n, numbers, alone = _floats(queries)
        if not 0 < k < 1 << 32:
            raise ArgumentError(f"k is {k}")
        found, scores, counts = (ctypes.c_uint64 * (n * k))(), (ctypes.c_float * (n * k))(), (ctypes.c_size_t * n)()
        address = owner.ctypes.data if hasattr(owner, "ctypes") else owner.buffer_info()[0]
        bits = None if rows is None else _filter(rows)
        query = TopK(
            ctypes.sizeof(TopK), _METRICS[metric], 0, address, n, numbers * 4, k,
            None if bits is None else ctypes.cast(bits, ctypes.c_void_p), 0 if bits is None else len(bits),
        )  # fmt: skip
        if check(library.mlkv_tensor_top_k(self._handle, self._codec.slice(name), query, found, scores, counts)) == ABSENT:
            return None
        split = [(list(found[q * k : q * k + counts[q]]), list(scores[q * k : q * k + counts[q]])) for q in range(n)]
        if hasattr(owner, "ctypes"):
            numpy = sys.modules["numpy"]
            split = [(numpy.array(a, dtype="int64"), numpy.array(b, dtype="float32")) for a, b in split]
        if alone:
            return Nearest(*split[0])
        return Nearest([pair[0] for pair in split], [pair[1] for pair in split])


def _filter(rows: Any) -> Any:
    """One bit a row."""
    wanted = [int(row) for row in rows]
    if any(row < 0 for row in wanted):
        raise ArgumentError("rows: a number is negative")
    bits = bytearray(max(wanted, default=-1) // 8 + 1)
    for row in wanted:
        bits[row // 8] |= 1 << row % 8
    return (ctypes.c_uint8 * len(bits)).from_buffer(bits)

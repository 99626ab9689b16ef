"""State dicts: nested dicts of arrays, taken apart and put together; and those that earlier versions of this package saved.

Today a state dict is a version of a model (_models.py). Before, a dict saved as NAME had a tensor NAME/a/b for each entry ["a"]["b"],
and under NAME itself a string, the list of entries in their order:

    {"mlkv": "state_dict", "version": 1, "entries": [["a", "b"], ...], "empty": [["c"], ...]}

(empty: dicts without entries). It is still loaded where there is no model of that name, and deleted by the next save. Where there is no
list either, because the tensors came by import_safetensors, the tensors under NAME/ are loaded as a flat dict.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from . import _transfer as transfer
from ._keys import SCAN_KEYS
from ._library import DIMENSIONS_MAX, Slice, library
from ._tensors import DType, _array, _has_dtype, dtype_of
from ._transfer import Part
from ._view import check
from .errors import ArgumentError, CorruptError, Error, ShapeError, WrongTypeError

_DEPTH_MAX = 100
FRAMEWORKS = (None, "numpy", "torch")
_TORCH = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "bool": "bool", "c64": "complex64", "c128": "complex128",
}  # fmt: skip

_Path = Tuple[str, ...]


class Lists(NamedTuple):
    entries: List[_Path]
    empty: List[_Path]


def flatten(entries: Mapping[Any, Any], at: _Path, found: Dict[_Path, Any], empty: List[_Path]) -> None:
    if len(at) > _DEPTH_MAX:
        raise ArgumentError(f"a state dict of more than {_DEPTH_MAX} levels")
    for name, value in entries.items():
        if not isinstance(name, str):
            raise ArgumentError(f"{_text(at)} has the name {name!r}; names are str")
        path = (*at, name)
        if not isinstance(value, Mapping):
            found[path] = value
        elif value:
            flatten(value, path, found, empty)
        else:
            empty.append(path)


def _text(path: _Path) -> str:
    return "the state dict" if not path else "the entry " + "".join(f"[{name!r}]" for name in path)


def part(key: bytes, path: _Path, value: Any) -> Part:
    """What is a mere buffer (array.array, memoryview) is taken as it is now; others are made contiguous when their turn comes."""
    try:
        if not _has_dtype(value):
            whole = _array(value, None, None)
            if len(whole.shape) > DIMENSIONS_MAX:
                raise ShapeError(f"it has {len(whole.shape)} dimensions, and {DIMENSIONS_MAX} are the most")
            return Part(key, whole.dtype, whole.shape, whole.bytes, lambda: contextlib.nullcontext(whole.address))
        dtype, shape = dtype_of(value.dtype), tuple(int(extent) for extent in value.shape)
        if len(shape) > DIMENSIONS_MAX:
            raise ShapeError(f"it has {len(shape)} dimensions, and {DIMENSIONS_MAX} are the most")
    except (Error, TypeError, ValueError) as error:
        raise ArgumentError(f"{_text(path)} is no tensor: {error}") from None
    return Part(key, dtype, shape, math.prod(shape) * dtype.size, lambda: _contiguous(path, value, dtype, shape))


@contextlib.contextmanager
def _contiguous(path: _Path, value: Any, dtype: DType, shape: Tuple[int, ...]) -> Iterator[Optional[int]]:
    try:
        whole = _array(value, None, None)
    except (RuntimeError, TypeError) as error:  # torch: sparse, conjugated, on no device
        raise ArgumentError(f"{_text(path)} is a tensor that has no plain form: {error}") from None
    if (whole.dtype, whole.shape) != (dtype, shape):
        raise ArgumentError(f"{_text(path)} was {dtype} {shape} and is {whole.dtype} {whole.shape}")
    yield whole.address


def parse_list(text: bytes, version: int) -> Optional[Lists]:
    """None: it is something else."""
    try:
        found = json.loads(text)
        if found["mlkv"] != "state_dict" or found["version"] != version:
            return None
        lists = [[tuple(path) for path in found[what]] for what in ("entries", "empty")]
        if not all(path and all(isinstance(name, str) for name in path) for paths in lists for path in paths):
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Lists(*lists)


def write_list(version: int, entries: List[_Path], empty: List[_Path]) -> str:
    return json.dumps({"mlkv": "state_dict", "version": version, "entries": entries, "empty": empty}, separators=(",", ":"))


def name_of(view: Any, path: _Path) -> bytes:
    """The tensor's name: the path, joined."""
    try:
        name: bytes = view._codec.encode("/".join(path))
    except UnicodeEncodeError as error:
        raise ArgumentError(f"{_text(path)} cannot be a key: {error}") from None
    return name


# --- what earlier versions saved ---


def _read_list(view: Any, key: bytes) -> Optional[Lists]:
    """None: there is no such key. ArgumentError: it is a string of somebody else."""
    kind = transfer.kind_of(view, key)
    if kind == "none":
        return None
    if kind != "string":
        raise WrongTypeError(f"the key {key!r} holds no state dict")
    text = view.get(key)
    lists = parse_list(text.encode() if isinstance(text, str) else text, 1)
    if lists is None:
        raise ArgumentError(f"the key {key!r} holds a string that is not the list of a state dict")
    return lists


def load_old(client: Any, name: Any, framework: Optional[str]) -> Dict[str, Any]:
    key = client._codec.encode(name)
    with client._frozen() as view:
        lists = _read_list(view, key)
        paths = _paths_below(view, key) if lists is None else lists.entries
        if lists is None and not paths:
            raise KeyError(name)
        loaded: Dict[str, Any] = {}
        for path in paths:
            insert(loaded, path, _load(view, key + b"/" + name_of(view, path), framework))
        for path in lists.empty if lists else ():
            insert(loaded, path, {})
    return loaded


def delete_old(view: Any, key: bytes) -> None:
    """After a model took its place. What is not a list of ours is left alone."""
    if transfer.kind_of(view, key) != "string":
        return
    with view._atomic() as transaction:
        try:
            lists = _read_list(transaction, key)
        except (ArgumentError, WrongTypeError):
            return
        if lists is None:
            return
        for path in lists.entries:
            below = key + b"/" + name_of(transaction, path)
            if transfer.kind_of(transaction, below) == "tensor":
                transaction.delete(below)
        transaction.delete(key)


def _paths_below(view: Any, key: bytes) -> List[_Path]:
    found = view._scan_iter(SCAN_KEYS, None, transfer.literal(key + b"/") + b"*", None)
    return [(below[len(key) + 1 :].decode(view._codec.encoding, view._codec.errors),) for below, kind in found if kind == b"tensor"]


def insert(loaded: Dict[str, Any], path: _Path, value: Any) -> None:
    at = loaded
    for name in path[:-1]:
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise CorruptError(f"a state dict's list has {_text(path)} within another entry")
    at[path[-1]] = value


def _load(view: Any, key: bytes, framework: Optional[str]) -> Any:
    value = _load_torch(view, key) if framework == "torch" else view.tensor_get(key, True if framework == "numpy" else None)
    if value is None:
        raise KeyError(f"the tensor {key!r}, which the state dict's list names, was deleted")
    return value


def allocate_torch(name: bytes, dtype: DType, shape: Tuple[int, ...]) -> Tuple[Any, Optional[int]]:
    """A new tensor, and its address."""
    torch = importlib.import_module("torch")
    kind = getattr(torch, _TORCH[dtype.name], None)
    if kind is None:
        raise ArgumentError(f"the tensor {name!r} is {dtype}, which this torch does not have")
    tensor = torch.empty(shape, dtype=kind)
    return tensor, tensor.data_ptr() or None


def _load_torch(view: Any, key: bytes) -> Any:
    """Read into a new tensor's memory, without a copy between."""
    info = view.tensor_info(key)
    if info is None:
        return None
    tensor, address = allocate_torch(key, dtype_of(info.dtype), info.shape)
    check(library.mlkv_tensor_get(view._handle, Slice(key, len(key)), address, info.raw_bytes))
    return tensor

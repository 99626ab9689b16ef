"""State dicts: nested dicts of arrays as tensors, which change all at once.

A dict saved as NAME has a tensor NAME/a/b for each entry ["a"]["b"], and under NAME itself a string, the list of entries in their order:

    {"mlkv": "state_dict", "version": 1, "entries": [["a", "b"], ...], "empty": [["c"], ...]}

(empty: dicts without entries). It is written in the same transaction as the tensors. What an earlier list names and the new one does not is
deleted with it, so a reader never finds parts of two models. Where there is no list, because the tensors came by import_safetensors, the
tensors under NAME/ are loaded as a flat dict.
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
from ._transfer import Part, Transfer, TransferView
from ._values import Value
from ._view import check
from .errors import ArgumentError, CorruptError, Error, ShapeError, WrongTypeError

_DEPTH_MAX = 100
_FRAMEWORKS = (None, "numpy", "torch")
_TORCH = {
    "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2",
    "i64": "int64", "i32": "int32", "i16": "int16", "i8": "int8", "u64": "uint64", "u32": "uint32", "u16": "uint16", "u8": "uint8",
    "bool": "bool", "c64": "complex64", "c128": "complex128",
}  # fmt: skip

_Path = Tuple[str, ...]


class _List(NamedTuple):
    entries: List[_Path]
    empty: List[_Path]


def _flatten(entries: Mapping[Any, Any], at: _Path, found: Dict[_Path, Any], empty: List[_Path]) -> None:
    if len(at) > _DEPTH_MAX:
        raise ArgumentError(f"a state dict of more than {_DEPTH_MAX} levels")
    for name, value in entries.items():
        if not isinstance(name, str):
            raise ArgumentError(f"{_text(at)} has the name {name!r}; names are str")
        path = (*at, name)
        if not isinstance(value, Mapping):
            found[path] = value
        elif value:
            _flatten(value, path, found, empty)
        else:
            empty.append(path)


def _text(path: _Path) -> str:
    return "the state dict" if not path else "the entry " + "".join(f"[{name!r}]" for name in path)


def _part(key: bytes, path: _Path, value: Any) -> Part:
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


def _read_list(view: Any, key: bytes) -> Optional[_List]:
    """None: there is no such key. ArgumentError: it is a string of somebody else."""
    kind = transfer.kind_of(view, key)
    if kind == "none":
        return None
    if kind != "string":
        raise WrongTypeError(f"the key {key!r} holds no state dict")
    text = view.get(key)
    try:
        found = json.loads(text)
        if found["mlkv"] != "state_dict" or found["version"] != 1:
            raise ValueError
        lists = [[tuple(path) for path in found[what]] for what in ("entries", "empty")]
        if not all(path and all(isinstance(name, str) for name in path) for paths in lists for path in paths):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArgumentError(f"the key {key!r} holds a string that is not the list of a state dict") from None
    return _List(*lists)


def _write_list(entries: List[_Path], empty: List[_Path]) -> str:
    return json.dumps({"mlkv": "state_dict", "version": 1, "entries": entries, "empty": empty}, separators=(",", ":"))


class StateCommands(TransferView):
    def save_state_dict(self, name: Value, state_dict: Mapping[str, Any]) -> Transfer:
        """Stores a dict of numpy arrays or torch tensors (of any device; array.array and memoryview too), and of dicts of such, as the
        tensors name/key, name/key/key ... All become visible at once, to every process, in place of the dict that was saved under this
        name before. Chunks that did not change are not written again. Arrays must not change meanwhile.

        Above 64 MiB the tensors are written under temporary names ("mlkv:staged:...") first, outside the writer lock. ArgumentError
        for anything else in the dict, and for two entries that make the same key."""
        key = self._codec.encode(name)
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(f"a state dict is a dict, not a {type(state_dict).__name__}")
        values: Dict[_Path, Any] = {}
        empty: List[_Path] = []
        _flatten(state_dict, (), values, empty)
        parts = [_part(self._key_of(key, path), path, value) for path, value in values.items()]
        keys = [part.key for part in parts]
        transfer.refuse_same([key, *keys])

        def settle(view: Any) -> None:
            old = _read_list(view, key)
            stale = set() if old is None else {self._key_of(key, path) for path in old.entries} - set(keys)
            for gone in stale:
                if transfer.kind_of(view, gone) == "tensor":
                    view.delete(gone)
            view.set(key, _write_list(list(values), empty))

        _read_list(self, key)  # so that a name which is taken is refused before anything is written
        transfer.save(self, parts, settle)
        return Transfer(tuple(self._codec.list(keys)), sum(part.bytes for part in parts))

    def load_state_dict(self, name: Value, framework: Optional[str] = None) -> Dict[str, Any]:
        """The dict that was saved, as of one moment: nested as it was, its entries in their order.

        framework: "numpy" (the default where it is installed; bf16 and f8 come as unsigned numbers, as from tensor_get), "torch" (on the
        CPU, all dtypes that it has), None: numpy or else memoryviews. KeyError if nothing was saved under this name."""
        if framework not in _FRAMEWORKS:
            raise ArgumentError(f"framework is {framework!r}; there are 'numpy' and 'torch'")
        key = self._codec.encode(name)
        with self._frozen() as view:
            lists = _read_list(view, key)
            paths = self._paths_below(view, key) if lists is None else lists.entries
            if lists is None and not paths:
                raise KeyError(name)
            loaded: Dict[str, Any] = {}
            for path in paths:
                _insert(loaded, path, _load(view, self._key_of(key, path), framework))
            for path in lists.empty if lists else ():
                _insert(loaded, path, {})
        return loaded

    def _key_of(self, key: bytes, path: _Path) -> bytes:
        try:
            return key + b"/" + self._codec.encode("/".join(path))
        except UnicodeEncodeError as error:
            raise ArgumentError(f"{_text(path)} cannot be a key: {error}") from None

    def _paths_below(self, view: Any, key: bytes) -> List[_Path]:
        found = view._scan_iter(SCAN_KEYS, None, transfer.literal(key + b"/") + b"*", None)
        return [(below[len(key) + 1 :].decode(self._codec.encoding, self._codec.errors),) for below, kind in found if kind == b"tensor"]


def _insert(loaded: Dict[str, Any], path: _Path, value: Any) -> None:
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


def _load_torch(view: Any, key: bytes) -> Any:
    """Read into a new tensor's memory, without a copy between."""
    torch = importlib.import_module("torch")
    info = view.tensor_info(key)
    if info is None:
        return None
    dtype = getattr(torch, _TORCH[info.dtype], None)
    if dtype is None:
        raise ArgumentError(f"the tensor {key!r} is {info.dtype}, which this torch does not have")
    tensor = torch.empty(info.shape, dtype=dtype)
    check(library.mlkv_tensor_get(view._handle, Slice(key, len(key)), tensor.data_ptr() or None, info.raw_bytes))
    return tensor

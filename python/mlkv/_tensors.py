"""Tensor commands, and the ways in which Python holds an array: numpy, torch, and anything with a buffer (bytes, array.array, memoryview).

With numpy, tensors come back as its arrays; without it, as memoryviews of the tensor's shape. numpy has no bfloat16 and no 8-bit floats:
such a tensor comes back as the unsigned integers of the same size, and tensor_info says what they are. torch tensors go in as they are
(bfloat16 too); `torch.from_numpy(client.tensor_get(name))` takes one out without a copy.
"""

from __future__ import annotations

import array as arrays
import ctypes
import importlib
import math
import operator
import sys
from types import ModuleType
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from . import _library
from ._keys import NO_LIMIT, SCAN_TENSORS, Scanning
from ._library import DIMENSIONS_MAX, library
from ._values import Result, Value
from ._view import ABSENT, check
from .errors import ArgumentError, BusyError, ShapeError

_READ_AGAIN_MAX = 100  # a reader that meets a tensor of another shape each time is not reading, it is racing


class DType(NamedTuple):
    """One type of element."""

    name: str
    code: int
    size: int
    format: str  # of a memoryview; of its parts where `parts` is 2
    numpy: str
    parts: int = 1

    def __str__(self) -> str:
        return self.name


DTYPES: Tuple[DType, ...] = (
    DType("f64", 1, 8, "d", "float64"),
    DType("f32", 2, 4, "f", "float32"),
    DType("f16", 3, 2, "e", "float16"),
    DType("bf16", 4, 2, "H", "uint16"),
    DType("f8e4m3", 5, 1, "B", "uint8"),
    DType("f8e5m2", 6, 1, "B", "uint8"),
    DType("i64", 7, 8, "q", "int64"),
    DType("i32", 8, 4, "i", "int32"),
    DType("i16", 9, 2, "h", "int16"),
    DType("i8", 10, 1, "b", "int8"),
    DType("u64", 11, 8, "Q", "uint64"),
    DType("u32", 12, 4, "I", "uint32"),
    DType("u16", 13, 2, "H", "uint16"),
    DType("u8", 14, 1, "B", "uint8"),
    DType("bool", 15, 1, "?", "bool"),
    DType("c64", 16, 8, "f", "complex64", 2),
    DType("c128", 17, 16, "d", "complex128", 2),
)
_BY_CODE = {dtype.code: dtype for dtype in DTYPES}
_BY_NAME: Dict[str, DType] = {dtype.name: dtype for dtype in DTYPES}
_BY_NAME.update({dtype.numpy: dtype for dtype in DTYPES if dtype.code not in (4, 5, 6)})
_BY_NAME.update(
    bfloat16=_BY_CODE[4], float8_e4m3fn=_BY_CODE[5], float8_e4m3=_BY_CODE[5], float8_e5m2=_BY_CODE[6], bool_=_BY_CODE[15],
    float=_BY_CODE[1], int=_BY_CODE[7], double=_BY_CODE[1], half=_BY_CODE[3], complex=_BY_CODE[17],
)  # fmt: skip


class TensorInfo(NamedTuple):
    """What is known of a tensor without reading it."""

    dtype: str
    shape: Tuple[int, ...]
    raw_bytes: int
    stored_bytes: int
    rows: int
    row_bytes: int
    chunk_rows: int
    chunks: int
    version: int
    contiguous: bool = False


class _Array(NamedTuple):
    """Elements in memory: something to keep alive, its address, what it holds."""

    owner: Any
    address: Optional[int]
    bytes: int
    dtype: DType
    shape: Tuple[int, ...]


class _Rows(NamedTuple):
    """Row numbers in memory, as the library takes them."""

    owner: Any
    address: Optional[int]
    count: int
    shape: Tuple[int, ...]


def dtype_of(dtype: Any) -> DType:
    """From "f32", "float32", numpy.float32, numpy.dtype("f4"), torch.float32 ..."""
    if isinstance(dtype, DType):
        return dtype
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    found = _BY_NAME.get(str(name).rsplit(".", 1)[-1].lower())
    if found is None:
        raise ArgumentError(f"{dtype!r} is no dtype; there are {', '.join(_BY_CODE[code].name for code in _BY_CODE)}")
    return found


def _numpy() -> Optional[ModuleType]:
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


class TensorCommands(Scanning):
    def tensor_set(
        self,
        name: Value,
        value: Any,
        dtype: Any = None,
        shape: Optional[Sequence[int]] = None,
        chunk_bytes: int = 0,
        contiguous: bool = False,
    ) -> bool:
        """Stores an array, whatever was under the key before.

        value: numpy array, torch tensor, or a contiguous buffer; dtype and shape say how to read a buffer and are not needed for the
        others. chunk_bytes: how much is read or written at once by row operations (default 256 KiB, in whole rows). contiguous: stored
        uncompressed, so that tensor_lend() can lend it without a copy (chunks are then 1 MiB by default, and have whole pages)."""
        self.tensor_set_counted(name, value, dtype, shape, chunk_bytes, contiguous)
        return True

    def tensor_set_counted(
        self,
        name: Value,
        value: Any,
        dtype: Any = None,
        shape: Optional[Sequence[int]] = None,
        chunk_bytes: int = 0,
        contiguous: bool = False,
    ) -> int:
        """tensor_set, and how many chunks it wrote: over a tensor of the same type, shape and chunk_bytes only those that differ, 0 if
        none does. So a checkpoint costs what has changed since the last one."""
        array = _array(value, dtype, shape)
        options = _library.TensorOptions()
        options.chunk_bytes = chunk_bytes
        options.contiguous = contiguous
        count = ctypes.c_uint64()
        key = self._codec.slice(name)
        check(library.mlkv_tensor_put_counted(self._handle, key, _describe(array), array.address, options, count))
        return count.value

    def tensor_info(self, name: Value) -> Optional[TensorInfo]:
        """Type, shape, sizes; None for an absent key."""
        info = _library.TensorInfo()
        if check(library.mlkv_tensor_get_info(self._handle, self._codec.slice(name), info)) == ABSENT:
            return None
        return information(info)

    def tensor_list(self, prefix: Value = "") -> Dict[Result, TensorInfo]:
        """The tensors whose names begin with prefix, in the order of their names, with type, shape and sizes: all as of one moment. No
        data is read. sum(info.stored_bytes for info in db.tensor_list("model/").values()) is what a model takes."""
        _, found = self._walk(SCAN_TENSORS, b"", self._codec.encode(prefix), None, b"", NO_LIMIT)
        decode = self._codec.decode
        return {decode(name): information(_library.TensorInfo.from_buffer_copy(value)) for name, value in found}

    def tensor_get(self, name: Value, as_numpy: Optional[bool] = None) -> Any:
        """The whole tensor, writable and the caller's own; None for an absent key. A numpy array if numpy is there (as_numpy=False: not
        even then), else a memoryview of the tensor's shape."""

        def read(info: TensorInfo, address: Optional[int], size: int) -> int:
            return library.mlkv_tensor_get(self._handle, self._codec.slice(name), address, size)

        return self._read(name, as_numpy, read, None)

    def tensor_read_rows(self, name: Value, first: int, count: int, as_numpy: Optional[bool] = None) -> Any:
        """Rows [first, first + count) along the first dimension; None for an absent key."""
        first, count = _unsigned(first, "first"), _unsigned(count, "count")

        def read(info: TensorInfo, address: Optional[int], size: int) -> int:
            return library.mlkv_tensor_read_rows(self._handle, self._codec.slice(name), first, count, address, size)

        return self._read(name, as_numpy, read, (first, count))

    def tensor_gather(self, name: Value, rows: Any, as_numpy: Optional[bool] = None) -> Any:
        """Rows by their numbers, in the order of the numbers, some perhaps several times; None for an absent key. rows: an array or a
        sequence of whole numbers, of any shape, behind which the shape of a row comes in the result."""
        numbers = _row_numbers(rows)

        def read(info: TensorInfo, address: Optional[int], size: int) -> int:
            return library.mlkv_tensor_gather(self._handle, self._codec.slice(name), numbers.address, numbers.count, address, size)

        return self._read(name, as_numpy, read, None, numbers.shape)

    def _read(
        self,
        name: Value,
        as_numpy: Optional[bool],
        read: Any,
        rows: Optional[Tuple[int, int]],
        gathered: Optional[Tuple[int, ...]] = None,
    ) -> Any:
        """Reads into new memory. Another process may put a tensor of another shape between the two calls: then once more."""
        numpy = None if as_numpy is False else _numpy()
        if as_numpy and numpy is None:
            raise ArgumentError("as_numpy: numpy is not installed")
        info = self.tensor_info(name)
        for _ in range(_READ_AGAIN_MAX):
            if info is None:
                return None
            if rows is not None and (rows[0] + rows[1] > info.rows or not info.shape):
                raise ShapeError(f"rows {rows[0]} to {rows[0] + rows[1]} of a tensor of shape {info.shape}")
            if gathered is not None and not info.shape:
                raise ShapeError("rows of a scalar")
            shape = info.shape if rows is None else (rows[1], *info.shape[1:])
            if gathered is not None:
                shape = (*gathered, *info.shape[1:])
            value, address, size = _allocate(numpy, _BY_NAME[info.dtype], shape)
            result = read(info, address, size)
            after = self.tensor_info(name)
            if after is not None and (after.dtype, after.shape) == (info.dtype, info.shape):
                check(result)
                return value
            info = after
        raise BusyError(f"the tensor {name!r} changed its shape during each of {_READ_AGAIN_MAX} readings")

    def tensor_write_rows(self, name: Value, first: int, values: Any, dtype: Any = None) -> int:
        """Replaces rows from `first` on, as many as values holds; their number. KeyError for an absent key."""
        info, array, count = self._rows_of(name, values, dtype)
        key = self._codec.slice(name)
        first = _unsigned(first, "first")
        if check(library.mlkv_tensor_write_rows(self._handle, key, first, count, array.address, array.bytes)) == ABSENT:
            raise KeyError(name)
        return count

    def tensor_add(self, name: Value, delta: Any, alpha: float = 1.0, dtype: Any = None, shape: Optional[Sequence[int]] = None) -> bool:
        """tensor += alpha * delta, atomically in all threads and processes. KeyError for an absent key. A flat buffer takes the tensor's
        own dtype and shape."""
        if dtype is None and shape is None and not _has_dtype(delta):
            info = self._existing(name)
            if memoryview(delta).nbytes == info.raw_bytes:
                dtype, shape = info.dtype, info.shape
        array = _array(delta, dtype, shape)
        if check(library.mlkv_tensor_add(self._handle, self._codec.slice(name), alpha, _describe(array), array.address)) == ABSENT:
            raise KeyError(name)
        return True

    def tensor_add_rows(self, name: Value, first: int, delta: Any, alpha: float = 1.0, dtype: Any = None) -> int:
        """The rows from `first` on += alpha * delta, atomically; their number. KeyError for an absent key."""
        info, array, count = self._rows_of(name, delta, dtype)
        key = self._codec.slice(name)
        first = _unsigned(first, "first")
        if check(library.mlkv_tensor_add_rows(self._handle, key, alpha, first, count, array.address, array.bytes)) == ABSENT:
            raise KeyError(name)
        return count

    def tensor_scatter(self, name: Value, rows: Any, values: Any, dtype: Any = None) -> int:
        """Replaces rows by their numbers, of one that is named several times with the last; how many numbers there were. KeyError for an
        absent key."""
        numbers, array = self._scattered(name, rows, values, dtype)
        key = self._codec.slice(name)
        if check(library.mlkv_tensor_scatter(self._handle, key, numbers.address, numbers.count, array.address, array.bytes)) == ABSENT:
            raise KeyError(name)
        return numbers.count

    def tensor_scatter_add(self, name: Value, rows: Any, delta: Any, alpha: float = 1.0, dtype: Any = None) -> int:
        """Row rows[i] += alpha * delta[i], atomically in all threads and processes; of one that is named several times all are added. How
        many numbers there were. KeyError for an absent key."""
        numbers, array = self._scattered(name, rows, delta, dtype)
        key, address = self._codec.slice(name), numbers.address
        if check(library.mlkv_tensor_scatter_add(self._handle, key, alpha, address, numbers.count, array.address, array.bytes)) == ABSENT:
            raise KeyError(name)
        return numbers.count

    def _scattered(self, name: Value, rows: Any, values: Any, dtype: Any) -> Tuple[_Rows, _Array]:
        numbers = _row_numbers(rows)
        _, array, count = self._rows_of(name, values, dtype)
        if count != numbers.count:
            raise ShapeError(f"{count} rows for {numbers.count} row numbers")
        return numbers, array

    def tensor_append(self, name: Value, values: Any, dtype: Any = None) -> int:
        """Appends rows behind the last one, so that the first dimension grows; how many rows there are now. Begin with a tensor of shape
        (0, ...). KeyError for an absent key."""
        _, array, count = self._rows_of(name, values, dtype)
        now = ctypes.c_uint64()
        key = self._codec.slice(name)
        if check(library.mlkv_tensor_append_rows(self._handle, key, count, array.address, array.bytes, now)) == ABSENT:
            raise KeyError(name)
        return now.value

    def tensor_scale(self, name: Value, factor: float) -> bool:
        """tensor *= factor, atomically in all threads and processes. KeyError for an absent key."""
        if check(library.mlkv_tensor_scale(self._handle, self._codec.slice(name), factor)) == ABSENT:
            raise KeyError(name)
        return True

    def _existing(self, name: Value) -> TensorInfo:
        info = self.tensor_info(name)
        if info is None:
            raise KeyError(name)
        return info

    def _rows_of(self, name: Value, values: Any, dtype: Any) -> Tuple[TensorInfo, _Array, int]:
        """Whole rows of the tensor, and how many."""
        info = self._existing(name)
        wanted = _BY_NAME[info.dtype]
        typed = dtype is not None or _has_dtype(values) or memoryview(values).format != "B"
        array = _array(values, dtype if typed else wanted, None)
        if array.dtype.size != wanted.size or (array.dtype is not wanted and array.dtype.numpy != wanted.numpy):
            raise ShapeError(f"rows of {array.dtype} for a tensor of {wanted}")
        if not info.row_bytes or array.bytes % info.row_bytes:
            raise ShapeError(f"{array.bytes} bytes are no whole rows of {info.row_bytes} bytes")
        return info, array, array.bytes // info.row_bytes


def information(info: _library.TensorInfo) -> TensorInfo:
    tensor = info.tensor
    return TensorInfo(
        _BY_CODE[tensor.dtype].name, tuple(tensor.shape[: tensor.dimensions]), info.raw_bytes, info.stored_bytes, info.rows,
        info.row_bytes, info.chunk_rows, info.chunks, info.version, info.contiguous != 0,
    )  # fmt: skip


def _unsigned(number: int, what: str) -> int:
    """ctypes would wrap a negative number silently."""
    number = int(number)
    if not 0 <= number < 1 << 63:
        raise ShapeError(f"{what} is {number}")
    return number


def _row_numbers(rows: Any) -> _Rows:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(rows, torch.Tensor):
        rows = rows.detach().cpu().numpy()
    if hasattr(rows, "__array_interface__"):
        numpy = importlib.import_module("numpy")
        numbers = numpy.asarray(rows)
        if numbers.dtype.kind not in "iu":
            raise ArgumentError(f"row numbers of dtype {numbers.dtype}")
        if numbers.size and numbers.min() < 0:
            raise ShapeError(f"row number {numbers.min()}")
        numbers = numpy.ascontiguousarray(numbers, "uint64").reshape(numbers.shape)
        return _Rows(numbers, numbers.__array_interface__["data"][0], numbers.size, numbers.shape)
    try:
        flat = arrays.array("Q", (_unsigned(operator.index(row), "a row number") for row in rows))
    except TypeError:
        raise ArgumentError(f"a {type(rows).__name__} is no sequence of row numbers") from None
    return _Rows(flat, flat.buffer_info()[0], len(flat), (len(flat),))


def _has_dtype(value: Any) -> bool:
    """Whether it is an array that knows its own type and shape: numpy's or torch's."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _array(value: Any, dtype: Any, shape: Optional[Sequence[int]]) -> _Array:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value, dtype = _from_torch(torch, value, dtype)
    if hasattr(value, "__array_interface__"):
        return _from_numpy(value, dtype, shape)
    return _from_buffer(value, dtype, shape)


def _from_torch(torch: Any, value: Any, dtype: Any) -> Tuple[Any, Any]:
    """A numpy array of the same bytes, and the dtype that they are."""
    value = value.detach().cpu().contiguous()
    dtype = dtype_of(value.dtype) if dtype is None else dtype_of(dtype)
    if dtype.numpy in ("uint16", "uint8") and dtype.name not in ("u16", "u8"):
        value = value.view(torch.int16 if dtype.size == 2 else torch.uint8)
    return value.numpy(), dtype


def _from_numpy(value: Any, dtype: Any, shape: Optional[Sequence[int]]) -> _Array:
    numpy = importlib.import_module("numpy")
    plain = numpy.asarray(value)
    if plain.dtype.byteorder == ">":
        plain = plain.astype(plain.dtype.newbyteorder("="))
    plain = numpy.ascontiguousarray(plain).reshape(plain.shape)
    kind = dtype_of(plain.dtype) if dtype is None else dtype_of(dtype)
    if kind.size != plain.dtype.itemsize:
        raise ShapeError(f"a {plain.dtype} array is not of dtype {kind}")
    extents = plain.shape if shape is None else _checked(shape, plain.nbytes, kind)
    return _Array(plain, plain.__array_interface__["data"][0], plain.nbytes, kind, tuple(extents))


_FORMATS = {"l": {4: "i32", 8: "i64"}, "L": {4: "u32", 8: "u64"}}


def _from_buffer(value: Any, dtype: Any, shape: Optional[Sequence[int]]) -> _Array:
    try:
        view = memoryview(value)
    except TypeError:
        raise ArgumentError(f"a {type(value).__name__} is no array and has no buffer") from None
    if dtype is not None:
        kind = dtype_of(dtype)
    else:
        letter = view.format.lstrip("@=<")
        name = _FORMATS.get(letter, {}).get(view.itemsize)
        found = _BY_NAME[name] if name else next((d for d in DTYPES[::-1] if d.format == letter and d.parts == 1), None)
        if found is None:
            raise ArgumentError(f"a buffer of format {view.format!r} needs a dtype")
        kind = found
    if shape is not None:
        extents = _checked(shape, view.nbytes, kind)
    elif view.itemsize == kind.size:
        extents = tuple(view.shape or ())
    elif kind.parts == 2 and view.itemsize * 2 == kind.size and view.ndim > 1 and view.shape and view.shape[-1] == 2:
        extents = tuple(view.shape[:-1])
    elif view.nbytes % kind.size == 0:
        extents = (view.nbytes // kind.size,)
    else:
        raise ShapeError(f"{view.nbytes} bytes are no whole elements of {kind}")
    return _Array(*_memory(view), view.nbytes, kind, extents)


def _memory(view: memoryview) -> Tuple[Any, Optional[int]]:
    """(owner, address) of a buffer's bytes. ctypes takes the address of writable memory only; what is read-only is copied, once."""
    if view.nbytes == 0:
        return view, None
    if view.readonly or not view.c_contiguous:
        data = view.tobytes()
        return data, ctypes.cast(data, ctypes.c_void_p).value
    owner = (ctypes.c_char * view.nbytes).from_buffer(view.cast("B") if view.format != "B" or view.ndim != 1 else view)
    return owner, ctypes.addressof(owner)


def _checked(shape: Sequence[int], size: int, dtype: DType) -> Tuple[int, ...]:
    extents = tuple(int(extent) for extent in shape)
    if any(extent < 0 for extent in extents) or math.prod(extents) * dtype.size != size:
        raise ShapeError(f"{size} bytes are no {dtype} of shape {extents}")
    return extents


def _describe(array: _Array) -> Any:
    if len(array.shape) > DIMENSIONS_MAX:
        raise ShapeError(f"{len(array.shape)} dimensions, and {DIMENSIONS_MAX} are the most")
    return _library.Tensor(array.dtype.code, len(array.shape), array.shape)


def _allocate(numpy: Any, dtype: DType, shape: Tuple[int, ...]) -> Tuple[Any, Optional[int], int]:
    """New memory for such a tensor: (what the caller gets, address, bytes)."""
    size = math.prod(shape) * dtype.size
    if numpy is not None:
        array = numpy.empty(shape, dtype.numpy)
        return array, array.__array_interface__["data"][0], size
    memory = bytearray(size)
    extents = list(shape) + ([dtype.parts] if dtype.parts > 1 else [])
    flat = memoryview(memory)
    if size == 0:
        return flat.cast(cast_format(dtype)), None, 0
    address = ctypes.addressof((ctypes.c_char * size).from_buffer(memory))
    return flat.cast(cast_format(dtype), extents), address, size


def cast_format(dtype: DType) -> str:
    """Half floats have no memoryview format before Python 3.12: their bits come as unsigned numbers there."""
    return "H" if dtype.format == "e" and sys.version_info < (3, 12) else dtype.format

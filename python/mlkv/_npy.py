"""numpy's .npy files, versions 1.0 to 3.0, without numpy.

A file is: 0x93 "NUMPY", two bytes of version, the header's size (u16, from 2.0 on u32), the header, the elements. The header is a Python
dict with 'descr' (such as '<f4'), 'fortran_order' and 'shape'. It is read by ast.literal_eval, which runs nothing, and only up to numpy's
own limit of 10,000 bytes, because a long one can exhaust the parser's stack. Nothing is ever unpickled: a file of objects is refused, as
are structured elements, texts and times.

Bytes of the other order are swapped in blocks into a file without a name. Elements in Fortran's order (columns first) are put into rows
first in memory, where they are twice for a moment, so only up to BLOCK_BYTES.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
import tempfile
from array import array
from typing import Any, ContextManager, Dict, Iterator, List, NamedTuple, Optional, Tuple

from . import _transfer as transfer
from ._library import DIMENSIONS_MAX
from ._tensors import DTYPES, DType, TensorInfo, _numpy, dtype_of
from ._transfer import Part, PathLike, Source, Transfer, TransferView
from ._values import Value

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES_MAX = 10_000  # numpy's own
_ALIGN = 64
_BYTES_END = 1 << 62  # the library's limit
_DESCR = re.compile(r"([<>|=])([a-zA-Z])([0-9]{1,4})")
_LETTERS = {"float": "f", "int": "i", "uint": "u", "bool": "b", "complex": "c"}
_WHY_NOT = {"O": "objects", "S": "byte strings", "a": "byte strings", "U": "texts", "M": "times", "m": "time spans", "V": "raw bytes"}


def _descr(dtype: DType) -> str:
    """As numpy writes the type that tensor_get gives: bf16 and f8 are whole numbers there."""
    kind = _LETTERS[dtype.numpy.rstrip("0123456789")]
    return f"{'|' if dtype.size == 1 else '<'}{kind}{dtype.size}"


_NOT_NUMPYS = ("bf16", "f8e4m3", "f8e5m2")
_KINDS: Dict[str, DType] = {_descr(dtype)[1:]: dtype for dtype in DTYPES if dtype.name not in _NOT_NUMPYS}


class _Form(NamedTuple):
    """What a header says."""

    dtype: DType
    shape: Tuple[int, ...]
    swapped: bool
    columns: bool
    start: int
    bytes: int


def _read_header(source: Source) -> Tuple[Dict[str, Any], int]:
    """(the header, where the elements begin)"""
    if source.size < 10:
        raise source.error(f"is no .npy file: it has {source.size} bytes")
    begin = source.read(0, 10)
    if begin[:6] != _MAGIC:
        raise source.error("is no .npy file: it does not begin with \\x93NUMPY")
    if begin[6] not in (1, 2, 3) or begin[7] != 0:
        raise source.error(f"is a .npy file of version {begin[6]}.{begin[7]}; 1.0, 2.0 and 3.0 are known")
    start = 10 if begin[6] == 1 else 12
    if source.size < start:
        raise source.error("ends within its header's size")
    size = int.from_bytes(source.read(8, start - 8), "little")
    if size > source.size - start:
        raise source.error(f"its header would have {size} bytes, and {source.size - start} are there")
    if size > _HEADER_BYTES_MAX:
        raise source.error(f"its header has {size} bytes, and {_HEADER_BYTES_MAX} are the most")
    try:
        text = source.read(start, size).decode("utf-8" if begin[6] == 3 else "latin-1")
        header = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise source.error(f"its header cannot be read: {type(error).__name__}") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise source.error("its header is no dict of 'descr', 'fortran_order' and 'shape'")
    return header, start + size


def _read_form(source: Source, wanted: Any) -> _Form:
    header, start = _read_header(source)
    descr, columns, shape = header["descr"], header["fortran_order"], header["shape"]
    if not isinstance(columns, bool):
        raise source.error(f"fortran_order is {columns!r}")
    if not isinstance(shape, tuple) or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise source.error("its shape is no tuple of whole numbers from 0 on")
    if len(shape) > DIMENSIONS_MAX:
        raise source.error(f"it has {len(shape)} dimensions, and {DIMENSIONS_MAX} are the most")
    dtype, swapped = _read_descr(source, descr, wanted)
    if math.prod(max(extent, 1) for extent in shape) * dtype.size >= _BYTES_END:
        raise source.error("its shape is too large")
    size = math.prod(shape) * dtype.size
    if source.size - start != size:
        raise source.error(f"it has {source.size - start} bytes of elements, and its shape makes {size}")
    return _Form(dtype, shape, swapped, columns and sum(extent != 1 for extent in shape) > 1 and size > 0, start, size)


def _read_descr(source: Source, descr: Any, wanted: Any) -> Tuple[DType, bool]:
    """(dtype, whether its bytes are in the other order)"""
    if isinstance(descr, (list, tuple)):
        raise source.error("its elements are structured, which a tensor's are not")
    match = _DESCR.fullmatch(descr) if isinstance(descr, str) else None
    if match is None:
        raise source.error(f"its type is {str(descr)[:100]!r}")
    order, letter, size = match[1], match[2], int(match[3])
    found = _KINDS.get(f"{letter}{size}")
    if wanted is not None:
        kind = dtype_of(wanted)
        if letter in "uV" and kind.size == size and kind.name in _NOT_NUMPYS:
            found = kind
        elif kind is not found:
            raise source.error(f"its elements are {descr!r}, not {kind}")
    if found is None:
        raise source.error(f"its elements are {_WHY_NOT.get(letter, 'of a type that the library does not have')} ({descr!r})")
    if order == "|" and size != 1 and letter != "V":
        raise source.error(f"its type {descr!r} does not say the order of its bytes")
    return found, order == ">" and found.size // found.parts > 1


def _swap(data: bytearray, size: int) -> None:
    """Turns the bytes of each element of that size around."""
    for low in range(size // 2):
        high = size - 1 - low
        data[low::size], data[high::size] = data[high::size], data[low::size]


@contextlib.contextmanager
def _opened(source: Source, form: _Form) -> Iterator[Optional[int]]:
    """The address of the elements, row by row and in the machine's order."""
    if form.dtype.name == "bool":
        _check_truths(source, form)
    if form.columns:
        data = source.read(form.start, form.bytes)
        if form.swapped:
            _swap(data, form.dtype.size // form.dtype.parts)
        rows = _to_rows(data, form.shape, form.dtype.size)
        yield transfer.address_of(rows)
    elif not form.swapped or form.bytes == 0:
        with source.borrow(form.start, form.bytes) as address:
            yield address
    elif form.bytes <= transfer.BLOCK_BYTES:
        data = source.read(form.start, form.bytes)
        _swap(data, form.dtype.size // form.dtype.parts)
        yield transfer.address_of(data)
    else:
        with _spooled(source, form) as address:
            yield address


@contextlib.contextmanager
def _spooled(source: Source, form: _Form) -> Iterator[int]:
    with tempfile.TemporaryFile() as spool:
        for first in range(0, form.bytes, transfer.BLOCK_BYTES):
            data = source.read(form.start + first, min(transfer.BLOCK_BYTES, form.bytes - first))
            _swap(data, form.dtype.size // form.dtype.parts)
            transfer.write_all(spool.fileno(), data)
        with transfer.mapped(spool.fileno(), 0, form.bytes) as address:
            yield address


def _check_truths(source: Source, form: _Form) -> None:
    for first in range(0, form.bytes, transfer.BLOCK_BYTES):
        wrong = source.read(form.start + first, min(transfer.BLOCK_BYTES, form.bytes - first)).translate(None, b"\0\1")
        if wrong:
            raise source.error(f"its elements are bool, and one is {wrong[0]}")


def _to_rows(data: bytearray, shape: Tuple[int, ...], size: int) -> bytearray:
    """The same elements, row by row."""
    numpy = _numpy()
    if numpy is not None:
        return bytearray(numpy.frombuffer(data, f"V{size}").reshape(shape, order="F").tobytes())
    if size == 16:  # no format of array has so many: the halves by themselves
        halves = array("Q", bytes(data))
        for half in range(2):
            halves[half::2] = array("Q", bytes(_to_rows(bytearray(halves[half::2].tobytes()), shape, 8)))
        return bytearray(halves.tobytes())
    return bytearray(_transposed(array({1: "B", 2: "H", 4: "I", 8: "Q"}[size], bytes(data)), shape).tobytes())


def _transposed(columns: "array[Any]", shape: Tuple[int, ...]) -> "array[Any]":
    """Each step takes the last dimension, whose parts stand one after another, and spreads them over the rows."""
    if len(shape) < 2:
        return columns
    extent, part = shape[-1], len(columns) // shape[-1]
    if extent <= part:
        rows = array(columns.typecode, bytes(columns.itemsize)) * len(columns)
        for index in range(extent):
            rows[index::extent] = _transposed(columns[index * part : (index + 1) * part], shape[:-1])
        return rows
    lists: List["array[Any]"] = [_transposed(columns[first::part], (extent,)) for first in range(part)]
    order = _transposed(array("Q", range(part)), shape[:-1])
    joined = array(columns.typecode)
    for first in order:
        joined.extend(lists[first])
    return joined


def _header(info: TensorInfo) -> bytes:
    """As numpy writes it, so that both write the same bytes."""
    text = f"{{'descr': '{_descr(dtype_of(info.dtype))}', 'fortran_order': False, 'shape': {info.shape!r}, }}".encode()
    size = (10 + len(text) + 1 + _ALIGN - 1) // _ALIGN * _ALIGN - 10
    return _MAGIC + b"\1\0" + size.to_bytes(2, "little") + text.ljust(size - 1) + b"\n"


class NpyCommands(TransferView):
    def import_npy(self, path: PathLike, name: Value, dtype: Any = None) -> Transfer:
        """Stores the array of a .npy file under a key, replacing the tensor that it holds.

        dtype: what whole or raw elements of the same size are in truth ("bf16", "f8e4m3", "f8e5m2"), because numpy has no such types.
        Fortran's order is possible up to 64 MiB. FormatError for a file that is not right; memory and changes of the file while it is
        read are as in import_safetensors."""
        key = self._codec.encode(name)
        with Source(path) as source:
            form = _read_form(source, dtype)
            if form.columns and form.bytes > transfer.BLOCK_BYTES:
                most = transfer.BLOCK_BYTES
                raise source.error(f"its {form.bytes} bytes are in Fortran's order, and {most} are the most; save it in C's")

            def opened() -> ContextManager[Optional[int]]:
                return _opened(source, form)

            transfer.save(self, [Part(key, form.dtype, form.shape, form.bytes, opened)], source.unchanged)
        return Transfer((self._codec.decode(key),), form.bytes)

    def export_npy(self, path: PathLike, name: Value) -> Transfer:
        """Writes a tensor into a .npy file, which takes the place of what is at path at its end, synced. bf16 and f8 are written as the
        unsigned numbers that tensor_get gives. KeyError for an absent key."""
        key = self._codec.encode(name)
        with self._frozen() as view:
            info = view.tensor_info(key)
            if info is None:
                raise KeyError(name)
            with transfer.new_file(path) as file:
                transfer.write_all(file, _header(info))
                transfer.write_tensor(view, key, info, file)
        return Transfer((self._codec.decode(key),), info.raw_bytes)

"""Safetensors files: the tensors under a prefix into one file, and those of a file under a prefix.

A file is: u64 header size (little-endian), the header (JSON), the tensors' bytes without gaps. The header is one object, a member for each
tensor, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [first, end]}, and perhaps "__metadata__", an object of texts.

Rules for what is read (bytes of strangers): the header's size is compared with the file's, and with 100 MB, before anything is read; it is
parsed by a reader that knows only this grammar, so that nothing in it nests and what it takes is bounded by its own length. The
offsets must cover the data exactly, each tensor's must be those of its dtype and shape, and no name may be there twice. All of this is
known before the store is touched. BOOL elements must be 0 or 1, which is seen while they are read.

What is written: tensors in the order of the reference implementation (by dtype, the largest elements first, then by name), so each begins
at a multiple of its element's size; the data begin at a multiple of 64.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from . import _transfer as transfer
from ._keys import SCAN_KEYS
from ._library import DIMENSIONS_MAX
from ._tensors import DType, TensorInfo, dtype_of
from ._transfer import Part, PathLike, Source, Transfer, TransferView
from ._values import Codec, Value
from .errors import ArgumentError, Error

_HEADER_BYTES_MAX = 100_000_000  # the reference implementation's
_ALIGN = 64
_BYTES_END = 1 << 62  # the library's limit: the product of all extents but 0, times the element
_METADATA = "__metadata__"

# The order is the reference implementation's.
_NAMES: Dict[str, str] = {
    "BOOL": "bool", "U8": "u8", "I8": "i8", "F8_E5M2": "f8e5m2", "F8_E4M3": "f8e4m3", "I16": "i16", "U16": "u16", "F16": "f16",
    "BF16": "bf16", "I32": "i32", "U32": "u32", "F32": "f32", "C64": "c64", "F64": "f64", "I64": "i64", "U64": "u64",
}  # fmt: skip
_DTYPES: Dict[str, DType] = {name: dtype_of(own) for name, own in _NAMES.items()}
_RANKS: Dict[str, Tuple[int, str]] = {own: (rank, name) for rank, (name, own) in enumerate(_NAMES.items())}

_SPACE = re.compile(r"[ \t\n\r]*")
_INTEGER = re.compile(r"0|[1-9][0-9]{0,19}")  # whatever follows a longer one is an error by itself


class _Entry(NamedTuple):
    name: str
    dtype: DType
    shape: Tuple[int, ...]
    first: int
    end: int


class _Reader:
    """The tokens of a header. Errors are ValueErrors, which parse() puts the file's name to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, letter: str) -> bool:
        self.skip()
        if not self.text.startswith(letter, self.at):
            return False
        self.at += 1
        return True

    def need(self, letter: str) -> None:
        if not self.take(letter):
            found = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            raise ValueError(f"{letter!r} was expected at character {self.at}, and {found} is there")

    def string(self) -> str:
        self.need('"')
        value, self.at = scanstring(self.text, self.at, True)
        return str(value)

    def members(self) -> Iterator[str]:
        """The names of an object; whoever takes one reads its value before the next."""
        seen = set()
        self.need("{")
        if self.take("}"):
            return
        while True:
            name = self.string()
            if name in seen:
                raise ValueError(f"{name!r} is there twice")
            seen.add(name)
            self.need(":")
            yield name
            if self.take("}"):
                return
            self.need(",")

    def integers(self, most: int) -> Tuple[int, ...]:
        found: List[int] = []
        self.need("[")
        if self.take("]"):
            return ()
        while True:
            self.skip()
            match = _INTEGER.match(self.text, self.at)
            if match is None:
                raise ValueError(f"a whole number was expected at character {self.at}")
            self.at = match.end()
            found.append(int(match[0]))
            if found[-1] >= 1 << 64:
                raise ValueError(f"{found[-1]} is out of range")
            if self.take("]"):
                return tuple(found)
            if len(found) == most:
                raise ValueError(f"more than {most} numbers in a list that ends at character {self.at} at the latest")
            self.need(",")


def _read_entry(reader: _Reader, name: str) -> _Entry:
    fields: Dict[str, Any] = {}
    for field in reader.members():
        if field == "dtype":
            fields[field] = reader.string()
        elif field == "shape":
            fields[field] = reader.integers(DIMENSIONS_MAX)
        elif field == "data_offsets":
            fields[field] = reader.integers(2)
        else:
            raise ValueError(f"the unknown field {field!r}")
    missing = [field for field in ("dtype", "shape", "data_offsets") if field not in fields]
    if missing:
        raise ValueError(f"no {missing[0]}")
    dtype = _DTYPES.get(fields["dtype"])
    if dtype is None:
        raise ValueError(f"the dtype {fields['dtype']!r}, which the library does not have")
    if len(fields["data_offsets"]) != 2:
        raise ValueError("data_offsets that are not two")
    entry = _Entry(name, dtype, fields["shape"], *fields["data_offsets"])
    if math.prod(max(extent, 1) for extent in entry.shape) * dtype.size >= _BYTES_END:
        raise ValueError(f"the shape {list(entry.shape)}, which is too large")
    size = math.prod(entry.shape) * dtype.size
    if entry.end - entry.first != size:
        raise ValueError(f"bytes {entry.first} to {entry.end} for {size} bytes of data")
    return entry


def _read_metadata(reader: _Reader) -> Dict[str, str]:
    return {name: reader.string() for name in reader.members()}


def _read_header(text: str) -> Tuple[List[_Entry], Dict[str, str]]:
    reader = _Reader(text)
    entries: List[_Entry] = []
    metadata: Dict[str, str] = {}
    if not text.startswith("{"):
        raise ValueError("it does not begin with '{'")
    for name in reader.members():
        try:
            if name == _METADATA:
                metadata = _read_metadata(reader)
            else:
                entries.append(_read_entry(reader, name))
        except ValueError as error:
            raise ValueError(f"{'the tensor ' if name != _METADATA else ''}{name!r}: {error}") from None
    reader.skip()
    if reader.at != len(text):
        raise ValueError(f"something stands after its end, at character {reader.at}")
    return entries, metadata


def _check_cover(entries: List[_Entry], size: int) -> None:
    """The data are all of the tensors' and nothing else's."""
    at = 0
    for entry in sorted(entries, key=lambda entry: (entry.first, entry.end)):
        if entry.first != at:
            what = "overlaps another tensor" if entry.first < at else f"leaves {entry.first - at} bytes before it to no tensor"
            raise ValueError(f"the tensor {entry.name!r} {what}")
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors have {at} bytes, and the file has {size} bytes of data")


def parse(source: Source) -> Tuple[List[_Entry], Dict[str, str], int]:
    """(tensors in the header's order, metadata, where the data begin). FormatError for everything that is not right."""
    if source.size < 8:
        raise source.error(f"is no safetensors file: it has {source.size} bytes")
    size = int.from_bytes(source.read(0, 8), "little")
    if size > source.size - 8:
        raise source.error(f"is no safetensors file: its header would have {size} bytes, and there are {source.size - 8}")
    if size > _HEADER_BYTES_MAX:
        raise source.error(f"its header has {size} bytes, and {_HEADER_BYTES_MAX} are the most")
    try:
        entries, metadata = _read_header(source.read(8, size).decode())
        _check_cover(entries, source.size - 8 - size)
    except ValueError as error:  # UnicodeDecodeError too
        raise source.error(f"its header is not valid: {error}") from None
    return entries, metadata, 8 + size


def _key(codec: Codec, prefix: bytes, name: str) -> bytes:
    try:
        return prefix + codec.encode(name)
    except UnicodeEncodeError as error:
        raise ArgumentError(f"the tensor's name {name!r} cannot be a key: {error}") from None


def _opening(source: Source, entry: _Entry, start: int) -> Callable[[], ContextManager[Optional[int]]]:
    @contextlib.contextmanager
    def opened() -> Iterator[Optional[int]]:
        if entry.dtype.name == "bool":
            _check_truths(source, entry, start)
        with source.borrow(start + entry.first, entry.end - entry.first) as address:
            yield address

    return opened


def _check_truths(source: Source, entry: _Entry, start: int) -> None:
    for first in range(entry.first, entry.end, transfer.BLOCK_BYTES):
        wrong = source.read(start + first, min(transfer.BLOCK_BYTES, entry.end - first)).translate(None, b"\0\1")
        if wrong:
            raise source.error(f"the tensor {entry.name!r} is BOOL and has an element {wrong[0]}")


def _encode_header(found: List[Tuple[str, bytes, TensorInfo]], metadata: Optional[Mapping[str, str]]) -> bytes:
    """With its size before it and blanks after it."""
    header: Dict[str, Any] = {}
    if metadata:
        header[_METADATA] = dict(metadata)
    at = 0
    for name, _, info in found:
        header[name] = {"dtype": _RANKS[info.dtype][1], "shape": list(info.shape), "data_offsets": [at, at + info.raw_bytes]}
        at += info.raw_bytes
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"metadata that is no text: {error}") from None
    size = (8 + len(text) + _ALIGN - 1) // _ALIGN * _ALIGN - 8
    if size > _HEADER_BYTES_MAX:
        raise ArgumentError(f"the header would have {size} bytes, and {_HEADER_BYTES_MAX} are the most")
    return size.to_bytes(8, "little") + text.ljust(size)


def _find(view: Any, prefix: bytes) -> List[Tuple[str, bytes, TensorInfo]]:
    """The tensors under a prefix in the order of a file: (name in the file, key, info)."""
    found: List[Tuple[str, bytes, TensorInfo]] = []
    for key, kind in view._scan_iter(SCAN_KEYS, None, transfer.literal(prefix) + b"*", None):
        if kind != b"tensor" or key.startswith(transfer.STAGED):
            continue
        try:
            name = key[len(prefix) :].decode(view._codec.encoding)
        except UnicodeDecodeError:
            raise ArgumentError(f"the key {key!r} is no text, as a name in a safetensors file must be") from None
        info = view.tensor_info(key)
        if info is None:  # expired in this moment
            continue
        if info.dtype not in _RANKS:
            raise ArgumentError(f"the tensor {key!r} is {info.dtype}, which safetensors files do not have")
        if name == _METADATA:
            raise ArgumentError(f"the tensor {key!r} would have the name {name!r}, which is not for tensors")
        found.append((name, key, info))
    return sorted(found, key=lambda row: (-_RANKS[row[2].dtype][0], row[0].encode()))


class SafetensorsCommands(TransferView):
    def import_safetensors(self, path: PathLike, prefix: Value = "") -> Transfer:
        """Stores all tensors of a file, each under prefix + its name, replacing tensors of these names. All become visible at once, to
        every process, or, if anything is wrong, none does. WrongTypeError if one of the keys holds something else.

        At most some 64 MiB of memory are taken: a larger tensor is mapped, not read. So, as with every mapped file, a file that
        somebody makes shorter meanwhile ends the process (SIGBUS), and nothing of it is visible then; one that somebody
        writes to is refused at the end (FileError). While more than 64 MiB are imported there are keys "mlkv:staged:..." for a time.

        The result has the keys, the number of bytes and the file's metadata. FormatError for a file that is not right."""
        start = self._codec.encode(prefix)
        with Source(path) as source:
            entries, metadata, data = parse(source)
            parts = [
                Part(_key(self._codec, start, entry.name), entry.dtype, entry.shape, entry.end - entry.first, _opening(source, entry, data))
                for entry in entries
            ]
            transfer.refuse_same([part.key for part in parts])
            transfer.save(self, parts, source.unchanged)
        return Transfer(tuple(self._codec.list([part.key for part in parts])), sum(part.bytes for part in parts), metadata)

    def export_safetensors(self, path: PathLike, prefix: Value = "", metadata: Optional[Mapping[str, str]] = None) -> Transfer:
        """Writes all tensors whose keys begin with prefix into a new file, under what follows the prefix, as they are at one moment.
        Other keys are passed over. The file takes the place of what is at path at its end, synced; after an exception path is untouched.

        Tensors are written in blocks of whole rows of about 64 MiB, so that much memory is taken, or a row's. ArgumentError for a
        dtype that the format does not have (c128), and for a key that is no text. KeyError if there is no such tensor."""
        if not all(isinstance(text, str) for pair in dict(metadata or {}).items() for text in pair):
            raise ArgumentError("metadata is a dict of str to str")
        start = self._codec.encode(prefix)
        with self._frozen() as view:
            found = _find(view, start)
            if not found:
                raise KeyError(prefix)
            header = _encode_header(found, metadata)
            with transfer.new_file(path) as file:
                transfer.write_all(file, header)
                for _, key, info in found:
                    try:
                        transfer.write_tensor(view, key, info, file)
                    except Error as error:
                        error.detail = f"the tensor {key!r}: {error.detail}"
                        error.args = (error.detail,)
                        raise
        keys = self._codec.list([key for _, key, _ in found])
        return Transfer(tuple(keys), sum(info.raw_bytes for _, _, info in found), dict(metadata or {}))

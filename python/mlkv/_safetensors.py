"""Safetensors files: the tensors under a prefix into one file, and those of a file under a prefix.

The library does it (mlkv/file.h says how); here are Python's names for its arguments and results. Names in a file are UTF-8, and so are
the parts of keys that they become, whatever encoding the client has for other texts.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from . import _transfer as transfer
from ._library import FileInfo, Slice, library
from ._transfer import PathLike, Transfer, TransferView
from ._values import Slices, Value
from ._view import ABSENT, check
from .errors import ArgumentError


def _texts(metadata: Optional[Mapping[str, str]]) -> List[bytes]:
    """name, text, name, text ..."""
    pairs = [text for pair in dict(metadata or {}).items() for text in pair]
    if not all(isinstance(text, str) for text in pairs):
        raise ArgumentError("metadata is a dict of str to str")
    try:
        return [text.encode() for text in pairs]
    except UnicodeEncodeError as error:
        raise ArgumentError(f"metadata that is no text: {error}") from None


def _done(view: Any, keys: Any, info: FileInfo, metadata: Dict[str, str]) -> Transfer:
    return Transfer(tuple(view._codec.list(view._pool.give_rows(keys))), info.bytes, metadata)


class SafetensorsCommands(TransferView):
    def import_safetensors(self, path: PathLike, prefix: Value = "") -> Transfer:
        """Stores all tensors of a file, each under prefix + its name, replacing tensors of these names. All become visible at once, to
        every process, or, if anything is wrong, none does. WrongTypeError if one of the keys holds something else.

        The file is read piece by piece, in some 100 MiB of memory at most, or twice the largest row. One that somebody writes to or cuts
        meanwhile is refused (FileError).

        The result has the keys, the number of bytes and the file's metadata. FormatError for a file that is not right."""
        start, name = self._codec.encode(prefix), transfer.readable(path)
        keys, texts, info = self._pool.take_rows(), self._pool.take_rows(), FileInfo()
        check(
            library.mlkv_safetensors_import(
                self._handle, name, Slice(start, len(start)), transfer.file_options(), keys, texts, info
            )
        )
        found = [(text or b"").decode() for text in self._pool.give_rows(texts)]
        return _done(self, keys, info, dict(zip(found[0::2], found[1::2])))

    def export_safetensors(self, path: PathLike, prefix: Value = "", metadata: Optional[Mapping[str, str]] = None) -> Transfer:
        """Writes all tensors whose keys begin with prefix into a new file, under what follows the prefix, as they are at one moment.
        Other keys are passed over. The file takes the place of what is at path at its end, synced; after an exception path is untouched.

        Tensors are written in blocks of rows of about 32 MiB, so that much memory is taken, or a row's. ArgumentError for a
        dtype that the format does not have (c128), and for a key that is no UTF-8. KeyError if there is no such tensor."""
        start, name, texts = self._codec.encode(prefix), transfer.writable(path), _texts(metadata)
        keys, info = self._pool.take_rows(), FileInfo()
        result = check(
            library.mlkv_safetensors_export(
                self._handle, name, Slice(start, len(start)), Slices(texts), len(texts) // 2, transfer.file_options(), keys, info
            )
        )
        if result == ABSENT:
            raise KeyError(prefix)
        return _done(self, keys, info, dict(metadata or {}))

"""numpy's .npy files, versions 1.0 to 3.0, without numpy: the library reads and writes them (mlkv/file.h)."""

from __future__ import annotations

from typing import Any

from . import _transfer as transfer
from ._library import FileInfo, Slice, library
from ._tensors import dtype_of
from ._transfer import PathLike, Transfer, TransferView
from ._values import Value
from ._view import ABSENT, check


class NpyCommands(TransferView):
    def import_npy(self, path: PathLike, name: Value, dtype: Any = None) -> Transfer:
        """Stores the array of a .npy file under a key, replacing the tensor that it holds.

        dtype: what whole or raw elements of the same size are in truth ("bf16", "f8e4m3", "f8e5m2"), because numpy has no such types.
        Fortran's order is possible up to 64 MiB. FormatError for a file that is not right, or of objects: nothing is ever unpickled.
        Memory and changes of the file while it is read are as in import_safetensors."""
        key, code = self._codec.encode(name), 0 if dtype is None else dtype_of(dtype).code
        source, info = transfer.readable(path), FileInfo()
        options = transfer.file_options(transfer.COLUMNS_BYTES_MAX)
        check(library.mlkv_npy_import(self._handle, Slice(key, len(key)), source, code, options, info))
        return Transfer((self._codec.decode(key),), info.bytes)

    def export_npy(self, path: PathLike, name: Value) -> Transfer:
        """Writes a tensor into a .npy file, which takes the place of what is at path at its end, synced. bf16 and f8 are written as the
        unsigned numbers that tensor_get gives. KeyError for an absent key."""
        key = self._codec.encode(name)
        target, info = transfer.writable(path), FileInfo()
        result = check(library.mlkv_npy_export(self._handle, Slice(key, len(key)), target, transfer.file_options(), info))
        if result == ABSENT:
            raise KeyError(name)
        return Transfer((self._codec.decode(key),), info.bytes)

"""Tensors lent by the store: memory that is the stored data themselves, and what takes such memory without a copy.

A loan's memory is a private mapping of the store's pages: reading it reads what is stored, and what is written to it (torch thinks that
it may) becomes a copy of the page in this process, which the store never sees. All that is made of one loan (memoryviews, DLPack's
capsules, and so the arrays of numpy and torch) shares its memory, and the loan lasts until the last of them is gone.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional, Tuple

from . import _library
from ._library import library
from ._tensors import TensorInfo, cast_format, dtype_of, information
from ._values import Value
from ._view import ABSENT, View, check
from .errors import ClosedError

_PRIVATE = 1  # MLKV_LOAN_PRIVATE
_CPU = 1  # kDLCPU

# A capsule's name, and where its struct has the deleter.
_OLD = (b"dltensor", 56)
_VERSIONED = (b"dltensor_versioned", 16)

_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
# By address, for the capsule is being destroyed and must not be taken hold of.
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype = ctypes.c_int
_is_valid.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]

_Destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _delete(managed: int, offset: int) -> None:
    _Deleter(ctypes.c_void_p.from_address(managed + offset).value)(managed)


def _destroy(capsule: int) -> None:
    """Nobody has taken it: who does renames it."""
    for name, offset in (_OLD, _VERSIONED):
        if _is_valid(capsule, name):
            _delete(_get_pointer(capsule, name), offset)


_destructor = _Destructor(_destroy)


class _Held:
    """A loan of the library's; it ends with the last reference to this."""

    __slots__ = ("_as_parameter_", "_return", "__weakref__")

    def __init__(self, pointer: ctypes.c_void_p) -> None:
        self._as_parameter_ = pointer
        self._return = library.mlkv_loan_return

    def __del__(self) -> None:
        self._return(self._as_parameter_)


class TensorLoan:
    """A stored tensor's data, without a copy, as of the moment of the loan: whatever becomes of the key.

    numpy.from_dlpack(loan) and torch.from_dlpack(loan) make arrays of it, loan.memory() a memoryview. It takes a reader's slot, and keeps
    the store from using pages again, until the loan and all that was made of it are gone. close() lets go of the loan's own part; so does
    the end of a with block."""

    def __init__(self, held: _Held, address: Optional[int], info: TensorInfo) -> None:
        self._held: Optional[_Held] = held
        self._address = address
        self.info = info

    @property
    def dtype(self) -> str:
        """The name of the type of its elements, as in tensor_info."""
        return self.info.dtype

    @property
    def shape(self) -> Tuple[int, ...]:
        """Its dimensions."""
        return self.info.shape

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.info.raw_bytes

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._held is None

    def _open(self) -> _Held:
        if self._held is None:
            raise ClosedError("this loan is closed")
        return self._held

    def memory(self) -> memoryview:
        """The data as a memoryview of the tensor's shape; of complex numbers with one dimension more, of 2; of bf16 and f8 as
        unsigned integers. What is written to it stays in this process."""
        held = self._open()
        dtype = dtype_of(self.info.dtype)
        shape = self.info.shape + ((2,) if dtype.parts == 2 else ())
        block = (ctypes.c_char * self.info.raw_bytes).from_address(self._address or 0)
        block.held = held  # the memoryview keeps the array, and the array keeps the loan
        view = memoryview(block).cast("B")
        form = cast_format(dtype)
        return view.cast(form, shape) if 0 not in shape else view.cast(form)

    def __dlpack__(
        self,
        stream: Any = None,
        max_version: Optional[Tuple[int, int]] = None,
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        held = self._open()
        if stream is not None:
            raise BufferError("a stored tensor has no stream: it is in the processor's memory")
        if dl_device is not None and tuple(dl_device) != (_CPU, 0):
            raise BufferError("a stored tensor is in the processor's memory and can be lent there only")
        if copy:
            raise BufferError("a loan makes no copy: tensor_get() does")
        versioned = max_version is not None and max_version[0] >= 1
        managed = ctypes.c_void_p()
        check(library.mlkv_loan_to_dlpack(held, versioned, managed))
        name, offset = _VERSIONED if versioned else _OLD
        try:
            return _new(managed, name, ctypes.cast(_destructor, ctypes.c_void_p))
        except BaseException:
            _delete(managed.value or 0, offset)
            raise

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (_CPU, 0)

    def close(self) -> None:
        """Ends the loan, as soon as nothing that was made of it is left. Closing it again does nothing."""
        self._held = None

    def __enter__(self) -> "TensorLoan":
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TensorLoan {self.dtype}{list(self.shape)}{' closed' if self.closed else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a TensorLoan cannot be pickled: it is memory of one process")


class LendingCommands(View):
    def tensor_lend(self, name: Value) -> Optional[TensorLoan]:
        """Lends a tensor that was put with contiguous=True; None for an absent key. ContiguousError: it was put without."""
        info = _library.TensorInfo()
        address, loan = ctypes.c_void_p(), ctypes.c_void_p()
        key = self._codec.slice(name)
        if check(library.mlkv_tensor_borrow(self._handle, key, _PRIVATE, info, address, loan)) == ABSENT:
            return None
        return TensorLoan(_Held(loan), address.value, information(info))

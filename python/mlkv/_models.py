"""Models: whole sets of tensors under one name, in versions, of which one is current. State dicts are models.

    model = db.model("m")
    model.save(module.state_dict(), keep_last=5)      # a new version, visible to every process at once and whole
    model.load(framework="torch")                     # the current one
    model.versions(), model.rollback(), model.wait(seen=3)

A state dict is stored as a version's tensors, each under its path joined by "/", and in the version's metadata the list of its entries in
their order, as JSON: {"mlkv": "state_dict", "version": 2, "entries": [["a", "b"], ...], "empty": [["c"], ...]} (empty: dicts without
entries). The keys are those of docs/models.md. Where nothing was published under a name, load_state_dict looks for what earlier versions
of this package saved, and for imported tensors (_state.py).
"""

from __future__ import annotations

import ctypes
import importlib
import json
from types import TracebackType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

from . import _library
from . import _state as state
from ._library import Slice, library
from ._tensors import _BY_CODE, _allocate, _array, _describe, _numpy
from ._transfer import Part, Transfer, TransferView, refuse_same
from ._values import Result, Value, rows_items
from ._view import ABSENT, View, check
from ._waiting import in_turns
from .errors import ArgumentError, Error

Seconds = Union[int, float]
_Path = Tuple[str, ...]


class ModelInfo(NamedTuple):
    """One published version of a model."""

    version: int
    published_ms: int
    """Milliseconds since 1970."""
    tensors: int
    raw_bytes: int
    stored_bytes: int
    """After compression, chunks that other versions share included."""
    new_bytes: int
    """Of these, what this version's puts wrote."""
    current: bool


class _Reading:
    """Memory for the tensors of one version, as the library asks for it."""

    def __init__(self, allocate: Any) -> None:
        self.names: List[bytes] = []
        self.values: List[Any] = []
        self.error: Optional[BaseException] = None
        self._allocate = allocate
        self.reader = _library.ModelReader()
        self.reader.begin = _library.ModelBegin(self._begin)
        self.reader.place = _library.ModelPlace(self._place)

    def _begin(self, _context: Any, _version: int, _tensors: int) -> None:
        self.names.clear()
        self.values.clear()

    def _place(self, _context: Any, _index: int, name: Any, info: Any) -> Optional[int]:
        try:
            tensor = info.contents.tensor
            raw = ctypes.string_at(name.data, name.size) if name.size else b""
            value, address = self._allocate(raw, _BY_CODE[tensor.dtype], tuple(tensor.shape[: tensor.dimensions]))
            self.names.append(raw)
            self.values.append(value)
        except BaseException as error:  # it cannot pass through the library
            self.error = error
            return None
        return address


class Publication:
    """A version that is being written, which nobody sees. Publishes at the end of a `with` block, or aborts if an exception leaves it."""

    def __init__(self, model: "Model", keep_last: int, carry_rest: bool) -> None:
        self._options = _library.PublishOptions()
        self._options.keep_last = _keep(keep_last)
        self._options.carry_rest = carry_rest
        self._model = model
        self._handle = model._view._handle  # keeps the view open until it is ended
        self._pointer: Optional[ctypes.c_void_p] = ctypes.c_void_p()
        try:
            check(library.mlkv_model_begin(self._handle, model._slice(), self._pointer))
        except BaseException:
            self._pointer = None
            raise
        self.version: int = library.mlkv_publication_version(self._pointer)

    def _open(self) -> ctypes.c_void_p:
        if self._pointer is None:
            raise ArgumentError("this publication is over")
        return self._pointer

    def put(self, name: Value, value: Any, dtype: Any = None, shape: Any = None, chunk_bytes: int = 0) -> int:
        """Puts a tensor, as tensor_set does; returns how many chunks were written: those that the current version's has are shared."""
        array = _array(value, dtype, shape)
        return self._put(self._model._view._codec.encode(name), _describe(array), array.address, chunk_bytes)

    def _put(self, name: bytes, form: Any, address: Optional[int], chunk_bytes: int = 0) -> int:
        options = _library.TensorOptions()
        options.chunk_bytes = chunk_bytes
        count = ctypes.c_uint64()
        check(library.mlkv_model_put(self._open(), Slice(name, len(name)), form, address, options, count))
        return count.value

    def carry(self, name: Value) -> None:
        """Takes a tensor over from the version that is current when this one is published. KeyError if it has none of this name."""
        raw = self._model._view._codec.encode(name)
        if check(library.mlkv_model_carry(self._open(), Slice(raw, len(raw)))) == ABSENT:
            raise KeyError(name)

    def key(self, name: Value) -> Result:
        """Under which a tensor of this version is put by the caller itself (tensor_set, tensor_append); then include() it."""
        return self._model.key(name, self.version)

    def include(self, name: Value) -> None:
        """Takes in a tensor that stands under key(name)."""
        raw = self._model._view._codec.encode(name)
        if check(library.mlkv_model_include(self._open(), Slice(raw, len(raw)))) == ABSENT:
            raise KeyError(name)

    def publish(self, metadata: Optional[bytes] = None) -> int:
        """Makes it the current version. After an error it may be tried again, or aborted. metadata: any bytes; None: if the version
        before is a state dict, its list of entries, so that what has the same name stands where it stood."""
        pointer, version = self._open(), ctypes.c_uint64()
        if metadata is None:
            lists = self._model._structure()
            metadata = b"" if lists is None else state.write_list(2, lists.entries, lists.empty).encode()
        self._options.metadata = Slice(metadata, len(metadata))
        result = library.mlkv_model_publish(pointer, self._options, version)
        if version.value != 0:  # it is visible, and the handle gone, even if its durability is not known
            self._pointer = None
        check(result)
        return version.value

    def abort(self) -> None:
        """Deletes what was written. Aborting what is over does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            check(library.mlkv_model_abort(pointer))

    def __enter__(self) -> "Publication":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None and self._pointer is not None:
            try:
                self.publish()
            except BaseException:
                self._abort_quietly()
                raise
        elif kind is not None:
            self._abort_quietly()

    def _abort_quietly(self) -> None:
        try:
            self.abort()
        except Error:  # what is left is deleted when this process is no more
            pass

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            self._abort_quietly()


class Model:
    """A model by its name, seen through a view; db.model(name) makes one and reads nothing."""

    def __init__(self, view: View, name: Value) -> None:
        self.name = name
        self._view = view
        self._raw = view._codec.encode(name)

    def __repr__(self) -> str:
        return f"<mlkv model {self.name!r}>"

    def _slice(self) -> Slice:
        return Slice(self._raw, len(self._raw))

    # --- writing ---

    def publication(self, keep_last: int = 0, carry_rest: bool = False) -> Publication:
        """A new version, to be filled tensor by tensor:

            with model.publication(keep_last=3, carry_rest=True) as p:
                p.put("dense", weights)

        keep_last: published versions but so many of the newest are dropped (0: none); carry_rest: what the current version has and the new
        one has not is taken over, as of the moment of publishing."""
        return Publication(self, keep_last, carry_rest)

    def save(self, state_dict: Mapping[str, Any], keep_last: int = 0, carry_rest: bool = False) -> int:
        """Publishes a dict of numpy arrays or torch tensors (of any device; array.array and memoryview too), and of dicts of such, as a new
        version, and returns its number. Chunks that are as in the current version are not written again. Arrays must not change
        meanwhile. ArgumentError for anything else in the dict, and for two entries that make the same name."""
        return self._save(state_dict, keep_last, carry_rest)[0]

    def _save(self, state_dict: Mapping[str, Any], keep_last: int, carry_rest: bool) -> Tuple[int, List[Part]]:
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(f"a state dict is a dict, not a {type(state_dict).__name__}")
        values: Dict[_Path, Any] = {}
        empty: List[_Path] = []
        state.flatten(state_dict, (), values, empty)
        parts = [state.part(self._name_of(path), path, value) for path, value in values.items()]
        refuse_same([part.key for part in parts])
        _keep(keep_last)
        entries = list(values)
        publication = self.publication(keep_last)
        try:
            for part in parts:
                with part.open() as address:
                    publication._put(part.key, _library.Tensor(part.dtype.code, len(part.shape), part.shape), address)
            if carry_rest:
                entries += self._carry(publication, {part.key for part in parts})
            version = publication.publish(state.write_list(2, entries, empty).encode())
        except BaseException:
            publication._abort_quietly()
            raise
        return version, parts

    def _carry(self, publication: Publication, names: Any) -> List[_Path]:
        """The entries of the current version that are not in `names`, carried."""
        paths: List[_Path] = []
        for name, path in self._entries():
            if name not in names:
                publication.carry(name)
                paths.append(path)
        return paths

    def _entries(self) -> List[Tuple[bytes, _Path]]:
        reading = _library.Rows()
        if check(library.mlkv_model_tensors(self._view._handle, self._slice(), 0, reading, None)) == ABSENT:
            return []
        names = [bytes(item or b"") for item in rows_items(reading)]
        lists = self._structure()
        known = {} if lists is None else {self._name_of(path): path for path in lists.entries}
        return [(name, known.get(name, (self._text(name),))) for name in names]

    def rollback(self, version: Optional[int] = None) -> int:
        """Makes a published version the current one; None: the newest before the current one. KeyError if there is none."""
        found = ctypes.c_uint64()
        if check(library.mlkv_model_rollback(self._view._handle, self._slice(), _number(version), found)) == ABSENT:
            raise KeyError(version if version is not None else self.name)
        return found.value

    def drop(self, version: Optional[int] = None) -> bool:
        """Drops a version, or, without a number, the whole model. Whether it was there. ArgumentError for the current version."""
        return check(library.mlkv_model_drop(self._view._handle, self._slice(), _number(version))) != ABSENT

    # --- reading ---

    @property
    def current(self) -> Optional[int]:
        """The number of the current version; None if nothing was published."""
        version = ctypes.c_uint64()
        absent = check(library.mlkv_model_current(self._view._handle, self._slice(), version)) == ABSENT
        return None if absent else version.value

    def versions(self) -> List[ModelInfo]:
        """All published versions, the oldest first."""
        found: List[ModelInfo] = []

        def visit(_context: Any, info: Any) -> int:
            values = {name: getattr(info.contents, name) for name in ModelInfo._fields}
            found.append(ModelInfo(**{**values, "current": bool(values["current"])}))
            return 0

        check(library.mlkv_model_list(self._view._handle, self._slice(), _library.ModelVisit(visit), None))
        return found

    def wait(self, seen: Optional[int] = None, timeout: Optional[Seconds] = None) -> Optional[int]:
        """Waits, asleep, until the current version is another one than `seen`, and returns it; None if the time (in seconds) is over."""
        version = ctypes.c_uint64()

        def turn(timeout_ms: int) -> int:
            return library.mlkv_model_wait(self._view._handle, self._slice(), _number(seen), timeout_ms, version)

        limit = timeout if self._view._waits else 0
        return None if check(in_turns(limit, turn)) == ABSENT else version.value

    def key(self, name: Value, version: Optional[int] = None) -> Result:
        """The key of a tensor, for tensor_gather, tensor_scatter_add ...; of the current version, unless one is named. To update rows,
        ask for it in the same transaction: t.tensor_scatter_add(t.model(name).key("table"), ...). KeyError if nothing was published."""
        buffer = _library.Buffer()
        tensor = self._view._codec.encode(name)
        piece = Slice(tensor, len(tensor))
        if version is None:
            result = library.mlkv_model_current_key(self._view._handle, self._slice(), piece, buffer, None)
        else:
            result = library.mlkv_model_key(self._slice(), _number(version), piece, buffer)
        if check(result) == ABSENT:
            raise KeyError(self.name)
        return self._view._codec.optional(ctypes.string_at(buffer.data, buffer.size))

    def load(self, version: Optional[int] = None, framework: Optional[str] = None) -> Dict[str, Any]:
        """The dict that was saved, as of one moment: nested as it was, its entries in their order.

        framework: "numpy" (the default where it is installed; bf16 and f8 come as unsigned numbers, as from tensor_get), "torch" (on the
        CPU, all dtypes that it has), None: numpy or else memoryviews. KeyError if there is no such version."""
        loaded = self._load(version, framework)
        if loaded is None:
            raise KeyError(version if version is not None else self.name)
        return loaded

    def _load(self, version: Optional[int], framework: Optional[str]) -> Optional[Dict[str, Any]]:
        reading = _Reading(_allocator(framework))
        metadata = _library.Buffer()
        reading.reader.metadata = ctypes.pointer(metadata)
        result = library.mlkv_model_read(self._view._handle, self._slice(), _number(version), reading.reader, None)
        if reading.error is not None:
            raise reading.error
        if check(result) == ABSENT:
            return None
        text = ctypes.string_at(metadata.data, metadata.size) if metadata.size else b""
        return self._nested(dict(zip(reading.names, reading.values)), state.parse_list(text, 2))

    def _nested(self, values: Dict[bytes, Any], lists: Optional[state.Lists]) -> Dict[str, Any]:
        loaded: Dict[str, Any] = {}
        for path in lists.entries if lists else ():
            name = self._name_of(path)
            if name in values:
                state.insert(loaded, path, values.pop(name))
        for path in lists.empty if lists else ():
            state.insert(loaded, path, {})
        for name, value in values.items():
            loaded[self._text(name)] = value
        return loaded

    def metadata(self, version: Optional[int] = None) -> bytes:
        """What the version was published with; of a state dict the list of its entries. KeyError if there is no such version."""
        found = _library.Buffer()
        if check(library.mlkv_model_metadata(self._view._handle, self._slice(), _number(version), found)) == ABSENT:
            raise KeyError(version if version is not None else self.name)
        return ctypes.string_at(found.data, found.size) if found.size else b""

    def _structure(self) -> Optional[state.Lists]:
        """Of the current version, if it is a state dict."""
        try:
            return state.parse_list(self.metadata(), 2)
        except KeyError:
            return None

    def _name_of(self, path: _Path) -> bytes:
        return state.name_of(self._view, path)

    def _text(self, name: bytes) -> str:
        return name.decode(self._view._codec.encoding, self._view._codec.errors)


def _number(version: Optional[int]) -> int:
    if version is None:
        return 0
    if not 0 < int(version) < 1 << 64:
        raise ArgumentError(f"there is no version {version}")
    return int(version)


def _keep(keep_last: int) -> int:
    if not 0 <= int(keep_last) < 1 << 32:
        raise ArgumentError(f"keep_last is {keep_last}")
    return int(keep_last)


def _allocator(framework: Optional[str]) -> Any:
    """What makes memory for a tensor: (what the caller gets, address)."""
    if framework not in state.FRAMEWORKS:
        raise ArgumentError(f"framework is {framework!r}; there are 'numpy' and 'torch'")
    if framework == "torch":
        return state.allocate_torch
    numpy = importlib.import_module("numpy") if framework == "numpy" else _numpy()
    return lambda _name, dtype, shape: _allocate(numpy, dtype, shape)[:2]


class ModelCommands(TransferView):
    def model(self, name: Value) -> Model:
        """The model of this name: its versions, current, save, load, rollback, drop, wait. It need not be there."""
        return Model(self, name)

    def models(self) -> List[Result]:
        """The names of all models."""
        rows = _library.Rows()
        check(library.mlkv_model_names(self._handle, rows))
        return self._codec.list([bytes(item or b"") for item in rows_items(rows)])

    def save_state_dict(self, name: Value, state_dict: Mapping[str, Any], keep_last: int = 1) -> Transfer:
        """Publishes a state dict as the current version of the model `name` (Model.save), to every process at once, in place of the
        version before. keep_last: so many versions are kept to roll back to (model(name).rollback()); 0: all."""
        model = Model(self, name)
        version, parts = model._save(state_dict, keep_last, False)
        state.delete_old(self, model._raw)
        return Transfer(tuple(model.key(part.key, version) for part in parts), sum(part.bytes for part in parts))

    def load_state_dict(self, name: Value, framework: Optional[str] = None) -> Dict[str, Any]:
        """The current version of the state dict, as of one moment (Model.load): nested as it was saved, its entries in their order. Where
        no model of this name was published: what an earlier version of this package saved, or the tensors under name/, as
        import_safetensors makes them, as a flat dict. KeyError if there is nothing."""
        loaded = Model(self, name)._load(None, framework)
        return state.load_old(self, name, framework) if loaded is None else loaded

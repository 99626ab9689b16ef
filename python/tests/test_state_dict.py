import array
import importlib.util
import itertools
import json
import os
import signal
import threading
import unittest
from typing import Any, Dict, List

import mlkv
from support import HAVE_NUMPY, needs_numpy
from test_safetensors import SHAPES, FileTest, pattern

if HAVE_NUMPY:
    import numpy
HAVE_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = unittest.skipUnless(HAVE_TORCH, "torch is not installed")


def plain(loaded: Any) -> Any:
    """Nested dicts of what stands in the arrays."""
    return {name: plain(value) for name, value in loaded.items()} if isinstance(loaded, dict) else loaded.tolist()


class Buffers(FileTest):
    """Without numpy or torch."""

    def test_nested_and_in_order(self) -> None:
        state = {
            "z": array.array("f", [1, 2, 3]), "a": {"y": array.array("q", [4]), "x": {"": array.array("B", [5])}},
            "none": {}, "deep": {"none": {}}, "ä": array.array("d"),
        }  # fmt: skip
        for version in (b"1", b"2"):
            done = self.db.save_state_dict("m", state)
            names = (b"z", b"a/y", b"a/x/", "ä".encode())
            self.assertEqual(done.names, tuple(b"mlkv:version:1:m:" + version + b":" + name for name in names))
            self.assertEqual(done.bytes, 12 + 8 + 1)
            loaded = self.db.load_state_dict("m")
            self.assertEqual(plain(loaded), plain(state))
            self.assertEqual(list(loaded["a"]), ["y", "x"])
            self.assertEqual(self.db.dbsize(), 2 + 4)
        self.assertEqual(self.db.save_state_dict("nothing", {}), mlkv.Transfer((), 0, {}))
        self.assertEqual(self.db.load_state_dict("nothing"), {})

    def test_what_is_no_longer_there_is_deleted(self) -> None:
        one = array.array("f", [1])
        self.db.save_state_dict("m", {"a": one, "b": one, "c": {"d": one}})
        self.db.save_state_dict("m/c", {"other": one})
        self.db.tensor_set("m/mine", one)
        self.db.save_state_dict("m", {"a": one})
        self.assertEqual(plain(self.db.load_state_dict("m")), {"a": [1]})
        self.assertEqual(plain(self.db.load_state_dict("m/c")), {"other": [1]})
        self.assertEqual(self.db.dbsize(), 3 + 3 + 1)
        self.db.save_state_dict("m", {"a": one}, keep_last=2)
        self.assertEqual([info.version for info in self.db.model("m").versions()], [2, 3])

    def old_layout(self, name: str, values: Dict[str, Any], empty: Any = ()) -> None:
        """As version 0.1 of this package first saved it: tensors beside a list."""
        for path, value in values.items():
            self.db.tensor_set(f"{name}/{path}", value)
        entries = [path.split("/") for path in values]
        self.db.set(name, json.dumps({"mlkv": "state_dict", "version": 1, "entries": entries, "empty": list(empty)}))

    def test_the_older_layout(self) -> None:
        """It is loaded, until something is saved under the name: then it goes, and nothing else."""
        values = {"z": array.array("f", [1]), "a/y": array.array("q", [2])}
        self.old_layout("m", values, [["none"]])
        self.old_layout("m/a", {"other": array.array("f", [3])})
        self.assertEqual(plain(self.db.load_state_dict("m")), {"z": [1], "a": {"y": [2]}, "none": {}})
        with self.open(decode_responses=True) as text, text.snapshot() as snapshot:
            self.assertEqual(plain(snapshot.load_state_dict("m")), {"z": [1], "a": {"y": [2]}, "none": {}})
        self.db.tensor_set("m/mine", array.array("f", [4]))
        self.db.save_state_dict("m", {"z": array.array("f", [5])})
        self.assertEqual(plain(self.db.load_state_dict("m")), {"z": [5]})
        self.assertEqual([key for key in self.db.keys() if not key.startswith(b"mlkv:")], [b"m/a", b"m/a/other", b"m/mine"])
        self.db.delete("m/a/other")
        with self.assertRaises(KeyError):
            self.db.load_state_dict("m/a")

    def test_what_is_refused(self) -> None:
        one = array.array("f", [1])
        deep: Dict[str, Any] = {}
        for _ in range(200):
            deep = {"a": deep}
        loop: Dict[str, Any] = {}
        loop["a"] = loop
        self.db.save_state_dict("m", {"a": one})
        self.db.set("s", "v")
        self.db.hset("h", "f", 1)
        self.db.set("mlkv:model:taken", "v")
        wrong = mlkv.ArgumentError
        for name, state, error in (
            ("m", [one], wrong), ("m", {"a": one, "b": 1}, wrong), ("m", {"a": one, "b": None}, wrong), ("m", {"a": one, 1: one}, wrong),
            ("m", {"b": one, "a": [1]}, wrong), ("m", deep, wrong), ("m", loop, wrong), ("m", {"a/b": one, "a": {"b": one}}, wrong),
            ("m", {"\ud800": one}, wrong), ("taken", {"a": one}, mlkv.WrongTypeError),
        ):  # fmt: skip
            was = {key: self.db.dump(key) for key in self.db.keys()}
            with self.assertRaises(error):
                self.db.save_state_dict(name, state)  # type: ignore[arg-type]
            self.assertEqual({key: self.db.dump(key) for key in self.db.keys()}, was)
        self.assertEqual(plain(self.db.load_state_dict("m")), {"a": [1]})
        for name in ("s", "h", "absent"):
            with self.assertRaises((mlkv.Error, KeyError)):
                self.db.load_state_dict(name)
        with self.assertRaises(mlkv.ArgumentError):
            self.db.load_state_dict("m", framework="jax")
        self.db.delete(self.db.model("m").key("a"))
        with self.assertRaises(mlkv.CorruptError):
            self.db.load_state_dict("m")
        self.db.save_state_dict("s", {"a": one})  # the key "s" is not the model's
        self.assertEqual((self.db.get("s"), plain(self.db.load_state_dict("s"))), (b"v", {"a": [1]}))

    def test_lists_of_somebody_else(self) -> None:
        good = {"mlkv": "state_dict", "version": 1, "entries": [], "empty": []}
        changes = (("version", 2), ("entries", [1]), ("entries", [[]]), ("entries", None), ("empty", [[1]]))
        bad = [{**good, what: value} for what, value in changes]
        for wrong in ("", "[]", "1", "null", "[" * 100_000, *map(json.dumps, bad)):
            self.db.set("m", wrong)
            with self.assertRaises(mlkv.ArgumentError):
                self.db.load_state_dict("m")
        self.db.tensor_set("m/a", b"1")
        self.db.tensor_set("m/a/b", b"1")
        self.db.set("m", json.dumps({**good, "entries": [["a"], ["a", "b"]]}))
        with self.assertRaises(mlkv.CorruptError):
            self.db.load_state_dict("m")

    def test_what_was_imported_is_a_flat_dict(self) -> None:
        self.db.save_state_dict("m", {"a": array.array("f", [1]), "b": {"c": array.array("i", [2])}})
        self.db.export_safetensors(f"{self.folder}/x", self.db.model("m").key(""))
        self.db.import_safetensors(f"{self.folder}/x", "n/")
        self.assertEqual(plain(self.db.load_state_dict("n")), {"a": [1], "b/c": [2]})

    def test_views(self) -> None:
        one, two = {"a": array.array("f", [1])}, {"a": array.array("f", [2])}
        self.db.save_state_dict("m", one)
        with self.db.snapshot() as old:
            with self.db.transaction() as t:
                t.save_state_dict("m", two)
                self.assertEqual(plain(t.load_state_dict("m")), plain(two))
                self.assertEqual(plain(self.db.load_state_dict("m")), plain(one))
            self.assertEqual((plain(old.load_state_dict("m")), plain(self.db.load_state_dict("m"))), (plain(one), plain(two)))
            with self.assertRaises(mlkv.ReadOnlyError):
                old.save_state_dict("m", two)
        with self.open(decode_responses=True) as text:
            self.assertEqual(text.save_state_dict("m", one).names, ("mlkv:version:1:m:3:a",))
            self.assertEqual(plain(text.load_state_dict("m")), plain(one))

    def test_readers_see_one_model(self) -> None:
        """While two models are saved in turn."""
        states = [{name: array.array("B", bytes([value]) * 100_000) for name in "abc"} for value in (1, 2)]
        self.db.save_state_dict("m", states[0])
        mixed: List[Any] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set() and not mixed:
                loaded = self.db.load_state_dict("m")
                values = {byte for part in loaded.values() for byte in bytes(part)}
                if len(loaded) != 3 or len(values) != 1:
                    mixed.append(values)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(20):
                self.db.save_state_dict("m", states[number // 2 % 2])
        finally:
            stop.set()
            reader.join()
        self.assertEqual(mixed, [])

    def test_a_killed_writer(self) -> None:
        states = [{name: array.array("B", bytes([value]) * 100_000) for name in "abc"} for value in (1, 2)]
        self.db.save_state_dict("m", states[0])
        for turn in range(3):
            incoming, outgoing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    for number in itertools.count():
                        self.db.save_state_dict("m", states[number % 2])
                        os.write(outgoing, b"x")
                finally:
                    os._exit(1)
            os.close(outgoing)
            for _ in range(3 + turn):
                os.read(incoming, 1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(incoming)
            values = {byte for part in self.db.load_state_dict("m").values() for byte in bytes(part)}
            self.assertEqual(len(values), 1)
            self.assertEqual(self.db.verify().problems, ())
        self.db.save_state_dict("m", states[1])
        self.assertEqual(self.db.dbsize(), 2 + 3)

    def test_unchanged_chunks_are_shared(self) -> None:
        """A save of a model of which little changed writes little: its other chunks are the blobs that were there."""
        rows = 1 << 14
        data = bytearray(pattern(1 << 20) * 12)
        state = {"w": memoryview(data).cast("B", [rows, len(data) // rows]), "v": array.array("f", [0])}
        self.db.save_state_dict("m", state)
        written = self.db.stats()["blobs_written"]
        self.assertGreaterEqual(written, 48)
        data[5] ^= 1
        self.db.save_state_dict("m", state)
        self.assertLessEqual(self.db.stats()["blobs_written"] - written, 4)
        self.assertEqual(self.db.load_state_dict("m")["w"].tobytes(), bytes(data))
        self.assertEqual(self.db.verify().problems, ())


@needs_numpy
class Numpy(FileTest):
    def test_every_dtype_and_shape(self) -> None:
        state: Dict[str, Any] = {}
        for dtype in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 c8 c16 >f4 >i8".split():
            for number, shape in enumerate(SHAPES):
                state[f"{dtype}.{number}"] = numpy.random.default_rng(number).integers(0, 2, shape).astype(dtype)
        self.db.save_state_dict("m", state)
        loaded = self.db.load_state_dict("m", framework="numpy")
        self.assertEqual(list(loaded), list(state))
        for name, value in state.items():
            self.assertEqual((loaded[name].dtype, loaded[name].shape), (value.dtype.newbyteorder("="), value.shape))
            self.assertTrue(numpy.array_equal(loaded[name], value), name)

    def test_arrays_that_are_not_contiguous(self) -> None:
        base = numpy.arange(60, dtype="i4").reshape(3, 4, 5)
        state = {"t": base.T, "s": base[::2, :, 1:], "f": numpy.asfortranarray(base), "scalar": numpy.float32(2.5), "back": base[::-1]}
        self.db.save_state_dict("m", state)
        for name, value in self.db.load_state_dict("m").items():
            self.assertTrue(numpy.array_equal(value, state[name]), name)

    def test_what_is_refused(self) -> None:
        for wrong in (numpy.array([{}]), numpy.array(["a"]), numpy.zeros(2, "i4,f4"), numpy.zeros((1,) * 9), numpy.zeros(1, "g")):
            with self.assertRaises(mlkv.Error):
                self.db.save_state_dict("m", {"a": numpy.zeros(3), "b": wrong})
            self.assertEqual(self.db.keys(), [])


@needs_torch
class Torch(FileTest):
    def test_every_dtype(self) -> None:
        import torch

        names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128 float8_e4m3fn float8_e5m2 uint16"
        dtypes = [getattr(torch, name) for name in names.split() if hasattr(torch, name)]
        state: Dict[str, Any] = {}
        for dtype, (number, shape) in itertools.product(dtypes, enumerate(SHAPES)):
            state[f"{dtype}.{number}"] = torch.randint(0, 2, shape).to(dtype)
        self.db.save_state_dict("m", {"model": state})
        loaded = self.db.load_state_dict("m", framework="torch")["model"]
        self.assertEqual(list(loaded), list(state))
        for name, value in state.items():
            self.assertEqual((loaded[name].dtype, loaded[name].shape), (value.dtype, value.shape), name)
            self.assertTrue(torch.equal(loaded[name], value), name)
        info = self.db.tensor_info(self.db.model("m").key("model/torch.bfloat16.7"))
        self.assertEqual(info and info.dtype, "bf16")

    def test_a_module(self) -> None:
        import torch

        module = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3)).to(torch.bfloat16)
        self.db.save_state_dict("m", module.state_dict())
        other = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3)).to(torch.bfloat16)
        other.load_state_dict(self.db.load_state_dict("m", framework="torch"))
        for name, value in module.state_dict().items():
            self.assertTrue(torch.equal(value, other.state_dict()[name]), name)
        self.db.export_safetensors(f"{self.folder}/x", self.db.model("m").key(""))
        self.db.import_safetensors(f"{self.folder}/x", "n/")
        self.assertTrue(torch.equal(self.db.load_state_dict("n", "torch")["0.weight"], module[0].weight))

    def test_views_and_what_has_no_plain_form(self) -> None:
        import torch

        base = torch.arange(60.0, requires_grad=True).reshape(3, 4, 5)
        state = {"t": base.permute(2, 0, 1), "s": base[::2, 1:], "expanded": torch.ones(1).expand(3, 3)}
        self.db.save_state_dict("m", state)
        for name, value in self.db.load_state_dict("m", "torch").items():
            self.assertTrue(torch.equal(value, state[name]), name)
        for wrong in (torch.eye(3).to_sparse(), torch.empty(3, device="meta"), torch.zeros(3, dtype=torch.complex64).conj()):
            with self.assertRaises(mlkv.ArgumentError):
                self.db.save_state_dict("wrong", {"a": torch.zeros(3), "b": wrong})
        self.assertEqual((self.db.models(), len([key for key in self.db.keys() if b"wrong" in key])), ([b"m"], 0))

    def test_a_dtype_that_this_torch_does_not_have(self) -> None:
        import torch

        if hasattr(torch, "uint32"):
            self.skipTest("it has all")
        self.db.tensor_set("m/a", bytes(4), dtype="u32", shape=(1,))
        with self.assertRaisesRegex(mlkv.ArgumentError, "u32"):
            self.db.load_state_dict("m", "torch")


if __name__ == "__main__":
    unittest.main()

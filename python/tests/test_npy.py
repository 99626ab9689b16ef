import ast
import itertools
import math
import os
import pickle
import random
import unittest
from typing import Any, List, Tuple

import mlkv
from support import HAVE_NUMPY, needs_numpy
from test_safetensors import SHAPES, FileTest, limits, mutate, pattern

if HAVE_NUMPY:
    import numpy

DESCR = dict(
    f64="<f8", f32="<f4", f16="<f2", bf16="<u2", f8e4m3="|u1", f8e5m2="|u1", i64="<i8", i32="<i4", i16="<i2", i8="|i1", u64="<u8",
    u32="<u4", u16="<u2", u8="|u1", bool="|b1", c64="<c8", c128="<c16",
)  # fmt: skip


def npy(header: Any, data: bytes = b"", version: Tuple[int, int] = (1, 0), size: int = -1) -> bytes:
    text = header if isinstance(header, bytes) else str(header).encode("utf-8" if version[0] == 3 else "latin-1")
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + bytes(version) + (len(text) if size < 0 else size).to_bytes(width, "little") + text + data


def header(descr: Any = "|u1", fortran_order: Any = False, shape: Any = (4,), **more: Any) -> Any:
    return dict(descr=descr, fortran_order=fortran_order, shape=shape, **more)


DATA = b"abcd"
TEXT = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4,)}"


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


HOSTILE: List[Tuple[str, bytes]] = [
    ("nothing", b""),
    ("half a magic", b"\x93NUM"),
    ("another magic", b"\x94NUMPY\1\0" + bytes(100)),
    ("only the magic", b"\x93NUMPY\1\0"),
    ("a zip file", b"PK\3\4" + bytes(100)),
    ("version 0.0", npy(header(), DATA, (0, 0))),
    ("version 4.0", npy(header(), DATA, (4, 0))),
    ("version 1.1", npy(header(), DATA, (1, 1))),
    ("half a size", b"\x93NUMPY\2\0\1\0\0"),
    ("a header past the end", npy(header(), DATA, size=200)),
    ("a header of 4 GiB", npy(header(), DATA, (2, 0), 0xFFFFFFFF)),
    ("a header over numpy's limit", npy(TEXT + b" " * 10_000, DATA)),
    ("no header", npy(b"", DATA)),
    ("NULs", npy(bytes(64), DATA)),
    ("not UTF-8", npy(b"\xff" + TEXT, DATA, (3, 0))),
    ("a number", npy(b"1", DATA)),
    ("a call", npy(b"__import__('os').abort()", DATA)),
    ("a call within", npy(TEXT.replace(b"(4,)", b"tuple(4)"), DATA)),
    ("a comprehension", npy(TEXT.replace(b"(4,)", b"[x for x in (4,)]"), DATA)),
    ("a name", npy(TEXT.replace(b"4", b"n"), DATA)),
    ("deep brackets", npy(b"(" * 9000, DATA)),
    ("deep lists", npy(b"[" * 4000 + b"]" * 4000, DATA)),
    ("many signs", npy(b"-" * 9000 + b"1", DATA)),
    ("many sums", npy(b"1" + b"+1" * 4500, DATA)),
    ("many nots", npy(b"not " * 2000 + b"1", DATA)),
    ("a huge number", npy(TEXT.replace(b"4", b"9" * 9000), DATA)),
    ("a set", npy(b"{'descr', 'fortran_order', 'shape'}", DATA)),
    ("a list", npy(b"[('descr', '|u1')]", DATA)),
    ("a key missing", npy({"descr": "|u1", "shape": (4,)}, DATA)),
    ("a key more", npy(header(more=1), DATA)),
    ("an unhashable key", npy(b"{[]: 1}", DATA)),
    ("bytes as keys", npy(b"{b'descr': '|u1', b'fortran_order': False, b'shape': (4,)}", DATA)),
    ("fortran_order 0", npy(header(fortran_order=0), DATA)),
    ("fortran_order 'False'", npy(header(fortran_order="False"), DATA)),
    ("a shape that is a number", npy(header(shape=4), DATA)),
    ("a shape that is a list", npy(header(shape=[4]), DATA)),
    ("a shape of fractions", npy(header(shape=(4.0,)), DATA)),
    ("a shape of truths", npy(header(shape=(4, True)), DATA)),
    ("a shape of None", npy(header(shape=(None,)), DATA)),
    ("a negative shape", npy(header(shape=(-4,)), DATA)),
    ("two negative extents", npy(header(shape=(-2, -2)), DATA)),
    ("nine dimensions", npy(header(shape=(1,) * 8 + (4,)), DATA)),
    ("a shape that overflows", npy(header(shape=(1 << 62, 4, 4)), DATA)),
    ("no bytes of an overflowing shape", npy(header(shape=(1 << 63, 0)), b"")),
    ("a shape of far more", npy(header(shape=(1 << 40,)), DATA)),
    ("too few elements", npy(header(shape=(5,)), DATA)),
    ("too many elements", npy(header(shape=(3,)), DATA)),
    ("elements of an empty shape", npy(header(shape=(0,)), DATA)),
    ("structured elements", npy(header([("a", "|u1"), ("b", "|u1")], shape=(2,)), DATA)),
    ("a subarray", npy(header(("|u1", (2,)), shape=(2,)), DATA)),
    ("objects", npy(header("|O", shape=(1,)), pickle.dumps([1]))),
    ("texts", npy(header("<U1", shape=(1,)), DATA)),
    ("byte strings", npy(header("|S4", shape=(1,)), DATA)),
    ("times", npy(header("<M8[ns]", shape=(1,)), DATA * 2)),
    ("time spans", npy(header("<m8", shape=(1,)), DATA * 2)),
    ("raw bytes", npy(header("|V4", shape=(1,)), DATA)),
    ("long doubles", npy(header("<f16", shape=(1,)), DATA * 4)),
    ("floats of a byte", npy(header("|f1"), DATA)),
    ("whole numbers of 3 bytes", npy(header("<i3", shape=(1,)), DATA[:3])),
    ("a type of no size", npy(header("<f"), DATA)),
    ("a type of size 0", npy(header("<f0"), DATA)),
    ("a type of a thousand digits", npy(header("<f" + "9" * 1000), DATA)),
    ("an order that is none", npy(header("|f4", shape=(1,)), DATA)),
    ("no order", npy(header("f4", shape=(1,)), DATA)),
    ("a type that is a number", npy(header(1), DATA)),
    ("a type that is None", npy(header(None), DATA)),
    ("a bool that is 97", npy(header("|b1"), DATA)),
    ("a bool that is 2, by columns", npy(header("|b1", True, (2, 2)), b"\0\1\1\2")),
]


class Hostile(FileTest):
    def test_the_table(self) -> None:
        self.assertGreater(len(HOSTILE), 60)
        self.db.tensor_set("a", b"what stands there")
        before = self.content()
        for (why, raw), together in itertools.product(HOSTILE, (1 << 20, 1)):
            with self.subTest(why), limits(together), self.assertRaises(mlkv.errors.FormatError):
                self.db.import_npy(self.write(raw), "a")
        self.assertEqual(self.content(), before)

    def test_nothing_is_unpickled(self) -> None:
        made = f"{self.folder}/made"
        for raw in (npy(header("|O", shape=(1,)), pickle.dumps(Attack(made))), pickle.dumps(Attack(made))):
            with self.assertRaises(mlkv.errors.FormatError):
                self.db.import_npy(self.write(raw), "a")
        self.assertFalse(os.path.exists(made))

    def test_a_dtype_that_does_not_fit(self) -> None:
        path = self.write(npy(header("<u2", shape=(2,)), DATA))
        for dtype in ("f8e4m3", "f32", "i16", "nothing"):
            with self.assertRaises(mlkv.ArgumentError):
                self.db.import_npy(path, "a", dtype)
        self.assertEqual(self.db.keys(), [])

    def test_large_and_by_columns(self) -> None:
        path = self.write(npy(header("|u1", True, (20, 20)), bytes(400)))
        with limits(399), self.assertRaisesRegex(mlkv.errors.FormatError, "Fortran"):
            self.db.import_npy(path, "a")

    def test_other_types_and_absent_keys(self) -> None:
        self.db.set("s", "v")
        with self.assertRaises(mlkv.WrongTypeError):
            self.db.import_npy(self.write(npy(header(), DATA)), "s")
        with self.assertRaises(mlkv.WrongTypeError):
            self.db.export_npy(f"{self.folder}/out", "s")
        with self.assertRaises(KeyError):
            self.db.export_npy(f"{self.folder}/out", "absent")
        self.assertFalse(os.path.exists(f"{self.folder}/out"))

    def test_fuzz(self) -> None:
        """Whatever a header says: a clean error, or the elements that are there."""
        chance = random.Random(21)
        valid = b"{'descr': '<i2', 'fortran_order': False, 'shape': (2, 6), }"
        data = pattern(24)
        right = 0
        for _ in range(int(os.environ.get("MLKV_FUZZ_RUNS", "2000"))):
            changed = bytearray(valid)
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                mutate(chance, changed)
            changed = changed.replace(b"F32", b"<f2").replace(b"I16", b">i2")
            version = chance.choice(((1, 0), (2, 0), (3, 0)))
            try:
                self.db.import_npy(self.write(npy(bytes(changed), data, version)), "a")
            except mlkv.ArgumentError:
                self.assertEqual(self.db.exists("a"), 0)
                continue
            right += 1
            said = ast.literal_eval(changed.decode("latin-1"))
            info = self.db.tensor_info("a")
            assert info is not None
            self.assertEqual(info.shape, said["shape"])
            got = self.db.tensor_get("a", as_numpy=False).tobytes()
            if said["descr"][0] in "<|=" and not said["fortran_order"]:
                self.assertEqual(got, data)
            self.assertEqual(sorted(got), sorted(data))
            self.db.delete("a")
        self.assertGreater(right, 10)
        self.assertEqual(self.db.keys(), [])


class ByHand(FileTest):
    """Without numpy."""

    def get(self, name: str = "a") -> bytes:
        return bytes(self.db.tensor_get(name, as_numpy=False).tobytes())

    def test_every_dtype_and_shape(self) -> None:
        for (own, descr), shape in itertools.product(DESCR.items(), SHAPES):
            size = next(dtype.size for dtype in mlkv.DTYPES if dtype.name == own)
            data = pattern(math.prod(shape) * size, 3, own == "bool")
            for version in ((1, 0), (2, 0), (3, 0)):
                done = self.db.import_npy(self.write(npy(header(descr, shape=shape), data, version)), "a", dtype=own)
                self.assertEqual((done.names, done.bytes), ((b"a",), len(data)))
            info = self.db.tensor_info("a")
            assert info is not None
            self.assertEqual((info.dtype, info.shape, self.get()), (own, shape, data))
            self.db.export_npy(f"{self.folder}/out", "a")
            raw = self.read(f"{self.folder}/out")
            self.assertEqual((raw[:8], len(raw[: -len(data) or None]) % 64), (b"\x93NUMPY\1\0", 0))
            self.assertEqual(ast.literal_eval(raw[10 : len(raw) - len(data)].decode()), header(descr, shape=shape))
            self.assertEqual(raw[len(raw) - len(data) :], data)

    def test_the_other_order_of_bytes(self) -> None:
        for own, descr in DESCR.items():
            if descr[0] == "|":
                continue
            size, parts = int(descr[2:]), 2 if descr[1] == "c" else 1
            data = pattern(size * 35)
            width = size // parts
            turned = b"".join(data[at : at + width][::-1] for at in range(0, len(data), width))
            for block in (1 << 20, 16, 64):  # at once; in blocks, by a file
                with limits(block):
                    self.db.import_npy(self.write(npy(header(">" + descr[1:], shape=(5, 7)), turned)), "a", dtype=own)
                self.assertEqual(self.get(), data, (own, block))

    def test_columns_first(self) -> None:
        shapes = (
            (2, 3), (3, 2), (1, 5), (5, 1), (2, 3, 4), (40, 3, 1), (2, 1, 70), (3, 0, 2), (2, 1, 2, 1, 2, 1, 2, 3), (7,), (), (300, 5),
            (5, 300),
        )  # fmt: skip
        for shape, size in itertools.product(shapes, (1, 2, 4, 8, 16)):
            count = math.prod(shape)
            data = pattern(count * size)
            strides = [math.prod(shape[:axis]) for axis in range(len(shape))]
            order = [sum(map(lambda i, s: i * s, place, strides)) for place in itertools.product(*map(range, shape))]
            rows = b"".join(data[at * size : (at + 1) * size] for at in order)
            descr = "<c16" if size == 16 else f"{'|' if size == 1 else '<'}u{size}"
            path = self.write(npy(header(descr, True, shape), data))
            self.db.import_npy(path, "a")
            self.assertEqual(self.get(), rows, (shape, size))
            self.assertEqual(self.db.tensor_info("a").shape, shape)  # type: ignore[union-attr]

    def test_one_in_blocks(self) -> None:
        data = pattern(100_000)
        with limits(1000):
            self.db.import_npy(self.write(npy(header(shape=(1000, 100)), data)), "a")
            self.db.export_npy(f"{self.folder}/out", "a")
        self.assertEqual((self.get(), self.read(f"{self.folder}/out")[-100_000:]), (data, data))
        self.assertEqual(self.db.keys(), [b"a"])

    def test_raw_bytes_that_are_said_to_be_bf16(self) -> None:
        self.db.import_npy(self.write(npy(header("|V2", shape=(2,)), DATA)), "a", dtype="bfloat16")
        self.assertEqual((self.db.tensor_info("a").dtype, self.get()), ("bf16", DATA))  # type: ignore[union-attr]


@needs_numpy
class Numpy(FileTest):
    def test_files_of_numpy(self) -> None:
        path = f"{self.folder}/a.npy"
        kinds = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1 c8 c16".split()
        for kind, shape, order, byte_order in itertools.product(kinds, SHAPES, "CF", "<>"):
            array = numpy.array(
                numpy.random.default_rng(1).integers(0, 2 if kind == "b1" else 100, shape), dtype=byte_order + kind, order=order
            )
            numpy.save(path, array)
            self.db.import_npy(path, "a")
            got = self.db.tensor_get("a")
            self.assertEqual((got.dtype, got.shape), (array.dtype.newbyteorder("="), array.shape))
            self.assertTrue(numpy.array_equal(got, array), (kind, shape, order))
            if order + byte_order != "C<":
                continue
            with self.db.transaction() as t:
                t.export_npy(path, "a")
            again = numpy.load(path)
            self.assertTrue(again.dtype == got.dtype and numpy.array_equal(again, array))
            numpy.save(f"{self.folder}/b.npy", got)
            self.assertEqual(self.read(path), self.read(f"{self.folder}/b.npy"))

    def test_versions(self) -> None:
        path = f"{self.folder}/a.npy"
        array = numpy.arange(12, dtype="f4").reshape(3, 4)
        for version in ((1, 0), (2, 0), (3, 0)):
            with open(path, "wb") as file:
                numpy.lib.format.write_array(file, array, version)
            self.db.import_npy(path, "a")
            self.assertTrue(numpy.array_equal(self.db.tensor_get("a"), array))

    def test_what_numpy_writes_and_a_tensor_is_not(self) -> None:
        path = f"{self.folder}/a.npy"
        for array in (numpy.array([{}], object), numpy.array(["a"]), numpy.zeros(2, "i4,f4"), numpy.zeros(2, "M8[s]"), numpy.zeros(2, "g"),
                      numpy.array([b"abc"]), numpy.zeros(2, "V3")):  # fmt: skip
            numpy.save(path, array)
            with self.assertRaises(mlkv.errors.FormatError):
                self.db.import_npy(path, "a")
        numpy.savez(f"{self.folder}/a.npz", a=numpy.zeros(3))
        with self.assertRaises(mlkv.errors.FormatError):
            self.db.import_npy(f"{self.folder}/a.npz", "a")


if __name__ == "__main__":
    unittest.main()

import array
import math
import sys
import unittest
from typing import Any

import mlkv
from mlkv._library import library
from mlkv._tensors import dtype_of
from support import HAVE_NUMPY, StoreTest, needs_numpy

if HAVE_NUMPY:
    import numpy


class Table(unittest.TestCase):
    def test_the_table_is_the_librarys(self) -> None:
        for dtype in mlkv.DTYPES:
            self.assertEqual(library.mlkv_dtype_size(dtype.code), dtype.size, dtype)
            self.assertEqual(library.mlkv_dtype_name(dtype.code).decode(), dtype.name)
        self.assertEqual(library.mlkv_dtype_size(len(mlkv.DTYPES) + 1), 0)

    def test_names(self) -> None:
        for name, code in (("f32", 2), ("float32", 2), ("torch.bfloat16", 4), ("uint8", 14), ("int64", 7), ("torch.bool", 15)):
            self.assertEqual(dtype_of(name).code, code)
        with self.assertRaises(mlkv.ArgumentError):
            dtype_of("f33")


class Buffers(StoreTest):
    """Without numpy, whether it is there or not."""

    def get(self, name: str) -> Any:
        return self.db.tensor_get(name, as_numpy=False)

    def test_an_array_comes_back(self) -> None:
        db = self.db
        values = array.array("f", range(12))
        self.assertIs(db.tensor_set("t", values, shape=(3, 4)), True)
        got = self.get("t")
        self.assertEqual((got.format, got.shape, got.readonly), ("f", (3, 4), False))
        self.assertEqual(got.tolist(), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
        info = db.tensor_info("t")
        assert info is not None
        self.assertEqual((info.dtype, info.shape, info.raw_bytes, info.rows, info.row_bytes), ("f32", (3, 4), 48, 3, 16))
        self.assertIsNone(db.tensor_info("absent"))
        self.assertIsNone(db.tensor_get("absent"))
        self.assertIsNone(db.tensor_read_rows("absent", 0, 1))

    def test_every_dtype_and_some_shapes(self) -> None:
        for dtype in mlkv.DTYPES:
            data = bytes(i % 2 if dtype.name == "bool" else (i * 7) % 100 for i in range(6 * dtype.size))
            for shape in ((6,), (2, 3), (1, 2, 1, 3)):
                self.db.tensor_set("t", data, dtype=dtype.name, shape=shape)
                got = self.get("t")
                self.assertEqual(got.tobytes(), data, dtype)
                self.assertEqual(got.shape, shape + (2,) * (dtype.parts - 1))
                self.assertEqual(self.db.tensor_info("t").dtype, dtype.name)  # type: ignore[union-attr]

    def test_scalars_and_empty_tensors(self) -> None:
        self.db.tensor_set("scalar", array.array("d", [2.5]), shape=())
        self.assertEqual(self.get("scalar")[()], 2.5)
        self.db.tensor_set("empty", b"", dtype="f32", shape=(0, 4))
        self.assertEqual(self.db.tensor_info("empty").shape, (0, 4))  # type: ignore[union-attr]
        self.assertEqual(self.get("empty").nbytes, 0)

    def test_formats_say_the_dtype(self) -> None:
        for letter, dtype in zip("bBhHiIqQfdlL", "i8 u8 i16 u16 i32 u32 i64 u64 f32 f64 i64 u64".split()):
            self.db.tensor_set("t", array.array(letter, [1, 2, 3]))
            self.assertEqual(self.db.tensor_info("t").dtype, dtype)  # type: ignore[union-attr]
            self.assertEqual(self.get("t").tolist(), [1, 2, 3])

    def test_rows(self) -> None:
        db = self.db
        rows = 5000
        db.tensor_set("t", array.array("i", range(rows * 4)), shape=(rows, 4), chunk_bytes=4096)
        self.assertGreater(db.tensor_info("t").chunks, 1)  # type: ignore[union-attr]
        got = db.tensor_read_rows("t", 1234, 2, as_numpy=False)
        self.assertEqual(got.tolist(), [[4936, 4937, 4938, 4939], [4940, 4941, 4942, 4943]])
        self.assertEqual(db.tensor_write_rows("t", 2, array.array("i", [9] * 8)), 2)
        self.assertEqual(db.tensor_read_rows("t", 1, 4, as_numpy=False).tolist(), [[4, 5, 6, 7], [9] * 4, [9] * 4, [16, 17, 18, 19]])
        self.assertEqual(db.tensor_add_rows("t", 2, array.array("i", [1, 2, 3, 4]), alpha=2), 1)
        self.assertEqual(db.tensor_read_rows("t", 2, 1, as_numpy=False).tolist(), [[11, 13, 15, 17]])
        for wrong in (lambda: db.tensor_read_rows("t", rows - 1, 2), lambda: db.tensor_write_rows("t", rows, array.array("i", [0] * 4)),
                      lambda: db.tensor_write_rows("t", 0, array.array("i", [0] * 3)),
                      lambda: db.tensor_write_rows("t", 0, array.array("f", [0] * 4)),
                      lambda: db.tensor_read_rows("t", -1, 1)):  # fmt: skip
            with self.assertRaises(mlkv.Error):
                wrong()
        with self.assertRaises(KeyError):
            db.tensor_write_rows("absent", 0, b"")

    def test_rows_by_number(self) -> None:
        db = self.db
        db.tensor_set("t", array.array("i", range(4000)), shape=(1000, 4), chunk_bytes=1000)
        got = db.tensor_gather("t", [999, 0, 999], as_numpy=False)
        self.assertEqual(got.tolist(), [[3996, 3997, 3998, 3999], [0, 1, 2, 3], [3996, 3997, 3998, 3999]])
        self.assertEqual(db.tensor_gather("t", array.array("q", [5]), as_numpy=False).tolist(), [[20, 21, 22, 23]])
        self.assertEqual(db.tensor_gather("t", range(0), as_numpy=False).nbytes, 0)
        self.assertEqual(db.tensor_scatter("t", (3, 500, 3), array.array("i", [1] * 4 + [2] * 4 + [3] * 4)), 3)
        self.assertEqual(db.tensor_gather("t", [3, 500], as_numpy=False).tolist(), [[3] * 4, [2] * 4])
        self.assertEqual(db.tensor_scatter_add("t", [3, 500, 3], array.array("i", [1] * 4 + [2] * 4 + [3] * 4), alpha=10), 3)
        self.assertEqual(db.tensor_gather("t", [3, 500], as_numpy=False).tolist(), [[43] * 4, [22] * 4])
        self.assertIsNone(db.tensor_gather("absent", [0]))
        row = array.array("i", [0] * 4)
        for wrong in (lambda: db.tensor_gather("t", [1000]), lambda: db.tensor_gather("t", [-1]), lambda: db.tensor_gather("t", [1 << 64]),
                      lambda: db.tensor_scatter("t", [1000], row), lambda: db.tensor_scatter("t", [1, 2], row),
                      lambda: db.tensor_scatter_add("t", [-1], row)):  # fmt: skip
            with self.assertRaises(mlkv.ShapeError):
                wrong()
        for strange in (5, [1.5], "12", None):
            with self.assertRaises(mlkv.ArgumentError):
                db.tensor_gather("t", strange)
        with self.assertRaises(KeyError):
            db.tensor_scatter("absent", [0], row)

    def test_append_and_scale(self) -> None:
        db = self.db
        db.tensor_set("t", b"", dtype="f32", shape=(0, 2))
        self.assertEqual(db.tensor_append("t", array.array("f", [1, 2])), 1)
        self.assertEqual(db.tensor_append("t", array.array("f", range(100000))), 50001)
        self.assertEqual(db.tensor_info("t").shape, (50001, 2))  # type: ignore[union-attr]
        self.assertEqual(db.tensor_gather("t", [50000, 0], as_numpy=False).tolist(), [[99998, 99999], [1, 2]])
        self.assertIs(db.tensor_scale("t", 0.5), True)
        self.assertEqual(db.tensor_gather("t", [0], as_numpy=False).tolist(), [[0.5, 1]])
        db.tensor_set("scalar", array.array("d", [2.5]), shape=())
        for wrong in (lambda: db.tensor_append("t", array.array("f", [1])), lambda: db.tensor_append("t", array.array("d", [1, 2])),
                      lambda: db.tensor_append("scalar", array.array("d", [1])), lambda: db.tensor_gather("scalar", [0])):  # fmt: skip
            with self.assertRaises(mlkv.ShapeError):
                wrong()
        for absent in (lambda: db.tensor_append("absent", b""), lambda: db.tensor_scale("absent", 2)):
            with self.assertRaises(KeyError):
                absent()

    def test_add(self) -> None:
        db = self.db
        db.tensor_set("w", array.array("f", [0] * 6), shape=(2, 3))
        self.assertIs(db.tensor_add("w", array.array("f", [1, 2, 3, 4, 5, 6]), alpha=-0.5), True)
        self.assertEqual(self.get("w").tolist(), [[-0.5, -1, -1.5], [-2, -2.5, -3]])
        with self.assertRaises(mlkv.ShapeError):
            db.tensor_add("w", array.array("d", [1] * 6))
        with self.assertRaises(KeyError):
            db.tensor_add("absent", array.array("f", [1]))
        db.set("s", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.tensor_get("s")

    def test_list(self) -> None:
        db = self.db
        self.assertEqual(db.tensor_list(), {})
        for name, rows in (("m/b", 1), ("m/a", 300), ("m*", 2), ("n", 0)):
            db.tensor_set(name, array.array("f", range(rows * 4)), shape=(rows, 4), chunk_bytes=160)
        db.set("m/name", "dense")
        found = db.tensor_list("m/")
        self.assertEqual([name.decode() if isinstance(name, bytes) else name for name in found], ["m/a", "m/b"])
        self.assertEqual(list(found.values()), [db.tensor_info("m/a"), db.tensor_info("m/b")])
        self.assertEqual([info.chunks for info in found.values()], [30, 1])
        self.assertEqual(len(db.tensor_list()), 4)
        self.assertEqual(len(db.tensor_list("m*")), 1)  # no pattern
        self.assertEqual(db.tensor_list(b"o"), {})
        with db.snapshot() as old:
            db.tensor_append("n", array.array("f", range(4)))
            db.delete("m/a")
            self.assertEqual(sum(info.raw_bytes for info in old.tensor_list().values()), 303 * 16)
            self.assertEqual(sum(info.raw_bytes for info in db.tensor_list().values()), 4 * 16)

    def test_what_was_written_is_counted(self) -> None:
        values = array.array("i", range(4000))
        self.assertEqual(self.db.tensor_set_counted("t", values, shape=(1000, 4), chunk_bytes=160), 100)
        self.assertEqual(self.db.tensor_set_counted("t", values, shape=(1000, 4), chunk_bytes=160), 0)
        values[0] = values[3999] = 7
        self.assertEqual(self.db.tensor_set_counted("t", values, shape=(1000, 4), chunk_bytes=160), 2)
        self.assertEqual(self.get("t").tobytes(), values.tobytes())
        self.assertEqual(self.db.tensor_set_counted("t", values, shape=(4, 1000), chunk_bytes=8000), 2)

    def test_what_is_refused(self) -> None:
        db = self.db
        for wrong in (lambda: db.tensor_set("t", b"abc", dtype="f32"), lambda: db.tensor_set("t", b"abcd", dtype="f32", shape=(2,)),
                      lambda: db.tensor_set("t", [1, 2]), lambda: db.tensor_set("t", b"ab", dtype="u8", shape=(-1, -2)),
                      lambda: db.tensor_set("t", b"a", dtype="u8", shape=(1,) * 9)):  # fmt: skip
            with self.assertRaises(mlkv.Error):
                wrong()
        self.assertEqual(db.exists("t"), 0)

    def test_read_only_and_strided_buffers(self) -> None:
        data = bytes(range(100))
        self.db.tensor_set("t", memoryview(data)[::2], dtype="u8")
        self.assertEqual(self.get("t").tobytes(), data[::2])


@needs_numpy
class Numpy(StoreTest):
    def test_arrays_of_every_dtype(self) -> None:
        for name in "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex64 complex128".split():
            for shape in ((), (7,), (3, 5), (2, 0, 3), (2, 3, 4, 5)):
                values = numpy.arange(math.prod(shape)).reshape(shape).astype(name)
                self.db.tensor_set("t", values)
                got = self.db.tensor_get("t")
                self.assertEqual((got.dtype, got.shape), (values.dtype, values.shape))
                numpy.testing.assert_array_equal(got, values)

    def test_as_an_item(self) -> None:
        values = numpy.arange(6, dtype="i2").reshape(2, 3)
        self.db["key"] = "text"
        del self.db["key"]
        self.db["key"] = values
        numpy.testing.assert_array_equal(self.db["key"], values)
        self.db["key"] = values[:, ::2]
        numpy.testing.assert_array_equal(self.db["key"], values[:, ::2])
        self.db["key"] = "text"
        self.assertEqual(self.db["key"], b"text")
        with self.assertRaises(KeyError):
            self.db["none"]
        self.db.sadd("set", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            self.db["set"]

    def test_layouts(self) -> None:
        values = numpy.arange(24, dtype="f4").reshape(4, 6)
        for view in (values.T, values[::2], values[:, 1:3], numpy.asfortranarray(values), values.astype(">f4")):
            self.db.tensor_set("t", view)
            numpy.testing.assert_array_equal(self.db.tensor_get("t"), view)

    def test_bfloat16_comes_back_as_its_bits(self) -> None:
        bits = numpy.array([[0x3F80, 0x4000]], "u2")
        self.db.tensor_set("t", bits, dtype="bf16")
        self.assertEqual(self.db.tensor_info("t").dtype, "bf16")  # type: ignore[union-attr]
        numpy.testing.assert_array_equal(self.db.tensor_get("t"), bits)
        self.db.tensor_add("t", bits, alpha=1.0, dtype="bf16")
        numpy.testing.assert_array_equal(self.db.tensor_get("t"), [[0x4000, 0x4080]])

    def test_rows_and_add(self) -> None:
        values = numpy.random.default_rng(1).normal(size=(1000, 16)).astype("f4")
        self.db.tensor_set("t", values, chunk_bytes=2048)
        numpy.testing.assert_array_equal(self.db.tensor_read_rows("t", 10, 200), values[10:210])
        self.db.tensor_write_rows("t", 5, values[100:150])
        values[5:55] = values[100:150]
        self.db.tensor_add("t", numpy.ones_like(values), alpha=0.25)
        values += numpy.float32(0.25)
        numpy.testing.assert_allclose(self.db.tensor_get("t"), values, rtol=1e-6)
        got = self.db.tensor_get("t")
        got[0, 0] = 7  # the caller's own
        self.assertNotEqual(self.db.tensor_get("t")[0, 0], 7)

    def test_rows_by_number(self) -> None:
        generator = numpy.random.default_rng(2)
        values = generator.integers(-9, 9, (1000, 3, 5)).astype("f4")
        self.db.tensor_set("t", values, chunk_bytes=2048)
        for numbers in (generator.integers(0, 1000, 300), generator.integers(0, 1000, (4, 7)).astype("u2"), numpy.arange(0, 1000, 3)[::-1]):
            numpy.testing.assert_array_equal(self.db.tensor_gather("t", numbers), values[numbers])
        numbers = generator.integers(0, 50, 300)
        delta = generator.integers(-9, 9, (300, 3, 5)).astype("f4")
        self.assertEqual(self.db.tensor_scatter_add("t", numbers, delta, alpha=2), 300)
        numpy.add.at(values, numbers, 2 * delta)
        numpy.testing.assert_array_equal(self.db.tensor_get("t"), values)
        self.db.tensor_scatter("t", numbers, delta)
        for number, row in zip(numbers, delta):
            values[number] = row
        numpy.testing.assert_array_equal(self.db.tensor_get("t"), values)
        self.assertEqual(self.db.tensor_append("t", values[:10]), 1010)
        numpy.testing.assert_array_equal(self.db.tensor_get("t"), numpy.concatenate([values, values[:10]]))
        with self.assertRaises(mlkv.ShapeError):
            self.db.tensor_gather("t", numpy.array([0, -1]))
        with self.assertRaises(mlkv.ArgumentError):
            self.db.tensor_gather("t", numpy.array([0.0]))

    def test_in_a_snapshot(self) -> None:
        self.db.tensor_set("t", numpy.zeros(4, "f4"))
        with self.db.snapshot() as old:
            self.db.tensor_add("t", numpy.ones(4, "f4"))
            self.assertEqual(old.tensor_get("t").tolist(), [0] * 4)
            self.assertEqual(self.db.tensor_get("t").tolist(), [1] * 4)

    def test_torch_where_it_is_there(self) -> None:
        try:
            import torch
        except ImportError:
            self.skipTest("torch is not installed")
        for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.uint8):
            values = torch.arange(6).reshape(2, 3).to(dtype)
            self.db.tensor_set("t", values)
            self.assertEqual(self.db.tensor_info("t").dtype, dtype_of(dtype).name)  # type: ignore[union-attr]
            got = torch.from_numpy(self.db.tensor_get("t").view("i2") if dtype is torch.bfloat16 else self.db.tensor_get("t"))
            self.assertTrue(torch.equal(got.view(dtype), values))


if __name__ == "__main__":
    sys.exit(unittest.main())

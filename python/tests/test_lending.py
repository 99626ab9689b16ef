import array
import gc
import unittest
from typing import Any

import mlkv
from support import HAVE_NUMPY, StoreTest, needs_numpy

if HAVE_NUMPY:
    import numpy

try:
    import torch
except ImportError:
    torch = None
needs_torch = unittest.skipIf(torch is None, "torch is not installed")

ROWS, COLUMNS = 3000, 100


class LendingTest(StoreTest):
    """A stored table of ROWS by COLUMNS floats, more than a chunk."""

    def setUp(self) -> None:
        super().setUp()
        self.values = array.array("f", (i * 0.5 for i in range(ROWS * COLUMNS)))
        self.db.tensor_set("t", self.values, shape=(ROWS, COLUMNS), contiguous=True)

    def lend(self) -> mlkv.TensorLoan:
        loan = self.db.tensor_lend("t")
        assert loan is not None
        return loan

    def assert_returned(self) -> None:
        gc.collect()
        stats = self.db.stats()
        self.assertEqual((stats["loans"], stats["loan_bytes"]), (0, 0))


class Loans(LendingTest):
    def test_memory(self) -> None:
        with self.lend() as loan:
            self.assertEqual((loan.dtype, loan.shape, loan.nbytes), ("f32", (ROWS, COLUMNS), ROWS * COLUMNS * 4))
            self.assertTrue(loan.info.contiguous)
            self.assertEqual(self.db.stats()["loans"], 1)
            view = loan.memory()
        self.assertTrue(loan.closed)
        self.db.tensor_set("t", b"\0", dtype="u8", shape=(1,))
        self.db.delete("t")
        self.assertEqual(view.shape, (ROWS, COLUMNS))
        self.assertEqual(view.tobytes(), self.values.tobytes())  # it has kept the loan
        self.assertEqual(self.db.stats()["loans"], 1)
        with self.assertRaises(mlkv.errors.ClosedError):
            loan.memory()
        loan.close()
        del view
        self.assert_returned()

    def test_writing_changes_nothing_stored(self) -> None:
        loan = self.lend()
        view = loan.memory().cast("B")
        view[:8] = b"\xff" * 8
        self.assertEqual(bytes(loan.memory().cast("B")[:8]), b"\xff" * 8)  # one memory
        self.assertEqual(bytes(self.lend().memory().cast("B")[:8]), self.values.tobytes()[:8])
        del loan, view
        self.assert_returned()
        self.assertTrue(self.db.verify().ok)

    def test_after_close(self) -> None:
        db = self.open()
        loan = db.tensor_lend("t")
        db.close()
        self.db.close()
        self.assertEqual(loan.memory().tobytes(), self.values.tobytes())

    def test_snapshot(self) -> None:
        with self.db.snapshot() as snapshot:
            self.db.delete("t")
            loan = snapshot.tensor_lend("t")
        self.assertEqual(loan.memory().tobytes(), self.values.tobytes())

    def test_every_type(self) -> None:
        for dtype in mlkv.DTYPES:
            data = bytes(i % 2 for i in range(dtype.size * 6))
            self.db.tensor_set("d", data, dtype=dtype.name, shape=(2, 3), contiguous=True)
            self.assertEqual(self.db.tensor_lend("d").memory().tobytes(), data, dtype.name)

    def test_scalar_and_empty(self) -> None:
        self.db.tensor_set("s", array.array("d", [2.5]), shape=(), contiguous=True)
        self.assertEqual(self.db.tensor_lend("s").memory().tobytes(), array.array("d", [2.5]).tobytes())
        self.db.tensor_set("e", b"", dtype="f32", shape=(0, 5))
        self.assertEqual(self.db.tensor_lend("e").memory().nbytes, 0)

    def test_refused(self) -> None:
        self.assertIsNone(self.db.tensor_lend("absent"))
        self.db.tensor_set("plain", self.values)
        with self.assertRaises(mlkv.errors.ContiguousError) as caught:
            self.db.tensor_lend("plain")
        self.assertIn("plain", caught.exception.detail)
        loan = self.lend()
        for arguments in ({"copy": True}, {"stream": 1}, {"dl_device": (2, 0)}):
            with self.assertRaises(BufferError):
                loan.__dlpack__(**arguments)
        self.assertEqual(loan.__dlpack_device__(), (1, 0))
        with self.assertRaises(TypeError):
            loan.__reduce__()

    def test_a_capsule_that_nobody_takes(self) -> None:
        for version in (None, (0, 8), (1, 0), (1, 1)):
            loan = self.lend()
            capsule: Any = loan.__dlpack__(max_version=version)
            self.assertIn("dltensor_versioned" if version and version[0] else '"dltensor"', repr(capsule))
            del loan
            gc.collect()
            self.assertEqual(self.db.stats()["loans"], 1)
            del capsule
            self.assert_returned()


@needs_numpy
class Numpy(LendingTest):
    def test_without_a_copy(self) -> None:
        loan = self.lend()
        taken = numpy.from_dlpack(loan)
        self.assertEqual((taken.dtype, taken.shape), (numpy.float32, (ROWS, COLUMNS)))
        self.assertEqual(taken.ctypes.data, numpy.asarray(loan.memory()).ctypes.data)
        del loan
        self.db.delete("t")
        self.assertEqual(taken.tobytes(), self.values.tobytes())
        self.assertEqual(self.db.stats()["loans"], 1)
        del taken
        self.assert_returned()

    def test_memory_is_an_array(self) -> None:
        taken = numpy.asarray(self.lend().memory())
        self.assertEqual(taken.tobytes(), self.values.tobytes())
        del taken
        self.assert_returned()


@needs_torch
class Torch(LendingTest):
    def test_written_to(self) -> None:
        taken = torch.from_dlpack(self.lend())
        self.assertEqual((taken.dtype, tuple(taken.shape)), (torch.float32, (ROWS, COLUMNS)))
        self.assertEqual(taken.data_ptr() % 4096, 0)
        taken.mul_(3)
        self.assertEqual(taken[0, 1].item(), 1.5)
        self.assertEqual(self.db.tensor_read_rows("t", 0, 1, as_numpy=False).tobytes(), self.values.tobytes()[: COLUMNS * 4])
        del taken
        self.assert_returned()

    def test_bfloat16(self) -> None:
        values = torch.arange(64, dtype=torch.bfloat16).reshape(4, 16)
        self.db.tensor_set("b", values, contiguous=True)
        taken = torch.from_dlpack(self.db.tensor_lend("b"))
        self.assertEqual(taken.dtype, torch.bfloat16)
        self.assertTrue(torch.equal(taken, values))
        del taken
        self.assert_returned()


if __name__ == "__main__":
    unittest.main()

"""What the tests share: a temporary store, and whether numpy is there."""

import importlib.util
import shutil
import tempfile
import unittest
from typing import Any

import mlkv

HAVE_NUMPY = importlib.util.find_spec("numpy") is not None
needs_numpy = unittest.skipUnless(HAVE_NUMPY, "numpy is not installed")

SMALL = dict(ring_bytes=4 << 20, cache_bytes=8 << 20)  # opens fast and leaves the machine's memory alone


class StoreTest(unittest.TestCase):
    """Each test has a store of its own in self.db."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="mlkv-python-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = f"{self.folder}/store"
        self.db = self.open()

    def open(self, **options: Any) -> mlkv.Client:
        db = mlkv.open(self.path, **{**SMALL, **options})
        self.addCleanup(db.close)
        return db

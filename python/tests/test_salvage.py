"""mlkv.salvage: an intact store, a damaged one, none."""

import os
import unittest

import mlkv
from support import StoreTest


class SalvageTest(StoreTest):
    def setUp(self) -> None:
        super().setUp()
        for i in range(500):
            self.db.set(f"key:{i}", f"value {i} " * 5)
        self.db.hset("hash", mapping={f"f{i}": str(i) for i in range(50)})
        self.db.close()
        self.new = f"{self.folder}/new"

    def test_intact(self) -> None:
        report = mlkv.salvage(self.path, self.new)
        self.assertTrue(report.ok)
        self.assertEqual((report.keys, report.elements, report.lost), (501, 50, ()))
        with mlkv.open(self.new) as db:
            self.assertEqual(db.get("key:77"), b"value 77 " * 5)
            self.assertTrue(db.verify().ok)

    def test_damaged(self) -> None:
        with open(f"{self.path}/data.mdb", "r+b") as file:
            data = file.read()
            at = data.index(b"value 123 value 123 ")
            while at >= 0:  # every copy, also older ones
                file.seek(at)
                file.write(b"X")
                at = data.find(b"value 123 value 123 ", at + 40)
        for name in ("journal.head", "journal.ring", "journal.log"):
            os.remove(f"{self.path}/{name}")
        report = mlkv.salvage(self.path, self.new)
        self.assertFalse(report.ok)
        self.assertTrue(report.lost)
        with mlkv.open(self.new) as db:
            self.assertIsNone(db.get("key:123"))
            self.assertEqual(db.get("key:124"), b"value 124 " * 5)
            self.assertEqual(db.hlen("hash"), 50)

    def test_none(self) -> None:
        with self.assertRaises(mlkv.errors.AbsentStoreError):
            mlkv.salvage(f"{self.folder}/nothing", self.new)
        self.assertFalse(os.path.exists(self.new))


if __name__ == "__main__":
    unittest.main()

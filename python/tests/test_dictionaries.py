"""Dictionaries: trained, used, listed, dropped."""

import json
import unittest

import mlkv
from support import StoreTest


def record(i: int) -> bytes:
    words = ["red", "shoes", "winter", "jacket", "garden"]
    return json.dumps(
        {
            "user_id": i * 7919 % 100003,
            "event": ["view", "click", "buy"][i % 3],
            "ts": 1700000000 + i,
            "page": f"/p/{words[i % 5]}-{i % 211}",
        }
    ).encode()


class DictionariesTest(StoreTest):
    def fill(self, first: int, last: int) -> None:
        self.db.mset({f"e:{i}": record(i) for i in range(first, last)})

    def test_life(self) -> None:
        self.assertIsNone(self.db.dictionary_train("e:"))
        self.assertEqual(self.db.dictionary_list(), [])
        self.assertFalse(self.db.dictionary_drop("e:"))
        self.fill(0, 2000)
        info = self.db.dictionary_train("e:", dictionary_bytes=8192)
        assert info is not None
        self.assertEqual((info.prefix, info.id, info.version, info.current), (b"e:", 1, 1, True))
        self.assertLessEqual(info.bytes, 8192)
        self.assertLess(info.ratio, 0.7)
        self.fill(2000, 3000)
        self.assertEqual(self.db.mget([f"e:{i}" for i in range(3000)]), [record(i) for i in range(3000)])
        self.assertEqual(self.db.dictionary_list(), [info])
        self.assertTrue(self.db.dictionary_drop("e:"))
        self.assertEqual([found.current for found in self.db.dictionary_list()], [False])
        self.assertEqual(self.db.get("e:2500"), record(2500))
        with self.db.snapshot() as snapshot:
            self.assertEqual(len(snapshot.dictionary_list()), 1)
            with self.assertRaises(mlkv.ReadOnlyError):
                snapshot.dictionary_drop("e:")
            with self.assertRaises(mlkv.ArgumentError):
                snapshot.dictionary_train("e:")
        self.assertTrue(self.db.verify().ok)


if __name__ == "__main__":
    unittest.main()

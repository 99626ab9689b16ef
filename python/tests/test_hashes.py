import unittest

import mlkv
from support import StoreTest


class Hashes(StoreTest):
    def test_hset_and_hget_return_what_redis_py_returns(self) -> None:
        db = self.db
        self.assertEqual(db.hset("h", "a", 1), 1)
        self.assertEqual(db.hset("h", "a", 2), 0)
        self.assertEqual(db.hset("h", mapping={"a": 3, "b": "x", "c": 1.5}), 2)
        self.assertEqual(db.hset("h", "d", "", items=["e", 5]), 2)
        self.assertEqual(db.hget("h", "a"), b"3")
        self.assertEqual(db.hget("h", "d"), b"")
        self.assertIsNone(db.hget("h", "absent"))
        self.assertIsNone(db.hget("absent", "a"))
        self.assertIs(db.hmset("h", {"f": 6}), True)
        self.assertEqual(db.hgetall("h"), {b"a": b"3", b"b": b"x", b"c": b"1.5", b"d": b"", b"e": b"5", b"f": b"6"})
        self.assertEqual(db.hgetall("absent"), {})
        for wrong in ({}, {"mapping": {}}, {"items": ["a"]}):
            with self.assertRaises(mlkv.DataError):
                db.hset("h", **wrong)  # type: ignore[arg-type]

    def test_the_rest(self) -> None:
        db = self.db
        self.assertEqual((db.hsetnx("h", "a", 1), db.hsetnx("h", "a", 2)), (1, 0))
        db.hset("h", mapping={"b": 2, "c": 3})
        self.assertEqual(db.hmget("h", ["a", "absent", "c"]), [b"1", None, b"3"])
        self.assertEqual(db.hmget("h", "b", "a"), [b"2", b"1"])
        self.assertEqual(db.hmget("absent", "b", "a"), [None, None])
        self.assertEqual((db.hlen("h"), db.hlen("absent")), (3, 0))
        self.assertEqual((db.hexists("h", "a"), db.hexists("h", "z"), db.hexists("absent", "a")), (True, False, False))
        self.assertEqual(sorted(db.hkeys("h")), [b"a", b"b", b"c"])
        self.assertEqual(sorted(db.hvals("h")), [b"1", b"2", b"3"])
        self.assertEqual((db.hkeys("absent"), db.hvals("absent")), ([], []))
        self.assertEqual((db.hincrby("h", "a", 5), db.hincrby("h", "new"), db.hincrby("new", "n", -2)), (6, 1, -2))
        self.assertEqual((db.hstrlen("h", "a"), db.hstrlen("h", "z")), (1, 0))
        self.assertEqual(db.hdel("h", "a", "b", "absent"), 2)
        self.assertEqual(db.hgetall("h"), {b"c": b"3", b"new": b"1"})
        self.assertEqual(db.hdel("h", "c", "new"), 2)
        self.assertEqual(db.exists("h"), 0)

    def test_a_thousand_fields_one_by_one(self) -> None:
        db = self.db
        for i in range(1000):
            db.hset("h", f"field:{i}", i)
        for i in range(1000):
            self.assertEqual(int(db.hget("h", f"field:{i}") or -1), i)
        self.assertEqual(db.hgetall("h"), {f"field:{i}".encode(): str(i).encode() for i in range(1000)})

    def test_scan(self) -> None:
        db = self.db
        fields = {f"f{i:04}".encode(): str(i).encode() for i in range(2500)}
        db.hset("h", mapping=fields)
        self.assertEqual(dict(db.hscan_iter("h")), fields)
        self.assertEqual(dict(db.hscan_iter("h", count=7)), fields)
        self.assertEqual(dict(db.hscan_iter("h", match="f00*5")), {k: v for k, v in fields.items() if k[:3] == b"f00" and k[-1:] == b"5"})
        cursor, part = db.hscan("h", count=100)
        seen = dict(part)
        self.assertEqual(len(seen), 100)
        while cursor != 0:
            cursor, part = db.hscan("h", cursor, count=1000)
            seen.update(part)
        self.assertEqual(seen, fields)
        self.assertEqual(list(db.hscan_iter("absent")), [])

    def test_wrong_type(self) -> None:
        self.db.set("s", 1)
        for call in (lambda: self.db.hget("s", "a"), lambda: self.db.hset("s", "a", 1), lambda: self.db.hgetall("s")):
            with self.assertRaises(mlkv.WrongTypeError) as caught:
                call()
            self.assertEqual((caught.exception.symbol, caught.exception.code), ("type", -5))
            self.assertIsInstance(caught.exception, mlkv.ResponseError)
            self.assertTrue(caught.exception.detail)

    def test_decoded_responses(self) -> None:
        db = self.open(decode_responses=True)
        db.hset("h", mapping={"a": 1, "b": 2})
        self.assertEqual(db.hgetall("h"), {"a": "1", "b": "2"})
        self.assertEqual(db.hmget("h", "b", "z"), ["2", None])
        self.assertEqual(dict(db.hscan_iter("h")), {"a": "1", "b": "2"})


if __name__ == "__main__":
    unittest.main()

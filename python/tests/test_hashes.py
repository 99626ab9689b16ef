import datetime
import time
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

    def test_floats(self) -> None:
        db = self.db
        self.assertEqual((db.hincrbyfloat("h", "f"), db.hincrbyfloat("h", "f", 0.1), db.hincrbyfloat("h", "f", -1.1)), (1.0, 1.1, 0.0))
        self.assertEqual(db.hget("h", "f"), b"0")
        db.hset("h", "text", "x")
        with self.assertRaises(mlkv.Error):
            db.hincrbyfloat("h", "text")

    def test_random_fields(self) -> None:
        db = self.db
        self.assertIsNone(db.hrandfield("absent"))
        self.assertEqual(db.hrandfield("absent", 3), [])
        fields = {f"f{i}".encode(): str(i).encode() for i in range(50)}
        db.hset("h", mapping=fields)
        self.assertIn(db.hrandfield("h"), fields)
        some = db.hrandfield("h", 10)
        self.assertEqual(len(set(some)), 10)
        self.assertTrue(set(some) <= set(fields))
        self.assertEqual(set(db.hrandfield("h", 99)), set(fields))
        self.assertEqual(len(db.hrandfield("h", -99)), 99)
        flat = db.hrandfield("h", 20, withvalues=True)
        self.assertEqual({k: fields[k] for k in flat[0::2]}, dict(zip(flat[0::2], flat[1::2])))
        self.assertEqual(db.hrandfield("h", 0), [])

    def test_fields_that_expire(self) -> None:
        db = self.db
        db.hset("h", mapping={"a": 1, "b": 2, "c": 3})
        self.assertEqual(db.hexpire("h", 100, "a", "none"), [1, -2])
        self.assertEqual(db.hexpire("none", 100, "a", "b"), [-2, -2])
        self.assertEqual(db.httl("h", "a", "b", "none"), [100, -1, -2])
        self.assertEqual(db.hexpire("h", 50, "a", "b", nx=True), [0, 1])
        self.assertEqual(db.hexpire("h", datetime.timedelta(seconds=70), "a", "b", gt=True), [0, 1])
        self.assertEqual(db.hpexpire("h", 60000, "a", "c", lt=True), [1, 1])
        self.assertEqual(db.hpexpire("h", 60000, "none", "c", xx=True), [-2, 1])
        for ms in db.hpttl("h", "a", "c"):
            self.assertTrue(50000 < ms <= 60000)
        when = int(time.time()) + 1000
        self.assertEqual(db.hexpireat("h", when, "a"), [1])
        self.assertEqual((db.hexpiretime("h", "a"), db.hpexpiretime("h", "a")), ([when], [when * 1000]))
        self.assertEqual(db.hpexpireat("h", when * 1000 + 1, "a"), [1])
        self.assertEqual((db.hexpiretime("h", "a"), db.hpexpiretime("h", "a", "none")), ([when + 1], [when * 1000 + 1, -2]))
        self.assertEqual(db.hpersist("h", "a", "a", "none"), [1, -1, -2])
        db.hset("h", "b", 5)
        self.assertEqual(db.httl("h", "a", "b"), [-1, -1])
        self.assertEqual(db.hexpire("h", 0, "a", "b"), [2, 2])
        self.assertEqual(db.hgetall("h"), {b"c": b"3"})
        self.assertEqual(db.hpexpire("h", 30, "c"), [1])
        time.sleep(0.05)
        self.assertEqual((db.hget("h", "c"), db.hlen("h"), db.exists("h")), (None, 0, 0))
        with self.assertRaises(mlkv.DataError):
            db.hexpire("h", 5, "a", nx=True, xx=True)
        with self.assertRaises(mlkv.DataError):
            db.hexpire("h", 5)
        with db.pipeline() as pipe:
            pipe.hset("p", "a", 1).hexpire("p", 100, "a").httl("p", "a").hrandfield("p")
            self.assertEqual(pipe.execute(), [1, [1], [100], b"a"])

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

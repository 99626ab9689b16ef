import math
import unittest

import mlkv
from support import StoreTest


class ZSets(StoreTest):
    def test_add(self) -> None:
        db = self.db
        self.assertEqual(db.zadd("z", {"a": 1, "b": 2.5, b"c": "inf"}), 3)
        self.assertEqual(db.zadd("z", {"a": 2, "d": 0}), 1)
        self.assertEqual(db.zadd("z", {"a": 3, "d": 0, "e": 1}, ch=True), 2)
        self.assertEqual(db.zadd("z", {"a": 9, "x": 1}, xx=True), 0)
        self.assertEqual(db.zadd("z", {"a": 1, "n": 1}, nx=True), 1)
        self.assertEqual(db.zadd("z", {"a": 1}, gt=True, ch=True), 0)
        self.assertEqual(db.zadd("z", {"a": 1}, lt=True, ch=True), 1)
        self.assertEqual(db.zadd("z", {"a": 4}, incr=True), 5.0)
        self.assertIsNone(db.zadd("z", {"a": 4}, incr=True, nx=True))
        self.assertIsNone(db.zadd("z", {"a": -4}, incr=True, gt=True))
        self.assertEqual(db.zincrby("z", 1.5, "a"), 6.5)
        self.assertEqual((db.zscore("z", "a"), db.zscore("z", "c")), (6.5, math.inf))
        self.assertEqual((db.zscore("z", "no"), db.zscore("no", "a")), (None, None))
        self.assertEqual(db.zmscore("z", ["a", "no", "b"]), [6.5, None, 2.5])
        self.assertEqual((db.zcard("z"), db.zcard("no")), (6, 0))
        self.assertEqual(db.zrem("z", "a", "no", "b"), 2)
        self.assertEqual(db.type("z"), b"zset")
        for arguments in ({"nx": True, "xx": True}, {"gt": True, "lt": True}, {"nx": True, "gt": True}):
            with self.assertRaises(mlkv.DataError):
                db.zadd("z", {"a": 1}, **arguments)
        with self.assertRaises(mlkv.DataError):
            db.zadd("z", {})
        for bad in ("nan", "x", " 1", "1_0", None):
            with self.assertRaises(mlkv.NumberError):
                db.zadd("z", {"a": bad})
        with self.assertRaises(mlkv.NumberError):
            db.zincrby("z", "-inf", "c")
        db.set("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.zadd("text", {"a": 1})

    def test_ranges(self) -> None:
        db = self.db
        db.zadd("z", {"a": 1, "b": 2, "c": 2, "d": 3})
        self.assertEqual(db.zrange("z", 0, -1), [b"a", b"b", b"c", b"d"])
        self.assertEqual(db.zrange("z", 1, 2, withscores=True), [(b"b", 2.0), (b"c", 2.0)])
        self.assertEqual(db.zrange("z", 0, 0, desc=True, withscores=True, score_cast_func=int), [(b"d", 3)])
        self.assertEqual(db.zrange("z", "(1", 2, byscore=True), [b"b", b"c"])
        self.assertEqual(db.zrange("z", "+inf", "(2", desc=True, byscore=True), [b"d"])
        self.assertEqual(db.zrange("z", "-inf", "+inf", byscore=True, offset=1, num=2), [b"b", b"c"])
        self.assertEqual(db.zrevrange("z", 0, 1), [b"d", b"c"])
        self.assertEqual(db.zrangebyscore("z", 2, "(3", withscores=True), [(b"b", 2.0), (b"c", 2.0)])
        self.assertEqual(db.zrevrangebyscore("z", 3, 2, start=1, num=5), [b"c", b"b"])
        self.assertEqual((db.zcount("z", 2, 3), db.zcount("z", "(2", "inf"), db.zcount("no", 0, 1)), (3, 1, 0))
        self.assertEqual((db.zrank("z", "c"), db.zrevrank("z", "c"), db.zrank("z", "no")), (2, 1, None))
        db.zadd("l", {name: 0 for name in "abcde"})
        self.assertEqual(db.zrangebylex("l", "[b", "(d"), [b"b", b"c"])
        self.assertEqual(db.zrangebylex("l", "-", "+", start=3, num=9), [b"d", b"e"])
        self.assertEqual(db.zrevrangebylex("l", "+", "(c"), [b"e", b"d"])
        self.assertEqual(db.zrange("l", "(c", "-", desc=True, bylex=True), [b"b", b"a"])
        self.assertEqual(db.zlexcount("l", "[b", "+"), 4)
        self.assertEqual(db.zrangestore("d", "z", 1, -1), 3)
        self.assertEqual(db.zrangestore("d", "z", 3, "(2", byscore=True, desc=True), 1)
        self.assertEqual(db.zrange("d", 0, -1, withscores=True), [(b"d", 3.0)])
        self.assertEqual((db.zremrangebylex("l", "[b", "[b"), db.zremrangebyrank("l", 0, 0), db.zremrangebyscore("z", 2, 2)), (1, 1, 2))
        self.assertEqual((db.zrange("l", 0, -1), db.zrange("z", 0, -1)), ([b"c", b"d", b"e"], [b"a", b"d"]))
        for bad in (dict(byscore=True, bylex=True), dict(offset=1, num=1), dict(byscore=True, offset=1)):
            with self.assertRaises(mlkv.DataError):
                db.zrange("z", 0, 1, **bad)
        with self.assertRaises(mlkv.ArgumentError):
            db.zrangebylex("l", "a", "[b")

    def test_take(self) -> None:
        db = self.db
        db.zadd("z", {str(i): i for i in range(10)})
        self.assertEqual(db.zpopmin("z"), [(b"0", 0.0)])
        self.assertEqual(db.zpopmax("z", 2), [(b"9", 9.0), (b"8", 8.0)])
        self.assertEqual(db.zpopmin("no"), [])
        self.assertEqual(db.zmpop(2, ["no", "z"], max=True, count=2), [b"z", [[b"7", b"7"], [b"6", b"6"]]])
        self.assertIsNone(db.zmpop(1, ["no"], min=True))
        members = db.zrange("z", 0, -1)
        self.assertIn(db.zrandmember("z"), members)
        self.assertIsNone(db.zrandmember("no"))
        self.assertEqual(set(db.zrandmember("z", 99)), set(members))
        self.assertEqual(len(db.zrandmember("z", -99)), 99)
        flat = db.zrandmember("z", 3, withscores=True)
        self.assertEqual(flat[0::2], flat[1::2])

    def test_algebra(self) -> None:
        db = self.db
        db.zadd("x", {"a": 1, "b": 2})
        db.zadd("y", {"b": 10, "c": 3.5})
        db.sadd("s", "a", "z")
        self.assertEqual(db.zunion(["x", "y"], withscores=True), [(b"a", 1.0), (b"c", 3.5), (b"b", 12.0)])
        self.assertEqual(db.zunion({"x": 2, "s": 0.5}, aggregate="max", withscores=True), [(b"z", 0.5), (b"a", 2.0), (b"b", 4.0)])
        self.assertEqual(db.zinter(["x", "y"], aggregate="MIN", withscores=True), [(b"b", 2.0)])
        self.assertEqual(db.zdiff(["y", "x"], withscores=True), [b"c", b"3.5"])
        self.assertEqual(db.zdiff(["y", "x"]), [b"c"])
        self.assertEqual((db.zunionstore("d", ["x", "y"]), db.zinterstore("e", ["x", "s"]), db.zdiffstore("f", ["x", "x"])), (3, 1, 0))
        self.assertEqual((db.zcard("d"), db.zscore("e", "a"), db.exists("f")), (3, 2.0, 0))
        self.assertEqual((db.zintercard(2, ["x", "y"]), db.zintercard(2, ["x", "x"], limit=1)), (1, 1))
        with self.assertRaises(mlkv.DataError):
            db.zunion(["x"], aggregate="avg")

    def test_scan_and_many(self) -> None:
        db = self.db
        db.zadd("z", {f"member:{i}": i / 4 for i in range(3000)})
        self.assertEqual(dict(db.zscan_iter("z", match="member:12?")), {f"member:12{i}".encode(): (120 + i) / 4 for i in range(10)})
        cursor, part = db.zscan("z", count=10)
        self.assertEqual((len(part), cursor != 0), (10, True))
        self.assertEqual(db.zrank("z", "member:2000"), 2000)
        with db.transaction() as tx:
            tx.zrem("z", "member:0", "member:1")
            self.assertEqual(tx.zrank("z", "member:2000"), 1998)
        self.assertEqual(db.zrange("z", 1000, 1001), [b"member:1002", b"member:1003"])
        with db.snapshot() as view:
            db.zremrangebyrank("z", 0, 999)
            self.assertEqual((view.zcard("z"), db.zcard("z")), (2998, 1998))
            self.assertEqual((view.zrank("z", "member:2000"), db.zrank("z", "member:2000")), (1998, 998))
        pipe = db.pipeline()
        pipe.zadd("p", {"a": 1})
        pipe.zincrby("p", 2, "a")
        pipe.zrange("p", 0, -1, withscores=True)
        self.assertEqual(pipe.execute(), [1, 3.0, [(b"a", 3.0)]])

    def test_text(self) -> None:
        db = self.open(decode_responses=True)
        db.zadd("z", {"é": 1})
        self.assertEqual(db.zrange("z", 0, -1, withscores=True), [("é", 1.0)])
        self.assertEqual(db.zmpop(1, ["z"], min=True), ["z", [["é", "1"]]])


if __name__ == "__main__":
    unittest.main()

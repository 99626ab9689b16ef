import unittest

import mlkv
from support import StoreTest


class Sets(StoreTest):
    def test_members(self) -> None:
        db = self.db
        self.assertEqual(db.sadd("s", "a", "b", "c", "a"), 3)
        self.assertEqual(db.sadd("s", "c", "d"), 1)
        self.assertEqual(db.smembers("s"), {b"a", b"b", b"c", b"d"})
        self.assertEqual(db.smembers("absent"), set())
        self.assertEqual((db.scard("s"), db.scard("absent")), (4, 0))
        self.assertEqual((db.sismember("s", "a"), db.sismember("s", "z"), db.sismember("absent", "a")), (True, False, False))
        self.assertEqual(db.smismember("s", ["a", "z", "d"]), [1, 0, 1])
        self.assertEqual(db.smismember("s", "z", "d"), [0, 1])
        self.assertEqual(db.srem("s", "a", "z"), 1)
        self.assertEqual(db.srem("s", "b", "c", "d"), 3)
        self.assertEqual(db.exists("s"), 0)
        db.set("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.sadd("text", 1)

    def test_many_members(self) -> None:
        items = [f"item:{i}" for i in range(5000)]
        self.assertEqual(self.db.sadd("s", *items), 5000)
        self.assertEqual(self.db.smembers("s"), {item.encode() for item in items})
        self.assertEqual(set(self.db.sscan_iter("s")), {item.encode() for item in items})
        self.assertEqual(set(self.db.sscan_iter("s", match="item:12?")), {f"item:12{i}".encode() for i in range(10)})
        cursor, part = self.db.sscan("s", count=10)
        self.assertEqual(len(part), 10)
        self.assertNotEqual(cursor, 0)

    def test_random(self) -> None:
        db = self.db
        self.assertIsNone(db.srandmember("absent"))
        self.assertEqual(db.srandmember("absent", 3), [])
        db.sadd("s", *range(10))
        members = db.smembers("s")
        self.assertIn(db.srandmember("s"), members)
        some = db.srandmember("s", 4)
        self.assertEqual(len(set(some)), 4)
        self.assertTrue(set(some) <= members)
        self.assertEqual(set(db.srandmember("s", 50)), members)
        self.assertEqual(len(db.srandmember("s", -50)), 50)
        self.assertTrue(set(db.srandmember("s", -50)) <= members)
        self.assertEqual(db.srandmember("s", 0), [])

    def test_pop_and_move(self) -> None:
        db = self.db
        self.assertIsNone(db.spop("absent"))
        self.assertEqual(db.spop("absent", 3), [])
        db.sadd("s", *range(10))
        members = db.smembers("s")
        first, some = db.spop("s"), db.spop("s", 4)
        self.assertEqual(len({first, *some}), 5)
        self.assertEqual({first, *some} | db.smembers("s"), members)
        self.assertEqual(db.scard("s"), 5)
        self.assertEqual(len(db.spop("s", 99)), 5)
        self.assertEqual(db.exists("s"), 0)
        with self.assertRaises(mlkv.DataError):
            db.spop("s", -1)
        db.sadd("s", "a", "b")
        self.assertEqual((db.smove("s", "t", "a"), db.smove("s", "t", "a"), db.smove("s", "t", "b")), (True, False, True))
        self.assertEqual((db.smembers("t"), db.exists("s")), ({b"a", b"b"}, 0))

    def test_several_sets(self) -> None:
        db = self.db
        db.sadd("x", "a", "b", "c")
        db.sadd("y", "c", "d")
        db.sadd("z", "c")
        self.assertEqual((db.sinter("x", "y"), db.sinter(["x", "y"]), db.sinter("x", "none")), ({b"c"}, {b"c"}, set()))
        self.assertEqual(db.sunion("x", "y"), {b"a", b"b", b"c", b"d"})
        self.assertEqual((db.sdiff(["x", "y"]), db.sdiff("x", "y", "none")), ({b"a", b"b"}, {b"a", b"b"}))
        self.assertEqual((db.sintercard(3, ["x", "y", "z"]), db.sintercard(1, ["x"], limit=2)), (1, 2))
        self.assertEqual((db.sunionstore("u", "x", "y"), db.sinterstore("i", ["x", "u"]), db.sdiffstore("x", "x", "y")), (4, 3, 2))
        self.assertEqual((db.smembers("i"), db.smembers("x")), ({b"a", b"b", b"c"}, {b"a", b"b"}))
        self.assertEqual((db.sdiffstore("u", "x", "x"), db.exists("u")), (0, 0))
        db.set("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.sunion("x", "text")
        with self.assertRaises(mlkv.DataError):
            db.sintercard(2, ["x"])


if __name__ == "__main__":
    unittest.main()

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


if __name__ == "__main__":
    unittest.main()

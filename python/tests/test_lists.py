import unittest

import mlkv
from support import StoreTest


class Lists(StoreTest):
    def test_push_and_pop(self) -> None:
        db = self.db
        self.assertEqual(db.lpushx("l", "x"), 0)
        self.assertEqual(db.rpushx("l", "x"), 0)
        self.assertEqual(db.exists("l"), 0)
        self.assertEqual(db.lpush("l", "a", "b", "c"), 3)
        self.assertEqual(db.rpush("l", 1, 2.5), 5)
        self.assertEqual(db.lpushx("l", "d"), 6)
        self.assertEqual(db.rpushx("l", "e", "f"), 8)
        self.assertEqual(db.lrange("l", 0, -1), [b"d", b"c", b"b", b"a", b"1", b"2.5", b"e", b"f"])
        self.assertEqual((db.llen("l"), db.llen("absent")), (8, 0))
        self.assertEqual(db.type("l"), b"list")
        self.assertEqual((db.lpop("l"), db.rpop("l")), (b"d", b"f"))
        self.assertEqual(db.lpop("l", 2), [b"c", b"b"])
        self.assertEqual(db.rpop("l", 2), [b"e", b"2.5"])
        self.assertEqual(db.lpop("l", 0), [])
        self.assertEqual(db.rpop("l", 9), [b"1", b"a"])
        self.assertEqual((db.lpop("l"), db.rpop("l"), db.lpop("l", 2), db.rpop("l", 0)), (None, None, None, None))
        self.assertEqual(db.exists("l"), 0)
        with self.assertRaises(mlkv.DataError):
            db.lpush("l")
        with self.assertRaises(mlkv.ArgumentError):
            db.lpop("l", -1)

    def test_indexes(self) -> None:
        db = self.db
        db.rpush("l", *"abcdef")
        self.assertEqual([db.lindex("l", i) for i in (0, 5, 6, -1, -6, -7)], [b"a", b"f", None, b"f", b"a", None])
        self.assertIsNone(db.lindex("absent", 0))
        self.assertEqual(db.lrange("l", 1, 3), [b"b", b"c", b"d"])
        self.assertEqual(db.lrange("l", -2, 100), [b"e", b"f"])
        self.assertEqual(db.lrange("l", 3, 1), [])
        self.assertEqual(db.lrange("absent", 0, -1), [])
        self.assertIs(db.lset("l", -1, "z"), True)
        self.assertEqual(db.lindex("l", 5), b"z")
        with self.assertRaises(mlkv.RangeError):
            db.lset("l", 6, "z")
        with self.assertRaises(mlkv.errors.ResponseError):
            db.lset("absent", 0, "z")
        self.assertIs(db.ltrim("l", 1, -2), True)
        self.assertEqual(db.lrange("l", 0, -1), [b"b", b"c", b"d", b"e"])
        self.assertIs(db.ltrim("l", 9, 10), True)
        self.assertEqual(db.exists("l"), 0)

    def test_values(self) -> None:
        db = self.db
        db.rpush("l", *"abcabca")
        self.assertEqual((db.lpos("l", "b"), db.lpos("l", "x"), db.lpos("absent", "b")), (1, None, None))
        self.assertEqual((db.lpos("l", "a", rank=2), db.lpos("l", "a", rank=-1), db.lpos("l", "a", rank=4)), (3, 6, None))
        self.assertEqual(db.lpos("l", "a", count=0), [0, 3, 6])
        self.assertEqual(db.lpos("l", "a", rank=-1, count=2), [6, 3])
        self.assertEqual(db.lpos("l", "a", count=0, maxlen=4), [0, 3])
        self.assertEqual(db.lpos("absent", "a", count=2), [])
        self.assertEqual(db.linsert("l", "before", "c", "X"), 8)
        self.assertEqual(db.linsert("l", "AFTER", "c", "Y"), 9)
        self.assertEqual(db.linsert("l", "after", "none", "Y"), -1)
        self.assertEqual(db.linsert("absent", "after", "none", "Y"), 0)
        self.assertEqual(b"".join(db.lrange("l", 0, -1)), b"abXcYabca")
        self.assertEqual((db.lrem("l", 1, "a"), db.lrem("l", -1, "a"), db.lrem("l", 0, "b"), db.lrem("l", 0, "none")), (1, 1, 2, 0))
        self.assertEqual(b"".join(db.lrange("l", 0, -1)), b"XcYac")
        for call in (
            lambda: db.linsert("l", "beside", "c", "X"),
            lambda: db.lpos("l", "a", rank=0),
            lambda: db.lpos("l", "a", count=-1),
            lambda: db.lpos("l", "a", maxlen=-1),
        ):
            with self.assertRaises(mlkv.ArgumentError):
                call()

    def test_moves(self) -> None:
        db = self.db
        db.rpush("a", 1, 2, 3)
        self.assertEqual(db.lmove("a", "b"), b"1")
        self.assertEqual(db.lmove("a", "b", "right", "LEFT"), b"3")
        self.assertEqual(db.rpoplpush("a", "b"), b"2")
        self.assertEqual(db.lrange("b", 0, -1), [b"2", b"3", b"1"])
        self.assertIsNone(db.lmove("a", "b"))
        self.assertEqual(db.rpoplpush("b", "b"), b"1")
        self.assertEqual(db.lrange("b", 0, -1), [b"1", b"2", b"3"])
        self.assertEqual(db.lmpop(2, "a", "b", direction="LEFT"), [b"b", [b"1"]])
        self.assertEqual(db.lmpop(2, "a", "b", direction="RIGHT", count=5), [b"b", [b"3", b"2"]])
        self.assertIsNone(db.lmpop(2, "a", "b", direction="LEFT", count=5))
        with self.assertRaises(mlkv.ArgumentError):
            db.lmpop(2, "a", "b", direction="LEFT", count=0)
        with self.assertRaises(mlkv.ArgumentError):
            db.lmpop(1, "a", "b", direction="LEFT")
        with self.assertRaises(mlkv.ArgumentError):
            db.lmove("a", "b", "up")
        db.set("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.lpush("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.llen("text")

    def test_many_elements(self) -> None:
        items = [f"item:{i}".encode() for i in range(5000)]
        self.assertEqual(self.db.rpush("l", *items), 5000)
        self.assertEqual(self.db.lrange("l", 0, -1), items)
        self.assertEqual(list(self.db.lscan_iter("l")), items)
        self.assertEqual(list(self.db.lscan_iter("l", match="item:12?", count=10)), [f"item:12{i}".encode() for i in range(10)])
        walk = self.db.lscan_iter("l", count=100)
        self.assertEqual(next(walk), items[0])
        self.db.lpop("l", 500)
        self.db.rpush("l", "last")
        self.assertEqual(list(walk), items[1:100] + items[500:] + [b"last"])

    def test_pipeline_and_transaction(self) -> None:
        with self.db.pipeline() as pipe:
            self.assertEqual(pipe.rpush("l", 1, 2, 3).lpop("l").lrange("l", 0, -1).execute(), [3, b"1", [b"2", b"3"]])
        with self.assertRaises(ZeroDivisionError), self.db.transaction() as view:
            view.rpush("l", 4)
            self.assertEqual(view.llen("l"), 3)
            1 // 0
        self.assertEqual(self.db.llen("l"), 2)


if __name__ == "__main__":
    unittest.main()

import threading
import unittest

import mlkv
from support import StoreTest


class Transactions(StoreTest):
    def test_commit_and_abort(self) -> None:
        db = self.db
        with db.transaction() as t:
            t.set("a", 1)
            t.hset("h", mapping={"x": 1})
            self.assertEqual(t.get("a"), b"1")
        self.assertEqual((db.get("a"), db.hgetall("h")), (b"1", {b"x": b"1"}))
        with self.assertRaises(ZeroDivisionError):
            with db.transaction() as t:
                t.set("a", 2)
                t.delete("h")
                1 / 0
        self.assertEqual((db.get("a"), db.exists("h")), (b"1", 1))
        with db.transaction() as t:
            t.set("a", 3)
            t.abort()
        self.assertEqual(db.get("a"), b"1")
        with self.assertRaises(mlkv.ClosedError):
            t.get("a")
        t = db.transaction().begin()
        t.set("a", 4)
        t.commit()
        self.assertEqual(db.get("a"), b"4")

    def test_others_see_nothing_before_the_commit(self) -> None:
        db, seen = self.db, []
        with db.transaction() as t:
            t.mset({"a": 1, "b": 2})
            reader = threading.Thread(target=lambda: seen.append(db.mget("a", "b")))
            reader.start()
            reader.join(60)
        self.assertEqual(seen, [[None, None]])
        self.assertEqual(db.mget("a", "b"), [b"1", b"2"])

    def test_a_second_one_in_the_same_thread_is_refused(self) -> None:
        with self.db.transaction() as t:
            with self.assertRaises(mlkv.BusyError):
                self.db.transaction().begin()
            with self.assertRaises(mlkv.BusyError):
                self.db.set("a", 1)
            t.set("a", 2)
        self.assertEqual(self.db.get("a"), b"2")

    def test_it_belongs_to_its_thread(self) -> None:
        refused = []

        def foreign(t: mlkv.Transaction) -> None:
            for call in (lambda: t.set("a", 1), t.commit):
                try:
                    call()
                except mlkv.OwnerError:
                    refused.append(True)

        with self.db.transaction() as t:
            thread = threading.Thread(target=foreign, args=(t,))
            thread.start()
            thread.join(60)
            t.set("a", 2)
        self.assertEqual((refused, self.db.get("a")), ([True, True], b"2"))

    def test_threads_do_not_lose_updates(self) -> None:
        def add() -> None:
            for _ in range(200):
                with self.db.transaction() as t:
                    t.set("n", int(t.get("n") or 0) + 1)
                self.db.hincrby("h", "n")

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        self.assertEqual((self.db.get("n"), self.db.hget("h", "n")), (b"800", b"800"))

    def test_snapshots(self) -> None:
        db = self.db
        db.mset({"a": 1, "b": 2})
        with db.snapshot() as old:
            db.mset({"a": 3, "c": 4})
            db.delete("b")
            self.assertEqual(old.mget("a", "b", "c"), [b"1", b"2", None])
            self.assertEqual(old.keys(), [b"a", b"b"])
            with self.assertRaises(mlkv.ReadOnlyError):
                old.set("a", 5)
        with self.assertRaises(mlkv.ClosedError):
            old.get("a")
        self.assertEqual(db.mget("a", "b", "c"), [b"3", None, b"4"])


class Pipelines(StoreTest):
    def test_execute(self) -> None:
        with self.db.pipeline() as pipe:
            self.assertIs(pipe.set("a", 1), pipe)
            pipe.incr("a").hset("h", mapping={"x": 1}).hgetall("h").get("absent")
            self.assertEqual(len(pipe), 5)
            self.assertIsNone(self.db.get("a"))
            self.assertEqual(pipe.execute(), [True, 2, 1, {b"x": b"1"}, None])
            self.assertEqual((len(pipe), pipe.execute()), (0, []))
        self.assertEqual(self.db.pipeline(transaction=False).set("b", 1).get("b").execute(), [True, b"1"])

    def test_errors(self) -> None:
        pipe = self.db.pipeline()
        pipe.set("s", "text").incr("s").set("after", 1)
        with self.assertRaises(mlkv.NumberError):
            pipe.execute()
        self.assertEqual(self.db.get("after"), b"1")
        results = self.db.pipeline().incr("s").get("s").execute(raise_on_error=False)
        self.assertIsInstance(results[0], mlkv.NumberError)
        self.assertEqual(results[1], b"text")
        with self.assertRaises(AttributeError):
            self.db.pipeline().close_everything()

    def test_watch(self) -> None:
        self.db.set("n", 5)
        with self.db.pipeline() as pipe:
            pipe.watch("n")
            value = int(pipe.get("n"))
            pipe.multi()
            pipe.set("n", value * 2)
            self.assertEqual(pipe.execute(), [True])
        self.assertEqual(self.db.get("n"), b"10")
        with self.db.pipeline() as pipe:
            pipe.watch("n")
            pipe.multi()
            pipe.set("n", 0)
        self.assertEqual(self.db.get("n"), b"10")
        self.db.set("n", 11)  # the lock was given back


if __name__ == "__main__":
    unittest.main()

import multiprocessing
import threading
import time
import unittest
from typing import Any, List

import mlkv
from support import StoreTest


def produce(path: str, count: int) -> None:
    with mlkv.open(path) as db:
        for i in range(count):
            db.rpush("queue", i)


class Waiting(StoreTest):
    def test_pops(self) -> None:
        db = self.db
        db.rpush("b", 1, 2, 3)
        self.assertEqual(db.blpop(["a", "b"]), (b"b", b"1"))
        self.assertEqual(db.brpop("b", 5), (b"b", b"3"))
        self.assertEqual(db.blmove("b", "c", 1), b"2")
        self.assertIsNone(db.blpop("b", 0.05))
        self.assertIsNone(db.blmove("b", "c", 0.05))
        self.assertEqual(db.brpoplpush("c", "b", 1), b"2")
        db.rpush("b", 4)
        self.assertEqual(db.blmpop(1, 2, "a", "b", direction="LEFT", count=5), [b"b", [b"2", b"4"]])
        for wrong in (
            lambda: db.blpop("a", -1),
            lambda: db.blmpop(1, 1, "a", direction="UP"),
            lambda: db.blmpop(1, 2, "a", direction="LEFT"),
        ):
            with self.assertRaises(mlkv.ArgumentError):
                wrong()

    def test_a_push_of_another_thread_ends_the_wait(self) -> None:
        taken: List[Any] = []
        thread = threading.Thread(target=lambda: taken.append(self.db.blpop("q")))
        thread.start()
        time.sleep(0.02)
        self.db.rpush("q", "x")
        thread.join()
        self.assertEqual(taken, [(b"q", b"x")])

    def test_pops_of_sorted_sets(self) -> None:
        db = self.db
        db.zadd("z", {str(i): i for i in range(6)})
        self.assertEqual(db.bzpopmin(["no", "z"]), (b"z", b"0", 0.0))
        self.assertEqual(db.bzpopmax("z", timeout=5), (b"z", b"5", 5.0))
        self.assertEqual(db.bzmpop(1, 2, ["no", "z"], min=True, count=2), [b"z", [[b"1", b"1"], [b"2", b"2"]]])
        self.assertEqual(db.bzmpop(0, 1, ["z"], max=True), [b"z", [[b"4", b"4"]]])
        self.assertEqual((db.zcard("z"), db.bzpopmin("no", 0.05), db.bzmpop(0.05, 1, ["no"], max=True)), (1, None, None))
        for wrong in (
            lambda: db.bzpopmin("z", -1),
            lambda: db.bzpopmax([]),
            lambda: db.bzmpop(1, 2, ["z"], min=True),
            lambda: db.bzmpop(1, 1, ["z"]),
            lambda: db.bzmpop(1, 1, ["z"], min=True, max=True),
            lambda: db.bzmpop(1, 1, ["z"], min=True, count=0),
        ):
            with self.assertRaises(mlkv.ArgumentError):
                wrong()
        db.set("text", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.bzpopmin(["no", "text", "z"])
        self.assertEqual(db.bzpopmin(["z", "text"]), (b"z", b"3", 3.0))

    def test_nothing_is_waited_for_in_a_transaction(self) -> None:
        with self.db.transaction() as view:
            self.assertEqual((view.blpop("a"), view.blmove("a", "b", 0)), (None, None))
            self.assertEqual((view.bzpopmin("a"), view.bzmpop(0, 1, ["a"], max=True)), (None, None))
            self.assertTrue(view.lock("l").acquire())
            self.assertFalse(view.lock("l").acquire())

    def test_an_add_of_another_thread_ends_the_wait(self) -> None:
        taken: List[Any] = []
        thread = threading.Thread(target=lambda: taken.append(self.db.bzpopmax(["a", "z"])))
        thread.start()
        time.sleep(0.02)
        self.db.zadd("z", {"x": 2.5, "y": 1})
        thread.join()
        self.assertEqual(taken, [(b"z", b"x", 2.5)])

    def test_a_queue_between_processes(self) -> None:
        with mlkv.open(self.folder + "/shared") as db:
            process = multiprocessing.get_context("spawn").Process(target=produce, args=(self.folder + "/shared", 200))
            process.start()
            found = [db.blpop("queue", 60) for _ in range(200)]
            process.join()
            self.assertEqual([int(item[1]) for item in found if item], list(range(200)))

    def test_watch(self) -> None:
        db = self.db
        with db.watch("k", prefixes=["user:"]) as watch:
            self.assertFalse(watch.wait(0))
            db.set("other", 1)
            self.assertFalse(watch.wait(0.01))
            db.hset("user:7", "f", 1)
            self.assertTrue(watch.wait())
            db.set("k", 1)
            self.assertTrue(watch.wait(5))
        with self.assertRaises(mlkv.ArgumentError):
            watch.wait(0)
        with self.assertRaises(mlkv.ArgumentError):
            db.watch()


class Locks(StoreTest):
    def test_one_holder(self) -> None:
        lock, other = self.db.lock("l"), self.db.lock("l", blocking_timeout=0.02)
        self.assertFalse(lock.locked())
        self.assertTrue(lock.acquire())
        self.assertEqual((lock.locked(), lock.owned(), other.owned()), (True, True, False))
        self.assertEqual((other.acquire(), other.acquire(blocking=False)), (False, False))
        fence = lock.fence
        with self.assertRaises(mlkv.LockError):
            with other:
                pass
        with self.assertRaises(mlkv.LockError):
            other.release()
        lock.release()
        with other:
            self.assertGreater(other.fence, fence)
        with self.assertRaises(mlkv.LockError):
            lock.release()

    def test_leases(self) -> None:
        lock = self.db.lock("l", timeout=100)
        with lock:
            self.assertTrue(0 < self.db.ttl("l") <= 100)
            self.assertTrue(lock.extend(100))
            self.assertTrue(100 < self.db.ttl("l") <= 200)
            self.assertTrue(lock.extend(50, replace_ttl=True))
            self.assertTrue(lock.reacquire())
            self.assertTrue(50 < self.db.ttl("l") <= 100)
        lock.acquire()
        self.db.delete("l")
        with self.assertRaises(mlkv.LockNotOwnedError):
            lock.extend(1, replace_ttl=True)
        with self.assertRaises(mlkv.LockNotOwnedError):
            lock.release()

    def test_a_lock_within_a_transaction(self) -> None:
        lock = self.db.lock("l")
        with self.assertRaises(ZeroDivisionError):
            with self.db.transaction() as t:
                self.assertTrue(lock.through(t).acquire())
                1 / 0
        self.assertFalse(lock.locked())
        lock.acquire()
        with self.assertRaises(ZeroDivisionError):
            with self.db.transaction() as t:
                lock.through(t).release()
                1 / 0
        self.assertTrue(lock.owned())
        with self.db.transaction() as t:
            held = lock.through(t)
            held.release()
            held.acquire()
        self.assertFalse(lock.owned())
        held.through(self.db).release()

    def test_threads_exclude_each_other(self) -> None:
        inside, worst = 0, 0

        def enter() -> None:
            nonlocal inside, worst
            for _ in range(50):
                with self.db.lock("l"):
                    inside += 1
                    worst = max(worst, inside)
                    inside -= 1

        threads = [threading.Thread(target=enter) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(worst, 1)


if __name__ == "__main__":
    unittest.main()

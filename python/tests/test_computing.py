import json
import multiprocessing
import threading
import unittest
from typing import Any, List

import mlkv
from support import StoreTest


def compute_in_process(path: str, ready: Any, calls: Any) -> None:
    with mlkv.open(path) as db:

        @db.cached(key="slow:{0}")
        def slow(number: int) -> int:
            with calls.get_lock():
                calls.value += 1
            return number * number

        ready.wait()
        assert slow(12) == 144


class Computing(StoreTest):
    def test_get_or_compute(self) -> None:
        db, calls = self.db, []

        def compute() -> str:
            calls.append(1)
            return "value"

        for _ in range(3):
            self.assertEqual(db.get_or_compute("key", compute, ttl=60, stale=60), b"value")
        self.assertEqual(len(calls), 1)
        self.assertEqual(db.get("key"), b"value")
        self.assertLessEqual(db.ttl("key"), 120)
        self.assertGreater(db.ttl("key"), 60)
        db.expire("key", 30)  # stale
        self.assertEqual(db.get_or_compute("key", lambda: 5, ttl=60, stale=60), b"5")
        stats = db.compute_stats()
        self.assertEqual((stats["misses"], stats["hits"], stats["computations"], stats["refreshes"]), (1, 2, 2, 1))

    def test_failures_and_absences(self) -> None:
        db, calls = self.db, []

        def fail() -> str:
            raise KeyError("origin")

        def absent() -> str:
            calls.append(1)
            raise mlkv.Absent

        with self.assertRaisesRegex(KeyError, "origin"):
            db.get_or_compute("key", fail)
        self.assertEqual(db.dbsize(), 0)
        for _ in range(3):
            self.assertIsNone(db.get_or_compute("key", absent, absent=60))
        self.assertEqual(len(calls), 1)
        self.assertTrue(db.forget_computed("key"))
        self.assertFalse(db.forget_computed("key"))
        self.assertEqual(db.get_or_compute("key", lambda: b"x", ttl=60, stale=60), b"x")
        db.expire("key", 30)
        self.assertEqual(db.get_or_compute("key", fail, ttl=60, stale=60, stale_on_error=True), b"x")
        with self.assertRaises(KeyError):
            db.get_or_compute("key", fail, ttl=60, stale=60)

    def test_arguments(self) -> None:
        db = self.db
        with self.assertRaises(mlkv.ArgumentError):
            db.get_or_compute("key", lambda: 1, ttl=-1)
        with self.assertRaises(mlkv.ArgumentError):
            db.get_or_compute("key", lambda: 1, ttl=1, refresh_ahead=2)
        with self.assertRaises(mlkv.DataError):
            db.get_or_compute("key", lambda: object())  # type: ignore[arg-type, return-value]
        with db.snapshot() as snapshot, self.assertRaises(mlkv.ArgumentError):
            snapshot.get_or_compute("key", lambda: 1)
        db.sadd("set", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            db.get_or_compute("set", lambda: 1)
        self.assertFalse(db.exists("key"))

    def test_cached(self) -> None:
        calls: List[Any] = []

        @self.db.cached(ttl=60)
        def add(a: int, b: int = 2) -> Any:
            """Adds."""
            calls.append((a, b))
            return {"sum": (a + b, None)}

        self.assertEqual(add(1), {"sum": (3, None)})
        self.assertEqual(add(1, 2), {"sum": (3, None)})
        self.assertEqual(add(b=2, a=1), {"sum": (3, None)})
        self.assertEqual(calls, [(1, 2)])
        self.assertEqual(add.__doc__, "Adds.")
        self.assertTrue(add.forget(1))
        add(1)
        self.assertEqual(len(calls), 2)

        @self.db.cached(key="user:{user}:{0}", serializer=json)
        def named(user: str) -> Any:
            calls.append(user)
            return [user, None]

        self.assertEqual(named("ada"), ["ada", None])
        self.assertEqual(self.db.get("user:ada:ada"), b'["ada", null]')

        @self.db.cached(key=lambda number: f"made:{number}")
        def none(number: int) -> None:
            calls.append(number)

        self.assertIsNone(none(3))
        self.assertIsNone(none(3))
        self.assertEqual(calls.count(3), 1)

    def test_methods(self) -> None:
        db = self.db

        class Service:
            def __init__(self) -> None:
                self.calls = 0

            @db.cached(key="method:{number}")
            def double(self, number: int) -> int:
                self.calls += 1
                return 2 * number

        service = Service()
        self.assertEqual([service.double(4), service.double(4)], [8, 8])
        self.assertEqual(service.calls, 1)

    def test_others_wait(self) -> None:
        began, go = threading.Event(), threading.Event()
        results: List[Any] = []

        def slow() -> str:
            began.set()
            go.wait()
            return "slow"

        first = threading.Thread(target=lambda: results.append(self.db.get_or_compute("key", slow)))
        first.start()
        began.wait()
        with self.assertRaises(mlkv.BusyError):
            self.db.get_or_compute("key", lambda: "other", wait=0)
        others = [threading.Thread(target=lambda: results.append(self.db.get_or_compute("key", lambda: "other"))) for _ in range(4)]
        for thread in others:
            thread.start()
        go.set()
        for thread in [first, *others]:
            thread.join()
        self.assertEqual(results, [b"slow"] * 5)

    def test_one_computation_for_several_processes(self) -> None:
        context = multiprocessing.get_context("spawn")
        ready, calls = context.Event(), context.Value("i", 0)
        workers = [context.Process(target=compute_in_process, args=(self.path, ready, calls)) for _ in range(3)]
        for worker in workers:
            worker.start()
        ready.set()
        for worker in workers:
            worker.join()
            self.assertEqual(worker.exitcode, 0)
        self.assertEqual(calls.value, 1)


if __name__ == "__main__":
    unittest.main()

import os
import pickle
import subprocess
import sys
import threading
import unittest

import mlkv
from mlkv import errors
from support import StoreTest


class Opening(StoreTest):
    def test_a_store_keeps_what_was_written(self) -> None:
        self.db.set("a", 1)
        self.db.close()
        self.assertTrue(self.db.closed)
        self.db.close()
        with self.assertRaises(mlkv.ClosedError):
            self.db.get("a")
        with self.open() as db:
            self.assertEqual(db.get("a"), b"1")
        self.assertTrue(db.closed)

    def test_options(self) -> None:
        with self.assertRaises(mlkv.AbsentStoreError):
            mlkv.open(self.folder + "/absent", create=False)
        with self.assertRaises(mlkv.ArgumentError):
            self.open(durability="eternal")
        with self.assertRaises(TypeError):
            self.open(colour="red")
        with self.assertRaises(mlkv.Error):
            self.open(sync_interval_ms=1 << 40)
        self.db.set("a", 1)
        reader = self.open(read_only=True)
        self.assertEqual(reader.get("a"), b"1")
        with self.assertRaises(mlkv.ReadOnlyError):
            reader.set("a", 2)
        for level in ("journal", "sync", "store"):
            self.open(durability=level).set(level, 1)
            self.assertIs(self.db.flush(level), True)
        self.assertEqual((self.db.save(), self.db.bgsave(), self.db.ping()), (True, True, True))

    def test_in_memory(self) -> None:
        with mlkv.open() as db:
            db.set("a", 1)
            self.assertEqual(db.get("a"), b"1")
            with self.assertRaises(TypeError):
                pickle.dumps(db)

    def test_redis_names(self) -> None:
        self.assertIs(mlkv.Redis, mlkv.Client)
        self.assertIs(mlkv.StrictRedis, mlkv.Client)
        self.assertTrue(issubclass(mlkv.exceptions.ResponseError, mlkv.exceptions.RedisError))

    def test_pickle(self) -> None:
        db = self.open(decode_responses=True)
        db.set("a", "b")
        with pickle.loads(pickle.dumps(db)) as again:
            self.assertEqual(again.get("a"), "b")
            self.assertEqual(again.options, db.options)
        with db.snapshot() as snapshot, self.assertRaises(TypeError):
            pickle.dumps(snapshot)

    def test_statistics_and_verify(self) -> None:
        db = self.db
        db.hset("h", mapping={i: i for i in range(100)})
        self.assertGreater(db.stats()["frames_appended"], 0)
        info = db.info()
        self.assertEqual((info["path"], info["db0"]["keys"]), (self.path, 1))
        report = db.verify()
        self.assertTrue(report.ok, report)
        self.assertEqual((report.keys, report.problems), (1, ()))
        self.assertGreaterEqual(report.elements, 100)

    def test_threads(self) -> None:
        data = bytes(i * i % 251 for i in range(50_000)) * 100
        for threads in (1, 2, 7):
            with mlkv.open(os.path.join(self.folder, "threads"), threads=threads, ring_bytes=4 << 20) as db:
                db.set("a", data)
                self.assertEqual(db.get("a"), data)
        with self.assertRaises(mlkv.ArgumentError):
            mlkv.open(os.path.join(self.folder, "threads"), threads=257)
        with self.assertRaises(TypeError):
            mlkv.open(os.path.join(self.folder, "threads"), parallel=1)

    def test_compact(self) -> None:
        for i in range(40):
            self.db.set(f"large{i}", os.urandom(100_000))
        self.db.delete(*(f"large{i}" for i in range(1, 40)))
        before = self.db.stats()["store_disk_bytes"]
        try:
            freed = self.db.compact()
        except mlkv.PlatformError:
            self.skipTest("this file system cannot punch holes")
        after = self.db.stats()
        self.assertLessEqual(after["store_disk_bytes"] + freed, before + 6_000_000)
        self.assertGreater(after["store_free_bytes"], 0)
        self.assertLess(after["store_disk_bytes"], 2_000_000)
        self.assertEqual(len(self.db.get("large0")), 100_000)
        self.assertTrue(self.db.verify().ok)

    def test_backup(self) -> None:
        self.db.set("a", 1)
        self.db.hset("h", mapping={"f": b"x" * 100_000})
        copy = os.path.join(self.folder, "copy")
        self.assertIs(self.db.backup(copy), True)
        self.db.set("a", 2)
        with mlkv.open(copy, create=False) as db:
            self.assertEqual((db.get("a"), db.hget("h", "f")), (b"1", b"x" * 100_000))
            self.assertTrue(db.verify().ok)
            db.set("a", 3)
        self.assertEqual(self.db.get("a"), b"2")
        with self.assertRaises(mlkv.ArgumentError):
            self.db.backup(copy)
        with self.assertRaises(mlkv.Error):
            self.db.backup(os.path.join(self.folder, "nowhere", "copy"))
        with mlkv.open() as memory:
            memory.set("kept", 1)
            memory.backup(os.fsencode(self.folder) + b"/memory")
        with mlkv.open(self.folder + "/memory", read_only=True) as db:
            self.assertEqual(db.get("kept"), b"1")

    def test_close_under_other_threads(self) -> None:
        self.db.set("a", "x" * 100)
        wrong = []

        def read() -> None:
            try:
                while True:
                    if self.db.get("a") != b"x" * 100:
                        wrong.append("value")
            except mlkv.ClosedError:
                pass
            except BaseException as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            self.db.get("a")
        self.db.close()
        for thread in threads:
            thread.join(60)
        self.assertEqual(wrong, [])
        self.assertFalse(any(thread.is_alive() for thread in threads))


class Errors(unittest.TestCase):
    def test_every_code_has_a_class(self) -> None:
        for code, made in errors.CLASSES.items():
            self.assertLess(code, 0)
            self.assertTrue(issubclass(made, mlkv.Error))
            self.assertEqual(made.code, code)
            self.assertIs(getattr(mlkv, made.__name__), made)
            self.assertIn(made.__name__, errors.__doc__ or "")
        annotated = {name for name in errors.__annotations__ if name.endswith("Error")}
        self.assertEqual(annotated, {made.__name__ for made in errors.CLASSES.values()})

    def test_builtin_bases(self) -> None:
        self.assertTrue(issubclass(mlkv.ArgumentError, ValueError))
        self.assertTrue(issubclass(mlkv.OutOfMemoryError, MemoryError))
        self.assertTrue(issubclass(mlkv.DataError, mlkv.ArgumentError))

    def test_a_missing_library_is_explained(self) -> None:
        environment = dict(os.environ, MLKV_LIBRARY="/nowhere/libmlkv.so")
        done = subprocess.run([sys.executable, "-c", "import mlkv"], env=environment, capture_output=True, text=True, timeout=120)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("MLKV_LIBRARY", done.stderr)
        self.assertIn("/nowhere/libmlkv.so", done.stderr)

    def test_a_library_of_another_kind_is_refused(self) -> None:
        import ctypes.util

        other = ctypes.util.find_library("c")
        if other is None:
            self.skipTest("no C library found by name")
        environment = dict(os.environ, MLKV_LIBRARY=other)
        done = subprocess.run([sys.executable, "-c", "import mlkv"], env=environment, capture_output=True, text=True, timeout=120)
        self.assertIn("ImportError", done.stderr)
        self.assertIn("lacks a function", done.stderr)


if __name__ == "__main__":
    unittest.main()

"""One client, opened before they start, in four processes: by fork it is inherited, by spawn it is pickled."""

import multiprocessing
import os
import signal
import unittest
from typing import Any

import mlkv
from support import SMALL, StoreTest

WORKERS = 4
STEPS = 50
FIELDS = {f"field:{i}".encode(): str(i).encode() for i in range(1000)}


def work(db: mlkv.Client, number: int, results: Any) -> None:
    try:
        read = db.hgetall("data")
        for step in range(STEPS):
            db.hset("parameters", mapping={f"worker:{number}": step})
            db.hincrby("parameters", "steps")
        db.sadd("done", number)
        results.put((number, read == FIELDS))
    except BaseException as error:  # the parent must hear of it rather than wait
        results.put((number, repr(error)))


def write_for_ever(db: mlkv.Client, ready: Any) -> None:
    while True:
        db.hincrby("parameters", "steps")
        db.sadd("done", os.urandom(8))
        ready.set()


class Processes(StoreTest):
    def share(self, method: str, db: mlkv.Client) -> None:
        context = multiprocessing.get_context(method)
        db.hset("data", mapping=FIELDS)
        results = context.Queue()
        workers = [context.Process(target=work, args=(db, number, results)) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        found = dict(results.get(timeout=300) for _ in workers)
        for worker in workers:
            worker.join(300)
        self.assertEqual(found, {number: True for number in range(WORKERS)})
        self.assertEqual([worker.exitcode for worker in workers], [0] * WORKERS)
        parameters = db.hgetall("parameters")
        self.assertEqual(parameters.pop(b"steps"), str(WORKERS * STEPS).encode())
        self.assertEqual(parameters, {f"worker:{number}".encode(): str(STEPS - 1).encode() for number in range(WORKERS)})
        self.assertEqual(db.smembers("done"), {str(number).encode() for number in range(WORKERS)})
        self.assertTrue(db.verify().ok)

    def test_fork(self) -> None:
        self.share("fork", self.db)

    def test_spawn(self) -> None:
        self.share("spawn", self.db)

    def test_fork_in_memory(self) -> None:
        with mlkv.open(**SMALL) as db:
            self.share("fork", db)

    def test_a_killed_writer_harms_nobody(self) -> None:
        context = multiprocessing.get_context("fork")
        for _ in range(3):
            ready = context.Event()
            worker = context.Process(target=write_for_ever, args=(self.db, ready))
            worker.start()
            self.assertTrue(ready.wait(300))
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(300)
            self.assertEqual(worker.exitcode, -signal.SIGKILL)
            before = int(self.db.hget("parameters", "steps") or 0)
            self.assertEqual(self.db.hincrby("parameters", "steps"), before + 1)
        self.assertTrue(self.db.verify().ok)

    def test_views_do_not_cross_a_fork(self) -> None:
        self.db.set("a", 1)
        with self.db.transaction() as t:
            t.set("a", 2)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    t.set("a", 3)
                except mlkv.OwnerError:
                    status = 0
                finally:
                    os._exit(status)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.db.get("a"), b"2")


if __name__ == "__main__":
    unittest.main()

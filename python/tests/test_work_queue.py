import importlib.util
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import unittest
from typing import Any, Dict

import mlkv
from support import SMALL, StoreTest

_PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "work_queue.py")
_SPEC = importlib.util.spec_from_file_location("work_queue", _PLACE)
assert _SPEC is not None and _SPEC.loader is not None
example: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["work_queue"] = example
_SPEC.loader.exec_module(example)

JOBS = 400


def take(path: str) -> None:
    """Claims a job, and waits for the end."""
    with mlkv.open(path, **SMALL) as db:
        example.WorkQueue(db, lease=1000).claim()
        db.set("claimed", 1)
        time.sleep(1000)


def work(path: str) -> None:
    with mlkv.open(path, **SMALL) as db:
        jobs = example.WorkQueue(db, lease=5, attempts=1000, look=0.05)
        while jobs.counts()["done"] < JOBS:
            job = jobs.claim(timeout=0.1)
            if job is not None:
                time.sleep(0.002)
                with jobs.finishing(job) as t:
                    t.hset("queue:results", job.id, job.payload)
                    t.hincrby("counts", job.id, 1)


class WorkQueue(StoreTest):
    def queue(self, **options: Any) -> Any:
        return example.WorkQueue(self.db, **options)

    def counts(self) -> Dict[str, int]:
        found: Dict[str, int] = self.queue().counts()
        return found

    def test_the_life_of_a_job(self) -> None:
        jobs = self.queue()
        self.assertEqual((jobs.push("a", b"1"), jobs.push("b", 2), jobs.push("a", b"3")), (True, True, False))
        job = jobs.claim()
        self.assertEqual((job.id, job.payload, job.attempt), ("a", b"1", 1))
        self.assertEqual(self.counts(), {"ready": 1, "taken": 1, "done": 0, "dead": 0})
        jobs.renew(job)
        jobs.acknowledge(job, "one")
        with self.assertRaises(mlkv.LockNotOwnedError):
            jobs.acknowledge(job, "two")
        self.assertFalse(jobs.push("a", b"4"))
        self.assertEqual(self.db.hgetall("queue:results"), {b"a": b"one"})
        job = jobs.claim(0)
        with self.assertRaises(ZeroDivisionError):
            with jobs.finishing(job):
                1 / 0
        self.assertEqual(self.counts(), {"ready": 0, "taken": 1, "done": 1, "dead": 0})
        jobs.release(job)
        self.assertEqual(self.counts(), {"ready": 1, "taken": 0, "done": 1, "dead": 0})

    def test_a_lost_lease_is_refused(self) -> None:
        slow, fast = self.queue(lease=0.02), self.queue(look=0.001)
        slow.push("a", 1)
        late = slow.claim()
        job = fast.claim(60)
        self.assertEqual((job.id, job.attempt), ("a", 2))
        self.assertGreater(job.lease.fence, late.lease.fence)
        for refused in (lambda: slow.renew(late), lambda: slow.acknowledge(late, 1)):
            with self.assertRaises(mlkv.LockNotOwnedError):
                refused()
        fast.acknowledge(job, 1)
        self.assertEqual(self.counts(), {"ready": 0, "taken": 0, "done": 1, "dead": 0})

    def test_too_many_attempts(self) -> None:
        jobs = self.queue(attempts=2)
        jobs.push("a", 1)
        jobs.release(jobs.claim())
        jobs.release(jobs.claim())
        self.assertIsNone(jobs.claim(0.01))
        self.assertEqual((self.db.lrange("queue:dead", 0, -1), self.counts()["dead"]), ([b"a"], 1))

    def test_a_cancelled_job_is_passed_over(self) -> None:
        jobs = self.queue()
        for id in "abc":
            jobs.push(id, id)
        self.db.delete("queue:job:a")
        job = jobs.claim(0)
        self.db.delete("queue:job:b")
        jobs.release(job)
        self.assertEqual((job.id, jobs.claim(0).id, jobs.claim(0)), ("b", "c", None))

    def test_a_push_ends_the_wait(self) -> None:
        timer = threading.Timer(0.03, lambda: self.queue().push("a", 1))
        timer.start()
        self.assertEqual(self.queue().claim().id, "a")
        timer.join()

    def test_the_job_of_a_dead_worker(self) -> None:
        self.queue().push("a", 1)
        process = multiprocessing.get_context("spawn").Process(target=take, args=(self.path,))
        process.start()
        while self.db.get("claimed") is None:
            time.sleep(0.01)
        process.kill()
        process.join()
        self.assertEqual(self.queue(look=0.05).claim(60).attempt, 2)

    def test_killed_workers_lose_and_double_nothing(self) -> None:
        context, processes, jobs = multiprocessing.get_context("spawn"), [], self.queue()
        for i in range(JOBS):
            jobs.push(str(i), i)
        for i in range(12):
            if len(processes) >= 4:
                victim = processes.pop(random.randrange(len(processes)))
                os.kill(victim.pid, signal.SIGKILL)
                victim.join()
            processes.append(context.Process(target=work, args=(self.path,)))
            processes[-1].start()
            time.sleep(0.05)
        for process in processes:
            process.join()
            self.assertEqual(process.exitcode, 0)
        self.assertEqual(self.counts(), {"ready": 0, "taken": 0, "done": JOBS, "dead": 0})
        self.assertEqual(self.db.hgetall("queue:results"), {b"%d" % i: b"%d" % i for i in range(JOBS)})
        self.assertEqual(set(self.db.hvals("counts")), {b"1"})
        self.assertTrue(self.db.verify().ok)


if __name__ == "__main__":
    unittest.main()

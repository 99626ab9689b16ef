"""work_queue.py - a work queue for any number of processes: lease, acknowledge, retry. docs/work-queue.md explains it; copy it into your
program and change what you like. examples/queue/queue.c is the same in C, on the same keys.

    PYTHONPATH=python python3 examples/work_queue.py [FOLDER]

runs four processes that square numbers; some are killed, and others are started in their place.

Keys, of a queue NAME:
    NAME:ready     list: ids of the jobs that wait, the oldest on the left
    NAME:taken     set: ids of the jobs that workers have
    NAME:lease:ID  lock: the worker's claim on one of them. It ends with its lease, and with the process that took it
    NAME:job:ID    hash: payload, attempts; as long as the job is not done
    NAME:results   hash: id -> result
    NAME:dead      list: ids of the jobs that were given out too often; their hash stays
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from typing import Any, Dict, Iterator, NamedTuple, Optional

import mlkv


class Job(NamedTuple):
    """A job that was claimed: claim() gives it to one worker."""

    id: str
    payload: bytes
    attempt: int  # 1: nobody had it before
    lease: Any  # the lock that shows that it is ours; lease.fence grows from claim to claim


class WorkQueue:
    """Belongs to one thread at a time; each thread has its own, of the same db. Each call is one transaction: it has happened or not."""

    def __init__(self, db: mlkv.Client, name: str = "queue", lease: float = 30, attempts: int = 5, look: float = 1) -> None:
        """lease: a job is its worker's for so many seconds, unless renewed. attempts: so often it is given out before it goes to
        NAME:dead. look: so often, in seconds, claims look for jobs whose worker is gone."""
        self.db, self.name, self.lease, self.attempts, self.look = db, name, lease, attempts, look
        self._next_look = 0.0

    def _key(self, *parts: str) -> str:
        return ":".join((self.name, *parts))

    def push(self, id: str, payload: Any) -> bool:
        """Puts a job in. False: a job of this id is known already, waiting or done; so a push that may have happened can be repeated."""
        with self.db.transaction() as t:
            if t.hexists(self._key("results"), id) or not t.hsetnx(self._key("job", id), "payload", payload):
                return False
            t.rpush(self._key("ready"), id)
            return True

    # --- claim ---

    def claim(self, timeout: Optional[float] = None) -> Optional[Job]:
        """Takes the oldest job out, waiting for one up to timeout seconds (None: for ever). None if the time is over."""
        end = None if timeout is None else time.monotonic() + timeout
        self._look()
        job = self._claim()
        if job is not None or timeout == 0:
            return job
        with self.db.watch(self._key("ready")) as watch:  # what comes from here on is not missed
            while True:
                job = self._claim()
                now = time.monotonic()
                if job is not None or (end is not None and now >= end):
                    return job
                left = None if end is None else end - now
                if self.db.scard(self._key("taken")):  # somebody may die, or outstay the lease: look again
                    pause = max(0.001, self._next_look - now)
                    left = pause if left is None else min(left, pause)
                watch.wait(left)
                self._look()

    def _claim(self) -> Optional[Job]:
        """The oldest job becomes ours: out of ready, into taken, with a lease, all at once."""
        with self.db.transaction() as t:
            payload = None
            while payload is None:  # a job whose hash was deleted is cancelled, and passed over
                id = t.lpop(self._key("ready"))
                if id is None:
                    return None
                id = id if isinstance(id, str) else id.decode()
                payload = t.hget(self._key("job", id), "payload")
            t.sadd(self._key("taken"), id)
            lease = t.lock(self._key("lease", id), timeout=self.lease)
            if not lease.acquire(blocking=False):
                raise mlkv.LockError(f"somebody else uses the lock of job {id}")
            attempt = t.hincrby(self._key("job", id), "attempts", 1)
            return Job(id, payload, attempt, lease.through(self.db))

    def renew(self, job: Job) -> None:
        """The lease begins anew. mlkv.LockNotOwnedError: it is lost; stop working on the job."""
        job.lease.reacquire()

    # --- the end of a job ---

    @contextlib.contextmanager
    def finishing(self, job: Job) -> Iterator[mlkv.Transaction]:
        """Ends the job: a transaction for its results. mlkv.LockNotOwnedError: the lease is lost, somebody else does the job or has done
        it; nothing is written then, nor after any other exception inside."""
        with self.db.transaction() as t:
            job.lease.through(t).release()  # is it ours?
            t.srem(self._key("taken"), job.id)
            t.delete(self._key("job", job.id))
            yield t

    def acknowledge(self, job: Job, result: Any) -> None:
        """finishing() with one result, which goes into the hash NAME:results under the job's id."""
        with self.finishing(job) as t:
            t.hset(self._key("results"), job.id, result)

    def release(self, job: Job) -> None:
        """Gives the job back undone, for another attempt. mlkv.LockNotOwnedError: the lease is lost."""
        with self.db.transaction() as t:
            job.lease.through(t).release()
            self._put_back(t, job.id)

    def _put_back(self, t: mlkv.Transaction, id: str) -> None:
        """The job is in nobody's hands any more: into ready, or to the dead if it was given out too often."""
        t.srem(self._key("taken"), id)
        if t.hexists(self._key("job", id), "payload"):  # else it was cancelled
            attempts = t.hincrby(self._key("job", id), "attempts", 0)
            t.rpush(self._key("dead" if attempts >= self.attempts else "ready"), id)

    # --- jobs whose worker is gone ---

    def reap(self) -> int:
        """Gives back the jobs whose lease is over or whose worker has died; how many. claim() does it by itself, every `look` seconds."""
        ids = [id if isinstance(id, str) else id.decode() for id in self.db.smembers(self._key("taken"))]
        ids = [id for id in ids if not self.db.lock(self._key("lease", id)).locked()]
        count = 0
        if ids:
            with self.db.transaction() as t:
                for id in ids:  # looked at before without a lock: now it counts
                    if t.sismember(self._key("taken"), id) and not t.lock(self._key("lease", id)).locked():
                        self._put_back(t, id)
                        count += 1
        return count

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + self.look
            self.reap()

    def counts(self) -> Dict[str, int]:
        """How many jobs stand where, as of one moment."""
        with self.db.transaction() as t:
            return {
                "ready": t.llen(self._key("ready")),
                "taken": t.scard(self._key("taken")),
                "done": t.hlen(self._key("results")),
                "dead": t.llen(self._key("dead")),
            }


# --- the example ---

JOBS, WORKERS, KILLS = 2000, 4, 6


def work(path: str) -> None:
    """Until all jobs are done: the square of a job's number is its result, and in the same transaction the number is added to a sum."""
    with mlkv.open(path) as db:
        jobs = WorkQueue(db, "squares", lease=5, attempts=100, look=0.1)
        while jobs.counts()["done"] < JOBS:
            job = jobs.claim(timeout=0.1)
            while job is not None:
                with contextlib.suppress(mlkv.LockNotOwnedError), jobs.finishing(job) as t:
                    t.hset("squares:results", job.id, int(job.payload) ** 2)
                    t.incrby("sum", int(job.payload))
                job = jobs.claim(timeout=0.1)


def main(path: str) -> int:
    context = multiprocessing.get_context("spawn")

    def start() -> Any:
        process = context.Process(target=work, args=(path,))
        process.start()
        return process

    workers = [start() for _ in range(WORKERS)]
    with mlkv.open(path) as db:
        jobs = WorkQueue(db, "squares")
        for i in range(JOBS):
            jobs.push(str(i), i)
        for i in range(KILLS):
            time.sleep(0.05)
            os.kill(workers[i % WORKERS].pid, signal.SIGKILL)
            workers[i % WORKERS].join()
            workers[i % WORKERS] = start()
        for worker in workers:
            worker.join()
        counts, total = jobs.counts(), int(db.get("sum"))
        print(f"{JOBS} jobs, {KILLS} workers killed: {counts['done']} results, the sum of the numbers is {total}")
        well = counts == {"ready": 0, "taken": 0, "done": JOBS, "dead": 0} and total == sum(range(JOBS))
        return 0 if well and all(worker.exitcode == 0 for worker in workers) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "work-queue.mlkv"))

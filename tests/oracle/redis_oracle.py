#!/usr/bin/env python3
"""redis_oracle.py [OPTION...] - random commands for libmlkv and for a real redis-server, whose replies must be equal.

  --library PATH      the shared library (default: MLKV_LIBRARY)
  --self              a second redis-server in its place: shows that the test itself is right
  --reopen            the store is closed and opened again every few hundred commands, by turns after SIGKILL
  --tiny              the smallest cache and a ring of 64 KiB
  --processes N       N processes have the store open; each command goes to one of them
  --isolate           one process of its own: a crash of the library is then a failure like others, and shrinks
  --break             now and then a wrong reply, or a wrong SET: the run must fail
  --commands N        how many (default 100,000)
  --long              5 million, and every option must come up 1,000 times
  --seed N            (default: from the clock); a job has the seed after the other
  --jobs N            so many at a time (default: one for each core)
  --episode N         only this one of the seed, to see a failure again
  --only NAME,...     only these commands
  --failures N        go on after failures until there are N (default 1)
  --coverage          print how often each option ran
  --missing-ok        commands that the library does not have are left out

A failure is shrunk and printed as commands for redis-cli. Exit status 0: all replies were equal, and at least 70 % of them no errors.
"""
import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import List, Optional, Tuple

import table
from generate import Episode, Step, Unit, options_of_table
from session import Mismatch, Session, paste, run_all
from shrink import shrink
from sides import CACHE_BYTES, RING_BYTES, TINY_CACHE_BYTES, TINY_RING_BYTES, Broken, InProcess, Side, Workers
from source import ENTRIES
from wire import Lost, Server

BLOCK = 250
BLOCKS = 40
LOOK_EVERY = 8
REOPEN_EVERY = 2
LONG = 5000000
SILENCE_SECONDS_MAX = 240.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--library", default=os.environ.get("MLKV_LIBRARY"))
    for name in ("self", "reopen", "tiny", "isolate", "break", "long", "coverage", "missing-ok"):
        parser.add_argument("--" + name, action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--failures", type=int, default=1)
    parser.add_argument("--commands", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1000000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--episode", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--job", default="")
    options = parser.parse_args()
    if options.long:
        options.commands = max(options.commands, LONG)
    if not getattr(options, "self") and not options.library:
        parser.error("neither --library nor MLKV_LIBRARY says where the library is")
    return options


def make_side(options: argparse.Namespace, folder: str) -> Side:
    sizes = (TINY_CACHE_BYTES, TINY_RING_BYTES) if options.tiny else (CACHE_BYTES, RING_BYTES)
    if getattr(options, "self"):
        side = Side(folder)
    elif options.processes > 1 or options.reopen or options.isolate:
        side = Workers(folder, options.library, sizes, options.processes)
    else:
        side = InProcess(folder, options.library, sizes)
    return Broken(side) if getattr(options, "break") else side


def check_names(session: Session, options: argparse.Namespace) -> Tuple[List[str], List[str]]:
    """(complaints, commands that the library does not have)."""
    import library
    have = set(library.table(library.load(options.library)))
    wanted = {entry.name.decode() for entry in ENTRIES}
    extra = sorted(have - wanted)
    answers = session.server.replies([[b"COMMAND", b"INFO", name.encode()] for name in extra])
    unknown = [name for name, (_, rows) in zip(extra, answers) if isinstance(rows, list) and rows and rows[0][0] == "*"]
    complaints = [f"Redis has {name}, the library has it, and it is not tried" for name in unknown]
    missing = sorted(wanted - have)
    if not options.missing_ok:
        complaints += [f"the library does not have {name}" for name in missing]
    return complaints, missing


class Job:
    """One seed's run."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options = options
        self.server = Server(folder, "redis.socket")
        self.side = make_side(options, folder)
        self.session = Session(self.server, self.side)
        self.only = tuple(name.upper() for name in options.only.split(",") if name)
        self.complaints: List[str] = []
        if not getattr(options, "self"):
            self.complaints, missing = check_names(self.session, options)
            ENTRIES[:] = [entry for entry in ENTRIES if entry.name.decode() not in missing]

    def renew(self) -> None:
        """Both sides anew: nobody knows what they still have to say."""
        self.server.start()
        self.side.renew()

    def beat(self) -> None:
        """Says that something goes on."""
        os.utime(self.options.job)

    def episode(self, number: int) -> Optional[Mismatch]:
        options, session = self.options, self.session
        episode = Episode(options.seed, number, self.only)
        session.flush()
        history: List[Unit] = []
        for block in range(BLOCKS):
            if options.episode is None and session.commands >= options.commands:
                break
            self.beat()
            protocol = 2 + (number + block) % 2
            units = [episode.unit() for _ in range(BLOCK)]
            if options.reopen and block % REOPEN_EVERY == REOPEN_EVERY - 1:
                what = "kill" if block // REOPEN_EVERY % 2 else "reopen"
                units.insert(BLOCK // 3, [Step(f"({what})", [b""], what)])
            history += units
            try:
                found = session.run(units, protocol)
                if found is not None:
                    self.cut(history, len(units), found.index)
                elif block % LOOK_EVERY == LOOK_EVERY - 1:
                    found = session.look_at_all(protocol, number + block)
            except Lost as lost:
                found = Mismatch(Step("(lost)", [b""], "lost"), str(lost), -2)
            if found is not None:
                self.report(number, history, found, protocol)
                return found
        return None

    @staticmethod
    def cut(history: List[Unit], last: int, index: int) -> None:
        """Leaves out the units behind the one with the step of this index among those of the last units."""
        steps = 0
        for i in range(len(history) - last, len(history)):
            steps += len(history[i])
            if steps > index:
                del history[i + 1:]
                return

    def attempt(self, units: List[Unit], protocol: int) -> Optional[Mismatch]:
        self.beat()
        found = None
        for again in (False, True):
            try:
                if again:
                    self.renew()
                self.session.flush()
                found = run_all(self.session, units, protocol)
                break
            except Lost:
                continue
        if found is not None and found.index == -2:
            self.renew()
        return found

    def report(self, number: int, history: List[Unit], found: Mismatch, protocol: int) -> None:
        options = self.options
        print(f"DIFFERENT: seed {options.seed}, episode {number}, protocol {protocol}, after {self.session.commands} commands")
        print(f"    {paste(found.step)}\n    {found.text}", flush=True)
        counts, commands, fine = self.session.counts, self.session.commands, self.session.fine
        self.session.counts = {}
        if found.index == -2:
            self.renew()
        short = shrink(history, found, lambda units: self.attempt(list(units), protocol))
        last = self.attempt(short, protocol)
        self.session.counts, self.session.commands, self.session.fine = counts, commands, fine
        if last is None:
            print(f"  it does not come again; its last commands of {len(history)} were:")
            short = history[-15:]
        else:
            print(f"  shrunk from {len(history)} to {len(short)}:")
        for unit in short:
            for step in unit:
                print("    " + paste(step))
        if last is not None:
            print(f"    at {paste(last.step)}\n    {last.text}")
        sys.stdout.flush()

    def run(self) -> bool:
        for complaint in self.complaints:
            print(f"FAILED: {complaint}")
        numbers = itertools.count() if self.options.episode is None else [self.options.episode]
        failures = 0
        for number in numbers:
            failures += self.episode(number) is not None
            if failures >= self.options.failures:
                return False
            if self.session.commands >= self.options.commands:
                break
        problem = self.side.verify()
        if problem is not None:
            print(f"FAILED: seed {self.options.seed}: {problem}")
        return problem is None and not self.complaints and not failures

    def close(self) -> None:
        try:
            self.side.close()
        finally:
            self.server.close()


def run_job(options: argparse.Namespace) -> int:
    top = os.environ.get("MLKV_TEST_FOLDER")
    folder = tempfile.mkdtemp(prefix="job-", dir=top)
    fine = False
    try:
        job = Job(options, folder)
        try:
            fine = job.run()
        finally:
            job.close()
        with open(options.job, "w", encoding="utf-8") as file:
            session = job.session
            rows = [[name, option, *row] for (name, option), row in session.counts.items()]
            json.dump({"commands": session.commands, "fine": session.fine, "rows": rows, "redis": ""}, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if fine else 1


def wait(child: subprocess.Popen, path: str, seed: int) -> int:
    """The status of a job; one that gives no sign of life for long is killed."""
    while True:
        try:
            status = child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            if time.time() - os.stat(path).st_mtime > SILENCE_SECONDS_MAX:
                print(f"FAILED: seed {seed}: nothing moves for {SILENCE_SECONDS_MAX:.0f} s")
                child.kill()
            continue
        if status < 0:
            print(f"FAILED: seed {seed}: killed by signal {-status}; --isolate shows where the library crashes")
        return status


def run_jobs(options: argparse.Namespace) -> int:
    counts: table.Counts = {}
    commands = fine = failed = 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlkv-oracle-", dir=os.environ.get("MLKV_TEST_FOLDER")) as folder:
        environment = {**os.environ, "MLKV_TEST_FOLDER": folder}
        children = []
        each = -(-options.commands // options.jobs)
        for i in range(options.jobs):
            path = os.path.join(folder, f"{i}.json")
            with open(path, "w", encoding="utf-8"):
                pass
            command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--job", path, "--seed", str(options.seed + i),
                       "--commands", str(each)]
            command = [word for word in command if word != "--long"]
            children.append((subprocess.Popen(command, env=environment), path, options.seed + i))
        for child, path, seed in children:
            failed += wait(child, path, seed) != 0
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if text:
                result = json.loads(text)
                commands += result["commands"]
                fine += result["fine"]
                table.add(counts, {(name, option): [runs, good] for name, option, runs, good in result["rows"]})
    wanted = options_of_table()
    if options.coverage or options.long:
        print(table.show(counts, wanted))
    seconds = time.monotonic() - begun
    print(f"{commands} commands, {fine / max(commands, 1):.1%} without an error, {seconds:.0f} s, seeds {options.seed} to "
          f"{options.seed + options.jobs - 1}")
    problems = table.lacking(counts, wanted, table.RUNS_LEAST) if options.long and not options.only else []
    too_many = table.share(commands, fine) if not options.only else None
    for problem in problems + ([too_many] if too_many else []):
        print("FAILED: " + problem)
    return 1 if failed or problems or too_many else 0


if __name__ == "__main__":
    the_options = arguments()
    sys.exit(run_job(the_options) if the_options.job else run_jobs(the_options))

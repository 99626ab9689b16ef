"""sides.py - what is compared with Redis: the library in this process, in another, in three others by turns, or a second Redis.

Every side runs a block of commands and gives the reply to each as bytes of the protocol. `where` says for each command which of several
processes it goes to; a side of one process does not care. A side that was killed or has crashed is used again after renew(), which begins
with an empty store. Standard library only.
"""
import os
import shutil
import subprocess
import sys
import zlib
from typing import List, Optional, Sequence, Tuple

import library
from wire import Lost, Server, Words, die_with_parent, parse

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE_BYTES = 64 << 20
RING_BYTES = 16 << 20
TINY_CACHE_BYTES = 1  # the library takes the least that it can do with
TINY_RING_BYTES = 64 << 10
BREAK_ONE_IN = 10000


class Side:
    """The interface, and how a second redis-server does it."""

    def __init__(self, folder: str) -> None:
        self.server: Optional[Server] = Server(folder, "other.socket")

    def run(self, commands: Sequence[Words], protocol: int, where: Sequence[int]) -> List[bytes]:
        assert self.server is not None
        stream = self.server.stream(commands, protocol)
        replies, at = [], 0
        while at < len(stream):
            _, end = parse(stream, at)
            replies.append(stream[at:end])
            at = end
        return replies

    def reopen(self, kill: bool) -> None:
        """Ends the process or processes, by a close or by SIGKILL, and opens the store again."""

    def renew(self) -> None:
        """After a failure: an empty store."""
        assert self.server is not None
        self.server.start()

    def verify(self) -> Optional[str]:
        return None

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None


def clear(folder: str) -> str:
    """The folder of the store, which is not there afterwards."""
    path = os.path.join(folder, "store")
    shutil.rmtree(path, ignore_errors=True)
    return path


class InProcess(Side):
    """The library, loaded here: the fastest."""

    def __init__(self, folder: str, path: str, sizes: Tuple[int, int]) -> None:
        self.folder, self.sizes = folder, sizes
        self.library = library.load(path)
        self.store: Optional[library.Store] = None
        self.open(clear(folder))

    def open(self, path: str) -> None:
        try:
            self.store = library.Store(self.library, path, *self.sizes)
        except library.Failure as failure:
            raise Lost(str(failure)) from failure

    def run(self, commands: Sequence[Words], protocol: int, where: Sequence[int]) -> List[bytes]:
        assert self.store is not None
        try:
            return self.store.run(protocol, commands)
        except library.Failure as failure:
            raise Lost(str(failure)) from failure

    def reopen(self, kill: bool) -> None:
        self.close()
        self.open(os.path.join(self.folder, "store"))

    def renew(self) -> None:
        self.close()
        self.open(clear(self.folder))

    def verify(self) -> Optional[str]:
        assert self.store is not None
        return self.store.verify()

    def close(self) -> None:
        store, self.store = self.store, None
        if store is not None:
            try:
                store.close()
            except library.Failure as failure:
                raise Lost(str(failure)) from failure


class Worker:
    """A process that has the store open."""

    def __init__(self, path: str, store: str, sizes: Tuple[int, int]) -> None:
        command = [sys.executable, os.path.join(HERE, "library.py"), path, store, *map(str, sizes)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        answer = self.read()
        if answer != "ready":
            raise Lost(str(answer))

    def read(self) -> object:
        assert self.process.stdout is not None
        try:
            return library.read_message(self.process.stdout)
        except EOFError:
            self.process.kill()
            raise Lost(f"the process of the library ended with status {self.process.wait()}") from None

    def ask(self, request: object) -> object:
        assert self.process.stdin is not None
        try:
            library.write_message(self.process.stdin, request)
        except OSError:
            pass
        return self.read()

    def end(self, kill: bool) -> None:
        if not kill and self.ask(None) != "closed":
            raise Lost("the store could not be closed")
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Workers(Side):
    """The library in so many processes, of which one at a time does something."""

    def __init__(self, folder: str, path: str, sizes: Tuple[int, int], count: int) -> None:
        self.folder, self.path, self.sizes, self.count = folder, path, sizes, count
        self.workers: List[Worker] = []
        clear(folder)
        self.open()

    def open(self) -> None:
        store = os.path.join(self.folder, "store")
        while len(self.workers) < self.count:
            self.workers.append(Worker(self.path, store, self.sizes))

    def run(self, commands: Sequence[Words], protocol: int, where: Sequence[int]) -> List[bytes]:
        replies: List[bytes] = []
        begin = 0
        while begin < len(commands):
            end = begin + 1
            worker = where[begin] % self.count
            while end < len(commands) and where[end] % self.count == worker:
                end += 1
            answer = self.workers[worker].ask((protocol, [list(words) for words in commands[begin:end]]))
            if not isinstance(answer, list):
                raise Lost(str(answer))
            replies += answer
            begin = end
        return replies

    def end(self, kill: bool) -> None:
        workers, self.workers = self.workers, []
        try:
            for worker in workers:
                worker.end(kill)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()

    def reopen(self, kill: bool) -> None:
        self.end(kill)
        self.open()

    def renew(self) -> None:
        self.end(True)
        clear(self.folder)
        self.open()

    def verify(self) -> Optional[str]:
        answer = self.workers[0].ask(0)
        return answer if answer is None else str(answer)

    def close(self) -> None:
        self.end(not self.workers or self.workers[0].process.poll() is not None)


class Broken(Side):
    """Another side, but one reply in 10,000 is another one (which, is told by the words alone), and one SET in 100 appends a byte more."""

    def __init__(self, other: Side) -> None:
        self.other = other

    def run(self, commands: Sequence[Words], protocol: int, where: Sequence[int]) -> List[bytes]:
        replies = self.other.run(commands, protocol, where)
        for i, words in enumerate(commands):
            number = zlib.crc32(b"\0".join(words))
            if number % BREAK_ONE_IN == 0:
                replies[i] = b":424242\r\n"
            if words[0] == b"SET" and number % 100 == 1 and replies[i] == b"+OK\r\n":
                self.other.run([[b"APPEND", words[1], b"!"]], protocol, [0])
        return replies

    def reopen(self, kill: bool) -> None:
        self.other.reopen(kill)

    def renew(self) -> None:
        self.other.renew()

    def verify(self) -> Optional[str]:
        return self.other.verify()

    def close(self) -> None:
        self.other.close()

"""support.py - what the tests of examples/resp_server share: a server on a new folder, raw sockets, another process on the same folder.

Environment: MLKV_SERVER, the program; MLKV_LIBRARY, the shared library that other processes load; MLKV_TEST_FOLDER, where stores go;
MLKV_SERVER_SLOW=1: a build with sanitizers, whose memory and speed say nothing. Standard library only.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SERVER = os.environ.get("MLKV_SERVER", "resp_server")
SLOW = os.environ.get("MLKV_SERVER_SLOW") == "1"
HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 60.0  # of every wait: a loaded machine is no error


class Server:
    """One resp_server, on a unix socket in a folder of its own."""

    def __init__(self, folder, *options, environment=None):
        self.folder, self.options = folder, options
        self.path = os.path.join(folder, "socket")
        self.store = os.path.join(folder, "store")
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.ready = ""
        self.connections = []
        self.start()

    def start(self):
        self.errors = open(os.path.join(self.folder, "errors"), "ab")
        self.process = subprocess.Popen([SERVER, self.store, "--unix", self.path, "--ring-bytes", "16mb", "--cache-bytes", "16mb",
                                         *self.options], stdout=subprocess.PIPE, stderr=self.errors, env=self.environment)
        self.ready = self.process.stdout.readline().decode()
        if not self.ready.startswith("resp_server: ready on "):
            raise AssertionError(f"the server is not ready: {self.ready!r} {self.what_it_said()}")

    def what_it_said(self):
        with open(os.path.join(self.folder, "errors"), "rb") as file:
            return file.read().decode(errors="replace")

    def stop(self, number=signal.SIGTERM):
        """Its exit status, or minus the signal that ended it."""
        while self.connections:
            self.connections.pop().close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.errors.close()
        return status

    def connect(self, size=None):
        self.connections.append(Raw(self.path, size))
        return self.connections[-1]

    def resident(self):
        """Bytes of memory that it holds."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def private(self):
        """Bytes of memory that are its own, without what it maps from files."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) * 1024


def encode(*words):
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Raw:
    """A connection that says what it is told to, and reads replies one by one."""

    def __init__(self, path, size=None):
        self.socket = socket.socket(socket.AF_UNIX)
        if size is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        self.socket.connect(path)  # it blocks, because a full backlog is an error otherwise
        self.socket.settimeout(PATIENCE)
        self.left = b""

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, *words):
        self.send(encode(*words))
        return self.reply()

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.left += data

    def line(self):
        while b"\r\n" not in self.left:
            self.more()
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def exactly(self, size):
        parts, have = [self.left], len(self.left)
        while have < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.left = whole[size:]
        return whole[:size]

    def reply(self):
        """A reply of RESP2; errors come as text with their dash."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self.exactly(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        return line.decode(errors="replace")

    def is_closed(self):
        """Waits until the server closes the connection; what came before is let go."""
        try:
            while self.socket.recv(1 << 20):
                pass
        except ConnectionError:
            pass
        return True

    def close(self):
        self.socket.close()


class Other:
    """Another process that has the folder open itself, and runs commands there."""

    def __init__(self, store):
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "in_process.py"), store], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, *words):
        self.process.stdin.write(repr([word if isinstance(word, bytes) else str(word).encode() for word in words]).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip().decode()
        if not line:
            raise AssertionError("the other process is gone")
        return bytes.fromhex(line[1:])

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def until(question, message):
    """Waits until question() is true."""
    end = time.monotonic() + PATIENCE
    while not question():
        if time.monotonic() > end:
            raise AssertionError(message)
        time.sleep(0.005)


class ServerTest(unittest.TestCase):
    """A test with a server of its own; it has to end by itself, with status 0 and without a word."""

    OPTIONS = ()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="mlkv-server-", dir=os.environ.get("MLKV_TEST_FOLDER"))
        self.server = Server(self.folder, *self.OPTIONS)

    def tearDown(self):
        try:
            status = self.server.stop()
            said = self.server.what_it_said()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.assertEqual((status, said), (0, ""))

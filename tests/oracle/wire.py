"""wire.py - Redis's protocol, and a Redis server of one's own: commands as bytes, replies taken apart, the server on a unix socket.

A reply that was taken apart is a tuple (kind, content). The kind is the first byte of its line as a character: "+" "-" ":" "$" "*" "_" "~"
"%" "," and so on; "nil" and "nil array" stand for the two of protocol 2, "$-1" and "*-1". The content is bytes, or a list of replies (of a
map: names and values in turn), or None. Numbers stay text, so that 1 and 1.0 differ.

A block of commands is sent in one piece, with an ECHO of a word behind it that nobody else says: what ends with that word is complete.
Standard library only.
"""
import ctypes
import os
import signal
import socket
import subprocess
import time
from typing import Any, List, Optional, Sequence, Tuple

Words = Sequence[bytes]
Reply = Tuple[str, Any]

# In Debian the server is another name of this program, whose package brings no service.
SERVERS = ("/usr/bin/redis-server", "/usr/bin/redis-check-rdb")
MARK = b"end-of-block-7d1f0c5e"
MARK_REPLY = b"$%d\r\n%s\r\n" % (len(MARK), MARK)
REPLY_SECONDS_MAX = 60.0
PR_SET_PDEATHSIG = 1


class Lost(Exception):
    """A side does not answer any more."""


def encode(words: Words) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return b"".join(parts)


def parse(stream: bytes, at: int) -> Tuple[Reply, int]:
    """The reply that begins at `at`, which is there whole, and the place behind it."""
    end = stream.index(b"\r\n", at)
    kind = chr(stream[at])
    line = stream[at + 1:end]
    at = end + 2
    if kind in "+-:,#(_":
        return (kind, None if kind == "_" else line), at
    size = int(line)
    if size < 0:
        return ("nil" if kind == "$" else "nil array", None), at
    if kind in "$=!":
        if stream[at + size:at + size + 2] != b"\r\n":
            raise ValueError(f"no end of line after {size} bytes")
        return (kind, stream[at:at + size]), at + size + 2
    if kind not in "*~%>":
        raise ValueError(f"{kind!r} begins no reply")
    items: List[Reply] = []
    for _ in range(size * 2 if kind == "%" else size):
        item, at = parse(stream, at)
        items.append(item)
    return (kind, items), at


def parse_all(stream: bytes) -> List[Reply]:
    at, replies = 0, []
    while at < len(stream):
        reply, at = parse(stream, at)
        replies.append(reply)
    return replies


def parse_one(raw: bytes) -> Reply:
    """Like parse; bytes that are no reply, or more than one, become a reply of a kind that equals nothing."""
    try:
        reply, end = parse(raw, 0)
        return reply if end == len(raw) else ("garbage", raw)
    except (ValueError, IndexError):
        return ("garbage", raw)


def quote(word: bytes) -> str:
    """A word as redis-cli takes it."""
    if word and all(33 <= byte < 127 and chr(byte) not in "\"'\\" for byte in word):
        return word.decode()
    names = {0x22: '\\"', 0x5c: "\\\\", 0x0a: "\\n", 0x0d: "\\r", 0x09: "\\t"}
    return '"' + "".join(names.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in word) + '"'


def show(reply: Reply, depth: int = 0) -> str:
    kind, content = reply
    if isinstance(content, (list, tuple)):
        text = ", ".join(show(item, depth + 1) for item in content[:40])
        return f"{kind}[{text}{', ...' if len(content) > 40 else ''}]"
    if content is None:
        return kind
    assert isinstance(content, bytes)
    text = quote(content[:300]) + ("..." if len(content) > 300 else "")
    return (kind if kind != "$" else "") + text


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Connection:
    """One connection, of one protocol."""

    def __init__(self, path: str, protocol: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(REPLY_SECONDS_MAX)
        self.socket.connect(path)
        self.protocol = protocol
        if protocol == 3:
            self.stream([[b"HELLO", b"3"]])

    def stream(self, commands: Sequence[Words]) -> bytes:
        """The replies to the commands, one after another."""
        request = [encode(words) for words in commands]
        request.append(encode([b"ECHO", MARK]))
        pieces: List[bytes] = []
        tail = b""
        try:
            self.socket.sendall(b"".join(request))
            while not tail.endswith(MARK_REPLY):
                piece = self.socket.recv(1 << 18)
                if not piece:
                    raise Lost("redis-server closed the connection")
                pieces.append(piece)
                tail = (tail + piece)[-len(MARK_REPLY):]
        except OSError as error:
            raise Lost(f"redis-server: {error}") from error
        return b"".join(pieces)[:-len(MARK_REPLY)]

    def replies(self, commands: Sequence[Words]) -> List[Reply]:
        return parse_all(self.stream(commands))


class Server:
    """A redis-server without persistence and without TCP, with a connection of each protocol.

    500 rounds of its clock in a second: so often it looks whose wait is over. Its socket is reached through the folder's descriptor,
    because the names of sockets are short.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.process: Optional[subprocess.Popen] = None
        self.folder, self.name = folder, name
        self.start()

    def start(self) -> None:
        """Ends the one that runs, if any, and starts anew, with nothing in it."""
        self.close()
        program = next((path for path in SERVERS if os.path.exists(path)), "redis-server")
        options = ["--port", "0", "--unixsocket", self.name, "--save", "", "--appendonly", "no", "--databases", "1", "--hz", "500",
                   "--loglevel", "warning", "--logfile", self.name + ".log", "--daemonize", "no"]
        self.process = subprocess.Popen(["redis-server", *options], executable=program, cwd=self.folder,
                                        env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        last = time.monotonic() + 30
        place = os.open(self.folder, os.O_PATH)
        try:
            self.connect(f"/proc/self/fd/{place}/{self.name}", last)
        finally:
            os.close(place)

    def connect(self, path: str, last: float) -> None:
        assert self.process is not None
        while True:
            try:
                self.connections = {protocol: Connection(path, protocol) for protocol in (2, 3)}
                break
            except (OSError, Lost):
                if self.process.poll() is not None or time.monotonic() > last:
                    raise Lost("redis-server does not start") from None
                time.sleep(0.02)

    def stream(self, commands: Sequence[Words], protocol: int) -> bytes:
        return self.connections[protocol].stream(commands)

    def replies(self, commands: Sequence[Words], protocol: int = 2) -> List[Reply]:
        return self.connections[protocol].replies(commands)

    def version(self) -> str:
        (_, text), = self.replies([[b"INFO", b"server"]])
        assert isinstance(text, bytes)
        return next(line[14:] for line in text.decode().splitlines() if line.startswith("redis_version:"))

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

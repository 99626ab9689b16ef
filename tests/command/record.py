#!/usr/bin/env python3
"""record.py LINES... - writes transcripts: runs the command lines of files against redis-server 7.0 and notes what it says.

    python3 tests/command/record.py tests/command/transcripts/*.resp

A transcript holds command lines as tests/command/fixture.h reads them, each followed by Redis's reply under protocol 2 (behind "2 ") and,
where it differs, under protocol 3 (behind "3 "), with \\r, \\n, \\\\ and \\xNN escaped. Lines that begin with # are kept. Recording a
transcript again renews the replies, so new lines are simply written into it. test_transcript.c compares the library with them. Standard
library only.
"""
from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from typing import BinaryIO, List, Tuple

WORD = re.compile(rb"\s*(?:'([^']*)'|([^\s']+))")


def words_of(line: bytes) -> List[bytes]:
    def plain(text: bytes) -> bytes:
        return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found.group(1), 16)]), text)

    return [plain(quoted or bare) for quoted, bare in WORD.findall(line)]


def escape(reply: bytes) -> bytes:
    shown = b""
    for byte in reply:
        if byte in b"\r\n\\":
            shown += {13: b"\\r", 10: b"\\n", 92: b"\\\\"}[byte]
        else:
            shown += bytes([byte]) if 32 <= byte < 127 else b"\\x%02x" % byte
    return shown


class Connection:
    def __init__(self, path: str, protocol: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file: BinaryIO = self.socket.makefile("rb")
        if protocol == 3:
            self.run([b"HELLO", b"3"])

    def run(self, words: List[bytes]) -> bytes:
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self.reply()

    def reply(self) -> bytes:
        line = self.file.readline()
        kind, left, text = line[:1], 0, line
        if kind in b"$=" and int(line[1:]) >= 0:
            text += self.file.read(int(line[1:]) + 2)
        elif kind in b"*~>":
            left = max(0, int(line[1:]))
        elif kind == b"%":
            left = 2 * int(line[1:])
        return text + b"".join(self.reply() for _ in range(left))


def record(path: str, connections: Tuple[Connection, Connection]) -> int:
    with open(path, "rb") as file:
        lines = [line.rstrip(b"\n") for line in file if not re.match(rb"[23] [-+:$*_,~%=#(]", line)]
    commands = [line for line in lines if line and not line.startswith(b"#")]
    replies = []
    for connection in connections:
        connection.run([b"FLUSHALL"])
        replies.append(iter([connection.run(words_of(line)) for line in commands]))
    with open(path, "wb") as file:
        for line in lines:
            file.write(line + b"\n")
            if line and not line.startswith(b"#"):
                old, new = (next(each) for each in replies)
                file.write(b"2 " + escape(old) + b"\n" + (b"3 " + escape(new) + b"\n" if new != old else b""))
    return len(commands)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "redis.sock")
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            while not os.path.exists(path):
                time.sleep(0.02)
            time.sleep(0.1)
            connections = Connection(path, 2), Connection(path, 3)
            for name in sys.argv[1:]:
                print(f"{name}: {record(name, connections)} commands")
        finally:
            server.kill()


if __name__ == "__main__":
    main()

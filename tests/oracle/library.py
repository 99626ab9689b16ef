#!/usr/bin/env python3
"""library.py - libmlkv through ctypes: mlkv_command for a block of commands, the replies as bytes of a protocol.

As a program, `library.py LIBRARY FOLDER CACHE_BYTES RING_BYTES`, it has a store open and runs what comes in on its standard input, until it
ends or is killed: a block (protocol, commands) is answered by the list of replies, None by closing the store, 0 by verifying it. Messages
are marshalled, their length in front. Standard library only.
"""
import ctypes
import marshal
import struct
import sys
from array import array
from typing import BinaryIO, List, Optional, Sequence

Words = Sequence[bytes]


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


class ReplyTree(ctypes.Structure):
    """mlkv_reply; what comes behind `count` is the library's, and smaller than this."""
    _fields_ = [("nodes", ctypes.c_void_p), ("count", ctypes.c_size_t), ("rest", ctypes.c_char * 1024)]


class Options(ctypes.Structure):
    """mlkv_options."""
    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("durability", ctypes.c_int32),
                ("cache_bytes", ctypes.c_size_t), ("ring_bytes", ctypes.c_size_t), ("batch_bytes", ctypes.c_size_t),
                ("sync_interval_ms", ctypes.c_uint32), ("lock_timeout_ms", ctypes.c_uint32),
                ("compress_threshold_bytes", ctypes.c_size_t), ("compress_level", ctypes.c_int32), ("reserved", ctypes.c_uint32)]


class Report(ctypes.Structure):
    """mlkv_report."""
    _fields_ = [("size", ctypes.c_size_t)] + [(name, ctypes.c_uint64) for name in
                                              ("records", "keys", "elements", "blobs", "bytes", "problems", "unclaimed")]


class CommandInfo(ctypes.Structure):
    """mlkv_command_info."""
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("group", ctypes.c_char_p), ("summary", ctypes.c_char_p),
                ("synopsis", ctypes.c_char_p), ("flags", ctypes.c_uint32), ("arity", ctypes.c_int32), ("first_key", ctypes.c_int32),
                ("last_key", ctypes.c_int32), ("key_step", ctypes.c_int32)]


class Failure(Exception):
    """A call that has no business to fail."""


def load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, arguments in (("mlkv_open", [ctypes.c_char_p, pointer, pointer]), ("mlkv_close", [pointer]),
                            ("mlkv_command", [pointer, pointer, size, pointer]),
                            ("mlkv_reply_encode", [pointer, ctypes.c_int, pointer]),
                            ("mlkv_command_row", [size, pointer]), ("mlkv_verify", [pointer, pointer, pointer, pointer])):
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = ctypes.c_int
    library.mlkv_error_detail.restype = ctypes.c_char_p
    return library


def table(library: ctypes.CDLL) -> List[str]:
    """The names of all commands, in capitals."""
    names: List[str] = []
    info = CommandInfo(size=ctypes.sizeof(CommandInfo))
    while library.mlkv_command_row(len(names), ctypes.byref(info)) == 0:
        names.append(info.name.decode().upper())
    return names


class Store:
    """An open store, and what running a block needs."""

    def __init__(self, library: ctypes.CDLL, folder: str, cache_bytes: int, ring_bytes: int) -> None:
        self.library = library
        self.handle = ctypes.c_void_p()
        options = Options(size=ctypes.sizeof(Options), cache_bytes=cache_bytes, ring_bytes=ring_bytes)
        self.check(library.mlkv_open(folder.encode(), ctypes.byref(options), ctypes.byref(self.handle)), "mlkv_open")
        self.reply = ReplyTree()
        self.wire = Buffer()

    def check(self, result: int, what: str) -> None:
        if result < 0:
            raise Failure(f"{what}: {result} {(self.library.mlkv_error_detail() or b'').decode(errors='replace')}")

    def run(self, protocol: int, commands: Sequence[Words]) -> List[bytes]:
        """The replies to the commands, each as the bytes that a client of this protocol would get."""
        flat = [word for words in commands for word in words]
        blob = b"".join(flat)
        at = ctypes.cast(ctypes.c_char_p(blob), ctypes.c_void_p).value or 0
        slices = array("Q")
        for word in flat:
            slices.append(at)
            slices.append(len(word))
            at += len(word)
        place, _ = slices.buffer_info()
        call, encode = self.library.mlkv_command, self.library.mlkv_reply_encode
        handle, wire = self.handle, self.wire
        reply, wire_at = ctypes.addressof(self.reply), ctypes.addressof(self.wire)
        wire.size = 0
        results, ends = [], []
        for words in commands:
            results.append(call(handle, place, len(words), reply))
            if encode(reply, protocol, wire_at) != 0:
                raise Failure("mlkv_reply_encode failed")
            ends.append(wire.size)
            place += 16 * len(words)
        text = ctypes.string_at(wire.data, wire.size) if wire.size else b""
        replies, begin = [], 0
        for result, end in zip(results, ends):
            raw = text[begin:end]
            if (result < 0) != (raw[:1] == b"-"):
                raw = b"result %d, but the reply " % result + raw
            replies.append(raw)
            begin = end
        return replies

    def verify(self) -> Optional[str]:
        report = Report(size=ctypes.sizeof(Report))
        result = self.library.mlkv_verify(self.handle, None, None, ctypes.byref(report))
        return None if result == 0 else f"mlkv_verify: {result} {(self.library.mlkv_error_detail() or b'').decode(errors='replace')}"

    def close(self) -> None:
        handle, self.handle = self.handle, ctypes.c_void_p()
        if handle:
            self.check(self.library.mlkv_close(handle), "mlkv_close")


def write_message(stream: BinaryIO, message: object) -> None:
    data = marshal.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read_message(stream: BinaryIO) -> object:
    """EOFError if the other side has gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    size, = struct.unpack("<Q", head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return marshal.loads(data)


def main() -> int:
    path, folder, cache_bytes, ring_bytes = sys.argv[1:]
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        store = Store(load(path), folder, int(cache_bytes), int(ring_bytes))
        write_message(answers, "ready")
        while True:
            request = read_message(requests)
            if request is None:
                store.close()
                write_message(answers, "closed")
                return 0
            if request == 0:
                write_message(answers, store.verify())
            else:
                assert isinstance(request, tuple)
                write_message(answers, store.run(*request))
    except EOFError:
        return 0
    except Failure as failure:
        write_message(answers, str(failure))
        return 1


if __name__ == "__main__":
    sys.exit(main())

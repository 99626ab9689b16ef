"""in_process.py FOLDER - has the store open in this process, and runs the commands that come line by line, each a Python list of bytes.

Each is answered by a line: "=" and the reply in RESP2 as hexadecimal digits. MLKV_LIBRARY names the library. Standard library only.
"""
import ast
import ctypes
import os
import sys


class Slice(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


def main():
    library = ctypes.CDLL(os.environ["MLKV_LIBRARY"])
    store = ctypes.c_void_p()
    reply = ctypes.create_string_buffer(1024)  # an mlkv_reply, all zero, and more
    wire = Buffer()
    if library.mlkv_open(sys.argv[1].encode(), None, ctypes.byref(store)) != 0:
        sys.exit("the store does not open")
    for line in sys.stdin:
        words = ast.literal_eval(line)
        slices = (Slice * len(words))(*(Slice(word, len(word)) for word in words))
        library.mlkv_command(store, slices, ctypes.c_size_t(len(words)), reply)
        wire.size = 0
        library.mlkv_reply_encode(reply, 2, ctypes.byref(wire))
        print("=" + ctypes.string_at(wire.data, wire.size).hex(), flush=True)
    library.mlkv_reply_free(reply)
    library.mlkv_buffer_free(ctypes.byref(wire))
    sys.exit(library.mlkv_close(store) != 0)


if __name__ == "__main__":
    main()

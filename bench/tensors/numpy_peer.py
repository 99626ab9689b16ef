#!/usr/bin/env python3
"""numpy_peer.py - the numpy side of the tensors' benchmark: does what the lines of its standard input say, and answers each by a line.

  data PATH   reads f32 numbers from a file; they are what is saved and compared from then on
  save PATH   numpy.save; answers the seconds that it took
  load PATH   numpy.load; answers the seconds that it took, once the numbers were compared

An answer that is no number says what is wrong. Times are taken around the call of numpy alone.
"""
import sys
import time

import numpy


def answer(command, path, state):
    if command == "data":
        state["data"] = numpy.fromfile(path, dtype=numpy.float32)
        return "0"
    begun = time.perf_counter()
    if command == "save":
        numpy.save(path, state["data"])
        return str(time.perf_counter() - begun)
    loaded = numpy.load(path)
    seconds = time.perf_counter() - begun
    same = numpy.array_equal(loaded.view(numpy.uint32), state["data"].view(numpy.uint32))
    return str(seconds) if same else "numpy gives other bytes"


def main():
    state = {}
    print("ready", numpy.__version__, flush=True)
    for line in sys.stdin:
        command, path = line.rstrip("\n").split(" ", 1)
        print(answer(command, path, state), flush=True)


if __name__ == "__main__":
    main()

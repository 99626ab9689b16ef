"""hello.py - the same from Python: PYTHONPATH=python python3 examples/hello.py"""

import sys

import mlkv

with mlkv.open(sys.argv[1] if len(sys.argv) > 1 else "hello.mlkv") as db:
    print(f"hello, greeting number {db.incr('greetings')}")

import datetime
import inspect
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import warnings
from typing import Any, List, Tuple

import calls
import mlkv
from mlkv._commands import COMMANDS, Commands
from mlkv._generated import make_method
from mlkv._table import ROWS, Group, Maybe, Token, Word, method_name, parse
from support import StoreTest

# Debian's redis-tools has the server, too: it is what checks dumps when it is called by another name.
REDIS_SERVER = next((path for path in ("/usr/bin/redis-server", "/usr/bin/redis-check-rdb") if os.path.exists(path)), "")
DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"


def import_redis() -> Any:
    """redis-py, also the distribution's for an interpreter of one's own; None if there is none."""
    try:
        import redis

        return redis
    except ImportError:
        pass
    sys.path.append(DEBIAN_PACKAGES)
    try:
        import redis

        return redis
    except ImportError:
        return None
    finally:
        sys.path.remove(DEBIAN_PACKAGES)


redis = import_redis()
needs_redis = unittest.skipUnless(redis, "redis-py is not installed")

# Methods with more parameters than redis-py's, or other ones, and why.
MORE = {
    "rpushx": "several values, as rpushx of Redis and as lpushx of redis-py",
}
# Commands of the table that no method of redis-py 4.3.4 has: the tensors and the expiry of fields.
OWN = re.compile(r"tensor_\w+|h(p?expire(at|time)?|p?ttl|persist)")


class Table(StoreTest):
    def test_every_row_has_a_method(self) -> None:
        for row in ROWS:
            name = method_name(row)
            self.assertTrue(callable(getattr(mlkv.Client, name, None)), name)
            self.assertIn(name, dir(self.db))
            self.assertIn(name, COMMANDS)
            self.assertTrue(callable(getattr(self.db.pipeline(), name)), name)
            self.assertTrue(getattr(mlkv.Client, name).__doc__, name)

    def test_a_pipeline_lists_what_it_takes(self) -> None:
        self.assertLess(set(COMMANDS), set(dir(self.db.pipeline())))
        for name in ("lock", "watch", "scan_iter", "close", "closed", "_handle"):
            self.assertNotIn(name, COMMANDS)
        with self.assertRaises(AttributeError):
            self.db.pipeline().scan_iter

    def test_synopses(self) -> None:
        key = Word("key", "key", False)
        self.assertEqual(parse("key:key"), (key,))
        self.assertEqual(parse("key:key..."), (Word("key", "key", True),))
        self.assertEqual(parse("(key:key value:bytes)..."), (Group((key, Word("value", "bytes", False))),))
        self.assertEqual(parse("LEFT|RIGHT key:key"), (Token(("LEFT", "RIGHT")), key))
        self.assertEqual(parse("[A SUM|MIN]"), (Maybe(((Token(("A",)), Token(("SUM", "MIN"))),), False),))
        ways = ((Token(("EX",)), Word("s", "integer", False)), (Token(("PERSIST",)),))
        self.assertEqual(parse("[EX s:integer|PERSIST]"), (Maybe(ways, False),))
        self.assertEqual(parse("[GET p:pattern]..."), (Maybe(((Token(("GET",)), Word("p", "pattern", False)),), True),))
        self.assertEqual(parse(""), ())

    def test_a_generated_method_is_as_one_by_hand(self) -> None:
        method = mlkv.Client.rename
        self.assertEqual(str(inspect.signature(method)), "(self, src: 'Value', dst: 'Value') -> 'Any'")
        self.assertEqual((method.__name__, method.__qualname__, method.__module__), ("rename", "Commands.rename", Commands.__module__))
        self.assertIn("RENAME key newkey", method.__doc__ or "")
        self.assertIs(pickle.loads(pickle.dumps(method)), method)
        with self.assertRaises(TypeError):
            self.db.rename("only one")
        with self.assertRaises(TypeError):
            self.db.randomkey(1)
        with self.assertRaises(mlkv.DataError):
            self.db.sort("k", start=1)
        with self.assertRaises(mlkv.DataError):
            self.db.sort("k", get="a*", groups=True)


class Spelled(StoreTest):
    def test_as_programs_for_redis_py_call_them(self) -> None:
        db = self.db
        db.rpush("l", "a")
        self.assertEqual(db.rpushx("l", value="b"), 2)
        self.assertEqual((db.expiretime(key="l"), db.pexpiretime(key="l")), (-1, -1))
        with self.assertRaises(mlkv.ArgumentError):
            db.lmpop(1, "l")
        lock = db.lock("lock", sleep=0.1)
        self.assertTrue(lock.acquire(0.1, False))
        self.assertFalse(db.lock("lock").acquire(sleep=0.1, blocking=False))
        self.assertEqual(db.transaction(lambda pipe: pipe.set("a", 1).incr("a")), [True, 2])
        self.assertEqual(db.transaction(lambda pipe: pipe.get("a"), "a", value_from_callable=True), b"2")
        with self.assertRaises(mlkv.NumberError):
            db.transaction(lambda pipe: pipe.incr("l2").set("s", "x").incr("s"))
        db.zadd("z", {"m": 1.5})
        self.assertEqual(db.zrange("z", 0, -1, withscores=True, score_cast_func=bytes.decode), [(b"m", "1.5")])
        self.assertEqual(db.zscan("z", score_cast_func=bytes.decode), (0, [(b"m", "1.5")]))


class Recorder:
    """Stands for a view in a generated method; keeps the words."""

    def execute_command(self, *words: Any, **options: Any) -> List[Any]:
        self.options = options
        return list(words)


class Generator(unittest.TestCase):
    """What it makes of the grammar, also where a method by hand stands before it."""

    def words(self, name: str, *arguments: Any, **named: Any) -> List[Any]:
        (row,) = (row for row in ROWS if row.name == name)
        return make_method(row, "Test", __name__)(Recorder(), *arguments, **named)

    def test_every_row_compiles(self) -> None:
        for row in ROWS:
            self.assertTrue(callable(make_method(row, "Test", __name__)), row.name)

    def test_words(self) -> None:
        words = self.words
        self.assertEqual(words("get", "k"), ["GET", "k"])
        self.assertEqual(words("del", "a", "b"), ["DEL", "a", "b"])
        self.assertEqual(words("mset", {"a": 1, "b": 2}), ["MSET", "a", 1, "b", 2])
        self.assertEqual(words("zadd", "z", {"m": 1}, nx=True, ch=True), ["ZADD", "z", "NX", "CH", 1, "m"])
        self.assertEqual(words("getex", "k", px=5), ["GETEX", "k", "PX", 5])
        self.assertEqual(words("getex", "k", persist=True), ["GETEX", "k", "PERSIST"])
        self.assertEqual(words("bitpos", "k", 1, 0, 9, bit_=True), ["BITPOS", "k", 1, 0, 9, "BIT"])
        self.assertEqual(words("lmove", "a", "b", "LEFT", "RIGHT"), ["LMOVE", "a", "b", "LEFT", "RIGHT"])
        self.assertEqual(words("blmpop", 1, ["a", "b"], "LEFT", count=3), ["BLMPOP", 1, 2, "a", "b", "LEFT", "COUNT", 3])
        self.assertEqual(words("blpop", keys=["a"], timeout=0), ["BLPOP", "a", 0])
        self.assertEqual(words("hexpire", "h", 9, ["f", "g"], gt=True), ["HEXPIRE", "h", 9, "GT", "FIELDS", 2, "f", "g"])
        self.assertEqual(
            words("zunion", ["a", "b"], weights=[1, 2], aggregate="MAX", withscores=True),
            ["ZUNION", 2, "a", "b", "WEIGHTS", 1, 2, "AGGREGATE", "MAX", "WITHSCORES"],
        )
        self.assertEqual(words("zrange", "z", 0, 9, rev=True, offset=0, count=2), ["ZRANGE", "z", 0, 9, "REV", "LIMIT", 0, 2])
        self.assertEqual(words("tensor.set", "t", "f32", [2, 3], b"..."), ["TENSOR.SET", "t", "f32", 2, 3, "BLOB", b"..."])
        self.assertEqual(words("memory", "k", samples=0), ["MEMORY USAGE", "k", "SAMPLES", 0])
        found = words("sort", "l", get=["a", "#"], desc=True, store="d")
        self.assertEqual(found, ["SORT", "l", "GET", "a", "GET", "#", "DESC", "STORE", "d"])
        self.assertEqual(words("sort", "l", 0, 9, get="a"), ["SORT", "l", "LIMIT", 0, 9, "GET", "a"])
        self.assertEqual(words("flushall", True), ["FLUSHALL", "ASYNC"])
        with self.assertRaises(mlkv.DataError):
            words("zrange", "z", 0, 9, offset=0)


@needs_redis
class Signatures(unittest.TestCase):
    @staticmethod
    def parameters(function: Any) -> List[Tuple[str, Any, bool]]:
        """(name, default, whether it is *name) of each, without self and **kwargs."""
        found = list(inspect.signature(function).parameters.values())[1:]
        return [(p.name, p.default, p.kind is p.VAR_POSITIONAL) for p in found if p.kind is not p.VAR_KEYWORD]

    def test_they_are_those_of_redis_py(self) -> None:
        for row in ROWS:
            name = method_name(row)
            if OWN.fullmatch(name):
                continue
            theirs = self.parameters(getattr(redis.Redis, name))
            ours = self.parameters(getattr(mlkv.Client, name))
            if name in MORE:
                self.assertEqual(ours[: len(theirs)], theirs, name)
            else:
                self.assertEqual(ours, theirs, name)


class Execute(StoreTest):
    def test_words_and_replies(self) -> None:
        run = self.db.execute_command
        self.assertIs(run("SET", "k", 1), True)
        self.assertEqual(run("get", "k"), b"1")
        self.assertEqual(run(b"INCRBY", b"k", 5), 6)
        self.assertIsNone(run("GET", "absent"))
        self.assertIsNone(run("SET", "k", 1, "NX"))
        self.assertEqual(run("MGET", "k", "absent", "k"), [b"6", None, b"6"])
        self.assertEqual(run("MGET", *["k"] * 500), [b"6"] * 500)
        self.assertEqual(run("SET", "e", ""), True)
        self.assertEqual((run("GET", "e"), run("MGET", "e", "absent")), (b"", [b"", None]))
        self.assertEqual(run("GETRANGE", "k", 0, 0), b"6")
        self.assertEqual(run("INCRBYFLOAT", "k", 0.5), 6.5)
        self.assertEqual(run("LCS", "k", "k", "IDX"), [b"matches", [[[0, 2], [0, 2]]], b"len", 3])
        self.assertEqual(run("STRLEN k"), 3)

    def test_errors(self) -> None:
        run = self.db.execute_command
        run("SET", "k", "text")
        for words, kind, text in (
            (("NOSUCH", "a"), mlkv.CommandError, "unknown command 'NOSUCH', with args beginning with: 'a' "),
            (("GET",), mlkv.CommandError, "wrong number of arguments for 'get' command"),
            (("SET", "k", 1, "NX", "XX"), mlkv.CommandError, "syntax error"),
            (("INCR", "k"), mlkv.NumberError, "value is not an integer or out of range"),
            (("HGET", "k", "f"), mlkv.WrongTypeError, "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ):
            with self.assertRaises(kind, msg=words) as caught:
                run(*words)
            self.assertEqual((str(caught.exception), caught.exception.detail), (text, text))
            self.assertIsInstance(caught.exception, mlkv.ResponseError)
        with self.assertRaises(ValueError):
            run("GET")
        for kind in (mlkv.PayloadError, mlkv.CorruptError, mlkv.ResponseError):
            with self.assertRaises(kind):
                self.db.restore("r", 0, b"garbage")
        for words in ((), ("",), (" ",)):
            with self.assertRaises(mlkv.ArgumentError):
                run(*words)
        with self.assertRaises(mlkv.DataError):
            run("SET", "k", None)
        self.assertEqual(run("GET", "k"), b"text")

    def test_decoding(self) -> None:
        text = self.open(decode_responses=True)
        text.set("é", "ü")
        self.assertEqual((text.execute_command("GET", "é"), self.db.execute_command("GET", "é")), ("ü", "ü".encode()))
        self.assertEqual(text.execute_command("MGET", "é", "x"), ["ü", None])
        self.assertIs(text.execute_command("SET", "k", 1), True)
        text.zadd("z", {"m": 1.5})
        self.assertEqual(text.execute_command("ZRANGE", "z", 0, -1, "WITHSCORES"), ["m", "1.5"])
        self.assertEqual(text.execute_command("ZRANGE", "z", 0, -1, "WITHSCORES", withscores=True), [("m", 1.5)])
        self.assertIsInstance(text.dump("é"), bytes)
        self.db.set("bad", b"\xff")
        with self.assertRaises(UnicodeDecodeError):
            text.execute_command("GET", "bad")

    def test_views(self) -> None:
        run = self.db.execute_command
        with self.db.transaction() as t:
            t.execute_command("SET", "a", 1)
            self.assertEqual(t.execute_command("INCR", "a"), 2)
            self.assertIsNone(t.execute_command("BLPOP", "absent", 0))  # does not wait
        self.assertEqual(run("GET", "a"), b"2")
        with self.db.snapshot() as s:
            run("SET", "a", 3)
            self.assertEqual(s.execute_command("GET", "a"), b"2")
            for words in (("SET", "a", 1), ("DEL", "a"), ("FLUSHALL",), ("BLPOP", "absent", 0)):
                with self.assertRaises(mlkv.ReadOnlyError, msg=words):
                    s.execute_command(*words)
            with self.assertRaises(mlkv.ResponseError):
                s.flushdb()
        with self.assertRaises(mlkv.ClosedError):
            s.execute_command("GET", "a")
        self.assertEqual(run("GET", "a"), b"3")
        pipe = self.db.pipeline()
        pipe.execute_command("SET", "a", 5).execute_command("NOSUCH").execute_command("GET", "a").rename("a", "b")
        results = pipe.execute(raise_on_error=False)
        self.assertEqual(results[::2], [True, b"5"])
        self.assertIsInstance(results[1], mlkv.CommandError)
        self.assertIs(results[3], True)

    def test_tensors(self) -> None:
        text = self.open(decode_responses=True)
        run, blob = text.execute_command, bytes(range(24))
        self.assertIs(run("TENSOR.SET", "t", "f32", 2, 3, "BLOB", blob), True)
        self.assertEqual(run("TENSOR.GET", "t"), {b"dtype": b"f32", b"shape": [2, 3], b"blob": blob})
        self.assertEqual(run("TENSOR.GETROWS", "t", 1, 1), blob[12:])
        self.assertIs(run("TENSOR.SETROWS", "t", 0, 1, blob[12:]), True)
        self.assertEqual(bytes(text.tensor_get("t", as_numpy=False)), blob[12:] * 2)
        info = run("TENSOR.INFO", "t")
        self.assertEqual((info["dtype"], info["shape"], info["raw_bytes"]), ("f32", [2, 3], 24))
        self.assertIs(run("TENSOR.ADD", "t", 0, "f32", 2, 3, "BLOB", bytes(24)), True)
        self.assertIs(run("TENSOR.ADDROWS", "t", 0, 0, 1, bytes(12)), True)
        self.assertIsNone(run("TENSOR.GET", "absent"))
        with self.assertRaises(mlkv.WrongTypeError):
            run("TENSOR.GET", "t", "META") and run("GET", "t")

    def test_expiry_of_fields(self) -> None:
        self.db.hset("h", "f", 1)
        self.assertEqual(self.db.execute_command("HEXPIRE", "h", 100, "FIELDS", 2, "f", "g"), self.db.hexpire("h", 100, "f", "g"))
        self.assertEqual(self.db.execute_command("HTTL", "h", "FIELDS", 1, "f"), self.db.httl("h", "f"))

    def test_waiting(self) -> None:
        run = self.db.execute_command
        began = time.monotonic()
        self.assertIsNone(run("BLPOP", "l", "other", 0.05))
        self.assertIsNone(run("bzmpop", "0.05", 1, "z", "MIN"))
        self.assertGreaterEqual(time.monotonic() - began, 0.1)
        run("RPUSH", "l", "a", "b")
        self.assertEqual(run("BLPOP", "l", 0), (b"l", b"a"))
        for timeout in ("-1", "x", "nan"):
            with self.assertRaises(mlkv.ResponseError, msg=timeout):
                run("BLPOP", "l", timeout)
        self.assertEqual(run("LLEN", "l"), 1)

    def test_deep_and_long(self) -> None:
        run = self.db.execute_command
        self.db.zadd("z", {str(i): i for i in range(2000)})
        found = run("ZRANGE", "z", 0, -1, "WITHSCORES", withscores=True)
        self.assertEqual((len(found), found[-1]), (2000, (b"1999", 1999.0)))
        self.assertEqual(run("ZMPOP", 1, "z", "MIN", "COUNT", 2), [b"z", [[b"0", b"0"], [b"1", b"1"]]])
        self.assertEqual(run("ZMSCORE", "z", "2", "absent"), [2.0, None])
        cursor, part = run("ZSCAN", "z", 0, "COUNT", 10)
        self.assertIsInstance(cursor, int)
        self.assertIsInstance(part[0][1], float)


class Server:
    """A redis-server of one's own, on a socket in a folder of its own."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="mlkv-python-oracle-")
        self.socket = f"{self.folder}/socket"
        options = ["--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", self.folder]
        words = ["redis-server", *options]
        self.process = subprocess.Popen(words, executable=REDIS_SERVER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.is_ready() and time.monotonic() < deadline:
            time.sleep(0.01)

    def is_ready(self) -> bool:
        if not os.path.exists(self.socket):
            return False
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def client(self, **options: Any) -> Any:
        return redis.Redis(unix_socket_path=self.socket, **options)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def outcome(expression: str, db: Any) -> Any:
    """What an expression gives, with its type where == does not see it; of an error whether it is the server's, and of a command of words
    the text."""
    try:
        result = eval(expression, {"db": db, "wrong": calls.WRONG, "datetime": datetime})
    except (mlkv.Error, redis.RedisError, ValueError) as error:
        is_response = expression not in calls.REFUSED_EARLIER and isinstance(error, (mlkv.ResponseError, redis.ResponseError))
        return ("error", is_response, str(error) if "execute_command" in expression else "")
    return result, shape(result)


def shape(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [shape(part) for part in value]
    return type(value).__name__


@needs_redis
@unittest.skipUnless(REDIS_SERVER, "there is no redis-server")
class Oracle(StoreTest):
    """The same calls through redis-py to Redis give equal results of equal types."""

    def setUp(self) -> None:
        super().setUp()
        self.server = Server()
        self.addCleanup(self.server.end)

    def compare(self, **options: Any) -> None:
        ours, theirs = self.open(**options), self.server.client(**options)
        self.addCleanup(theirs.close)
        warnings.simplefilter("ignore", DeprecationWarning)  # redis-py's of HMSET; unittest puts the filters back
        for group in calls.GROUPS:
            ours.flushall()
            theirs.flushall()
            for expression in group:
                self.assertEqual(outcome(expression, ours), outcome(expression, theirs), expression)

    def test_bytes(self) -> None:
        self.compare()

    def test_text(self) -> None:
        self.compare(decode_responses=True)

    def test_every_method_is_called(self) -> None:
        text = "\n".join(expression for group in calls.GROUPS for expression in group)
        few = [
            name for name in map(method_name, ROWS) if not OWN.fullmatch(name) and len(re.findall(rf"db\.{name}\(", text)) < 2
        ]
        self.assertEqual(few, [])


if __name__ == "__main__":
    unittest.main()

import datetime
import time
import unittest

import mlkv
from mlkv._glob import compile_glob
from support import StoreTest


def matches(pattern: bytes, name: bytes) -> bool:
    prefix, expression = compile_glob(pattern)
    return name.startswith(prefix) and (expression is None or expression.fullmatch(name) is not None)


class Glob(unittest.TestCase):
    def test_patterns(self) -> None:
        for pattern, yes, no in (
            (b"*", [b"", b"a", b"a\nb"], []),
            (b"a*", [b"a", b"ab", b"a\n"], [b"", b"ba"]),
            (b"abc", [b"abc"], [b"abcd", b"ab"]),
            (b"h?llo", [b"hello", b"h\nllo"], [b"hllo", b"heello"]),
            (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo", b"h[ae]llo"]),
            (b"h[^e]llo", [b"hallo"], [b"hello"]),
            (b"h[a-b]llo", [b"hallo", b"hbllo"], [b"hcllo", b"h-llo"]),
            (b"h[b-a]llo", [b"hallo"], [b"hcllo"]),
            (b"a\\*b*", [b"a*b", b"a*bc"], [b"axb"]),
            (b"[\\]x]", [b"]", b"x"], [b"\\"]),
            (b"[a", [b"a"], [b"[a"]),
            (b"a.c", [b"a.c"], [b"abc"]),
            (b"\xff*", [b"\xff\xfe"], [b"\xc3\xbf"]),
            (b"*:1", [b"a:1", b":1"], [b"a:11"]),
        ):
            for name in yes:
                self.assertTrue(matches(pattern, name), (pattern, name))
            for name in no:
                self.assertFalse(matches(pattern, name), (pattern, name))

    def test_the_prefix_narrows_the_scan(self) -> None:
        self.assertEqual(compile_glob(b"user:*"), (b"user:", None))
        self.assertEqual(compile_glob(b"user:*:x")[0], b"user:")
        self.assertEqual(compile_glob(b"a\\*b?")[0], b"a*b")


class Keys(StoreTest):
    def test_exists_delete_type(self) -> None:
        db = self.db
        db.set("s", 1)
        db.hset("h", "f", 1)
        db.sadd("m", 1)
        db.tensor_set("t", b"abcd", dtype="u8")
        self.assertEqual([db.type(k) for k in ("s", "h", "m", "t", "absent")], [b"string", b"hash", b"set", b"tensor", b"none"])
        self.assertEqual(db.exists("s", "h", "s", "absent"), 3)
        self.assertEqual(db.dbsize(), 4)
        self.assertEqual(db.delete("s", "absent", "h"), 2)
        self.assertEqual(db.unlink("m"), 1)
        self.assertEqual((db.dbsize(), db.keys()), (1, [b"t"]))
        self.assertIs(db.flushdb(), True)
        self.assertEqual((db.dbsize(), db.keys()), (0, []))

    def test_as_a_mapping(self) -> None:
        db = self.db
        db["a"] = "x"
        self.assertEqual(db["a"], b"x")
        self.assertIn("a", db)
        self.assertNotIn("b", db)
        with self.assertRaises(KeyError):
            db["b"]
        del db["a"]
        self.assertNotIn("a", db)

    def test_keys_and_scans(self) -> None:
        db = self.db
        names = [f"user:{i:04}".encode() for i in range(1500)]
        db.mset({name: 1 for name in names})
        db.hset("other", "f", 1)
        self.assertEqual(db.keys("user:*"), names)
        self.assertEqual(db.keys("user:000[1-3]"), names[1:4])
        self.assertEqual(len(db.keys()), 1501)
        self.assertEqual(list(db.scan_iter("user:*")), names)
        self.assertEqual(list(db.scan_iter(match="user:*", count=3)), names)
        self.assertEqual(list(db.scan_iter(_type="hash")), [b"other"])
        cursor, seen = 0, []
        while True:
            cursor, part = db.scan(cursor, match="user:*", count=400)
            self.assertIsInstance(cursor, int)
            seen += part
            if cursor == 0:
                break
        self.assertEqual(seen, names)

    def test_a_scan_survives_writes_and_close(self) -> None:
        db = self.db
        db.mset({f"k{i}": i for i in range(50)})
        scan = db.scan_iter(count=5)
        next(scan)
        db.delete("k9")
        db.set("k99", 1)
        self.assertGreater(len(list(scan)), 40)
        scan = db.scan_iter(count=5)
        next(scan)
        db.close()
        with self.assertRaises(mlkv.ClosedError):
            list(scan)


if __name__ == "__main__":
    unittest.main()

    def test_expiry(self) -> None:
        db = self.db
        db.set("k", 1)
        self.assertEqual((db.expire("k", 100), db.expire("absent", 100), db.ttl("k") > 0), (True, False, True))
        self.assertEqual((db.expire("k", 50, nx=True), db.expire("k", 50, gt=True), db.expire("k", 50, lt=True)), (False, False, True))
        self.assertEqual((db.persist("k"), db.persist("k"), db.expire("k", 10, xx=True)), (True, False, False))
        self.assertTrue(db.pexpireat("k", datetime.datetime.fromtimestamp(4_000_000_000)))
        self.assertEqual((db.expiretime("k"), db.expireat("k", 1), db.exists("k")), (4_000_000_000, True, 0))
        db.set("k", 1, px=1)
        deadline = time.monotonic() + 60
        while db.exists("k") and time.monotonic() < deadline:
            time.sleep(0.001)
        self.assertEqual((db.get("k"), db.keys()), (None, []))
        with self.assertRaises(mlkv.DataError):
            db.expire("k", 1, nx=True, xx=True)

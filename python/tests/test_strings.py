import datetime
import unittest

import mlkv
from support import StoreTest


class Strings(StoreTest):
    def test_set_and_get_return_what_redis_py_returns(self) -> None:
        db = self.db
        self.assertIsNone(db.get("absent"))
        self.assertIs(db.set("name", "Ada"), True)
        self.assertEqual(db.get("name"), b"Ada")
        self.assertEqual(db.get(b"name"), b"Ada")
        self.assertIs(db.set("empty", b""), True)
        self.assertEqual(db.get("empty"), b"")

    def test_conditions(self) -> None:
        db = self.db
        self.assertIsNone(db.set("a", 1, xx=True))
        self.assertIs(db.set("a", 1, nx=True), True)
        self.assertIsNone(db.set("a", 2, nx=True))
        self.assertIs(db.set("a", 3, xx=True), True)
        self.assertEqual(db.get("a"), b"3")
        self.assertEqual(db.set("a", 4, get=True), b"3")
        self.assertIsNone(db.set("b", 1, get=True))
        self.assertEqual((db.setnx("b", 2), db.setnx("c", 2)), (False, True))
        for wrong in (dict(nx=True, xx=True), dict(ex=5, px=5), dict(ex=5, keepttl=None, exat=7)):
            with self.assertRaises(mlkv.DataError):
                db.set("a", 1, **wrong)  # type: ignore[arg-type]

    def test_values_of_every_kind(self) -> None:
        db = self.db
        for value, stored in (
            (b"\0\xff", b"\0\xff"),
            (bytearray(b"ab"), b"ab"),
            (memoryview(b"cd"), b"cd"),
            ("žluť", "žluť".encode()),
            (-7, b"-7"),
            (1 << 70, str(1 << 70).encode()),
            (0.1, b"0.1"),
            ({"a": [1, 2]}, b'{"a": [1, 2]}'),
            (["č", None], '["č", null]'.encode()),
        ):
            db.set("v", value)  # type: ignore[arg-type]
            self.assertEqual(db.get("v"), stored)
        for wrong in (None, True, False, object(), {1, 2}, {"a": object()}):
            with self.assertRaises(mlkv.DataError):
                db.set("v", wrong)  # type: ignore[arg-type]
            with self.assertRaises(mlkv.ArgumentError):
                db.hset("h", "f", wrong)  # type: ignore[arg-type]

    def test_long_keys_and_values(self) -> None:
        for size in (500, 511, 512, 5000, 3_000_000):
            key, value = b"k" * min(size, 100_000), bytes(range(256)) * (size // 256 + 1)
            self.db.set(key, value)
            self.assertEqual(self.db.get(key), value)
            self.assertEqual(self.db.strlen(key), len(value))
        self.assertEqual(self.db.strlen("absent"), 0)

    def test_mget_and_mset(self) -> None:
        db = self.db
        self.assertIs(db.mset({"a": 1, "b": "", "c": "three"}), True)
        self.assertEqual(db.mget(["a", "absent", "b", "c"]), [b"1", None, b"", b"three"])
        self.assertEqual(db.mget("c", "a"), [b"three", b"1"])
        many = {f"k{i}": f"v{i}" for i in range(2000)}
        db.mset(many)
        self.assertEqual(db.mget(list(many)), [value.encode() for value in many.values()])

    def test_counting(self) -> None:
        db = self.db
        self.assertEqual([db.incr("n"), db.incr("n", 10), db.incrby("n", -3), db.decr("n"), db.decrby("n", 7)], [1, 11, 8, 7, 0])
        db.set("text", "abc")
        with self.assertRaises(mlkv.NumberError):
            db.incr("text")
        db.set("big", (1 << 63) - 1)
        with self.assertRaises(mlkv.Error):
            db.incr("big")
        self.assertEqual(db.get("big"), b"9223372036854775807")
        with self.assertRaises(mlkv.DataError):
            db.incrby("n", 1 << 63)

    def test_decoded_responses(self) -> None:
        db = self.open(decode_responses=True)
        db.set("č", "ž")
        self.assertEqual(db.get("č"), "ž")
        self.assertEqual(db.mget("č", "absent"), ["ž", None])
        self.assertEqual(db.keys(), ["č"])
        self.assertEqual(db.type("č"), "string")
        latin = self.open(decode_responses=True, encoding="latin-1")
        latin.set("l", "é")
        self.assertEqual(self.db.get("l"), b"\xe9")
        with self.assertRaises(UnicodeDecodeError):
            db.get("l")
        self.assertEqual(self.open(decode_responses=True, encoding_errors="replace").get("l"), "\ufffd")


if __name__ == "__main__":
    unittest.main()

    def test_expiry_of_set(self) -> None:
        db = self.db
        self.assertIs(db.set("a", 1, ex=100), True)
        self.assertTrue(0 < db.ttl("a") <= 100)
        db.set("a", 2, keepttl=True)
        self.assertTrue(0 < db.pttl("a") <= 100_000)
        db.set("a", 3)
        self.assertEqual((db.ttl("a"), db.pttl("a"), db.ttl("absent")), (-1, -1, -2))
        db.set("a", 4, px=datetime.timedelta(seconds=100))
        self.assertTrue(0 < db.ttl("a") <= 100)
        db.set("a", 5, exat=4_000_000_000)
        self.assertEqual((db.expiretime("a"), db.pexpiretime("a")), (4_000_000_000, 4_000_000_000_000))
        self.assertEqual(db.getex("a", persist=True), b"5")
        self.assertEqual((db.ttl("a"), db.getex("absent")), (-1, None))
        db.getex("a", ex=100)
        self.assertEqual((db.getex("a"), db.ttl("a") > 0), (b"5", True))
        self.assertEqual((db.setex("b", 100, "x"), db.psetex("c", 100_000, "y"), db.ttl("b") > 0, db.ttl("c") > 0), (True,) * 4)
        with self.assertRaises(mlkv.RangeError):
            db.set("a", 1, ex=0)

    def test_the_rest_of_redis(self) -> None:
        db = self.db
        self.assertIsNone(db.getset("a", "1"))
        self.assertEqual((db.getset("a", "2"), db.getdel("a"), db.getdel("a")), (b"1", b"2", None))
        self.assertEqual((db.append("a", "Hello"), db.append("a", " World"), db.getrange("a", 0, 3)), (5, 11, b"Hell"))
        self.assertEqual((db.substr("a", -5), db.setrange("a", 6, "Redis"), db.get("a")), (b"World", 11, b"Hello Redis"))
        self.assertEqual((db.msetnx({"x": 1, "y": 2}), db.msetnx({"y": 3, "z": 4}), db.get("z")), (True, False, None))
        self.assertEqual((db.incrbyfloat("f", 10.5), db.incrbyfloat("f", 0.1), db.get("f")), (10.5, 10.6, b"10.6"))
        db.mset({"l1": "ohmytext", "l2": "mynewtext"})
        self.assertEqual((db.lcs("l1", "l2"), db.lcs("l1", "l2", len=True)), (b"mytext", 6))
        self.assertEqual(
            db.lcs("l1", "l2", idx=True, withmatchlen=True),
            [b"matches", [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], b"len", 6],
        )

    def test_bits(self) -> None:
        db = self.db
        self.assertEqual((db.setbit("b", 7, 1), db.setbit("b", 7, 0), db.getbit("b", 7), db.getbit("b", 100)), (0, 1, 0, 0))
        db.set("k", "foobar")
        self.assertEqual((db.bitcount("k"), db.bitcount("k", 1, 1), db.bitcount("k", 5, 30, "BIT")), (26, 6, 17))
        db.set("k", b"\xff\xf0\x00")
        self.assertEqual((db.bitpos("k", 0), db.bitpos("k", 1, 2), db.bitpos("k", 0, 7, 15, "BIT")), (12, -1, 12))
        db.mset({"x": "foobar", "y": "abcdef"})
        self.assertEqual((db.bitop("and", "d", "x", "y"), db.get("d")), (6, b"`bc`ab"))
        for wrong in (lambda: db.setbit("b", -1, 1), lambda: db.setbit("b", 1, 2), lambda: db.bitop("nand", "d", "x")):
            with self.assertRaises(mlkv.DataError):
                wrong()

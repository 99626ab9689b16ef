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
        for wrong in (dict(nx=True, xx=True), dict(ex=5), dict(px=5)):
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

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union
from unittest import mock

import mlkv
from mlkv import _transfer
from support import SMALL, StoreTest

NAMES = dict(
    F64="f64", F32="f32", F16="f16", BF16="bf16", F8_E4M3="f8e4m3", F8_E5M2="f8e5m2", I64="i64", I32="i32", I16="i16", I8="i8",
    U64="u64", U32="u32", U16="u16", U8="u8", BOOL="bool", C64="c64",
)  # fmt: skip
SIZES = {dtype.name: dtype.size for dtype in mlkv.DTYPES}
SHAPES: Tuple[Tuple[int, ...], ...] = (
    (), (0,), (1,), (7,), (0, 5), (3, 0, 2), (1, 9), (9, 1), (13, 3), (2, 3, 5), (1, 2, 1, 2, 1, 2, 1, 2), (2, 1, 2, 1, 2, 1, 2, 3),
)  # fmt: skip

Entry = Tuple[str, Sequence[int], bytes]  # dtype, shape, data


def pattern(size: int, seed: int = 0, truths: bool = False) -> bytes:
    return bytes(random.Random(seed).choices(range(2 if truths else 256), k=size))


def file_of(header: Union[str, bytes, Dict[str, Any]], data: bytes = b"", size: Optional[int] = None) -> bytes:
    text = header if isinstance(header, (str, bytes)) else json.dumps(header)
    raw = text if isinstance(text, bytes) else text.encode()
    return (len(raw) if size is None else size).to_bytes(8, "little") + raw + data


def by_hand(tensors: Dict[str, Entry], metadata: Optional[Dict[str, str]] = None, pad: int = 0) -> bytes:
    header: Dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = dict(dtype=dtype, shape=list(shape), data_offsets=[at, at + len(data)])
        at += len(data)
    return file_of(json.dumps(header) + " " * pad, b"".join(data for _, _, data in tensors.values()))


def read_back(raw: bytes) -> Tuple[Dict[str, Entry], Dict[str, str], int]:
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    data = raw[8 + size :]
    found = {name: (row["dtype"], tuple(row["shape"]), data[slice(*row["data_offsets"])]) for name, row in header.items()}
    return found, metadata, 8 + size


@contextlib.contextmanager
def limits(block: int) -> Iterator[None]:
    """As if the tensors were large."""
    with mock.patch.multiple(_transfer, FILE_BLOCK_BYTES=block, COLUMNS_BYTES_MAX=block):
        yield


class FileTest(StoreTest):
    def write(self, raw: bytes, name: str = "x.safetensors") -> str:
        path = f"{self.folder}/{name}"
        with open(path, "wb") as file:
            file.write(raw)
        return path

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def content(self) -> Dict[bytes, Any]:
        """All there is, but the versions."""
        found: Dict[bytes, Any] = {}
        for key in self.db.keys():
            info = self.db.tensor_info(key) if self.db.type(key) == b"tensor" else None
            found[key] = (
                self.db.get(key) if info is None else (info.dtype, info.shape, bytes(self.db.tensor_get(key, as_numpy=False).tobytes()))
            )
        return found

    def assert_refused(self, raw: bytes, *errors: Any) -> None:
        before = self.content()
        path = self.write(raw, "refused")
        with self.assertRaises(errors or mlkv.errors.FormatError):
            self.db.import_safetensors(path, "new/")
        self.assertEqual(self.content(), before)


class RoundTrips(FileTest):
    def tensors(self) -> Dict[str, Entry]:
        made: Dict[str, Entry] = {}
        for dtype, own in NAMES.items():
            for shape in SHAPES:
                size = math.prod(shape) * SIZES[own]
                made[f"{dtype} {len(made)}"] = (dtype, shape, pattern(size, len(made), own == "bool"))
        return made

    def check(self) -> None:
        made = self.tensors()
        done = self.db.import_safetensors(self.write(by_hand(made, {"format": "pt", "é": "ü\n\"'"}, pad=5)), "m/")
        self.assertEqual(done.names, tuple(f"m/{name}".encode() for name in made))
        self.assertEqual((done.bytes, done.metadata), (sum(len(row[2]) for row in made.values()), {"format": "pt", "é": "ü\n\"'"}))
        for name, (dtype, shape, data) in made.items():
            info = self.db.tensor_info(f"m/{name}")
            assert info is not None
            self.assertEqual((info.dtype, info.shape), (NAMES[dtype], shape), name)
            self.assertEqual(self.db.tensor_get(f"m/{name}", as_numpy=False).tobytes(), data, name)
        self.db.set("m/other", "is passed over")
        path = f"{self.folder}/y.safetensors"
        out = self.db.export_safetensors(path, "m/", {"a": "b"})
        found, metadata, start = read_back(self.read(path))
        self.assertEqual((found, metadata, start % 64), (made, {"a": "b"}, 0))
        self.assertEqual((set(out.names), out.bytes), (set(done.names), done.bytes))
        self.assertEqual(sorted(os.listdir(self.folder)), ["store", "x.safetensors", "y.safetensors"])
        again = self.db.import_safetensors(path, b"n/")
        self.assertEqual(len(again.names), len(made))
        self.db.export_safetensors(f"{self.folder}/z.safetensors", "n/", {"a": "b"})
        self.assertEqual(self.read(f"{self.folder}/z.safetensors"), self.read(path))

    def test_every_dtype_and_shape(self) -> None:
        self.check()

    def test_the_same_in_small_blocks(self) -> None:
        with limits(64):
            self.check()

    def test_large_tensors_in_blocks_of_rows(self) -> None:
        db = self.db
        data = pattern(299 * 1001)
        for shape, chunk in (((299, 1001), 0), ((299, 1001), 5000), ((1, 299 * 1001), 0), ((299 * 1001,), 0), ((13, 23, 1001), 0)):
            db.tensor_set("t", data, dtype="u8", shape=shape, chunk_bytes=chunk)
            for block in (1 if len(shape) > 1 else 4096, 20_000, 200_000, 1 << 20):
                with limits(block):
                    db.export_safetensors(f"{self.folder}/a", "t")
                    self.assertEqual(read_back(self.read(f"{self.folder}/a"))[0], {"": ("U8", shape, data)})
                    db.import_safetensors(f"{self.folder}/a", "again")
            self.assertEqual(db.tensor_get("again", as_numpy=False).tobytes(), data)
            self.assertEqual(db.tensor_info("again").shape, shape)  # type: ignore[union-attr]

    def test_the_order_is_the_references(self) -> None:
        for own in NAMES.values():
            for name in ("b", "a"):
                self.db.tensor_set(f"{name}{own}", bytes(SIZES[own]), dtype=own, shape=(1,))
        self.db.export_safetensors(f"{self.folder}/a")
        names = list(read_back(self.read(f"{self.folder}/a"))[0])
        kinds = "u64 i64 f64 c64 f32 u32 i32 bf16 f16 u16 i16 f8e4m3 f8e5m2 i8 u8 bool".split()
        self.assertEqual(names, [f"{name}{own}" for own in kinds for name in "ab"])

    def test_names(self) -> None:
        names = ["", "ä/β", "\N{GRINNING FACE}", 'quote" \\ back', "tab\tnew\nline", "\0", "*[a]?", "x" * 5000]
        made: Dict[str, Entry] = {name: ("U8", (2,), bytes([number, 1])) for number, name in enumerate(names)}
        self.db.import_safetensors(self.write(by_hand(made)), "p[*]\\/")
        self.db.tensor_set("pa/other", b"12")
        self.db.export_safetensors(f"{self.folder}/a", "p[*]\\/")
        self.assertEqual(read_back(self.read(f"{self.folder}/a"))[0], made)
        with self.open(decode_responses=True) as text:
            self.assertEqual(set(text.export_safetensors(f"{self.folder}/a", "p[*]\\/").names), {"p[*]\\/" + name for name in names})

    def test_an_empty_file(self) -> None:
        self.assertEqual(self.db.import_safetensors(self.write(file_of("{}"))), mlkv.Transfer((), 0, {}))
        self.assertEqual(self.db.import_safetensors(self.write(file_of('{"__metadata__":{}}   '))).names, ())

    def test_the_real_package(self) -> None:
        try:
            import safetensors.numpy as real  # type: ignore[import-not-found]
        except ImportError:
            self.skipTest("safetensors is not installed")
        import numpy

        arrays = {"b": numpy.arange(6, dtype="f4").reshape(2, 3), "a": numpy.array(2.5), "c": numpy.zeros((0, 4), "i2")}
        real.save_file(arrays, f"{self.folder}/real", {"k": "v"})
        self.assertEqual(self.db.import_safetensors(f"{self.folder}/real", "m/").metadata, {"k": "v"})
        self.db.export_safetensors(f"{self.folder}/own", "m/")
        for name, array in real.load_file(f"{self.folder}/own").items():
            self.assertTrue(numpy.array_equal(array, arrays[name]))


def entry(dtype: Any = "U8", shape: Any = (4,), data_offsets: Any = (0, 4), **more: Any) -> Dict[str, Any]:
    return dict(dtype=dtype, shape=shape, data_offsets=data_offsets, **more)


ROW = '{"dtype":"U8","shape":[4],"data_offsets":[0,4]}'
DATA = b"abcd"
BIG = 1 << 40

HOSTILE: List[Tuple[str, bytes]] = [
    ("nothing", b""),
    ("seven bytes", b"\x02\0\0\0\0\0\0"),
    ("no header", bytes(8)),
    ("a header longer than the file", file_of("{}", b"", 3)),
    ("a header of 2^63 bytes", file_of("{}", b"", 1 << 63)),
    ("a header of 2^64-1 bytes", file_of("{}", b"", (1 << 64) - 1)),
    ("a header that ends within an entry", file_of(f'{{"a":{ROW}}}', DATA, 20)),
    ("a blank before it", file_of(" {}")),
    ("a list", file_of("[]")),
    ("a number", file_of("1")),
    ("null", file_of("null")),
    ("NULs", file_of(bytes(64))),
    ("not UTF-8", file_of(b'{"\xff":' + ROW.encode() + b"}", DATA)),
    ("overlong UTF-8", file_of(b'{"\xc0\x80":' + ROW.encode() + b"}", DATA)),
    ("UTF-16", file_of('{"a":1}'.encode("utf-16-le"))),
    ("a byte order mark", file_of(b"\xef\xbb\xbf{}")),
    ("something after it", file_of("{}{}")),
    ("a NUL after it", file_of("{}\0")),
    ("not closed", file_of(f'{{"a":{ROW}', DATA)),
    ("a comma at the end", file_of(f'{{"a":{ROW},}}', DATA)),
    ("no comma", file_of(f'{{"a":{ROW} "b":{ROW}}}', DATA)),
    ("no quotes", file_of(f"{{a:{ROW}}}", DATA)),
    ("single quotes", file_of(f"{{'a':{ROW}}}", DATA)),
    ("a control character in a name", file_of(f'{{"a\n":{ROW}}}', DATA)),
    ("a wrong escape", file_of(f'{{"\\x41":{ROW}}}', DATA)),
    ("half an escape", file_of('{"\\u00')),
    ("a name that is half a pair", file_of(f'{{"\\ud800":{ROW}}}', DATA)),
    ("the same name twice", file_of(f'{{"a":{ROW},"a":{ROW}}}', DATA)),
    ("the same name twice, once escaped", file_of(f'{{"a":{ROW},"\\u0061":{ROW}}}', DATA)),
    ("metadata twice", file_of('{"__metadata__":{},"__metadata__":{}}')),
    ("metadata of numbers", file_of('{"__metadata__":{"a":1}}')),
    ("metadata of objects", file_of('{"__metadata__":{"a":{}}}')),
    ("metadata null", file_of('{"__metadata__":null}')),
    ("a text as metadata", file_of('{"__metadata__":"a"}')),
    ("the same metadata twice", file_of('{"__metadata__":{"a":"1","a":"2"}}')),
    ("a tensor as metadata", file_of(f'{{"__metadata__":{ROW}}}', DATA)),
    ("an entry that is a number", file_of('{"a":1}')),
    ("an entry that is a list", file_of('{"a":[]}')),
    ("an entry that is null", file_of('{"a":null}')),
    ("an empty entry", file_of('{"a":{}}')),
    ("no dtype", file_of('{"a":{"shape":[4],"data_offsets":[0,4]}}', DATA)),
    ("no shape", file_of('{"a":{"dtype":"U8","data_offsets":[0,4]}}', DATA)),
    ("no offsets", file_of('{"a":{"dtype":"U8","shape":[4]}}', DATA)),
    ("dtype twice", file_of('{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', DATA)),
    ("a field more", file_of({"a": entry(more=1)}, DATA)),
    ("a dtype that there is not", file_of({"a": entry("F4")}, DATA)),
    ("a dtype in small letters", file_of({"a": entry("u8")}, DATA)),
    ("F8_E8M0", file_of({"a": entry("F8_E8M0")}, DATA)),
    ("a dtype that is a number", file_of({"a": entry(1)}, DATA)),
    ("a shape that is a number", file_of({"a": entry(shape=4)}, DATA)),
    ("a shape of texts", file_of({"a": entry(shape=["4"])}, DATA)),
    ("a shape of fractions", file_of('{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}', DATA)),
    ("a shape with an exponent", file_of('{"a":{"dtype":"U8","shape":[4e0],"data_offsets":[0,4]}}', DATA)),
    ("a shape with a zero before", file_of('{"a":{"dtype":"U8","shape":[04],"data_offsets":[0,4]}}', DATA)),
    ("a negative shape", file_of({"a": entry(shape=[-4])}, DATA)),
    ("two negative extents", file_of({"a": entry(shape=[-2, -2])}, DATA)),
    ("a shape of true", file_of({"a": entry(shape=[True, 4])}, DATA)),
    ("nine dimensions", file_of({"a": entry(shape=[1] * 8 + [4])}, DATA)),
    ("a million dimensions", file_of({"a": entry(shape=[1] * 1_000_000)}, DATA)),
    ("a shape that overflows to what is there", file_of({"a": entry(shape=[1 << 32, 1 << 32, 4])}, DATA)),
    ("a shape that overflows with the element", file_of({"a": entry("F64", [1 << 61], [0, 8])}, DATA * 2)),
    ("an extent of 2^64", file_of({"a": entry(shape=[1 << 64, 0], data_offsets=[0, 0])})),
    ("an extent of a thousand digits", file_of(f'{{"a":{{"dtype":"U8","shape":[{"9" * 1000}],"data_offsets":[0,4]}}}}', DATA)),
    ("no bytes of an overflowing shape", file_of({"a": entry(shape=[1 << 63, 1 << 63, 0], data_offsets=[0, 0])})),
    ("offsets past the end", file_of({"a": entry(shape=[8], data_offsets=[0, 8])}, DATA)),
    ("offsets far past the end", file_of({"a": entry(shape=[BIG], data_offsets=[0, BIG])}, DATA)),
    ("offsets turned around", file_of({"a": entry(data_offsets=[4, 0])}, DATA)),
    ("negative offsets", file_of({"a": entry(data_offsets=[-4, 0])}, DATA)),
    ("one offset", file_of({"a": entry(data_offsets=[4])}, DATA)),
    ("no offset", file_of({"a": entry(data_offsets=[])}, DATA)),
    ("three offsets", file_of({"a": entry(data_offsets=[0, 4, 4])}, DATA)),
    ("offsets of the wrong size", file_of({"a": entry("U16")}, DATA)),
    ("offsets of too few bytes", file_of({"a": entry(data_offsets=[0, 3])}, DATA)),
    ("data of nobody at the end", file_of({"a": entry()}, DATA + b"e")),
    ("data of nobody at all", file_of("{}", DATA)),
    ("data of nobody before", file_of({"a": entry(data_offsets=[1, 5])}, DATA + b"e")),
    ("a gap", file_of({"a": entry(), "b": entry(data_offsets=[5, 9])}, DATA * 2 + b"e")),
    ("two in the same place", file_of({"a": entry(), "b": entry()}, DATA)),
    ("one half over another", file_of({"a": entry(), "b": entry(data_offsets=[2, 6])}, DATA + b"ef")),
    ("one within another", file_of({"a": entry(), "b": entry(shape=[1], data_offsets=[1, 2])}, DATA)),
    ("an empty one outside", file_of({"a": entry(), "b": entry(shape=[0], data_offsets=[9, 9])}, DATA)),
    ("an empty one within another", file_of({"a": entry(), "b": entry(shape=[0], data_offsets=[2, 2])}, DATA)),
    ("a bool that is 2", file_of({"a": entry("BOOL")}, b"\0\1\2\1")),
    ("lists a hundred thousand deep", file_of('{"a":' + "[" * 100_000)),
    ("objects a hundred thousand deep", file_of('{"a":' * 100_000)),
    ("a deep shape", file_of('{"a":{"dtype":"U8","shape":' + "[" * 100_000)),
    ("a deep field that is unknown", file_of('{"a":{"x":' + '{"x":' * 100_000)),
    ("NaN", file_of('{"a":NaN}')),
    ("a pickle", b"\x80\x04\x95" + bytes(100)),
]


class Hostile(FileTest):
    def setUp(self) -> None:
        super().setUp()
        self.db.tensor_set("new/a", b"what stands there")
        self.db.set("s", "v")

    def test_the_table(self) -> None:
        self.assertGreater(len(HOSTILE), 80)
        for why, raw in HOSTILE:
            with self.subTest(why):
                self.assert_refused(raw, mlkv.ArgumentError)
                with limits(1):
                    self.assert_refused(raw, mlkv.ArgumentError)
        self.db.import_safetensors(self.write(file_of(f'{{"a":{ROW}}}', DATA)), "new/")
        self.assertEqual(self.db.tensor_get("new/a", as_numpy=False).tobytes(), DATA)

    def test_the_tensor_and_the_dtype_are_named(self) -> None:
        with self.assertRaisesRegex(mlkv.errors.FormatError, "'odd'.*'F4'"):
            self.db.import_safetensors(self.write(file_of({"odd": entry("F4")}, DATA)))

    def test_over_a_hundred_megabytes(self) -> None:
        path = self.write((100_000_001).to_bytes(8, "little"))
        os.truncate(path, 200_000_000)
        with self.assertRaisesRegex(mlkv.errors.FormatError, "100000000 are the most"):
            self.db.import_safetensors(path)

    def test_what_is_no_file(self) -> None:
        os.mkfifo(f"{self.folder}/pipe")
        for path in (f"{self.folder}/pipe", "/dev/zero", self.folder):
            with self.assertRaises((mlkv.errors.FormatError, OSError)):
                self.db.import_safetensors(path)
        with self.assertRaises(FileNotFoundError):
            self.db.import_safetensors(f"{self.folder}/absent")
        with self.assertRaises(FileNotFoundError):
            self.db.export_safetensors(f"{self.folder}/absent/x", "new/")
        with self.assertRaises(OSError):
            self.db.export_safetensors(f"{self.folder}/store", "new/")
        with self.assertRaises(KeyError):
            self.db.export_safetensors(f"{self.folder}/x", "absent/")
        self.assertEqual(sorted(os.listdir(self.folder)), ["pipe", "store"])

    def test_keys_of_another_type(self) -> None:
        raw = by_hand({"a": ("U8", (4,), DATA), "s": ("U8", (4,), DATA)})
        self.db.set("new/s", "a string")
        for together in (0, 100):
            with limits(together):
                self.assert_refused(raw, mlkv.WrongTypeError)

    def test_what_cannot_be_exported(self) -> None:
        path = self.write(b"stays", "out")
        self.db.tensor_set("c/x", bytes(16), dtype="c128", shape=(1,))
        self.db.tensor_set("m/__metadata__", b"x")
        self.db.tensor_set(b"b/\xff", b"x")
        for prefix in ("c/", "m/", "b/"):
            with self.assertRaises(mlkv.ArgumentError):
                self.db.export_safetensors(path, prefix)
        for metadata in ({"a": 1}, {1: "a"}, {"a": "\ud800"}):
            with self.assertRaises(mlkv.ArgumentError):
                self.db.export_safetensors(path, "new/", metadata)  # type: ignore[arg-type]
        self.assertEqual((self.read(path), sorted(os.listdir(self.folder))), (b"stays", ["out", "store"]))

    def test_a_failed_write_leaves_the_old_file(self) -> None:
        path = self.write(b"stays", "out")
        self.db.tensor_set("new/large", bytes(1 << 20))
        command = [sys.executable, "-c", FULL, self.path, path]
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(mlkv.__file__))}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, universal_newlines=True, check=False)
        self.assertEqual(done.stdout, "FullError\n")
        self.assertEqual((self.read(path), sorted(os.listdir(self.folder))), (b"stays", ["out", "store"]))

    def test_fuzz(self) -> None:
        """Whatever a header says: a clean error, and nothing has changed; or what an independent reader finds."""
        chance = random.Random(20)
        valid = by_hand({"a": ("F32", (2, 3), bytes(24)), "b": ("BOOL", (3,), b"\0\1\1"), "c": ("I16", (), b"ab")}, {"k": "v"})
        size = int.from_bytes(valid[:8], "little")
        header, data = valid[8 : 8 + size], valid[8 + size :]
        before = self.content()
        right = 0
        for _ in range(int(os.environ.get("MLKV_FUZZ_RUNS", "2000"))):
            changed = bytearray(header)
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                mutate(chance, changed)
            given = len(changed) if chance.random() < 0.9 else chance.choice((0, 1, size, size - 1, size + 1, 1 << 32, (1 << 64) - 1))
            path = self.write(file_of(bytes(changed), data, given))
            try:
                names = self.db.import_safetensors(path, "fuzz/").names
            except mlkv.ArgumentError:
                self.assertEqual(self.db.keys(), sorted(before))
                continue
            right += 1
            found = read_back(self.read(path))[0]
            self.assertEqual({name.decode()[5:] for name in names}, set(found))
            for name, (dtype, shape, raw) in found.items():
                info = self.db.tensor_info(f"fuzz/{name}")
                assert info is not None
                self.assertEqual((info.dtype, info.shape), (NAMES[dtype], shape))
                self.assertEqual(self.db.tensor_get(f"fuzz/{name}", as_numpy=False).tobytes(), raw)
            self.db.delete(*names)
        self.assertGreater(right, 10)
        self.assertEqual(self.content(), before)


def mutate(chance: random.Random, text: bytearray) -> None:
    at = chance.randrange(len(text) + 1)
    kind = chance.randrange(6)
    if kind == 0 and at < len(text):
        text[at] = chance.randrange(256)
    elif kind == 1:
        del text[at : at + chance.choice((1, 1, 2, 9))]
    elif kind == 2:
        text[at:at] = chance.choice((b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b" ", b"\\", b"\0", b"\xff", b"1e9", b"null"))
    elif kind == 3:
        text[at:at] = text[chance.randrange(len(text) + 1) :][: chance.randrange(60)]
    elif kind == 4:
        digits = [index for index, byte in enumerate(text) if 48 <= byte < 58]
        if digits:
            text[chance.choice(digits)] = chance.randrange(48, 58)
    else:
        words = (b"F32", b"I16", b"BOOL", b"shape", b"a", b"b", b"k", b"F64", b"U16", b"__metadata__", b"\xc3\xa4")
        text[:] = text.replace(chance.choice(words), chance.choice(words), 1)


# A limit of a file's size stands for a disk that is full; a reader writes to nothing else.
FULL = """
import resource
import sys
import mlkv

db = mlkv.open(sys.argv[1], read_only=True, cache_bytes=8 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, resource.RLIM_INFINITY))
try:
    db.export_safetensors(sys.argv[2], "new/")
except mlkv.Error as error:
    print(type(error).__name__)
"""

CHILD = """
import sys
import mlkv
from mlkv import _transfer

_transfer.FILE_BLOCK_BYTES = int(sys.argv[2])
db = mlkv.open(sys.argv[1], ring_bytes=4 << 20, cache_bytes=8 << 20)
while True:
    for path in sys.argv[3:]:
        db.import_safetensors(path, "model/")
        print("imported", flush=True)
"""


class Killed(FileTest):
    """A process that imports two files in turn is killed; every reader finds one of them whole."""

    def model(self, view: Any) -> List[int]:
        """The values of all elements of all tensors."""
        return sorted({byte for name in "abc" for byte in view.tensor_get(f"model/{name}", as_numpy=False).tobytes()})

    def run_and_kill(self, rounds: int, block: int) -> None:
        files = []
        for value in (1, 2):
            made: Dict[str, Entry] = {name: ("U8", (100, 1000), bytes([value]) * 100_000) for name in "abc"}
            files.append(self.write(by_hand(made), f"{value}.safetensors"))
        self.db.import_safetensors(files[0], "model/")
        chance = random.Random(1)
        for _ in range(rounds):
            command = [sys.executable, "-c", CHILD, self.path, str(block), *files]
            environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(mlkv.__file__))}
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
                assert child.stdout is not None
                self.assertEqual(child.stdout.readline(), b"imported\n")
                for _ in range(10):
                    with self.db.snapshot() as view:
                        self.assertIn(self.model(view), ([1], [2]))
                time.sleep(chance.random() * 0.05)
                child.send_signal(signal.SIGKILL)
            self.assertEqual(child.returncode, -signal.SIGKILL)
            self.assertIn(self.model(self.db), ([1], [2]))
            self.assertEqual(self.db.verify().problems, ())
        with limits(block):
            self.db.import_safetensors(files[1], "model/")
        self.assertEqual(self.model(self.db), [2])
        self.assertEqual(self.db.keys(), [b"model/a", b"model/b", b"model/c"])

    def test_in_small_blocks(self) -> None:
        self.run_and_kill(4, 4096)

    def test_in_one_block(self) -> None:
        self.run_and_kill(2, 1 << 20)


class Views(FileTest):
    def test_in_a_transaction_and_a_snapshot(self) -> None:
        path = self.write(by_hand({"a": ("U8", (4,), DATA)}))
        out = f"{self.folder}/out"
        with self.db.snapshot() as old:
            with self.db.transaction() as t, limits(1):
                t.import_safetensors(path, "m/")
                t.export_safetensors(out, "m/")
                self.assertEqual(self.db.exists("m/a"), 0)
            self.assertEqual(read_back(self.read(out))[0], {"a": ("U8", (4,), DATA)})
            with self.assertRaises(KeyError):
                old.export_safetensors(out, "m/")
            with self.assertRaises(mlkv.ReadOnlyError):
                old.import_safetensors(path)
        with self.open(read_only=True) as reader:
            self.assertEqual(reader.export_safetensors(out, "m/").names, (b"m/a",))
            with self.assertRaises(mlkv.ReadOnlyError):
                reader.import_safetensors(path)
        with contextlib.suppress(ZeroDivisionError), self.db.transaction() as t:
            t.import_safetensors(path, "gone/")
            raise ZeroDivisionError
        self.assertEqual(self.db.keys(), [b"m/a"])

    def test_what_was_there_with_an_expiry_stays(self) -> None:
        path = self.write(by_hand({"a": ("U8", (4,), DATA)}))
        for together in (1, 100):
            self.db.tensor_set("a", b"efgh")
            self.db.expire("a", 1000)
            with limits(together):
                self.db.import_safetensors(path)
            self.assertEqual((self.db.ttl("a"), self.db.tensor_get("a", as_numpy=False).tobytes()), (-1, DATA))

    def test_in_memory(self) -> None:
        path = self.write(by_hand({"a": ("U8", (4,), DATA)}))
        with mlkv.open(**SMALL) as db, limits(1):
            db.import_safetensors(path)
            db.export_safetensors(f"{self.folder}/out")
        self.assertEqual(read_back(self.read(f"{self.folder}/out"))[0], {"a": ("U8", (4,), DATA)})


if __name__ == "__main__":
    unittest.main()

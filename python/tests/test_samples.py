import bz2
import gzip
import io
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import tarfile
import unittest
from typing import Any, Dict, List, Sequence
from unittest import mock

import mlkv
from mlkv import _samples
from mlkv._samples import Deal, Order
from support import StoreTest

FILES: Dict[bytes, bytes] = {
    b"top.txt": b"top", b"cat/1.jpg": b"\xff\xd8one", b"cat/2.jpg": bytes(range(256)) * 9, b"cat/empty": b"", b"dog/.hidden": b"h",
    b"dog/..x": b"two dots", b"dog/a b\n*?[": b"pattern", b"dog/\xff\xfe.wav": b"no text", "dög/ä.txt".encode(): b"utf", b"ids": b"ids",
    b"a/b/c/d/e": b"deep", b"a.b": b"beside a", b"n/" + b"x" * 255: b"long", (b"y" * 200 + b"/") * 5 + b"z": b"longer than a record's key",
}  # fmt: skip


GOLDEN = [[3, 5, 2, 6, 8, 0, 4, 7, 1, 9], [421895, 777230, 598064, 303504, 606932]]


def info(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, link
    return member


def tar_of(members: Sequence[Any], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Of (TarInfo, data)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data) if data is not None else None)
    return stream.getvalue()


def plain_tar(files: Dict[bytes, bytes], form: int = tarfile.PAX_FORMAT, start: str = "") -> bytes:
    return tar_of([(info(start + os.fsdecode(name), data), data) for name, data in files.items()], form)


class SampleTest(StoreTest):
    def write(self, files: Dict[bytes, bytes], name: str = "source") -> str:
        root = f"{self.folder}/{name}"
        for path, data in files.items():
            place = os.path.join(os.fsencode(root), path)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as file:
                file.write(data)
        return root

    def tar(self, raw: bytes, name: str = "x.tar") -> str:
        with open(f"{self.folder}/{name}", "wb") as file:
            file.write(raw)
        return f"{self.folder}/{name}"

    def stored(self, prefix: Any = b"s:") -> Dict[bytes, bytes]:
        samples = self.db.samples(prefix)
        return {sample.id: sample.data for sample in samples}


# The memory that an import takes beyond what the process had, in KiB.
MEASURED = """
import resource
import sys
import mlkv

db = mlkv.open(sys.argv[1], ring_bytes=4 << 20, cache_bytes=8 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = db.import_samples(sys.argv[2], "s:")
print(done.added, done.bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class Import(SampleTest):
    def test_a_folder(self) -> None:
        root = self.write(FILES)
        os.symlink("/etc", f"{root}/link")
        os.symlink("cat/1.jpg", f"{root}/cat/link.jpg")
        os.mkfifo(f"{root}/pipe")
        os.mkdir(f"{root}/nothing")
        size = sum(map(len, FILES.values()))
        self.assertEqual(self.db.import_samples(root, prefix="s:"), mlkv.Imported(len(FILES), 0, 0, 3, size))
        self.assertEqual(self.stored(), FILES)
        self.assertEqual(self.db.smembers("s:/ids"), set(FILES))
        self.assertEqual(self.db.get("s:ids"), b"ids")
        self.assertEqual(self.db.dbsize(), len(FILES) + 1)
        self.assertTrue(self.db.verify().ok)

    def test_again_writes_what_differs(self) -> None:
        root = self.write(FILES)
        self.db.import_samples(root, prefix="s:")
        with mock.patch.object(mlkv.Client, "_atomic", side_effect=AssertionError("a transaction for nothing")):
            again = self.db.import_samples(os.fsencode(root), prefix=b"s:")
        self.assertEqual(again[:3], (0, 0, len(FILES)))
        self.write({b"cat/1.jpg": b"other", b"new": b"new"})
        os.unlink(f"{root}/top.txt")
        self.db.delete("s:cat/2.jpg")
        self.db.srem("s:/ids", "a.b")
        self.assertEqual(self.db.import_samples(root, "s:")[:3], (3, 1, len(FILES) - 4))
        self.assertEqual(self.stored(), {**FILES, b"cat/1.jpg": b"other", b"new": b"new"})

    def test_tars(self) -> None:
        forms = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
        packers = (bytes, gzip.compress, bz2.compress, lzma.compress)
        for number, (form, pack, start) in enumerate((form, pack, start) for form in forms for pack in packers for start in ("", "./")):
            path = self.tar(pack(plain_tar(FILES, form, start)))
            done = self.db.import_samples(path, f"{number}:")
            self.assertEqual(done[:4], (len(FILES), 0, 0, 0))
            self.assertEqual(self.stored(f"{number}:"), FILES)
        self.assertEqual(self.db.import_samples(self.tar(plain_tar({})), "none:"), mlkv.Imported(0, 0, 0, 0, 0))
        root = self.write(FILES)
        with tarfile.open(f"{self.folder}/y.tar", "w") as tar:
            tar.add(root, arcname=".")
        self.assertEqual(self.db.import_samples(f"{self.folder}/y.tar", "0:")[:3], (0, 0, len(FILES)))

    def test_batches(self) -> None:
        files = {b"%03d" % number: os.urandom(number) for number in range(300)}
        root, path = self.write(files), self.tar(plain_tar(files))
        for count, size in ((1, 1 << 20), (7, 1 << 20), (1000, 1000), (1000, 1), (1000, 1 << 20)):
            with mock.patch.multiple(_samples, BATCH_COUNT=count, BATCH_BYTES=size):
                for source in (root, path):
                    self.db.flushdb()
                    self.assertEqual(self.db.import_samples(source, "s:")[:3], (300, 0, 0))
                    self.assertEqual(self.stored(), files)

    def test_a_tar_is_never_in_memory(self) -> None:
        path, data = f"{self.folder}/x.tar.gz", bytes(2 << 20)
        with gzip.open(path, "wb", compresslevel=1) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
            for number in range(150):
                tar.addfile(info(f"{number}", data), io.BytesIO(data))
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(mlkv.__file__))}
        command = [sys.executable, "-c", MEASURED, self.path, path]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        added, size, grown = map(int, done.stdout.split())
        self.assertEqual((added, size), (150, 300 << 20))
        self.assertLess(grown, 150 << 10)

    def test_a_name_twice(self) -> None:
        members = [(info(name, data), data) for name, data in (("a", b"1"), ("b", b"2"), ("./a", b"3"), ("b//", b"x"), ("a", b"4"))]
        self.db.import_samples(self.tar(tar_of(members[:3] + members[4:])), "s:")
        self.assertEqual(self.stored(), {b"a": b"4", b"b": b"2"})

    def test_hostile_tars(self) -> None:
        good = (info("good", b"g"), b"g")
        nul = info("n")
        nul.pax_headers = {"path": "a\0b"}
        negative = info("n")
        negative.pax_headers = {"size": "-1024"}
        huge = info("n")
        huge.pax_headers = {"size": str(1 << 60)}
        sparse = info("n", b"x" * 512)
        sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 60)}
        members: List[Any] = [
            info("/etc/passwd"), info("../x"), info("a/../../x"), info("a/.."), info("."), info("./"), info("x" * 5000),
            info("l", kind=tarfile.SYMTYPE, link="/etc"), info("l", kind=tarfile.LNKTYPE, link="good"), info("c", kind=tarfile.CHRTYPE),
            info("b", kind=tarfile.BLKTYPE), info("p", kind=tarfile.FIFOTYPE), info("q", kind=b"Z"), info("../d", kind=tarfile.DIRTYPE),
            nul, negative, huge, sparse,
        ]  # fmt: skip
        for member in members:
            with self.subTest(name=member.name[:20], kind=member.type), self.assertRaises(mlkv.FormatError):
                self.db.import_samples(self.tar(tar_of([good, (member, None)])), "s:")
        self.assertLessEqual(self.db.dbsize(), 2)
        self.assertFalse(os.path.exists(f"{self.folder}/good"))

    def test_damaged_tars(self) -> None:
        raw = plain_tar({b"%d" % number: b"x" * 700 for number in range(4)}, tarfile.GNU_FORMAT)
        end = 4 * (512 + 1024)
        bad = [b"", b"no tar", b"\0" * 100, raw[:end], *(raw[:size] for size in range(1, end, 301))]
        bad += [raw[: at + 3] + b"#" + raw[at + 4 :] for at in range(0, end, 1536)]
        bad += [gzip.compress(raw)[:-12], bz2.compress(raw)[:-9], lzma.compress(raw)[:60]]
        packed = gzip.compress(raw)
        bad.append(packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:])  # its checksum
        huge_header = info("n", kind=tarfile.XHDTYPE)
        huge_header.size = 1 << 40
        bad.append(huge_header.tobuf(tarfile.GNU_FORMAT) + raw)
        bad.append(b"".join(info("n", kind=tarfile.XHDTYPE).tobuf() for _ in range(5000)) + raw)
        for number, data in enumerate(bad):
            with self.subTest(number), self.assertRaises(mlkv.FormatError):
                self.db.import_samples(self.tar(data), "s:")
        generator = random.Random(5)
        for _ in range(150):
            data = bytearray(raw)
            for _ in range(generator.randrange(1, 6)):
                data[generator.randrange(end)] = generator.randrange(256)
            try:
                self.db.import_samples(self.tar(bytes(data)), "s:")
            except mlkv.FormatError:
                pass
        self.assertTrue(self.db.verify().ok)

    def test_what_is_no_source(self) -> None:
        os.mkfifo(f"{self.folder}/fifo")
        wrong = mlkv.FormatError
        for source, error in ((f"{self.folder}/fifo", wrong), (f"{self.folder}/absent", OSError), ("/dev/null", wrong)):
            with self.assertRaises(error):
                self.db.import_samples(source, "s:")
        root = self.write({b"a": b"123"})
        with mock.patch.object(_samples, "SAMPLE_BYTES_MAX", 2), self.assertRaises(mlkv.FormatError):
            self.db.import_samples(root, "s:")
        self.db.hset("s:a", "f", 1)
        with self.assertRaises(mlkv.WrongTypeError):
            self.db.import_samples(root, "s:")
        with self.db.snapshot() as snapshot, self.assertRaises(mlkv.ReadOnlyError):
            snapshot.import_samples(root, "t:")
        self.assertEqual(self.db.keys(), [b"s:a"])

    def test_in_a_transaction(self) -> None:
        root = self.write(FILES)
        with self.assertRaises(ZeroDivisionError), self.db.transaction() as t:
            t.import_samples(root, "s:")
            self.assertEqual(len(t.samples("s:")), len(FILES))
            1 / 0
        self.assertEqual(self.db.dbsize(), 0)
        with self.db.transaction() as t:
            t.import_samples(root, "s:")
        self.assertEqual(self.stored(), FILES)

    def test_a_killed_import(self) -> None:
        files = {b"%d/%d" % (number % 7, number): b"%d" % number * 50 for number in range(400)}
        root, path = self.write(files), self.tar(plain_tar(files))
        for source, after in ((root, 1), (path, 3), (root, 6)):
            self.db.flushdb()
            self.kill_after(source, after)
            found = self.stored()
            self.assertGreaterEqual(len(found), 20 * after)
            self.assertLess(len(found), 400)
            self.assertEqual(self.db.dbsize(), len(found) + 1)  # nothing without its id
            self.assertLessEqual(found.items(), files.items())
            done = self.db.import_samples(source, "s:")
            self.assertEqual(done[:3], (400 - len(found), 0, len(found)))
            self.assertEqual(self.stored(), files)
        self.assertTrue(self.db.verify().ok)

    def kill_after(self, source: str, batches: int) -> None:
        """Kills an importing child some time within the batch that comes after so many; it waits at the end, so it never finishes."""
        incoming, outgoing = os.pipe()
        put = _samples._put

        def told(*arguments: Any) -> Any:
            result = put(*arguments)
            os.write(outgoing, b"x")
            if len(self.db.samples("s:")) >= 340:
                signal.pause()
            return result

        child = os.fork()
        if child == 0:
            try:
                with mock.patch.multiple(_samples, BATCH_COUNT=20, _put=told):
                    self.db.import_samples(source, "s:")
            finally:
                os._exit(1)
        os.close(outgoing)
        for _ in range(batches):
            self.assertEqual(os.read(incoming, 1), b"x")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(incoming)


class Reading(SampleTest):
    def setUp(self) -> None:
        super().setUp()
        self.db.import_samples(self.write(FILES), "s:")
        self.samples = self.db.samples("s:")

    def test_samples(self) -> None:
        samples = self.samples
        self.assertEqual(len(samples), len(FILES))
        self.assertEqual(list(samples.ids()), sorted(FILES))
        sample = samples.get("cat/1.jpg")
        self.assertEqual(sample, (b"cat/1.jpg", FILES[b"cat/1.jpg"], b"cat"))
        self.assertEqual((sample.name, sample.suffix, sample.size), (b"1.jpg", b".jpg", 5))
        self.assertEqual(samples.get(b"top.txt").label, b"")
        self.assertEqual(samples.get("cat/empty").data, b"")
        self.assertIsNone(samples.get("absent"))
        self.assertEqual([found and found.id for found in samples.get_many(["ids", "absent", b"a.b"])], [b"ids", None, b"a.b"])
        self.assertEqual(samples.get_many([]), [])
        self.assertEqual(samples.labels()[b"cat"], 3)
        self.assertEqual(sum(samples.labels().values()), len(FILES))
        self.assertEqual(samples[0].id, min(FILES))
        with self.assertRaises(IndexError):
            samples[len(FILES)]
        nothing = self.db.samples("absent:")
        self.assertEqual((len(nothing), list(nothing), nothing.labels(), list(nothing.shuffle())), (0, [], {}, []))

    def test_text(self) -> None:
        db = self.open(decode_responses=True, encoding_errors="surrogateescape")
        samples = db.samples("s:")
        self.assertEqual(samples.get("dög/ä.txt"), ("dög/ä.txt", b"utf", "dög"))
        self.assertEqual([os.fsencode(name) for name in samples.ids()], sorted(FILES))
        self.assertEqual({os.fsencode(sample.id): sample.data for sample in samples.shuffle(3)}, FILES)

    def test_delete(self) -> None:
        self.db.set("s:other", "no sample")
        self.assertEqual(self.samples.delete("cat/1.jpg", b"absent", "other", "a.b"), 2)
        self.assertEqual(self.samples.delete("other"), 0)
        self.assertEqual(self.samples.delete(), 0)
        self.assertEqual(len(self.samples), len(FILES) - 2)
        self.assertEqual(self.db.exists("s:cat/1.jpg", "s:a.b", "s:other"), 1)
        self.assertEqual(self.db.scard("s:/ids"), len(FILES) - 2)

    def test_what_others_write_meanwhile(self) -> None:
        first = self.samples.shuffle(1)
        other = self.db.samples("s:")
        order = [sample.id for sample in other.shuffle(1)]
        gone = order[7]
        other.delete(gone)
        self.db.sadd("s:/ids", "fresh")
        self.db.set("s:fresh", 1)
        self.assertEqual(len(self.samples), len(FILES))
        with self.assertRaisesRegex(KeyError, "deleted"):
            list(first)
        rest = [sample.id for sample in self.samples.shuffle(1, skip_deleted=True)]
        self.assertEqual(rest, [name for name in order if name != gone])
        state = self.samples.shuffle(1).state()
        self.samples.reload()
        self.assertEqual(len(self.samples), len(FILES))
        self.assertIn(b"fresh", self.samples.ids())
        with self.assertRaises(mlkv.ArgumentError):
            self.samples.resume(state)


class Shuffles(SampleTest):
    COUNTS = (0, 1, 2, 3, 7, 64, 255, 256, 257, 1000)

    def test_every_number_once(self) -> None:
        for count in (*self.COUNTS, 5000):
            for seed, epoch in ((0, 0), (0, 1), (-7, 3), (1 << 80, 2)):
                order = Order(count, seed, epoch)
                self.assertEqual(sorted(map(order, range(count))), list(range(count)))
                with self.assertRaises(IndexError):
                    order(count)

    def test_by_chance(self) -> None:
        orders = {tuple(map(Order(4, seed, epoch), range(4))) for seed in range(20) for epoch in range(10)}
        self.assertEqual(len(orders), 24)
        count, tries = 10, 600
        places = [[0] * count for _ in range(count)]
        for seed in range(tries):
            for position, number in enumerate(map(Order(count, seed, 5), range(count))):
                places[position][number] += 1
        for number in range(count):  # each expected 60 times, deviation 7
            for row in places:
                self.assertTrue(25 < row[number] < 95, places)
        order = Order(100_000, 1, 1)
        near = sum(abs(order(number + 1) - order(number)) < 1000 for number in range(2000))
        self.assertLess(near, 100)  # expected 40: neighbours do not stay neighbours
        self.assertTrue(0 <= Order(1 << 60, 1, 1)(12345) < 1 << 60)

    def test_the_order_stays_the_same_in_later_versions(self) -> None:
        self.assertEqual(list(map(Order(10, 1, 2), range(10))), GOLDEN[0])
        self.assertEqual([Order(1_000_003, 5, 0)(position) for position in range(5)], GOLDEN[1])

    def test_deals(self) -> None:
        for count in (0, 1, 5, 16, 33):
            for base in (0, 4, 40):
                for world in (1, 2, 3):
                    for workers in (1, 2, 5):
                        for block in (1, 3, 8):
                            self.deal(count, base, world, workers, block)
        for wrong in (dict(rank=1), dict(worker=-1), dict(world=0), dict(base=-1), dict(block=0)):
            with self.assertRaises(mlkv.ArgumentError):
                Deal(**{"count": 5, **wrong}).checked()

    def deal(self, count: int, base: int, world: int, workers: int, block: int) -> None:
        every: List[int] = []
        for even in (False, True):
            ranks = []
            for rank in range(world):
                hands = []
                for worker in range(workers):
                    hand = Deal(count, base, rank, world, worker, workers, block, even).checked()
                    hands.append([hand.position(number) for number in range(hand.total)])
                ranks.append(sorted(sum(hands, [])))
                # As DataLoader takes them: a batch from each worker in turn, which is the rank's order for any number of workers.
                batches = [[hand[at : at + block] for at in range(0, len(hand), block)] for hand in hands]
                taken = [batch for turn in range(count + 1) for hand in batches for batch in hand[turn : turn + 1]]
                self.assertEqual(sum(taken, []), ranks[-1])
            every = sorted(sum(ranks, []))
            if even:
                self.assertEqual(len(set(map(len, ranks))), 1)
                self.assertEqual(every, list(range(base, base + len(every))))
                self.assertLess(max(0, count - base) - len(every), world)
            else:
                self.assertEqual(every, list(range(base, count)))

    def fill(self, count: int) -> Any:
        if count:
            self.db.mset({f"s{count}:{number}": number for number in range(count)})
            self.db.sadd(f"s{count}:/ids", *range(count))
        return self.db.samples(f"s{count}:")

    def test_over_workers(self) -> None:
        for count in self.COUNTS[:-1]:
            samples = self.fill(count)
            whole = [sample.id for sample in samples.shuffle(3, 1)]
            self.assertEqual(sorted(whole), list(samples.ids()))
            self.assertEqual([sample.id for sample in self.db.samples(f"s{count}:").shuffle(3, 1)], whole)
            if count > 5:
                self.assertNotEqual([sample.id for sample in samples.shuffle(3, 2)], whole)
                self.assertNotEqual([sample.id for sample in samples.shuffle(4, 1)], whole)
            for workers in (1, 2, 3, 10):
                parts = [[sample.id for sample in samples.shuffle(3, 1, worker, workers)] for worker in range(workers)]
                self.assertEqual([name for at in range(count) for name in parts[at % workers][at // workers : at // workers + 1]], whole)
                self.assertEqual(sum(map(len, parts)), count)

    def test_resume_at_any_position(self) -> None:
        samples = self.fill(64)
        for worker, workers in ((0, 1), (1, 3)):
            whole = list(samples.shuffle(9, 4, worker, workers))
            run = samples.shuffle(9, 4, worker, workers)
            for position in range(len(whole) + 1):
                self.assertEqual((run.position, len(run)), (position, len(whole) - position))
                state = json.loads(json.dumps(run.state()))
                self.assertEqual(list(samples.resume(state, prefetch=1 + position % 9)), whole[position:])
                self.assertEqual(list(samples.shuffle(9, 4, worker, workers, position)), whole[position:])
                self.assertEqual(next(run, None), whole[position] if position < len(whole) else None)
        self.assertEqual(list(samples.shuffle(position=1000)), [])
        for wrong in ({}, {**state, "version": 2}, {**state, "seed": "x"}, {**state, "count": 3}, {**state, "ids": ""}):
            with self.assertRaises(mlkv.ArgumentError):
                samples.resume(wrong)
        for arguments in (dict(worker=1), dict(workers=0), dict(position=-1), dict(prefetch=0)):
            with self.assertRaises(mlkv.ArgumentError):
                samples.shuffle(**arguments)

    def test_asks_for_many_at_once(self) -> None:
        samples = self.fill(1000)
        asked: List[int] = []
        real = samples._read

        def read(ids: List[bytes]) -> Any:
            asked.append(len(ids))
            return real(ids)

        with mock.patch.object(samples, "_read", read):
            self.assertEqual(len(list(samples.shuffle(prefetch=100))), 1000)
            self.assertEqual((max(asked), sum(asked)), (100, 1000))
            self.assertLess(len(asked), 20)
            asked.clear()
            with mock.patch.object(_samples, "BATCH_BYTES", 10):
                list(samples.shuffle())
            self.assertLessEqual(max(asked), 5)



if __name__ == "__main__":
    unittest.main()

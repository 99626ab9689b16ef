"""Samples: the files of a folder or a tar as keys of a store, and the seeded, resumable order in which a training run reads them.

Layout. A sample's id is its path within the source, as bytes ("cat/1.jpg"): no empty part, no "." or "..", no slash at either end.

    PREFIX + id        a string: the file's bytes
    PREFIX + "/ids"    a set: the ids. No sample can have this key, because no id begins with a slash.

Name, suffix and label (the folder) are parts of the id, and the size is the string's; so there is nothing that could disagree.

Import. Files come one by one from a generator and go in by batches of BATCH_COUNT or BATCH_BYTES. A batch is compared with what is stored,
and what differs is written in one transaction with its ids. So whenever the process is killed, every id of the set has its sample, nothing
else of the import is there, and importing again goes on. Nothing of a tar is ever extracted: a hostile name can only be a key, and is
refused before. tarfile takes a damaged header in the middle for the end of the file; _Member does not let it.

Order. Position p of an epoch is the sample number Order(p): a permutation computed from (count, seed, epoch) alone, Feistel's rounds
over the next power of two, walked until the number falls below the count. It needs no memory, so any position is found at once, and workers
deal the positions among themselves (Deal) without talking. The ids are sorted, in memory once, and have a fingerprint, by which a state
that was saved of other ids is refused.
"""

from __future__ import annotations

import bz2
import ctypes
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zlib
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ._keys import SCAN_SET
from ._library import Slice, library
from ._transfer import PathLike, Source, TransferView, kind_of
from ._values import Slices, Value
from ._view import ABSENT, check
from .errors import ArgumentError, FileError, FormatError, WrongTypeError

BATCH_COUNT = 1000
BATCH_BYTES = 16 << 20
SAMPLE_BYTES_MAX = 512 << 20  # Redis's limit of a string; a tar can name any size
_NAME_BYTES_MAX = 4096
_HEADER_BYTES_MAX = 1 << 20  # of a name or extended header, which tarfile reads into memory whole
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KINDS = {
    tarfile.LNKTYPE: "a hard link", tarfile.SYMTYPE: "a symbolic link", tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}  # fmt: skip
_PACKED: Dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_WORD = (1 << 64) - 1
_BITS_MIN = 8  # of fewer bits the rounds would not reach every order


class Imported(NamedTuple):
    """What import_samples did."""

    added: int
    changed: int
    unchanged: int
    skipped: int
    """Links, devices and pipes in a folder."""
    bytes: int
    """Of all files that were read."""


class Sample(NamedTuple):
    """One sample. Its data are bytes always; id and label as the client gives keys (bytes, or str with decode_responses)."""

    id: Any
    data: bytes
    label: Any
    """The folder in which the file was; empty for one at the top."""

    @property
    def name(self) -> Any:
        """The file's name, without its folder."""
        return os.path.basename(self.id)

    @property
    def suffix(self) -> Any:
        """".jpg"; empty if there is none."""
        return os.path.splitext(self.id)[1]

    @property
    def size(self) -> int:
        return len(self.data)


_File = Tuple[bytes, Optional[bytes]]  # id, data; None: was skipped


# --- what is imported ---


def _folder_files(source: str) -> Iterator[_File]:
    """Depth first, each folder in the order of its names' bytes."""
    root = os.fsencode(source)
    waiting: List[Tuple[bytes, bool]] = [(b"", True)]
    while waiting:
        place, is_folder = waiting.pop()
        if is_folder:
            with os.scandir(os.path.join(root, place)) as entries:
                found = [(os.path.join(place, entry.name), entry.is_dir(follow_symlinks=False), _is_file(entry)) for entry in entries]
            for path, is_folder, is_file in sorted(found, reverse=True):
                if is_folder or is_file:
                    waiting.append((path, is_folder))
                else:
                    yield path, None
        else:
            yield place, _read_file(os.path.join(root, place))


def _is_file(entry: "os.DirEntry[bytes]") -> bool:
    return entry.is_file(follow_symlinks=False)


def _read_file(path: bytes) -> bytes:
    """Neither a link nor a pipe that took the file's place meanwhile is followed or waited for."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(file, "rb") as stream:
        was = os.fstat(file)
        if not stat.S_ISREG(was.st_mode):
            raise FileError(f"{os.fsdecode(path)} was replaced while the folder was imported")
        if was.st_size > SAMPLE_BYTES_MAX:
            raise FormatError(f"{os.fsdecode(path)} has {was.st_size} bytes, and {SAMPLE_BYTES_MAX} are the most of a sample")
        data = stream.read(was.st_size + 1)
        if len(data) != was.st_size:
            raise FileError(f"{os.fsdecode(path)} was changed while it was read")
        return data


class _Member(tarfile.TarInfo):
    """A header that must be right, and small, before tarfile goes by it."""

    @classmethod
    def frombuf(cls: Any, buf: bytes, encoding: str, errors: str) -> Any:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # a block of zeros: the end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it is damaged or cut: {error}") from None
        if member.size < 0:
            raise tarfile.ReadError(f"a member has {member.size} bytes")
        if member.type in _EXTENDED and member.size > _HEADER_BYTES_MAX:
            raise tarfile.ReadError(f"an extended header has {member.size} bytes, and {_HEADER_BYTES_MAX} are the most")
        return member


def _tar_files(source: Source) -> Iterator[_File]:
    """In the file's order, read once from its beginning to its end."""
    try:
        with _unpacked(source) as stream, tarfile.open(
            fileobj=stream, mode="r|", tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
        ) as tar:
            while True:
                member = tar.next()
                if member is None:
                    break
                tar.members = []  # type: ignore[attr-defined]  # else it holds all of them
                name = _member_id(source, member)
                if member.type != tarfile.DIRTYPE:
                    yield name, _read_member(source, tar, member)
            while stream.read(1 << 16):  # to the checksum, which stands at the end
                pass
    except OSError as error:
        if error.errno is not None:
            raise
        raise source.error(f"is no tar file that can be read: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise source.error(f"is no tar file that can be read: {error}") from None


def _unpacked(source: Source) -> Any:
    """By gzip, bz2 and lzma themselves, which check what tarfile's own streams pass over."""
    magic = bytes(source.read(0, min(6, source.size)))
    opener = next((opener for start, opener in _PACKED.items() if magic.startswith(start)), None)
    stream = open(source.file, "rb", closefd=False)
    return stream if opener is None else opener(stream, "rb")


def _member_id(source: Source, member: tarfile.TarInfo) -> bytes:
    """The name without "./" and doubled slashes, which tar programs write."""
    name = member.name.encode("utf-8", "surrogateescape")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts or b"\0" in name or len(name) > _NAME_BYTES_MAX:
        raise source.error(f"has a member {name[:200]!r}; names are relative, without '..', of up to {_NAME_BYTES_MAX} bytes")
    if member.type == tarfile.DIRTYPE:
        return name
    if member.type not in _FILES or member.issparse():
        kind = "a sparse file" if member.issparse() else _KINDS.get(member.type, f"of the type {member.type!r}")
        raise source.error(f"its member {name!r} is {kind}; only files and folders are imported")
    if not parts:
        raise source.error(f"has a member {name!r}, which is no name")
    return b"/".join(parts)


def _read_member(source: Source, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not 0 <= member.size <= SAMPLE_BYTES_MAX:
        raise source.error(f"its member {member.name!r} has {member.size} bytes, and {SAMPLE_BYTES_MAX} are the most of a sample")
    stream = tar.extractfile(member)
    data = b"" if stream is None else stream.read()
    if len(data) != member.size:
        raise source.error(f"ends within its member {member.name!r}")
    return data


# --- into the store ---


def _get_many(view: Any, keys: List[bytes]) -> List[Optional[bytes]]:
    """mget that never decodes."""
    rows = view._pool.take_rows()
    check(library.mlkv_string_get_many(view._handle, Slices(keys), len(keys), rows))
    found: List[Optional[bytes]] = view._pool.give_rows(rows)
    return found


def _are_members(view: Any, key: bytes, ids: List[bytes]) -> List[int]:
    present = (ctypes.c_uint8 * len(ids))()
    check(library.mlkv_set_contains(view._handle, Slice(key, len(key)), Slices(ids), len(ids), present))
    return list(present)


def _put(view: Any, prefix: bytes, batch: Mapping[bytes, bytes]) -> Tuple[int, int, int]:
    """(added, changed, unchanged). The writer lock is held only if there is something to write, and not while it is compared."""
    ids = list(batch)
    old = _get_many(view, [prefix + name for name in ids])
    members = _are_members(view, prefix + IDS, ids)
    fresh = [name for name, value, member in zip(ids, old, members) if value is None or not member]
    altered = [name for name, value, member in zip(ids, old, members) if value is not None and member and value != batch[name]]
    if not fresh and not altered:
        return 0, 0, len(ids)
    with view._atomic() as transaction:
        for name in (*fresh, *altered):
            kind = kind_of(transaction, prefix + name)
            if kind not in ("none", "string"):
                raise WrongTypeError(f"the key {prefix + name!r} holds a {kind}, not a sample")
        pairs = [part for name in (*fresh, *altered) for part in (prefix + name, batch[name])]
        check(library.mlkv_string_set_many(transaction._handle, Slices(pairs), len(pairs) // 2))
        transaction.sadd(prefix + IDS, *fresh, *altered)
    return len(fresh), len(altered), len(ids) - len(fresh) - len(altered)


def _import(view: Any, prefix: bytes, files: Iterator[_File]) -> Imported:
    totals = [0, 0, 0]
    batch: Dict[bytes, bytes] = {}
    held = skipped = size = 0

    def put() -> None:
        nonlocal held
        for number, count in enumerate(_put(view, prefix, batch)):
            totals[number] += count
        batch.clear()
        held = 0

    for name, data in files:
        if data is None:
            skipped += 1
            continue
        # A tar may have a name twice: the later one counts.
        if batch and (name in batch or len(batch) >= BATCH_COUNT or held + len(data) > BATCH_BYTES):
            put()
        batch[name] = data
        held += len(data)
        size += len(data)
    if batch:
        put()
    return Imported(*totals, skipped, size)


# --- the order ---


class Order:
    """A permutation of range(count) that is computed, not stored. The same for the same (count, seed, epoch), in every version."""

    __slots__ = ("count", "_keys", "_shift", "_left", "_right")

    def __init__(self, count: int, seed: int, epoch: int) -> None:
        bits = max(_BITS_MIN, (count - 1).bit_length())
        self.count = count
        self._shift = bits // 2
        self._right = (1 << self._shift) - 1
        self._left = (1 << (bits - self._shift)) - 1
        digest = hashlib.blake2b(f"mlkv order 1 {int(seed)} {int(epoch)}".encode()).digest()
        words = [int.from_bytes(digest[at : at + 8], "little") for at in range(0, 64, 8)]
        self._keys = list(zip(words[0::2], words[1::2]))

    def __call__(self, position: int) -> int:
        if not 0 <= position < self.count:
            raise IndexError(position)
        shift, left_mask, right_mask = self._shift, self._left, self._right
        while True:
            left, right = position >> shift, position & right_mask
            for first, second in self._keys:
                # Two half rounds, each with the mixer of splitmix64, written out: calls would cost as much again.
                word = (right + first) * 0x9E3779B97F4A7C15 & _WORD
                left ^= ((word ^ word >> 29) * 0xBF58476D1CE4E5B9 & _WORD) >> 32 & left_mask
                word = (left + second) * 0x9E3779B97F4A7C15 & _WORD
                right ^= ((word ^ word >> 29) * 0xBF58476D1CE4E5B9 & _WORD) >> 32 & right_mask
            position = left << shift | right
            if position < self.count:
                return position


class Deal(NamedTuple):
    """Which positions one worker has. The positions from base on go to the ranks in turn, one each; those of a rank to its workers in
    turn, a block each. even: all ranks have the same number, and what is left over (fewer than world) is left out."""

    count: int
    base: int = 0
    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1
    block: int = 1
    even: bool = False

    def checked(self) -> "Deal":
        for what, number, end in (("rank", self.rank, self.world), ("worker", self.worker, self.workers)):
            if not 0 <= number < end:
                raise ArgumentError(f"{what} is {number} of {end}; it is 0 or more, and less than their number")
        if self.base < 0 or self.block < 1:
            raise ArgumentError(f"a position is 0 or more, and a batch has 1 or more samples, not {self.base} and {self.block}")
        return self

    @property
    def rank_total(self) -> int:
        rest = max(0, self.count - self.base)
        return rest // self.world if self.even else max(0, rest - self.rank + self.world - 1) // self.world

    @property
    def total(self) -> int:
        """How many samples this worker has."""
        whole, rest = divmod(self.rank_total, self.block)
        mine, more = divmod(whole, self.workers)
        return (mine + (self.worker < more)) * self.block + (rest if self.worker == more else 0)

    def position(self, number: int) -> int:
        """Where in the order the worker's sample of this number is."""
        turn, within = divmod(number, self.block)
        return self.base + self.rank + self.world * ((turn * self.workers + self.worker) * self.block + within)


class Shuffle(Iterator[Sample]):
    """An iterator over one worker's samples of one epoch. position counts those that it gave (or skipped), so another one made with this
    position gives exactly the rest."""

    def __init__(
        self, samples: "Samples", order: Callable[[int], int], deal: Deal, seed: int, epoch: int, position: int, prefetch: int, skip: bool
    ) -> None:
        if position < 0 or prefetch < 1:
            raise ArgumentError(f"position is 0 or more and prefetch 1 or more, not {position} and {prefetch}")
        self.position = position
        self.seed, self.epoch = seed, epoch
        self._samples, self._order, self._deal = samples, order, deal.checked()
        self._total = deal.total
        self._prefetch, self._skip = prefetch, skip
        self._asked = 1  # for how many samples the store is asked at once: grows up to prefetch while they are small
        self._ready: List[Optional[Sample]] = []  # last first

    def __len__(self) -> int:
        """How many samples are left."""
        return max(0, self._total - self.position)

    def __next__(self) -> Sample:
        while self.position < self._total:
            if not self._ready:
                self._fetch()
            sample = self._ready.pop()
            self.position += 1
            if sample is not None:
                return sample
        raise StopIteration

    def _fetch(self) -> None:
        numbers = range(self.position, min(self._total, self.position + self._asked))
        ids = self._samples._numbered([self._order(self._deal.position(number)) for number in numbers])
        found = self._samples._read(ids)
        if not self._skip and None in found:
            raise KeyError(f"the sample {ids[found.index(None)]!r} was deleted since the ids were read")
        size = sum(sample.size for sample in found if sample is not None)
        if 2 * size <= BATCH_BYTES:
            self._asked = min(2 * self._asked, self._prefetch)
        elif size > BATCH_BYTES:
            self._asked = max(1, self._asked // 2)
        self._ready = found[::-1]

    def state(self) -> Dict[str, Any]:
        """For Samples.resume: plain numbers and texts."""
        deal = self._deal
        return dict(
            version=1, seed=self.seed, epoch=self.epoch, worker=deal.rank, workers=deal.world, position=self.position,
            **self._samples.fingerprint(),
        )  # fmt: skip


# --- what is imported, as one object ---


class Samples:
    """The samples under a prefix. Made by samples() of a client, snapshot or transaction. The ids are read when first needed, sorted, and
    kept until reload(), so that numbers and orders stay as they are while other processes write."""

    def __init__(self, view: Any, prefix: Value = b"") -> None:
        self._view = view
        self.prefix: bytes = view._codec.encode(prefix)
        self.ids_key: bytes = self.prefix + IDS
        self._ids: Optional[Tuple[bytes, ...]] = None
        self._digest: Optional[str] = None

    def __repr__(self) -> str:
        return f"mlkv.Samples({self.prefix!r})"

    def reload(self) -> None:
        """The ids are read again."""
        self._ids = self._digest = None

    def _names(self) -> Tuple[bytes, ...]:
        if self._ids is None:
            with self._view._frozen() as view:
                self._ids = tuple(sorted(name for name, _ in view._scan_iter(SCAN_SET, self.ids_key, None, None)))
        return self._ids

    def __len__(self) -> int:
        return len(self._names())

    def __bool__(self) -> bool:
        return True

    def ids(self) -> Sequence[Any]:
        """All ids, sorted by their bytes."""
        names = self._names()
        return tuple(map(self._view._codec.decode, names)) if self._view._codec.decode_responses else names

    def labels(self) -> Dict[Any, int]:
        """Each folder that has samples, with their number, sorted."""
        counts: Dict[bytes, int] = {}
        for name in self._names():
            label = os.path.dirname(name)
            counts[label] = counts.get(label, 0) + 1
        return {self._view._codec.decode(label): counts[label] for label in sorted(counts)}

    def fingerprint(self) -> Dict[str, Any]:
        """{"count": ..., "ids": ...}: the same for the same ids."""
        if self._digest is None:
            digest = hashlib.blake2b(digest_size=16)
            for name in self._names():
                digest.update(len(name).to_bytes(4, "little") + name)
            self._digest = digest.hexdigest()
        return {"count": len(self), "ids": self._digest}

    def must_be(self, state: Mapping[str, Any]) -> None:
        """ArgumentError unless the ids are those of which the state was saved."""
        mine = self.fingerprint()
        if any(state.get(name) != mine[name] for name in mine):
            raise ArgumentError(f"the state is of {state.get('count')} samples, and the {len(self)} under {self.prefix!r} are not the same")

    def _numbered(self, numbers: Sequence[int]) -> List[bytes]:
        names = self._names()
        return [names[number] for number in numbers]

    def _read(self, ids: List[bytes]) -> List[Optional[Sample]]:
        """As of one moment; None for what is not there."""
        decode = self._view._codec.decode
        return [
            None if data is None else Sample(decode(name), data, decode(os.path.dirname(name)))
            for name, data in zip(ids, _get_many(self._view, [self.prefix + name for name in ids]))
        ]

    def get(self, id: Value) -> Optional[Sample]:
        """The sample, or None."""
        return self.get_many([id])[0]

    def get_many(self, ids: Sequence[Value]) -> List[Optional[Sample]]:
        """The samples, as of one moment; None for an absent one."""
        encode = self._view._codec.encode
        names = [encode(name) for name in ids]
        return self._read(names) if names else []

    def __getitem__(self, number: int) -> Sample:
        """The sample of this number among the sorted ids."""
        names = self._numbered([number])
        sample = self._read(names)[0]
        if sample is None:
            raise KeyError(f"the sample {names[0]!r} was deleted since the ids were read")
        return sample

    def delete(self, *ids: Value) -> int:
        """Deletes samples, all at once with their ids; how many there were."""
        if not ids:
            return 0
        names = [self._view._codec.encode(name) for name in ids]
        with self._view._atomic() as transaction:
            # Only what the set names is a sample: under the prefix there may be other keys.
            members = [name for name, member in zip(names, _are_members(transaction, self.ids_key, names)) if member]
            if members:
                transaction.delete(*(self.prefix + name for name in members))
                count: int = transaction.srem(self.ids_key, *members)
        self.reload()
        return count if members else 0

    def shuffle(
        self, seed: int = 0, epoch: int = 0, worker: int = 0, workers: int = 1, position: int = 0,
        *, prefetch: int = 64, skip_deleted: bool = False
    ) -> Shuffle:
        """All samples once in an order by chance that only the ids, the seed and the epoch decide; with workers, each sample at exactly one
        of them. position: how many of this worker's samples are left out at the beginning, because they were had before. prefetch: for
        how many samples the store is asked at once (fewer if they are large). A sample that was deleted since the ids were read raises
        KeyError, or is passed over."""
        deal = Deal(len(self), 0, worker, workers)
        return Shuffle(self, Order(len(self), seed, epoch), deal, seed, epoch, position, prefetch, skip_deleted)

    def resume(self, state: Mapping[str, Any], *, prefetch: int = 64, skip_deleted: bool = False) -> Shuffle:
        """The rest of a shuffle, from its state(). ArgumentError if the ids are not the same any more."""
        names = ("seed", "epoch", "worker", "workers", "position")
        if state.get("version") != 1 or any(type(state.get(name)) is not int for name in names):
            raise ArgumentError("this is no state of a shuffle")
        self.must_be(state)
        return self.shuffle(*(state[name] for name in names), prefetch=prefetch, skip_deleted=skip_deleted)

    def __iter__(self) -> Iterator[Sample]:
        """In the order of the ids."""
        yield from Shuffle(self, int, Deal(len(self)), 0, 0, 0, 64, False)  # int: each position is its own number


IDS = b"/ids"


class SampleCommands(TransferView):
    def import_samples(self, source: PathLike, prefix: Value = b"") -> Imported:
        """Imports the files of a folder, with those below it, or of a tar file (also compressed with gzip, bzip2 or xz). In a folder,
        links, devices and pipes are passed over; a tar that has such, or a name outside of itself, is refused (FormatError). What was
        imported before an exception or a kill stays, and the next import goes on: samples that are the same already are not written
        again. Samples that the source does not have stay too. Up to 512 MiB each; memory: some 100 MiB, or four times the largest."""
        start = self._codec.encode(prefix)
        if os.path.isdir(source):
            return _import(self, start, _folder_files(os.fsdecode(source)))
        with Source(source) as file:
            done = _import(self, start, _tar_files(file))
            file.unchanged()
            return done

    def samples(self, prefix: Value = b"") -> Samples:
        """The samples under a prefix: what import_samples stored, or what has PREFIX + id as strings and the ids in the set
        PREFIX + "/ids"."""
        return Samples(self, prefix)

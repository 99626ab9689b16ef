"""torch's data sets over stored samples: for DataLoader, with workers by fork or spawn, and an order that can be resumed exactly.

    import mlkv.torch
    data = mlkv.torch.IterableDataset("photos", "train/", seed=7, batch_size=32, transform=decode)
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=4)
    for epoch in range(data.epoch, 10):
        data.set_epoch(epoch)
        for taken, batch in enumerate(loader, 1):
            ...
            torch.save(data.state_dict(taken * 32), "position")      # and, after a crash, data.load_state_dict(torch.load("position"))

This is the only module that imports torch. A data set pickles as path, prefix and options, and each process opens the store when it first
reads; after a fork an open one is used as it is. The ids' fingerprint goes along, so that workers whose ids would be others, because
somebody wrote meanwhile, raise instead of giving a sample twice or never.

Positions. One process cannot know how many of the samples that workers fetched ahead the training loop has taken, so the loop says it:
state_dict(taken). A position counts the samples of all ranks together, each having taken as many, so a run may go on with another number of
ranks. The workers of a rank deal its samples among themselves in blocks of batch_size, and DataLoader takes a batch from each in turn: what
the loop sees is the same, and a position means the same, for any number of workers, if DataLoader has the same batch_size.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import torch
import torch.utils.data

from . import client
from ._samples import Deal, Order, Sample, Samples, Shuffle
from ._transfer import PathLike
from ._values import Value
from .errors import ArgumentError

__all__ = ["Dataset", "IterableDataset", "Sampler"]

Transform = Optional[Callable[[Sample], Any]]


class _Stored:
    """Samples of a store, opened by each process for itself."""

    def _set_up(self, store: Union[PathLike, client.Client], prefix: Value, transform: Transform, options: Dict[str, Any]) -> None:
        self.prefix = prefix
        self.transform = transform
        self._client: Optional[client.Client] = None
        self._samples: Optional[Samples] = None
        self._expected: Optional[Dict[str, Any]] = None
        if isinstance(store, client.Client):
            if options:
                raise ArgumentError("options are for a path; a client has its own")
            self._client, self._path, self._options = store, store.path, {**store.options, "create": False}
        else:
            self._path, self._options = os.path.abspath(os.fsdecode(store)), {"create": False, **options}

    def __getstate__(self) -> Dict[str, Any]:
        if self._path is None:
            raise TypeError("a data set of a store in memory cannot be pickled: its store belongs to this process and its forks")
        expected = self._expected if self._samples is None else self._samples.fingerprint()
        return {**self.__dict__, "_client": None, "_samples": None, "_expected": expected}

    @property
    def samples(self) -> Samples:
        """What the data set reads."""
        if self._samples is None:
            if self._client is None:
                self._client = client.open(self._path, **self._options)
            samples = self._client.samples(self.prefix)
            if self._expected is not None:
                samples.must_be(self._expected)
            self._samples = samples
        return self._samples

    def _give(self, sample: Sample) -> Any:
        return sample if self.transform is None else self.transform(sample)


class Dataset(_Stored, torch.utils.data.Dataset):  # type: ignore[misc,type-arg]
    """Map-style: samples by their numbers among the sorted ids. An item is transform(sample), or the Sample(id, data, label) itself.

    store: its path, or an open client. Options are those of mlkv.open; a store that is not there is not made, unless create=True.
    For an order that can be resumed, give DataLoader a Sampler; its own shuffle=True works, too."""

    def __init__(self, store: Union[PathLike, client.Client], prefix: Value = b"", *, transform: Transform = None, **options: Any) -> None:
        self._set_up(store, prefix, transform, options)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        return self._give(self.samples[number])

    def __getitems__(self, numbers: List[int]) -> List[Any]:
        """A whole batch, asked for at once; torch 2 uses it."""
        samples = self.samples
        ids = samples._numbered(numbers)
        found = samples._read(ids)
        for name, sample in zip(ids, found):
            if sample is None:
                raise KeyError(f"the sample {name!r} was deleted since the ids were read")
        return [self._give(sample) for sample in found if sample is not None]

    def state_dict(self) -> Dict[str, Any]:
        """Which samples these are: load_state_dict() of another data set refuses it if its ids are not the same."""
        return {"version": 1, **self.samples.fingerprint()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        self.samples.must_be(state)


def _ranks(rank: Optional[int], world: Optional[int]) -> Tuple[int, int]:
    """As given, else those of torch.distributed, if it was initialized."""
    if (rank is None) != (world is None):
        raise ArgumentError("give both rank and world, or neither")
    if rank is not None and world is not None:
        return rank, world
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class _Resumable:
    """An order and the position in it where iteration begins."""

    samples: Samples

    def _set_up_order(self, seed: int, epoch: int, rank: Optional[int], world: Optional[int], even: bool) -> None:
        self.seed = int(seed)
        self.rank, self.world = _ranks(rank, world)
        self.even = even
        self._taken = 0  # in this process, since iteration began
        # Epoch and first position: shared memory, so that workers which persist over epochs see what is set later.
        self._place = torch.tensor([int(epoch), 0], dtype=torch.int64).share_memory_()
        Deal(0, 0, self.rank, self.world).checked()

    @property
    def epoch(self) -> int:
        return int(self._place[0])

    def set_epoch(self, epoch: int) -> None:
        """Call it before each epoch: the order is another one, and begins at its beginning. The epoch that load_state_dict() said stays
        where it is."""
        if int(epoch) != self.epoch:
            self._place[0], self._place[1] = int(epoch), 0
            self._taken = 0

    def _order(self) -> Order:
        return Order(len(self.samples), self.seed, self.epoch)

    def _deal(self, worker: int = 0, workers: int = 1, block: int = 1) -> Deal:
        return Deal(len(self.samples), int(self._place[1]), self.rank, self.world, worker, workers, block, self.even).checked()

    def state_dict(self, taken: Optional[int] = None) -> Dict[str, Any]:
        """Plain numbers and texts. taken: how many samples this rank's loop has taken since the epoch began, or since it went on after
        load_state_dict(). Without it: how many were asked for in this process, which is right only without workers."""
        count = self._taken if taken is None else int(taken)
        if count < 0:
            raise ArgumentError(f"{count} samples cannot have been taken")
        position = min(len(self.samples), int(self._place[1]) + self.world * count)
        return {"version": 1, "seed": self.seed, "epoch": self.epoch, "position": position, **self.samples.fingerprint()}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """The next iteration gives exactly the rest of that epoch. ArgumentError if the seed or the ids are others."""
        if state.get("version") != 1 or any(type(state.get(name)) is not int for name in ("seed", "epoch", "position")):
            raise ArgumentError("this is no state of a data set")
        if state["seed"] != self.seed:
            raise ArgumentError(f"the state is of seed {state['seed']}, and this has seed {self.seed}")
        self.samples.must_be(state)
        if not 0 <= state["position"] <= len(self.samples):
            raise ArgumentError(f"the state has the position {state['position']} of {len(self.samples)} samples")
        self._place[0], self._place[1] = state["epoch"], state["position"]
        self._taken = 0


class IterableDataset(_Resumable, _Stored, torch.utils.data.IterableDataset):  # type: ignore[misc,type-arg]
    """The samples in a shuffled order that can be resumed, dealt among ranks and workers: each sample once in an epoch.

    store, prefix, transform, options: as for Dataset. batch_size: DataLoader's. rank, world: those of torch.distributed, if it is
    initialized when this is made. even: all ranks get the same number, and fewer than world samples of an epoch are left out. prefetch:
    for how many samples the store is asked at once."""

    def __init__(
        self, store: Union[PathLike, client.Client], prefix: Value = b"", *, seed: int = 0, epoch: int = 0, batch_size: int = 1,
        transform: Transform = None, rank: Optional[int] = None, world: Optional[int] = None, even: bool = False, prefetch: int = 64,
        **options: Any
    ) -> None:
        self._set_up(store, prefix, transform, options)
        self._set_up_order(seed, epoch, rank, world, even)
        if batch_size < 1 or prefetch < 1:
            raise ArgumentError(f"batch_size and prefetch are 1 or more, not {batch_size} and {prefetch}")
        self.batch_size, self.prefetch = batch_size, prefetch

    def __iter__(self) -> Iterator[Any]:
        info = torch.utils.data.get_worker_info()
        deal = self._deal(*((0, 1) if info is None else (info.id, info.num_workers)), self.batch_size)
        self._taken = 0
        for sample in Shuffle(self.samples, self._order(), deal, self.seed, self.epoch, 0, self.prefetch, False):
            self._taken += 1
            yield self._give(sample)


class Sampler(_Resumable, torch.utils.data.Sampler):  # type: ignore[misc,type-arg]
    """The same order for a Dataset: DataLoader(data, batch_size=32, sampler=mlkv.torch.Sampler(data, seed=7), num_workers=4)."""

    def __init__(
        self, data: Dataset, *, seed: int = 0, epoch: int = 0, rank: Optional[int] = None, world: Optional[int] = None, even: bool = False
    ) -> None:
        self._data = data
        self._set_up_order(seed, epoch, rank, world, even)

    @property
    def samples(self) -> Samples:  # type: ignore[override]
        return self._data.samples

    def __len__(self) -> int:
        return self._deal().total

    def __iter__(self) -> Iterator[int]:
        deal, order = self._deal(), self._order()
        self._taken = 0
        for number in range(deal.total):
            self._taken += 1
            yield order(deal.position(number))

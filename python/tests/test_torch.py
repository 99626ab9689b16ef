import importlib.util
import json
import multiprocessing
import os
import pickle
import unittest
from typing import Any, List
from unittest import mock

import mlkv
from support import SMALL, StoreTest

HAVE_TORCH = importlib.util.find_spec("torch") is not None
if HAVE_TORCH:
    import torch
    import torch.utils.data

    import mlkv.torch
needs_torch = unittest.skipUnless(HAVE_TORCH, "torch is not installed")

COUNT = 53
BATCH = 4


def number_of(sample: mlkv.Sample) -> int:
    return int(sample.data)


def numbers_of(loader: Any) -> List[int]:
    return [int(number) for batch in loader for number in batch]


def where(sample: mlkv.Sample) -> int:
    return os.getpid()


@needs_torch
class Torch(StoreTest):
    def setUp(self) -> None:
        super().setUp()
        self.fill(self.db)

    def fill(self, db: mlkv.Client) -> None:
        db.mset({f"s/c{number % 3}/{number}": number for number in range(COUNT)})
        db.sadd("s//ids", *(f"c{number % 3}/{number}" for number in range(COUNT)))

    def stream(self, **options: Any) -> Any:
        return mlkv.torch.IterableDataset(self.path, "s/", **{**SMALL, "transform": number_of, "batch_size": BATCH, **options})

    def loader(self, data: Any, workers: int = 0, method: str = "fork", **options: Any) -> Any:
        context = multiprocessing.get_context(method) if workers else None
        return torch.utils.data.DataLoader(data, BATCH, num_workers=workers, multiprocessing_context=context, **options)

    def test_map_style(self) -> None:
        data = mlkv.torch.Dataset(self.path, "s/", transform=number_of, **SMALL)
        whole = [int(self.db["s/" + name.decode()]) for name in data.samples.ids()]
        self.assertEqual(len(data), COUNT)
        self.assertEqual(numbers_of(self.loader(data)), whole)
        for method in ("fork", "spawn"):
            self.assertEqual(numbers_of(self.loader(data, 2, method)), whole)
        self.assertEqual(data.__getitems__([3, 0]), [whole[3], whole[0]])
        self.assertEqual(sorted(numbers_of(self.loader(data, shuffle=True))), list(range(COUNT)))
        with self.assertRaises(IndexError):
            data[COUNT]

    def test_samples_as_they_are(self) -> None:
        data = mlkv.torch.Dataset(self.db, "s/")
        self.assertEqual(data[0], mlkv.Sample(b"c0/0", b"0", b"c0"))
        batch = next(iter(self.loader(data)))
        self.assertIsInstance(batch, mlkv.Sample)
        self.assertEqual(list(batch.label), [b"c0"] * BATCH)

    def test_each_sample_once_for_any_number_of_workers(self) -> None:
        data = self.stream(seed=7)
        epochs = []
        for epoch in range(2):
            data.set_epoch(epoch)
            whole = numbers_of(self.loader(data))
            self.assertEqual(sorted(whole), list(range(COUNT)))
            for workers in (1, 2):
                self.assertEqual(numbers_of(self.loader(data, workers)), whole)
            epochs.append(whole)
        self.assertNotEqual(*epochs)
        self.assertNotEqual(numbers_of(self.loader(self.stream(seed=8))), epochs[0])
        self.assertEqual(numbers_of(self.loader(self.stream(seed=7), 2, drop_last=True)), epochs[0][: COUNT // BATCH * BATCH])

    def test_workers_work(self) -> None:
        pids = set(numbers_of(self.loader(self.stream(transform=where), 2)))
        self.assertEqual(len(pids - {os.getpid()}), 2)

    def test_workers_that_persist_see_the_epoch(self) -> None:
        data = self.stream()
        for method in ("fork", "spawn"):
            loader = self.loader(data, 2, method, persistent_workers=True)
            for epoch in range(3):
                data.set_epoch(epoch)
                self.assertEqual(numbers_of(loader), list(self.stream(epoch=epoch)))
            del loader

    def test_resume(self) -> None:
        data = self.stream(seed=7, epoch=3)
        whole = numbers_of(self.loader(data))
        for taken in (0, 5, 24, 53):
            state = json.loads(json.dumps(data.state_dict(taken)))
            for workers in (0, 2):
                again = self.stream(seed=7)
                again.load_state_dict(state)
                again.set_epoch(3)  # as the loop does
                self.assertEqual(numbers_of(self.loader(again, workers)), whole[taken:])
                again.set_epoch(4)
                self.assertEqual(len(list(again)), COUNT)
        run, taken = iter(data), []
        while len(taken) < COUNT:  # a state after every sample, and a run from it
            taken.append(next(run))
            again = self.stream(seed=7)
            again.load_state_dict(data.state_dict())
            self.assertEqual(list(again), whole[len(taken) :])
        again.load_state_dict(data.state_dict(10))
        self.assertEqual(again.state_dict(7), data.state_dict(17))
        for wrong in ({}, {**state, "seed": 8}, {**state, "position": -1}, {**state, "position": COUNT + 1}, {**state, "ids": ""}):
            with self.assertRaises(mlkv.ArgumentError):
                again.load_state_dict(wrong)
        self.db.srem("s//ids", "c0/0")
        with self.assertRaises(mlkv.ArgumentError):
            self.stream(seed=7).load_state_dict(state)

    def test_ranks(self) -> None:
        whole = list(self.stream())
        for world in (2, 3):
            ranks = [numbers_of(self.loader(self.stream(rank=rank, world=world), min(rank, 1))) for rank in range(world)]
            self.assertEqual(ranks, [whole[rank::world] for rank in range(world)])
            even = [list(self.stream(rank=rank, world=world, even=True)) for rank in range(world)]
            self.assertEqual({len(numbers) for numbers in even}, {COUNT // world})
        saved = self.stream(rank=1, world=3).state_dict(5)
        rest = []
        for rank in range(2):  # goes on with fewer ranks
            data = self.stream(rank=rank, world=2)
            data.load_state_dict(saved)
            rest += list(data)
        self.assertEqual(sorted(rest), sorted(whole[15:]))
        with mock.patch.multiple(torch.distributed, is_initialized=lambda: True, get_rank=lambda: 1, get_world_size=lambda: 4):
            self.assertEqual(list(self.stream()), whole[1::4])
        for wrong in (dict(rank=1), dict(rank=2, world=2), dict(batch_size=0), dict(prefetch=0)):
            with self.assertRaises(mlkv.ArgumentError):
                self.stream(**wrong)

    def test_sampler(self) -> None:
        data = mlkv.torch.Dataset(self.db, "s/", transform=number_of)
        sampler = mlkv.torch.Sampler(data, seed=7)
        whole = list(self.stream(seed=7))
        self.assertEqual(len(sampler), COUNT)
        self.assertEqual(numbers_of(self.loader(data, 2, sampler=sampler)), whole)
        state = sampler.state_dict(20)
        again = mlkv.torch.Sampler(data, seed=7)
        again.load_state_dict(state)
        self.assertEqual(len(again), COUNT - 20)
        self.assertEqual(numbers_of(self.loader(data, 2, sampler=again)), whole[20:])
        again.set_epoch(1)
        self.assertEqual(list(again)[:3], list(mlkv.torch.Sampler(data, seed=7, epoch=1))[:3])

    def test_pickles_as_path_and_options(self) -> None:
        for data in (mlkv.torch.Dataset(self.db, "s/"), self.stream()):
            self.assertEqual(len(data.samples), COUNT)
            raw = pickle.dumps(data)
            self.assertNotIn(b"c0/", raw)
            copy = pickle.loads(raw)
            self.assertIsNone(copy._client)
            self.assertEqual(len(copy.samples), COUNT)
            self.assertEqual(pickle.loads(pickle.dumps(pickle.loads(raw)))._expected, copy.samples.fingerprint())
            self.db.sadd("s//ids", "another")
            with self.assertRaises(mlkv.ArgumentError):
                pickle.loads(raw).samples
            self.db.srem("s//ids", "another")
        data = mlkv.torch.Dataset(self.db, "s/")
        data.load_state_dict(data.state_dict())
        self.db.sadd("s//ids", "another")
        with self.assertRaises(mlkv.ArgumentError):
            mlkv.torch.Dataset(self.db, "s/").load_state_dict(data.state_dict())
        with self.assertRaises(mlkv.Error):
            len(mlkv.torch.Dataset(f"{self.folder}/absent", "s/"))
        with self.assertRaises(mlkv.ArgumentError):
            mlkv.torch.Dataset(self.db, "s/", create=True)

    def test_a_store_in_memory_crosses_a_fork(self) -> None:
        with mlkv.open(**SMALL) as db:
            self.fill(db)
            data = mlkv.torch.Dataset(db, "s/", transform=number_of)
            self.assertEqual(sorted(numbers_of(self.loader(data, 2))), list(range(COUNT)))
            with self.assertRaises(TypeError):
                pickle.dumps(data)


if __name__ == "__main__":
    unittest.main()

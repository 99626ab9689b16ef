import array
import gc
import os
import threading
import time
import unittest
from typing import Any, Dict, List

import mlkv
from support import HAVE_NUMPY, StoreTest, needs_numpy

if HAVE_NUMPY:
    import numpy


def floats(*values: float) -> Any:
    return array.array("f", values)


def plain(loaded: Any) -> Any:
    return {name: plain(value) for name, value in loaded.items()} if isinstance(loaded, dict) else loaded.tolist()


class Models(StoreTest):
    def test_versions(self) -> None:
        model = self.db.model("m")
        self.assertEqual((model.current, model.versions(), self.db.models()), (None, [], []))
        before = time.time() * 1000 - 5
        for number in range(1, 5):
            self.assertEqual(model.save({"a": floats(number), "b": {"c": floats(number, number)}}), number)
        self.assertEqual((model.current, self.db.models()), (4, [b"m"]))
        infos = model.versions()
        self.assertEqual([info.version for info in infos], [1, 2, 3, 4])
        self.assertEqual([info.current for info in infos], [False, False, False, True])
        self.assertEqual((infos[0].tensors, infos[0].raw_bytes), (2, 12))
        self.assertTrue(before <= infos[0].published_ms <= time.time() * 1000 + 5)
        self.assertEqual(plain(model.load()), {"a": [4], "b": {"c": [4, 4]}})
        self.assertEqual(plain(model.load(2)), {"a": [2], "b": {"c": [2, 2]}})
        self.assertEqual((model.rollback(), model.rollback(1), model.current), (3, 1, 1))
        for wrong in (1, 9):
            with self.assertRaises((KeyError, mlkv.ArgumentError)):
                model.rollback() if wrong == 1 else model.rollback(wrong)
        with self.assertRaises(mlkv.ArgumentError):
            model.drop(1)
        self.assertEqual((model.drop(2), model.drop(2)), (True, False))
        self.assertEqual(model.save({"a": floats(5)}, keep_last=2), 5)
        self.assertEqual([info.version for info in model.versions()], [4, 5])
        for bad in (0, -1, 1 << 64):
            with self.assertRaises(mlkv.ArgumentError):
                model.load(bad)
            with self.assertRaises(mlkv.ArgumentError):
                model.save({}, keep_last=bad - 1 if bad <= 0 else bad)
        with self.assertRaises(KeyError):
            model.load(77)
        with self.assertRaises(KeyError):
            self.db.model("other").load()
        self.assertEqual((model.drop(), model.drop(), self.db.keys()), (True, False, []))

    def test_publications(self) -> None:
        model = self.db.model("m")
        with model.publication() as p:
            self.assertEqual(p.version, 1)
            self.assertEqual(p.put("w", floats(1, 2), chunk_bytes=4), 2)
            self.assertIsNone(model.current)
        self.assertEqual(model.current, 1)
        with model.publication() as p:
            self.assertEqual(p.put("w", floats(1, 3), chunk_bytes=4), 1)
            self.db.tensor_set(p.key("t"), floats())
            self.db.tensor_append(p.key("t"), floats(7, 8))
            p.include("t")
            with self.assertRaises(KeyError):
                p.include("absent")
            with self.assertRaises(KeyError):
                p.carry("absent")
        self.assertEqual(plain(model.load()), {"w": [1, 3], "t": [7, 8]})
        with self.assertRaises(ZeroDivisionError), model.publication() as p:
            p.put("w", floats(9))
            1 / 0
        with self.assertRaises(mlkv.ArgumentError):
            p.put("w", floats(9))
        p.abort()
        left = model.publication()
        left.put("w", floats(9))
        del left
        gc.collect()
        self.assertEqual(plain(model.load()), {"w": [1, 3], "t": [7, 8]})
        self.assertEqual(self.db.dbsize(), 1 + 2 + 3)

    def test_carrying(self) -> None:
        model = self.db.model("m")
        model.save({"table": floats(1, 2, 3), "net": {"b": floats(4), "a": floats(5)}})
        with model.publication(carry_rest=True) as p:
            p.put("net/a", floats(6))
            p.put("new", floats(7))
            with self.db.transaction() as t:  # real time, meanwhile
                t.tensor_scatter_add(t.model("m").key("table"), [1], floats(10))
        self.assertEqual(plain(model.load()), {"table": [1, 12, 3], "net": {"b": [4], "a": [6]}, "new": [7]})
        model.save({"net": {"a": floats(8)}}, carry_rest=True)
        self.assertEqual(plain(model.load()), {"net": {"a": [8], "b": [4]}, "table": [1, 12, 3], "new": [7]})
        self.assertEqual(plain(model.load(1))["table"], [1, 12, 3])  # it was current when the row was updated
        with self.db.transaction() as t:
            t.tensor_scatter_add(t.model("m").key("table"), [1], floats(10))
        self.assertEqual(plain(model.load(2))["table"], [1, 12, 3])

    def test_metadata(self) -> None:
        model = self.db.model("m")
        with model.publication() as p:
            p.put("a/b", floats(1))
            self.assertEqual(p.publish(b"mine"), 1)
        self.assertEqual(model.metadata(), b"mine")
        self.assertEqual(plain(model.load()), {"a/b": [1]})
        with self.assertRaises(KeyError):
            model.metadata(5)

    def test_waiting(self) -> None:
        model = self.db.model("m")
        self.assertIsNone(model.wait(timeout=0))
        self.assertIsNone(model.wait(timeout=0.02))
        seen: List[Any] = []

        def follow() -> None:
            while not seen or seen[-1] != 3:
                seen.append(model.wait(seen[-1] if seen else None))

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(1, 4):
            model.save({"a": floats(number)})
        thread.join()
        self.assertEqual(seen, sorted(seen))
        self.assertIsNone(model.wait(3, timeout=0))
        with self.db.transaction() as t:
            self.assertIsNone(t.model("m").wait(3))

    def test_views(self) -> None:
        self.db.model("m").save({"a": floats(1)})
        with self.db.snapshot() as old:
            with self.db.transaction() as t:
                t.model("m").save({"a": floats(2)})
                t.model("n").save({"a": floats(2)})
                self.assertEqual(self.db.model("m").current, 1)
            self.assertEqual((old.model("m").current, self.db.model("m").current, self.db.model("n").current), (1, 2, 1))
            self.assertEqual(plain(old.model("m").load()), {"a": [1]})
            with self.assertRaises(mlkv.ReadOnlyError):
                old.model("m").save({})
        with self.open(decode_responses=True) as text:
            self.assertEqual((text.models(), text.model("m").key("a", 7)), (["m", "n"], "mlkv:version:1:m:7:a"))

    def test_other_processes_see_whole_versions(self) -> None:
        """Readers in other processes, while versions are published and rolled back."""
        self.db.save_state_dict("m", {name: floats(*[1] * 20000) for name in "abc"}, keep_last=3)
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    seen = 0
                    while self.db.get("stop") is None or seen == 0:
                        loaded: Dict[str, Any] = self.db.load_state_dict("m")
                        values = {value for part in loaded.values() for value in memoryview(part).cast("B").cast("f")}
                        if len(loaded) != 3 or len(values) != 1:
                            os._exit(2)
                        seen += 1
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        for number in range(2, 40):
            self.db.save_state_dict("m", {name: floats(*[number] * 20000) for name in "abc"}, keep_last=3)
            if number % 5 == 0:
                self.db.model("m").rollback()
        self.db.set("stop", 1)
        self.assertEqual([os.waitpid(child, 0)[1] for child in children], [0, 0])

    def test_what_cannot_be_allocated(self) -> None:
        self.db.model("m").save({"a": floats(1)})
        with self.assertRaises((mlkv.ArgumentError, ImportError)):
            self.db.model("m").load(framework="jax")


@needs_numpy
class Numpy(StoreTest):
    def test_unchanged_chunks_are_shared(self) -> None:
        model = self.db.model("m")
        table = numpy.random.default_rng(1).standard_normal((1000, 1000)).astype("f4")
        model.save({"table": table})
        table[10] += 1
        model.save({"table": table})
        first, second = model.versions()
        self.assertLess(second.new_bytes * 10, first.new_bytes)
        self.assertTrue(numpy.array_equal(model.load()["table"], table))
        self.assertEqual(self.db.verify().problems, ())


if __name__ == "__main__":
    unittest.main()

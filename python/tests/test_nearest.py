import random
import unittest
from array import array

import mlkv
from support import StoreTest, needs_numpy


class NearestRows(StoreTest):
    def setUp(self) -> None:
        super().setUp()
        random.seed(5)
        self.table = [[random.randrange(-8, 8) for _ in range(10)] for _ in range(500)]
        flat = array("f", (number for row in self.table for number in row))
        self.db.tensor_set("table", flat, shape=(500, 10))

    def test_against_a_search_by_hand(self) -> None:
        query = [random.randrange(-8, 8) for _ in range(10)]
        products = [sum(a * b for a, b in zip(row, query)) for row in self.table]
        distances = [sum((a - b) ** 2 for a, b in zip(row, query)) for row in self.table]
        found = self.db.tensor_top_k("table", query, 7)
        assert found is not None
        self.assertEqual(found.rows, sorted(range(500), key=lambda i: (-products[i], i))[:7])
        self.assertEqual(found.scores, [products[i] for i in found.rows])
        only = range(0, 500, 7)
        near = self.db.tensor_top_k("table", [query, query], 5, metric="l2", rows=only)
        assert near is not None
        self.assertEqual(near.rows[0], sorted(only, key=lambda i: (distances[i], i))[:5])
        self.assertEqual(near.rows[0], near.rows[1])
        few = self.db.tensor_top_k("table", query, 5, rows=[3])
        assert few is not None
        self.assertEqual(few.rows, [3])
        none = self.db.tensor_top_k("table", query, 5, rows=[])
        assert none is not None
        self.assertEqual(none.rows, [])
        self.assertIsNone(self.db.tensor_top_k("absent", query, 5))

    def test_arguments(self) -> None:
        for wrong in (
            lambda: self.db.tensor_top_k("table", [1.0] * 10, 0),
            lambda: self.db.tensor_top_k("table", [1.0] * 10, 1, metric="euclid"),
            lambda: self.db.tensor_top_k("table", [[1.0], [1.0, 2.0]], 1),
            lambda: self.db.tensor_top_k("table", [1.0] * 10, 1, rows=[-1]),
        ):
            with self.assertRaises(mlkv.ArgumentError):
                wrong()
        with self.assertRaises(mlkv.ShapeError):
            self.db.tensor_top_k("table", [1.0] * 9, 1)

    @needs_numpy
    def test_numpy(self) -> None:
        import numpy

        table = numpy.random.default_rng(1).normal(size=(3000, 33)).astype("float32")
        queries = table[[5, 2999]]
        self.db["vectors"] = table
        found = self.db.tensor_top_k("vectors", queries, 10, metric="cosine")
        assert found is not None
        norms = numpy.linalg.norm(table, axis=1)
        for query, rows, scores, own in zip(queries, found.rows, found.scores, (5, 2999)):
            wanted = table @ query / norms / numpy.linalg.norm(query)
            self.assertEqual(rows[0], own)
            numpy.testing.assert_allclose(scores, wanted[rows], atol=1e-5)
            numpy.testing.assert_allclose(scores, numpy.sort(wanted)[::-1][:10], atol=1e-5)


if __name__ == "__main__":
    unittest.main()

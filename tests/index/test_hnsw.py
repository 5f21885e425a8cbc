"""The graph's short way, where everything may be found, gives what the long way gives."""

import numpy as np
import pytest

from neuralcodes.index.backend import get_backend
from neuralcodes.index.faiss_base import FaissIndex

DIMS = 16


def unit(count, seed):
    values = np.random.default_rng(seed).standard_normal((count, DIMS)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture
def graph():
    codes = unit(500, 0)
    codes[300:320] = codes[7]  # exact copies: ties at distance 0
    kind = get_backend("hnsw")
    index = kind(DIMS, kind.suggest(500, DIMS), lambda ids: codes[np.searchsorted(ids_, ids)])
    ids_ = np.sort(np.random.default_rng(1).choice(5000, 500, replace=False)).astype(np.int64)
    index.add(codes, ids_)
    index.effort = 256
    return index, codes, ids_


def test_short_and_long_way_agree(graph):
    index, codes, _ = graph
    queries = np.concatenate([unit(40, 2), codes[7:8], codes[:3]])
    short = index.search(queries, 30)
    long = FaissIndex.search(index, queries, 30)
    assert np.array_equal(short.rows, long.rows)
    assert np.allclose(short.distances, long.distances, atol=1e-6)


def test_equal_distances_stand_in_order_of_ids(graph):
    index, codes, ids = graph
    found = index.search(codes[7:8], 21)
    assert found.rows[0].tolist() == sorted([int(ids[7]), *ids[300:320].tolist()])
    assert (found.distances[0] == 0).all()


def test_what_is_removed_or_forbidden_is_never_found(graph):
    index, codes, ids = graph
    everything = np.ones(ids.max() + 1, dtype=np.bool_)
    assert np.array_equal(
        index.search(codes[:5], 10).rows, index.search(codes[:5], 10, allowed=everything).rows
    )
    everything[ids[0]] = False
    assert ids[0] not in index.search(codes[:1], 10, allowed=everything).rows
    # a mask that ends before the highest id forbids what lies beyond
    assert ids[-1] not in index.search(codes[-1:], 10, allowed=everything[:-1]).rows
    index.remove(ids[1:2])
    assert ids[1] not in index.search(codes[1:2], 10).rows


def test_more_than_there_are(graph):
    index, codes, _ = graph
    found = index.search(codes[:2], 600)
    assert (found.rows[:, -1] == -1).all() and np.isinf(found.distances[:, -1]).all()

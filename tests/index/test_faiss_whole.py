"""Indexes of whole codes: the short way, where everything may be found, and the long one."""

import numpy as np
import pytest
from index_codes import true_distances
from sklearn.decomposition import PCA

from neuralcodes.index.backend import get_backend, load_index
from neuralcodes.index.faiss_base import FaissIndex

DIMS = 16


def unit(count, seed):
    values = np.random.default_rng(seed).standard_normal((count, DIMS)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(params=["fastscan", "hnsw"])
def graph(request):
    codes = unit(500, 0)
    codes[300:320] = codes[7]  # exact copies: ties at distance 0
    kind = get_backend(request.param)
    index = kind(DIMS, kind.suggest(500, DIMS))
    ids_ = np.sort(np.random.default_rng(1).choice(5000, 500, replace=False)).astype(np.int64)
    index.add(codes, ids_)
    index.effort = 256
    return index, codes, ids_


def test_short_and_long_way_agree_with_exact_distances(graph):
    index, codes, ids = graph
    queries = np.concatenate([unit(40, 2), codes[7:8], codes[:3]])
    short = index.search(queries, 30)
    long = FaissIndex.search(index, queries, 30)
    assert np.array_equal(short.rows, long.rows)
    assert np.array_equal(short.distances, long.distances)
    true = true_distances(queries, codes)
    places = np.searchsorted(ids, short.rows)
    np.testing.assert_allclose(short.distances, np.take_along_axis(true, places, 1), atol=1e-6)
    np.testing.assert_allclose(short.distances, np.sort(true, axis=1)[:, :30], atol=1e-6)


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


def test_one_query_and_many_get_the_same(graph):
    index, _, _ = graph
    queries = unit(50, 3)
    index.effort = 4
    many = index.search(queries, 10)
    for row in range(len(queries)):
        alone = index.search(queries[row : row + 1], 10)
        assert np.array_equal(alone.rows[0], many.rows[row])
        assert np.array_equal(alone.distances[0], many.distances[row])


def test_thousands_of_queries_get_what_each_gets(graph):
    """They are asked in parts, so that what FAISS keeps of them is bounded."""
    index, codes, ids = graph
    queries = unit(1500, 5)
    found = index.search(queries, 3)
    assert np.array_equal(found.rows[-2:], index.search(queries[-2:], 3).rows)
    nearest = np.sort(true_distances(queries, codes), axis=1)[:, :3]
    np.testing.assert_allclose(found.distances, nearest, atol=1e-6)
    some = np.zeros(ids.max() + 1, dtype=np.bool_)
    some[ids[:40]] = True
    found = index.search(queries, 3, allowed=some)
    nearest = np.sort(true_distances(queries, codes[:40]), axis=1)[:, :3]
    np.testing.assert_allclose(found.distances, nearest, atol=1e-6)


def test_effort_and_depth_may_change_between_searches(graph):
    """What is kept of the last search's parameters is not taken for another's."""
    index, codes, _ = graph
    nearest = np.sort(true_distances(codes[:20], codes), axis=1)
    for k in (1, 3, 40, 2):
        found = index.search(codes[:20], k)
        np.testing.assert_allclose(found.distances, nearest[:, :k], atol=1e-6)


def test_queries_of_another_length_are_refused(graph):
    index, _, _ = graph
    with pytest.raises(ValueError, match="shape"):
        index.search(np.zeros((1, DIMS - 1), np.float32), 3)


def test_lists_are_scanned_alike_when_they_are_opened_again(tmp_path):
    import faiss

    kind = get_backend("fastscan")
    index = kind(DIMS, kind.suggest(500, DIMS))
    index.add(unit(500, 0), np.arange(500))
    index.save(tmp_path / "index")
    numbers = [
        faiss.downcast_index(one._faiss.base_index).implem
        for one in (index, load_index(tmp_path / "index"))
    ]
    assert numbers[0] == numbers[1] > 0


def test_long_codes_are_cut_for_the_scan_and_measured_whole():
    generator = np.random.default_rng(4)
    codes = generator.standard_normal((3000, 12)) @ generator.standard_normal((12, 400))
    codes = (codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.float32)
    kind = get_backend("fastscan")
    parameters = kind.suggest(3000, 400)
    assert parameters.reduced == 256
    index = kind(400, parameters)
    index.add(codes, np.arange(3000))
    index.effort = max(index.efforts())
    found = index.search(codes[:30], 5)
    true = np.sort(true_distances(codes[:30], codes), axis=1)[:, :5]
    np.testing.assert_allclose(found.distances, true, atol=2e-6)


@pytest.mark.parametrize("name", ["fastscan", "ivfpq"])
def test_long_codes_are_cut_along_their_principal_directions(name, tmp_path):
    faiss = pytest.importorskip("faiss")
    generator = np.random.default_rng(5)
    codes = (generator.standard_normal((900, 40)) @ generator.standard_normal((40, 700))).astype(
        np.float32
    )
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    kind = get_backend(name)
    index = kind(700, kind.suggest(900, 700), lambda ids: codes[ids])
    index.train(codes)
    index.add(codes, np.arange(900))
    lists = faiss.downcast_index(getattr(index._faiss, "base_index", index._faiss))
    rotation = faiss.downcast_VectorTransform(lists.chain.at(0))
    cut = rotation.apply(codes)
    assert cut.shape == (900, 256)
    expected = PCA(40, svd_solver="full").fit_transform(codes)
    np.testing.assert_allclose(np.abs(cut[:, :40]), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(cut[:, 40:], 0, atol=1e-4)  # there is nothing more
    index.save(tmp_path / "index")
    # the matrix of 700 × 700 is not in it: 256 × 700 is
    assert (tmp_path / "index" / "index.faiss").stat().st_size < (
        900 * (index._code_bytes() + 8) + 4 * 256 * 700 + 4 * 256 * 300
    )
    loaded = kind.load(tmp_path / "index", lambda ids: codes[ids])
    for one in (index, loaded):
        one.effort = one.efforts()[-1]
        found = one.search(codes[:50], 5)
        assert found.rows[:, 0].tolist() == list(range(50))

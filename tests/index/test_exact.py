"""Exact search against scikit-learn and against a float64 loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from made import unit_rows
from neuralcodes.index import equals, exact
from neuralcodes.index.equals import first_of_equals
from neuralcodes.index.exact import Database, pack, score_blocks, search_exact, unpack


@pytest.mark.parametrize("k", [10, 400])  # few of the rows, and most of them
def test_equals_scikit_learn(k):
    database, queries = unit_rows(500, 32), unit_rows(40, 32, seed=1)
    found = search_exact(queries, database, k)
    peer = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(database.astype(np.float64))
    distances, rows = peer.kneighbors(queries.astype(np.float64))
    assert np.array_equal(found.rows, rows)
    np.testing.assert_allclose(found.distances, distances, atol=2e-6)


def test_equal_distances_stand_in_order_of_rows():
    code = unit_rows(1, 8)[0]
    database = np.stack([unit_rows(1, 8, seed=5)[0], code, code, code])
    assert search_exact(code[None], database, 4).rows.tolist() == [[1, 2, 3, 0]]


@pytest.mark.parametrize("k", [1, 5, 12, 60, 100])
def test_equal_distances_at_the_cut_stand_in_order_of_rows(k):
    """More rows are as near as the last one wanted than are wanted."""
    code, other = unit_rows(2, 8)
    database = np.array([code if row % 3 else other for row in range(100)])
    copies = [row for row in range(100) if row % 3]
    others = [row for row in range(100) if not row % 3]
    assert search_exact(code[None], database, k).rows[0].tolist() == (copies + others)[:k]


def test_copies_get_equal_scores_wherever_they_stand():
    database = unit_rows(1000, 77)
    database[[3, 500, 999]] = database[11]
    for block, scores in score_blocks(unit_rows(64, 77, seed=2), database):
        assert block.start is not None
        for row in (3, 500, 999):
            assert np.array_equal(scores[:, row], scores[:, 11])


def test_scores_among_themselves_equal_those_of_a_copy_of_the_queries():
    """The same memory as queries and database takes another way, for half the work."""
    codes = unit_rows(300, 40)
    codes[7] = codes[200]
    ((_, itself),) = score_blocks(codes, codes)
    itself = itself.copy()
    ((_, apart),) = score_blocks(codes.copy(), codes)
    np.testing.assert_allclose(itself, apart, atol=3e-7)
    assert np.array_equal(itself[:, 7], itself[:, 200])


def test_a_query_is_excluded_by_identity_and_not_by_place():
    database = unit_rows(20, 8)
    database[0] = database[1]  # the query's copy stands before it
    found = search_exact(database[[1]], database, 20, exclude=np.array([1]))
    assert found.rows[0, 0] == 0
    assert 1 not in found.rows[0]
    assert found.rows[0, -1] == -1 and np.isinf(found.distances[0, -1])


def test_fewer_candidates_than_asked_for():
    found = search_exact(unit_rows(2, 4), unit_rows(3, 4, seed=1), 5)
    assert (found.rows[:, :3] >= 0).all() and (found.rows[:, 3:] == -1).all()
    assert search_exact(unit_rows(2, 4), np.zeros((0, 4), np.float32), 2).rows.tolist() == [
        [-1, -1],
        [-1, -1],
    ]


def test_codes_of_zeros_are_at_distance_one():
    database = np.concatenate([np.zeros((1, 6), np.float32), unit_rows(30, 6)])
    found = search_exact(unit_rows(5, 6, seed=9), database, 31)
    for row, distances in zip(found.rows, found.distances, strict=True):
        assert distances[row == 0] == pytest.approx(1.0, abs=1e-6)
        assert (np.diff(distances) >= 0).all()
    from_zero = search_exact(database[:1], database, 2)
    assert from_zero.rows[0, 0] == 0
    assert from_zero.distances[0].tolist() == pytest.approx([0.0, 1.0])


def test_small_distances_keep_their_digits():
    """2 - 2 q·x alone would be off by 3e-4 here, and not 0 for the same code."""
    query = unit_rows(1, 64)
    database = query + np.logspace(-6, -2, 20, dtype=np.float32)[:, None] * unit_rows(20, 64, 1)
    database = np.concatenate([database, query])
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    database[-1] = query
    found = search_exact(query, database, 21)
    wide = np.linalg.norm(database.astype(np.float64) - query.astype(np.float64), axis=1)
    np.testing.assert_allclose(found.distances[0], np.sort(wide), rtol=2e-3, atol=2e-7)
    assert found.distances[0, 0] == 0


def test_blocks_do_not_change_the_result(monkeypatch):
    codes = unit_rows(200, 16)
    whole = search_exact(codes.copy(), codes, 7)
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 200 * 3)
    monkeypatch.setattr(exact, "CHUNK_BYTES", 4 * 200 * 2)
    parts = search_exact(codes.copy(), codes, 7)
    assert np.array_equal(whole.rows, parts.rows)
    assert np.array_equal(search_exact(codes, codes, 7).rows, whole.rows)


def test_memory_maps_are_searched_without_a_copy(tmp_path):
    np.save(tmp_path / "codes.npy", unit_rows(50, 8))
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    database = Database.of(mapped)
    assert np.shares_memory(database.values, mapped)
    assert search_exact(mapped, database, 1).rows[:, 0].tolist() == list(range(50))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    codes = unit_rows(5, 4)
    broken = codes.copy()
    broken[3, 1] = bad
    with pytest.raises(ValueError, match="row 3"):
        search_exact(codes, broken, 1)
    with pytest.raises(ValueError, match="row 3"):
        search_exact(broken, codes, 1)


floats = st.floats(-1, 1, width=32)


@given(st.lists(floats, min_size=1, max_size=40))
def test_packed_values_sort_by_falling_score_then_row(values):
    scores = np.array([values], dtype=np.float32)
    rows, back = unpack(np.sort(pack(scores), axis=1))
    expected = sorted(range(len(values)), key=lambda row: (-scores[0, row], row))
    assert rows[0].tolist() == expected
    assert np.array_equal(back[0], scores[0, expected])


@settings(max_examples=60)
@given(st.integers(0, 30), st.integers(0, 5), st.integers(0, 10_000))
def test_first_of_equals_equals_a_dictionary(count, width, seed):
    values = np.random.default_rng(seed).integers(0, 2, size=(count, width)).astype(np.float32)
    known: dict[bytes, int] = {}
    expected = [known.setdefault(row.tobytes(), number) for number, row in enumerate(values)]
    assert first_of_equals(values).tolist() == expected


def test_rows_that_share_a_hash_by_chance_are_told_apart(monkeypatch):
    monkeypatch.setattr(equals, "_hash_rows", lambda values: np.zeros(len(values), np.uint64))
    values = unit_rows(6, 3)
    values[4] = values[2]
    assert first_of_equals(values).tolist() == [0, 1, 2, 3, 2, 5]


def test_hashing_in_parts_changes_nothing(monkeypatch):
    values = unit_rows(100, 7)
    values[[40, 99]] = values[3]
    whole = first_of_equals(values)
    monkeypatch.setattr(equals, "CHUNK_BYTES", 4 * 7 * 8)
    assert np.array_equal(first_of_equals(values), whole)
    assert whole[[40, 99]].tolist() == [3, 3]


def test_order_blocks_order_as_float64_distances_do():
    generator = np.random.default_rng(4)
    # close together, so that float32 products swap neighbours
    database = (1 + 0.01 * generator.normal(size=(300, 256))).astype(np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    database[[40, 200]] = database[7]
    database[9] = 0
    wide = database.astype(np.float64)
    swapped = 0
    for block, scores in exact.order_blocks(database, database):
        for query, line in zip(range(block.start, block.stop), scores, strict=True):
            squared = ((wide - wide[query]) ** 2).sum(axis=1)
            expected = np.lexsort((np.arange(300), squared))
            assert np.array_equal(np.argsort(-line, kind="stable"), expected)
            assert line[7] == line[40] == line[200]
            products = database @ database[query]
            swapped += not np.array_equal(np.argsort(-products, kind="stable"), expected)
    assert swapped > 100  # else the case is too easy

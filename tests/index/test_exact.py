"""Exact search against scikit-learn and against a float64 loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from made import unit_rows
from neuralcodes.index import exact
from neuralcodes.index.exact import pack, score_blocks, search_exact, unpack


def test_equals_scikit_learn():
    database, queries = unit_rows(500, 32), unit_rows(40, 32, seed=1)
    found = search_exact(queries, database, 10)
    peer = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(database.astype(np.float64))
    distances, rows = peer.kneighbors(queries.astype(np.float64))
    assert np.array_equal(found.rows, rows)
    np.testing.assert_allclose(found.distances, distances, atol=2e-6)


def test_equal_distances_stand_in_order_of_rows():
    code = unit_rows(1, 8)[0]
    database = np.stack([unit_rows(1, 8, seed=5)[0], code, code, code])
    assert search_exact(code[None], database, 4).rows.tolist() == [[1, 2, 3, 0]]


def test_copies_get_equal_scores_wherever_they_stand():
    database = unit_rows(1000, 77)
    database[[3, 500, 999]] = database[11]
    for block, scores in score_blocks(unit_rows(64, 77, seed=2), database):
        assert block.start is not None
        for row in (3, 500, 999):
            assert np.array_equal(scores[:, row], scores[:, 11 if row != 3 else 3])


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


def test_codes_of_zeros_are_at_distance_one():
    database = np.concatenate([np.zeros((1, 6), np.float32), unit_rows(30, 6)])
    found = search_exact(unit_rows(5, 6, seed=9), database, 31)
    for row, distances in zip(found.rows, found.distances, strict=True):
        assert distances[row == 0] == pytest.approx(1.0, abs=1e-6)
        assert (np.diff(distances) >= -1e-6).all()
    from_zero = search_exact(database[:1], database, 2)
    assert from_zero.rows[0, 0] == 0
    assert from_zero.distances[0].tolist() == pytest.approx([0.0, 1.0])


def test_blocks_do_not_change_the_result(monkeypatch):
    codes = unit_rows(200, 16)
    whole = search_exact(codes, codes, 7)
    monkeypatch.setattr(exact, "BLOCK_BYTES", 8 * 200 * 3)
    parts = search_exact(codes, codes, 7)
    assert np.array_equal(whole.rows, parts.rows)


floats = st.floats(-1, 1, width=32)


@given(st.lists(floats, min_size=1, max_size=40))
def test_packed_values_sort_by_falling_score_then_row(values):
    scores = np.array([values], dtype=np.float32)
    rows, back = unpack(np.sort(pack(scores), axis=1))
    expected = sorted(range(len(values)), key=lambda row: (-scores[0, row], row))
    assert rows[0].tolist() == expected
    assert np.array_equal(back[0], scores[0, expected])

"""Ranks of relevant rows against a loop over float64 distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made import unit_rows
from neuralcodes.evaluation.ranks import relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance
from neuralcodes.index import exact


def loop(codes: np.ndarray, labels: np.ndarray, query: int) -> list[int]:
    """Written from the definition: order by distance, then by row, without the query."""
    wide = codes.astype(np.float64)
    distances = np.round(((wide - wide[query]) ** 2).sum(axis=1), 10)
    order = [row for row in np.lexsort((np.arange(len(codes)), distances)) if row != query]
    return [rank for rank, row in enumerate(order, 1) if labels[row] == labels[query]]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10_000))
def test_equals_the_loop_with_duplicates(count, classes, seed):
    generator = np.random.default_rng(seed)
    codes = unit_rows(count, 6, seed)
    copies = generator.integers(count, size=(2, count // 2))
    codes[copies[0]] = codes[copies[1]]
    labels = generator.integers(classes, size=count)
    ranks = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    for query in range(count):
        assert ranks.of(query).tolist() == loop(codes, labels, query)
    assert (ranks.candidates == count - 1).all()


def test_query_outside_the_database():
    labels = np.array([0, 1, 0])
    database = np.eye(3, dtype=np.float32)
    queries = np.array([[0, 1, 0], [0, 0, 1]], dtype=np.float32)
    relevance = ClassRelevance(np.array([1, 0]), labels, np.array([-1, -1]))
    ranks = relevant_ranks(queries, database, relevance)
    assert ranks.of(0).tolist() == [1]
    assert ranks.of(1).tolist() == [1, 2]
    assert ranks.candidates.tolist() == [3, 3]


def test_blocks_do_not_change_the_result(monkeypatch):
    codes, labels = unit_rows(150, 8), np.arange(150) % 4
    whole = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    monkeypatch.setattr(exact, "BLOCK_BYTES", 8 * 150 * 7)
    parts = relevant_ranks(codes, codes, ClassRelevance.among(labels))
    assert np.array_equal(whole.ranks, parts.ranks)
    assert np.array_equal(whole.starts, parts.starts)


def test_sizes_must_agree():
    codes = unit_rows(4, 3)
    with pytest.raises(ValueError, match="4 queries"):
        relevant_ranks(codes, codes, ClassRelevance.among(np.zeros(5, dtype=np.int64)))

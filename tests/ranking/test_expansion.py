"""Query expansion and database augmentation against loops written from their definitions."""

import numpy as np
import pytest

from made import unit_rows
from neuralcodes.index.exact import Database, search_exact
from neuralcodes.index.ranking import Ranking
from neuralcodes.ranking import expansion
from neuralcodes.ranking.expansion import (
    AlphaQueryExpansion,
    AverageQueryExpansion,
    DatabaseAugmentation,
)
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import run_steps


def order(query: np.ndarray, base: np.ndarray, without: int = -1) -> list[int]:
    distances = ((base.astype(np.float64) - query) ** 2).sum(axis=1)
    return [row for row in np.argsort(distances, kind="stable") if row != without]


def mean(code: np.ndarray, others: np.ndarray, alpha: float | None) -> np.ndarray:
    total = code.astype(np.float64).copy()
    for other in others.astype(np.float64):
        total += other if alpha is None else max(float(code @ other), 0.0) ** alpha * other
    return total / np.linalg.norm(total)


def stands_in_order(rows: np.ndarray, query: np.ndarray, base: np.ndarray) -> None:
    """All rows once, none before a nearer one (means of the same codes differ by rounding)."""
    assert sorted(rows.tolist()) == list(range(len(base)))
    distances = ((base.astype(np.float64) - query) ** 2).sum(axis=1)
    assert (np.diff(distances[rows]) > -1e-6).all()


def clustered(count: int, dims: int = 8, seed: int = 0) -> np.ndarray:
    """Codes around a few centres, so that neighbours mean something."""
    centres = unit_rows(5, dims, seed)
    noise = unit_rows(count, dims, seed + 1) * 0.6
    codes = centres[np.random.default_rng(seed).integers(5, size=count)] + noise
    return (codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("alpha", [None, 3.0])
@pytest.mark.parametrize("among", [False, True])
def test_query_expansion_equals_the_loop(alpha, among):
    base = clustered(60)
    queries = base[:20] if among else clustered(20, seed=7)
    exclude = np.arange(20) if among else np.full(20, -1)
    step = AverageQueryExpansion(4) if alpha is None else AlphaQueryExpansion(4, alpha)
    search, _ = run_steps(Search.start(queries, base, 60, exclude), [step])
    for number, query in enumerate(queries):
        without = number if among else -1
        found = order(query, base, without)[:4]
        again = order(mean(query, base[found], alpha), base, without)
        assert [row for row in search.ranking.rows[number] if row >= 0] == again
    assert search.by_codes
    np.testing.assert_allclose(np.linalg.norm(search.queries, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_database_augmentation_equals_the_loop(alpha):
    base, queries = clustered(50), clustered(10, seed=3)
    step = DatabaseAugmentation(3, alpha)
    search, (cost,) = run_steps(Search.start(queries, base, 50), [step])
    augmented = np.array(
        [
            mean(code, base[order(code, base, row)[:3]], alpha or None)
            for row, code in enumerate(base)
        ]
    )
    np.testing.assert_allclose(search.database.values, augmented, atol=1e-6)
    for number, query in enumerate(queries):
        stands_in_order(search.ranking.rows[number], query, augmented)
    assert cost.bytes == base.nbytes


def test_steps_follow_one_another():
    base, queries = clustered(50), clustered(10, seed=3)
    both, _ = run_steps(
        Search.start(queries, base, 50), [DatabaseAugmentation(3), AverageQueryExpansion(2)]
    )
    augmented = np.array(
        [mean(c, base[order(c, base, row)[:3]], None) for row, c in enumerate(base)]
    ).astype(np.float32)
    for number, query in enumerate(queries):
        expanded = mean(query, augmented[order(query, augmented)[:2]], None)
        stands_in_order(both.ranking.rows[number], expanded, augmented)


def test_more_neighbours_than_there_are_and_means_of_zero():
    base = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    search = Search.start(base[:1], base, 2, np.array([0]))
    found, _ = run_steps(search, [AverageQueryExpansion(9)])
    assert found.queries.tolist() == [[1, 0]]  # (1, 0) and (-1, 0) cancel: the query stays
    assert found.ranking.rows.tolist() == [[1, -1]]


def test_parts_do_not_change_the_means(monkeypatch):
    base = clustered(40)
    near = search_exact(base, base, 5, exclude=np.arange(40)).rows
    whole = expansion.weighted_means(base, Database.of(base), near, 3.0)
    monkeypatch.setattr(expansion, "GATHERED_BYTES", 4 * 5 * 8 * 3)
    parts = expansion.weighted_means(base, Database.of(base), near, 3.0)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


def test_dropped_rows_weigh_nothing():
    base = unit_rows(3, 4)
    ranking = Ranking(np.array([[1, -1]]), np.array([[0.5, np.inf]], np.float32))
    search = Search(base[:1], Database.of(base), np.array([-1]), ranking)
    found, _ = run_steps(search, [AverageQueryExpansion(2)])
    np.testing.assert_allclose(found.queries[0], mean(base[0], base[[1]], None), atol=1e-6)


def test_neighbours_of_each_other_get_codes_that_are_equal_to_the_bit():
    """Equal means must tie, so that their order is that of rows and not of rounding."""
    base = clustered(60, dims=32)
    search, _ = run_steps(Search.start(base, base, 1), [DatabaseAugmentation(1)])
    near = search_exact(base, base, 1, exclude=np.arange(60)).rows
    sets = [frozenset({row, *near[row].tolist()}) for row in range(60)]
    same = [(i, j) for i in range(60) for j in range(i) if sets[i] == sets[j]]
    assert len(same) > 3
    for i, j in same:
        assert np.array_equal(search.database.values[i], search.database.values[j])

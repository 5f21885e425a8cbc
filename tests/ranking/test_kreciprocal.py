"""k-reciprocal re-ranking against a slow loop over sets, written from the paper."""

import numpy as np
import pytest
from test_expansion import clustered

from neuralcodes.ranking.expansion import AverageQueryExpansion
from neuralcodes.ranking.kreciprocal import KReciprocal
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import run_steps


def slow(together: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """Final distances (equation 12) among all of a set, float64 N×N."""
    codes = together.astype(np.float64)
    count = len(codes)
    distances = ((codes[:, None] - codes[None]) ** 2).sum(axis=2)
    lists = []
    for i in range(count):
        others = [int(j) for j in np.argsort(distances[i], kind="stable") if j != i]
        lists.append([i, *others])
    scaled = distances / distances.max(axis=1, keepdims=True)

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in lists[i][: k + 1] if i in lists[j][: k + 1]}

    features = np.zeros((count, count))
    for i in range(count):
        members = reciprocal(i, k1)
        expanded = set(members)
        for j in members:
            candidate = reciprocal(j, round(k1 / 2))
            if len(members & candidate) > 2 / 3 * len(candidate):
                expanded |= candidate
        for j in expanded:
            features[i, j] = np.exp(-scaled[i, j])
        features[i] /= features[i].sum()
    averaged = np.array([features[lists[i][:k2]].mean(axis=0) for i in range(count)])
    final = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            smaller = np.minimum(averaged[i], averaged[j]).sum()
            larger = np.maximum(averaged[i], averaged[j]).sum()
            final[i, j] = (1 - weight) * (1 - smaller / larger) + weight * scaled[i, j]
    return final


def check(search: Search, distances: np.ndarray) -> None:
    """Rows stand in the order of the loop's distances, which the ranking gives."""
    for number in range(len(search.ranking.rows)):
        rows = search.ranking.rows[number]
        rows = rows[rows >= 0]
        given = search.ranking.distances[number, : len(rows)]
        np.testing.assert_allclose(given, distances[number, rows], atol=2e-6)
        assert (np.diff(given) >= 0).all()
        left_out = set(range(distances.shape[1])) - set(rows.tolist())
        if search.exclude[number] >= 0:
            assert left_out == {int(search.exclude[number])}
        else:
            assert not left_out


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 1.0)])
def test_queries_outside_the_database_equal_the_loop(k1, k2, weight):
    base, queries = clustered(60), clustered(9, seed=5)
    start = Search.start(queries, base, 60)
    search, _ = run_steps(start, [KReciprocal(k1, k2, weight)])
    final = slow(np.concatenate([queries, base]), k1, k2, weight)
    check(search, final[:9, 9:])
    assert not search.by_codes


def test_queries_of_the_database_are_no_second_images():
    base = clustered(60)
    start = Search.start(base[:12], base, 60, np.arange(12))
    search, _ = run_steps(start, [KReciprocal(8, 3)])
    check(search, slow(base, 8, 3, 0.3)[:12])


def test_expanded_queries_are_images_of_their_own():
    base = clustered(40)
    start = Search.start(base[:6], base, 40, np.arange(6))
    expanded, _ = run_steps(start, [AverageQueryExpansion(3)])
    search, _ = run_steps(expanded, [KReciprocal(8, 3)])
    final = slow(np.concatenate([expanded.queries, base]), 8, 3, 0.3)
    check(search, final[:6, 6:])
    again, _ = run_steps(search, [KReciprocal(8, 3)])  # of a ranking that is not by codes
    check(again, final[:6, 6:])


def test_a_truncated_ranking_keeps_its_rows():
    base, queries = clustered(60), clustered(9, seed=5)
    start = Search.start(queries, base, 10)
    search, _ = run_steps(start, [KReciprocal(8, 3)])
    final = slow(np.concatenate([queries, base]), 8, 3, 0.3)[:9, 9:]
    for before, after, distances in zip(
        start.ranking.rows, search.ranking.rows, final, strict=True
    ):
        assert set(before) == set(after)
        assert (np.diff(distances[after]) >= -2e-6).all()


def test_smaller_sets_than_neighbours():
    base = clustered(3)
    search, _ = run_steps(Search.start(base[:1], base, 3, np.array([0])), [KReciprocal()])
    assert sorted(search.ranking.rows[0].tolist()) == [-1, 1, 2]

"""Diffusion against dense linear algebra written from the paper."""

import numpy as np
import pytest
from scipy import sparse
from test_expansion import clustered

from neuralcodes.ranking import diffusion
from neuralcodes.ranking.diffusion import Diffusion, conjugate_gradients
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import run_steps


def slow(
    queries: np.ndarray, base: np.ndarray, k: int, kq: int, gamma: float, alpha: float, own: bool
) -> np.ndarray:
    """f of each query by a dense solve, float64 q×n."""
    codes = base.astype(np.float64)
    count = len(codes)
    similar = codes @ codes.T
    near = []
    for i in range(count):
        near.append([j for j in np.argsort(-similar[i], kind="stable") if j != i][:k])
    affinity = np.zeros((count, count))
    for i in range(count):
        for j in near[i]:
            if i in near[j]:
                affinity[i, j] = max(similar[i, j], 0) ** gamma
    degrees = affinity.sum(axis=1)
    scale = np.array([0 if d == 0 else d**-0.5 for d in degrees])
    system = np.eye(count) - alpha * scale[:, None] * affinity * scale[None]
    flows = []
    for number, query in enumerate(queries.astype(np.float64)):
        products = codes @ query
        first = [j for j in np.argsort(-products, kind="stable") if not (own and j == number)][:kq]
        y = np.zeros(count)
        y[first] = np.maximum(products[first], 0) ** gamma
        flows.append(np.linalg.solve(system, y))
    return np.array(flows)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("k", "kq", "alpha"), [(8, 3, 0.99), (3, 1, 0.5)])
def test_equals_a_dense_solve(own, k, kq, alpha):
    base = clustered(70)
    queries = base[:8] if own else clustered(8, seed=5)
    exclude = np.arange(8) if own else np.full(8, -1)
    start = Search.start(queries, base, 70, exclude)
    step = Diffusion(k, kq, alpha=alpha, iterations=500, tolerance=1e-12)
    search, (cost,) = run_steps(start, [step])
    flows = slow(queries, base, k, kq, 3.0, alpha, own)
    for number, flow in enumerate(flows):
        rows = search.ranking.rows[number]
        rows = rows[rows >= 0]
        given = -search.ranking.distances[number, : len(rows)]
        np.testing.assert_allclose(given, flow[rows], rtol=1e-5, atol=1e-9)
        assert (np.diff(flow[rows]) <= 1e-9).all()
        unreached = [row for row in rows if flow[row] < 1e-12]
        before = [row for row in start.ranking.rows[number] if row in set(unreached)]
        assert unreached == before
    assert cost.bytes > 0 and cost.offline_seconds > 0
    assert any((flow < 1e-12).any() for flow in flows)  # or the check above saw nothing


def test_it_follows_a_manifold_that_distance_cuts_across():
    """Two arcs that cross each other's neighbourhoods: diffusion stays on the query's own."""
    turn = np.linspace(0, 2.6, 120)
    one = np.stack([np.cos(turn), np.sin(turn), np.full(120, 0.25)], axis=1)
    other = np.stack([np.cos(turn), np.sin(turn), np.full(120, -0.25)], axis=1)
    base = np.concatenate([one, other])
    base = (base / np.linalg.norm(base, axis=1, keepdims=True)).astype(np.float32)
    search = Search.start(base[:1], base, 240, np.array([0]))
    found, _ = run_steps(search, [Diffusion(6, 5, iterations=2000, tolerance=1e-10)])

    def share(rows: np.ndarray) -> float:
        return float((rows[:100] < 120).mean())

    assert share(search.ranking.rows[0]) < 0.7
    assert share(found.ranking.rows[0]) == 1.0


def test_conjugate_gradients_solve_columns_that_are_done_at_different_times():
    generator = np.random.default_rng(0)
    half = generator.normal(size=(30, 30))
    matrix = sparse.csr_array(half @ half.T + 0.1 * np.eye(30))
    right = generator.normal(size=(30, 4))
    right[:, 1] = 0
    right[:, 2] *= 1e-8
    solution = conjugate_gradients(matrix, right, 400, 1e-12)
    np.testing.assert_allclose(matrix @ solution, right, atol=1e-8)
    np.testing.assert_allclose(
        (matrix @ solution)[:, 2], right[:, 2], atol=1e-10 * np.abs(right[:, 2]).max()
    )
    assert not solution[:, 1].any()


def test_blocks_of_queries_change_nothing(monkeypatch):
    base, queries = clustered(40), clustered(9, seed=2)
    whole, _ = run_steps(Search.start(queries, base, 40), [Diffusion(5, 3)])
    monkeypatch.setattr(diffusion, "SOLVED_BYTES", 8 * 40 * 2)
    parts, _ = run_steps(Search.start(queries, base, 40), [Diffusion(5, 3)])
    assert np.array_equal(whole.ranking.rows, parts.ranking.rows)


def test_single_images_and_no_neighbours():
    base = clustered(1)
    search, _ = run_steps(Search.start(base, base, 1, np.array([0])), [Diffusion()])
    assert search.ranking.rows.tolist() == [[-1]]

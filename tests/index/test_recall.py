from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_codes import clustered

from neuralcodes.index.backend import get_backend
from neuralcodes.index.ranking import Ranking
from neuralcodes.index.recall import Recall, measure, recall_interval, share_found, tune
from neuralcodes.index.scan import ScanIndex

N, D = 4000, 32


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return clustered(N, D, seed=3)


@pytest.fixture(scope="module")
def held_out() -> np.ndarray:
    return clustered(400, D, seed=4)


@pytest.fixture(scope="module")
def truth(codes: np.ndarray, held_out: np.ndarray) -> Ranking:
    exact = ScanIndex(D)
    exact.add(codes, np.arange(N))
    return exact.search(held_out, 10)


def build(name: str, codes: np.ndarray):
    kind = get_backend(name)
    index = kind(D, kind.suggest(N, D), lambda ids: codes[ids])
    index.add(codes, np.arange(N))
    return index


@pytest.mark.parametrize("name", ["fastscan", "hnsw", "ivfpq"])
@pytest.mark.parametrize("target", [0.8, 0.95, 0.99])
def test_the_promise_is_kept_on_queries_that_had_no_part_in_it(
    name: str, target: float, codes: np.ndarray, held_out: np.ndarray, truth: Ranking
) -> None:
    index = build(name, codes)
    report = tune(index, held_out, truth, target)
    assert report.met and report.low <= report.mean <= report.high
    assert report.effort == index.effort and report.queries == 200 and report.count == N
    fresh = clustered(500, D, seed=5)
    exact = ScanIndex(D)
    exact.add(codes, np.arange(N))
    again = measure(index, fresh, exact.search(fresh, 10), target)
    assert again.high >= target  # within the interval of fresh queries
    if target == 0.8 and report.effort > index.efforts()[0]:
        assert report.mean < 1.0  # no more effort than is needed
    assert Recall.from_json(report.to_json()) == report


def test_a_higher_promise_costs_no_less_effort(
    codes: np.ndarray, held_out: np.ndarray, truth: Ranking
) -> None:
    index = build("ivfpq", codes)
    efforts = [tune(index, held_out, truth, target).effort for target in (0.5, 0.9, 0.999)]
    assert efforts == sorted(efforts) and efforts[0] < efforts[-1]


def test_an_impossible_promise_is_reported_as_unmet(codes: np.ndarray) -> None:
    """A graph with hardly any links cannot find everything, however hard it tries."""
    kind = get_backend("hnsw")
    index = kind(D, kind.parameters_kind(links=2, construction=4))
    index.add(codes, np.arange(N))
    index.efforts = lambda: [1, 2]  # type: ignore[method-assign]
    queries = clustered(100, D, seed=6)
    exact = ScanIndex(D)
    exact.add(codes, np.arange(N))
    report = tune(index, queries, exact.search(queries, 10), 1.0)
    assert not report.met and report.mean < 1 and report.effort == 2


def test_copies_and_ties_are_no_misses() -> None:
    truth = Ranking(np.array([[1, 2]]), np.array([[0.0, 0.5]], np.float32))
    other = Ranking(np.array([[7, 8]]), np.array([[0.0, 0.5]], np.float32))
    assert share_found(other, truth).tolist() == [1.0]
    worse = Ranking(np.array([[7, 8]]), np.array([[0.0, 0.51]], np.float32))
    assert share_found(worse, truth).tolist() == [0.5]


def test_fewer_neighbours_than_k_count_among_those_there_are() -> None:
    none = np.inf
    truth = Ranking(np.array([[1, -1], [-1, -1]]), np.array([[0.3, none], [none, none]], "f4"))
    assert share_found(truth, truth).tolist() == [1.0, 1.0]
    nothing = Ranking(np.full((2, 2), -1), np.full((2, 2), none, dtype=np.float32))
    assert share_found(nothing, truth).tolist() == [0.0, 1.0]


def test_the_interval_covers_the_true_mean() -> None:
    """95 % of intervals hold it, also where the misses of a query come together."""
    generator = np.random.default_rng(0)
    for spread in (0.0, 0.3):
        inside = 0
        for _ in range(400):
            chance = np.where(generator.random(200) < spread, 0.5, 1.0) * 0.95
            shares = generator.binomial(10, chance) / 10
            true = 0.95 * (1 - spread * 0.5)
            low, high = recall_interval(shares, 10)
            inside += low <= true <= high
        assert 0.91 <= inside / 400 <= 0.99


@given(st.lists(st.integers(0, 10), min_size=1, max_size=60))
def test_an_interval_holds_its_mean_and_lies_in_0_to_1(hits: list[int]) -> None:
    shares = np.array(hits) / 10
    low, high = recall_interval(shares, 10)
    assert 0 <= low <= shares.mean() + 1e-12 and shares.mean() - 1e-12 <= high <= 1
    assert low < high  # no sample is certain

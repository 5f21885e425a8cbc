"""Measures against scikit-learn, against a loop written from the definition, and by properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from made import unit_rows
from neuralcodes.evaluation.measures import (
    average_precision,
    hit_at,
    precision_at,
    precision_recall_curve,
    recall_at,
)
from neuralcodes.evaluation.ranks import RelevantRanks, relevant_ranks
from neuralcodes.evaluation.relevance import ClassRelevance


def of(*rankings: list[bool]) -> RelevantRanks:
    """Ranks of relevant rows of rankings written as lists of relevance."""
    places = [np.flatnonzero(ranking) + 1 for ranking in rankings]
    return RelevantRanks(
        ranks=np.concatenate([*places, np.zeros(0, np.int64)]).astype(np.int64),
        starts=np.cumsum([0, *(len(p) for p in places)]),
        candidates=np.array([len(ranking) for ranking in rankings]),
    )


def loop_average_precision(ranking: list[bool]) -> float:
    hits, total = 0, 0.0
    for rank, relevant in enumerate(ranking, 1):
        if relevant:
            hits += 1
            total += hits / rank
    return total / hits if hits else float("nan")


rankings = st.lists(st.booleans(), min_size=1, max_size=60)


@given(st.lists(rankings, min_size=1, max_size=5))
def test_average_precision_equals_the_definition(several):
    expected = [loop_average_precision(ranking) for ranking in several]
    np.testing.assert_allclose(average_precision(of(*several)), expected, rtol=1e-12)


@given(rankings.filter(any))
def test_average_precision_equals_scikit_learn(ranking):
    peer = average_precision_score(ranking, -np.arange(len(ranking)))
    assert average_precision(of(ranking))[0] == pytest.approx(peer, abs=1e-12)


def test_mean_over_real_distances_equals_scikit_learn():
    codes, labels = unit_rows(400, 24), np.random.default_rng(3).integers(10, size=400)
    ours = average_precision(relevant_ranks(codes, codes, ClassRelevance.among(labels)))
    wide = codes.astype(np.float64)
    peers = []
    for query in range(len(codes)):
        others = np.arange(len(codes)) != query
        scores = -((wide[others] - wide[query]) ** 2).sum(axis=1)
        peers.append(average_precision_score(labels[others] == labels[query], scores))
    assert ours.mean() == pytest.approx(np.mean(peers), abs=1e-6)


@given(st.integers(1, 20), st.integers(0, 40))
def test_a_perfect_ranking_is_one_and_the_worst_is_known(relevant, others):
    assert average_precision(of([True] * relevant + [False] * others))[0] == pytest.approx(1)
    worst = average_precision(of([False] * others + [True] * relevant))[0]
    assert worst == pytest.approx(np.mean([j / (others + j) for j in range(1, relevant + 1)]))


@given(rankings.filter(any), st.data())
def test_moving_a_relevant_row_up_never_lowers_it(ranking, data):
    place = data.draw(st.sampled_from([i for i, r in enumerate(ranking) if r]))
    higher = data.draw(st.integers(0, place))
    moved = [*ranking[:place], *ranking[place + 1 :]]
    moved.insert(higher, True)
    assert average_precision(of(moved))[0] >= average_precision(of(ranking))[0] - 1e-12


@given(rankings, st.integers(1, 70))
def test_cut_offs_equal_the_definition(ranking, k):
    ranks, hits = of(ranking), sum(ranking[:k])
    if not any(ranking):
        assert np.isnan(
            [precision_at(ranks, k)[0], recall_at(ranks, k)[0], hit_at(ranks, k)[0]]
        ).all()
        return
    assert precision_at(ranks, k)[0] == pytest.approx(hits / k)
    assert recall_at(ranks, k)[0] == pytest.approx(hits / sum(ranking))
    assert hit_at(ranks, k)[0] == float(hits > 0)


@given(st.lists(rankings.filter(any), min_size=1, max_size=4))
def test_precision_recall_curve_equals_the_definition(several):
    expected = np.zeros(101)
    for ranking in several:
        hits = np.cumsum(ranking)
        precision, recall = hits / np.arange(1, len(ranking) + 1), hits / sum(ranking)
        expected += [precision[recall >= level - 1e-9].max() for level in np.linspace(0, 1, 101)]
    np.testing.assert_allclose(precision_recall_curve(of(*several)), expected / len(several))


def test_queries_without_relevant_rows_do_not_enter_the_curve():
    assert precision_recall_curve(of([True], [False])).tolist() == [1.0] * 101

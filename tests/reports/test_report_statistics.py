from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from made import make_spec
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import Score, ScoreSummary
from neuralcodes.index.ranking import Ranking
from neuralcodes.reports.statistics import (
    chance_map,
    layer_difference,
    layer_differences,
    layer_order,
    mean_and_interval,
    order_text,
    share_difference,
    share_interval,
)

hits_of = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(hits_of)
def test_share_interval_is_wilsons(case: tuple[int, int]) -> None:
    hits, count = case
    reference = scipy.stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert share_interval(hits / count, count) == pytest.approx(tuple(reference), abs=1e-12)


def test_share_interval_without_cases_is_unknown() -> None:
    assert all(math.isnan(end) for end in share_interval(0.0, 0))


def test_share_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, case (a), method 10: 56/70 - 48/80
    low, high = share_difference(56 / 70, 70, 48 / 80, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@given(hits_of, hits_of)
def test_share_difference_the_other_way_round(a: tuple[int, int], b: tuple[int, int]) -> None:
    low, high = share_difference(a[0] / a[1], a[1], b[0] / b[1], b[1])
    swapped = share_difference(b[0] / b[1], b[1], a[0] / a[1], a[1])
    assert (-swapped[1], -swapped[0]) == pytest.approx((low, high))
    assert low - 1e-12 <= a[0] / a[1] - b[0] / b[1] <= high + 1e-12


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2], [0, 0]])
def test_chance_map_is_the_mean_over_all_orders(labels: list[int]) -> None:
    expected = []
    for query, label in enumerate(labels):
        relevant = [other == label for row, other in enumerate(labels) if row != query]
        if any(relevant):
            orders = set(itertools.permutations(relevant))
            falling = -np.arange(len(relevant))
            expected.append(np.mean([average_precision_score(order, falling) for order in orders]))
    assert chance_map(np.array(labels)) == pytest.approx(np.mean(expected))


def test_chance_map_without_relevant_images_is_unknown() -> None:
    assert math.isnan(chance_map(np.array([0, 1, 2])))
    assert math.isnan(chance_map(np.array([0])))


def test_mean_and_interval_of_values_and_of_what_is_left_of_them() -> None:
    mean, interval = mean_and_interval(ScoreSummary(0.25, np.nan, np.nan))
    assert mean == 0.25 and all(math.isnan(end) for end in interval)
    score = Score("", np.array([0.0, 0.5, 1.0, 0.25]))
    assert mean_and_interval(score) == (score.mean, score.interval())


def _found(alias: str, values: np.ndarray) -> ClassRetrieval:
    spec = make_spec(4, alias)
    nothing = Ranking(np.zeros((0, 5), np.int64), np.zeros((0, 5), np.float32))
    return ClassRetrieval(spec, Score("AP", values), np.zeros(101), {}, {}, nothing)


def test_layer_difference_is_paired() -> None:
    generator = np.random.default_rng(3)
    hard = generator.random(400)  # queries differ far more than layers do
    a, b = _found("A", hard), _found("B", hard + generator.normal(0.01, 0.02, 400))
    labels = np.repeat(np.arange(4), 100)
    difference = layer_difference("A", "B", {"A": a, "B": b}, labels)
    assert (difference.better, difference.worse) == ("B", "A")
    assert difference.clear
    values = b.average_precision.values - a.average_precision.values
    assert difference.mean == pytest.approx(values.mean())
    reference = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert difference.interval == pytest.approx(tuple(reference), abs=3e-4)
    by_class = [values[labels == label].mean() for label in range(4)]
    assert (difference.classes_won, difference.classes) == (sum(m > 0 for m in by_class), 4)
    # unpaired, the same difference is lost among the queries
    assert a.average_precision.interval()[1] > b.average_precision.interval()[0]


def test_classes_won_counts_classes_not_queries() -> None:
    labels = np.array([0] * 8 + [1, 1])
    first = _found("A", np.array([0.6] * 8 + [0.1, 0.1]))
    second = _found("B", np.array([0.5] * 8 + [0.2, 0.2]))
    difference = layer_difference("A", "B", {"A": first, "B": second}, labels)
    assert (difference.better, difference.classes_won, difference.classes) == ("A", 1, 2)


def test_queries_without_a_value_do_not_count() -> None:
    nan = math.nan
    first = _found("A", np.array([0.5, nan, 0.7, nan]))
    second = _found("B", np.array([0.4, nan, 0.5, nan]))
    difference = layer_difference("A", "B", {"A": first, "B": second}, np.array([0, 1, 0, 2]))
    assert difference.mean == pytest.approx(0.15)
    assert difference.classes == 1


def test_order_marks_what_cannot_be_told_apart() -> None:
    generator = np.random.default_rng(0)
    base = generator.random(300)
    retrievals = {
        "low": _found("low", base - 0.2),
        "twin": _found("twin", base + generator.normal(0, 0.05, 300)),
        "base": _found("base", base + generator.normal(0, 0.05, 300)),
    }
    differences = layer_differences(retrievals, np.zeros(300, np.int64))
    order = layer_order(retrievals)
    assert len(differences) == 3
    assert order[2] == "low"
    assert order_text(order, differences) == f"{order[0]} ≈ {order[1]} > low"
    assert order_text([], []) == ""

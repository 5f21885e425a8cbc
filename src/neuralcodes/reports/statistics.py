"""How sure a figure is, and which of two layers is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from neuralcodes.common.intervals import wilson_interval
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.score import Score, ScoreSummary

Interval = tuple[float, float]

UNKNOWN: Interval = (math.nan, math.nan)


def share_interval(share: float, count: int) -> Interval:
    """95% Wilson interval of a share of `count` independent cases; unknown for none."""
    if not count:
        return UNKNOWN
    return wilson_interval(share, count)


def share_difference(first: float, n_first: int, second: float, n_second: int) -> Interval:
    """95% interval of `first - second`, shares of independent cases.

    Newcombe's hybrid of Wilson intervals (Statistics in Medicine 17, 1998, method 10).
    """
    low1, high1 = share_interval(first, n_first)
    low2, high2 = share_interval(second, n_second)
    middle = first - second
    return (
        middle - math.hypot(first - low1, high2 - second),
        middle + math.hypot(high1 - first, second - low2),
    )


def mean_and_interval(value: Score | ScoreSummary) -> tuple[float, Interval]:
    """Mean over queries with its 95% interval."""
    return value.mean, value.interval()


def chance_map(labels: npt.NDArray[np.int64]) -> float:
    """Expected mAP of a random order, where each image queries all others for its class.

    With r relevant among n: E[AP] = ((r - 1) (n - H(n)) / (n - 1) + H(n)) / n with the harmonic
    number H (Bestgen 2015). Queries without a relevant image are left out; NaN when all are.
    """
    n = len(labels) - 1
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    relevant = counts[inverse] - 1
    relevant = relevant[relevant > 0]
    if not len(relevant):
        return math.nan
    if n == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, n + 1)).sum())
    return float((((relevant - 1) * (n - harmonic) / (n - 1) + harmonic) / n).mean())


@dataclass(frozen=True)
class LayerDifference:
    """AP of `better` less AP of `worse`, over the same queries.

    Attributes:
        better, worse: layer aliases, by their means.
        mean: of the differences; not negative.
        interval: 95%, paired bootstrap over queries.
        classes_won: in how many classes `better` has the higher mean.
        classes: how many classes there are.
    """

    better: str
    worse: str
    mean: float
    interval: Interval
    classes_won: int
    classes: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval[0] > 0


def layer_order(retrievals: Mapping[str, ClassRetrieval]) -> list[str]:
    """Layer aliases, best mAP first."""
    return sorted(retrievals, key=lambda alias: -retrievals[alias].average_precision.mean)


def layer_difference(
    first: str,
    second: str,
    retrievals: Mapping[str, ClassRetrieval],
    labels: npt.NDArray[np.int64],
) -> LayerDifference:
    """Compare two layers query by query.

    Args:
        labels: int64 q, the queries' classes.
    """
    better, worse = layer_order({alias: retrievals[alias] for alias in (first, second)})
    values = (
        retrievals[better].average_precision.values - retrievals[worse].average_precision.values
    )
    score = Score(f"AP of {better} less AP of {worse}", values)
    judged = ~np.isnan(values)
    classes = np.unique(labels[judged])
    won = sum(values[judged & (labels == label)].mean() > 0 for label in classes)
    return LayerDifference(better, worse, score.mean, score.interval(), int(won), len(classes))


def layer_differences(
    retrievals: Mapping[str, ClassRetrieval], labels: npt.NDArray[np.int64]
) -> list[LayerDifference]:
    """All pairs of layers, the best layer's first."""
    order = layer_order(retrievals)
    return [
        layer_difference(first, second, retrievals, labels)
        for place, first in enumerate(order)
        for second in order[place + 1 :]
    ]


def order_text(order: Sequence[str], differences: Sequence[LayerDifference]) -> str:
    """ "L7 > L6 ≈ L5": best first, "≈" where two neighbours cannot be told apart."""
    clear = {(d.better, d.worse) for d in differences if d.clear}
    text = order[0] if order else ""
    for before, after in pairwise(order):
        text += f" {'>' if (before, after) in clear else '≈'} {after}"
    return text

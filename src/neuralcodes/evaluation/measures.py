"""Measures of a ranking: pure functions of the ranks of the relevant rows, one value a query.

Each has a name and a source of its own, and no two are the same number: the average precisions
of the founding experiment and of Oxford differ, and so do precision at k and the mP@k of the
revisited Oxford. A query without any relevant row has no value (NaN); `Score` counts these and
leaves them out of the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps

import numpy as np
import numpy.typing as npt

from neuralcodes.evaluation.ranks import RelevantRanks
from neuralcodes.evaluation.score import Score

Values = npt.NDArray[np.float64]

RECALL_LEVELS = np.linspace(0, 1, 101)


def _in_parts(function: Callable[..., Values]) -> Callable[..., Values]:
    """Apply a measure to runs of queries, so that memory stays bounded; none relevant is NaN."""

    @wraps(function)
    def whole(ranks: RelevantRanks, *numbers: int, **named: int) -> Values:
        parts = [function(part, *numbers, **named) for part in ranks.parts()]
        return np.where(ranks.counts > 0, np.concatenate([np.zeros(0), *parts]), np.nan)

    return whole


@_in_parts
def average_precision(ranks: RelevantRanks) -> Values:
    """Mean over a query's relevant rows of the precision at their rank (float64 q).

    Over the whole database, without cut-off, divided by the number of relevant rows. This is the
    founding experiment's measure and `sklearn.metrics.average_precision_score` without ties;
    Oxford's trapezoids are another measure.
    """
    return _sum_per_query(_ordinals(ranks) / ranks.ranks, ranks) / _counts(ranks)


@_in_parts
def oxford_average_precision(ranks: RelevantRanks) -> Values:
    """Area under a query's precision-recall curve by trapezoids (float64 q).

    At each relevant row recall rises by one part and the precision counted is the mean of that
    just before it (1 before the first row) and that at it. Source: compute_ap of the Oxford
    Buildings (Philbin et al., CVPR 2007), kept by the Paris, Holidays and revisited protocols.
    """
    found, before = _ordinals(ranks), ranks.ranks - 1
    earlier = np.where(before > 0, (found - 1) / np.maximum(before, 1), 1.0)
    return _sum_per_query((earlier + found / ranks.ranks) / 2, ranks) / _counts(ranks)


@_in_parts
def precision_at(ranks: RelevantRanks, k: int) -> Values:
    """Share of relevant rows among the first k (float64 q); k is the divisor even if n < k."""
    return _hits_within(ranks, k) / k


@_in_parts
def revisited_precision_at(ranks: RelevantRanks, k: int) -> Values:
    """The mP@k of the revisited Oxford and Paris, of one query (float64 q).

    Precision among the first min(k, rank of the last relevant row): a query with fewer relevant
    rows than k can reach 1. Source: compute_map of Radenović et al., CVPR 2018.
    """
    last = ranks.ranks[np.maximum(ranks.starts[1:] - 1, 0)] if len(ranks.ranks) else ranks.counts
    depth = np.maximum(np.minimum(last, k), 1)
    hits = ranks.ranks <= np.repeat(depth, ranks.counts)
    return _sum_per_query(hits.astype(np.float64), ranks) / depth


@_in_parts
def recall_at(ranks: RelevantRanks, k: int) -> Values:
    """Share of the relevant rows that are among the first k (float64 q)."""
    return _hits_within(ranks, k) / _counts(ranks)


@_in_parts
def hit_at(ranks: RelevantRanks, k: int) -> Values:
    """1 where at least one relevant row is among the first k, else 0 (float64 q).

    Called Recall@K in metric learning (Jégou et al., PAMI 2011; Oh Song et al., CVPR 2016).
    """
    return (_hits_within(ranks, k) > 0).astype(np.float64)


@_in_parts
def r_precision(ranks: RelevantRanks) -> Values:
    """Share of relevant rows among the first R, the number of relevant rows (float64 q)."""
    within = ranks.ranks <= np.repeat(ranks.counts, ranks.counts)
    return _sum_per_query(within.astype(np.float64), ranks) / _counts(ranks)


@_in_parts
def average_precision_at_r(ranks: RelevantRanks) -> Values:
    """MAP@R of one query: precisions at the relevant rows among the first R, summed, over R.

    R is the number of relevant rows. Source: Musgrave et al., ECCV 2020, section 3.2.
    """
    within = ranks.ranks <= np.repeat(ranks.counts, ranks.counts)
    return _sum_per_query(within * (_ordinals(ranks) / ranks.ranks), ranks) / _counts(ranks)


@_in_parts
def ukbench_score(ranks: RelevantRanks) -> Values:
    """4 × recall@4: how many of an object's four pictures are among the first four (float64 q).

    The query is one of the four. Source: Nistér and Stewénius, CVPR 2006.
    """
    return _hits_within(ranks, 4)


@dataclass(frozen=True)
class Measure:
    """A measure as tables name it.

    Attributes:
        name: unlike that of any other measure.
        of: ranks → one value a query, float64 q.
    """

    name: str
    of: Callable[[RelevantRanks], Values]

    def score(self, ranks: RelevantRanks) -> Score:
        """The measure's values for these ranks."""
        return Score(self.name, self.of(ranks))


AVERAGE_PRECISION = Measure("average precision", average_precision)
OXFORD_AVERAGE_PRECISION = Measure("Oxford average precision", oxford_average_precision)
R_PRECISION = Measure("R-precision", r_precision)
AVERAGE_PRECISION_AT_R = Measure("MAP@R", average_precision_at_r)
UKBENCH_SCORE = Measure("4 × recall@4", ukbench_score)


def precision(k: int) -> Measure:
    """Precision@k."""
    return Measure(f"precision@{k}", partial(precision_at, k=k))


def revisited_precision(k: int) -> Measure:
    """MP@k of the revisited Oxford and Paris."""
    return Measure(f"mP@{k}", partial(revisited_precision_at, k=k))


def recall(k: int) -> Measure:
    """Share of the relevant among the first k."""
    return Measure(f"recall@{k}", partial(recall_at, k=k))


def hit(k: int) -> Measure:
    """Metric learning's Recall@K."""
    return Measure(f"Recall@{k} (hit)", partial(hit_at, k=k))


def precision_recall_curve(ranks: RelevantRanks) -> Values:
    """Mean interpolated precision at recall 0, 0.01 … 1 (float64 101).

    The interpolated precision at recall r is the highest precision at any recall ≥ r, averaged
    over the queries that have relevant rows (Manning et al., Introduction to Information
    Retrieval, section 8.4).
    """
    total, judged = np.zeros(len(RECALL_LEVELS)), 0
    for part in ranks.parts():
        counts = part.counts[part.counts > 0]
        best = _best_from_here(_ordinals(part) / part.ranks, part)
        # the first relevant row that brings recall to at least the level
        needed = np.ceil(RECALL_LEVELS * counts[:, None] - 1e-9).astype(int)
        first = part.starts[:-1][part.counts > 0]
        total += best[first[:, None] + np.maximum(needed, 1) - 1].sum(axis=0)
        judged += len(counts)
    return total / max(judged, 1)


def _best_from_here(values: Values, ranks: RelevantRanks) -> Values:
    """The highest of each query's values from each place to the query's end (values in 0…1)."""
    # Read backwards, each query 2 above the one behind it: one running maximum serves them all.
    steps = 2.0 * np.repeat(np.arange(ranks.queries)[::-1], ranks.counts)
    running: Values = np.maximum.accumulate((values + steps)[::-1])[::-1] - steps
    return running


def _ordinals(ranks: RelevantRanks) -> npt.NDArray[np.int64]:
    """1, 2, 3 … within each query."""
    return np.arange(1, len(ranks.ranks) + 1) - np.repeat(ranks.starts[:-1], ranks.counts)


def _hits_within(ranks: RelevantRanks, k: int) -> Values:
    return _sum_per_query((ranks.ranks <= k).astype(np.float64), ranks)


def _sum_per_query(values: Values, ranks: RelevantRanks) -> Values:
    queries = np.repeat(np.arange(ranks.queries), ranks.counts)
    sums = np.bincount(queries, weights=values, minlength=ranks.queries)
    return sums.astype(np.float64)  # of no values at all they are integers


def _counts(ranks: RelevantRanks) -> npt.NDArray[np.int64]:
    return np.maximum(ranks.counts, 1)

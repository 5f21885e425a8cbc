"""Measures of a ranking: pure functions of the ranks of the relevant rows, one value a query.

A query without any relevant row has no value (NaN); `Score` counts these and leaves them out of
the mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodes.evaluation.ranks import RelevantRanks

Values = npt.NDArray[np.float64]

RECALL_LEVELS = np.linspace(0, 1, 101)


def average_precision(ranks: RelevantRanks) -> Values:
    """Mean over a query's relevant rows of the precision at their rank (float64 q).

    Over the whole database, without cut-off, divided by the number of relevant rows. This is the
    founding experiment's measure and `sklearn.metrics.average_precision_score` without ties;
    Oxford's trapezoids are another measure.
    """
    counts = ranks.counts
    # the j-th relevant row of a query (1-based) at rank r has precision j / r
    ordinal = np.arange(len(ranks.ranks)) - np.repeat(ranks.starts[:-1], counts) + 1
    return _mean_per_query(ordinal / ranks.ranks, ranks)


def precision_at(ranks: RelevantRanks, k: int) -> Values:
    """Share of relevant rows among the first k (float64 q); k is the divisor even if n < k."""
    return _without_relevant_as_nan(_hits_within(ranks, k) / k, ranks)


def recall_at(ranks: RelevantRanks, k: int) -> Values:
    """Share of the relevant rows that are among the first k (float64 q)."""
    with np.errstate(invalid="ignore"):
        return _hits_within(ranks, k) / ranks.counts


def hit_at(ranks: RelevantRanks, k: int) -> Values:
    """1 where at least one relevant row is among the first k, else 0 (float64 q)."""
    return _without_relevant_as_nan((_hits_within(ranks, k) > 0).astype(np.float64), ranks)


def precision_recall_curve(ranks: RelevantRanks) -> Values:
    """Mean interpolated precision at recall 0, 0.01 … 1 (float64 101).

    The interpolated precision at recall r is the highest precision at any recall ≥ r, averaged
    over the queries that have relevant rows (Manning et al., Introduction to Information
    Retrieval, section 8.4).
    """
    total = np.zeros(len(RECALL_LEVELS))
    judged = np.flatnonzero(ranks.counts)
    for query in judged:
        places = ranks.of(int(query))
        found = np.arange(1, len(places) + 1)
        best = np.maximum.accumulate((found / places)[::-1])[::-1]
        # the first relevant row that brings recall to at least the level
        needed = np.ceil(RECALL_LEVELS * len(places) - 1e-9).astype(int)
        total += best[np.maximum(needed, 1) - 1]
    return total / max(len(judged), 1)


def _hits_within(ranks: RelevantRanks, k: int) -> Values:
    return _sum_per_query((ranks.ranks <= k).astype(np.float64), ranks)


def _sum_per_query(values: Values, ranks: RelevantRanks) -> Values:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[ranks.starts[1:]] - sums[ranks.starts[:-1]])


def _mean_per_query(values: Values, ranks: RelevantRanks) -> Values:
    with np.errstate(invalid="ignore"):
        counts = ranks.counts
        queries = np.repeat(np.arange(ranks.queries), counts)
        return np.bincount(queries, weights=values, minlength=ranks.queries) / counts


def _without_relevant_as_nan(values: Values, ranks: RelevantRanks) -> Values:
    return np.where(ranks.counts > 0, values, np.nan)

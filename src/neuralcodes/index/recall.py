"""Recall as a promise: how much of the truth an index finds, and the least effort that keeps it.

Queries are codes that the index does not hold, so that they stand for pictures it has never seen.
A neighbour counts as found by its distance: of exact copies any will do, and a tie is no miss.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.common.intervals import wilson_interval
from neuralcodes.index.backend import Floats, IndexBackend
from neuralcodes.index.ranking import Ranking

SEED = 0


@dataclass(frozen=True)
class Recall:
    """Measured recall@k, the mean over queries of the share of the k nearest that was found.

    Attributes:
        mean: the recall measured.
        low, high: its 95 % interval.
        k: how many neighbours.
        queries: how many queries it was measured on, none of which the effort was chosen by.
        count: codes in the index at the time.
        target: what was promised.
        effort: the index's effort (see `IndexBackend`).
        milliseconds: a query's time then, one query at a time, median.
    """

    mean: float
    low: float
    high: float
    k: int
    queries: int
    count: int
    target: float
    effort: int
    milliseconds: float

    @property
    def met(self) -> bool:
        """Whether the promise is kept: the measured mean reaches the target."""
        return self.mean >= self.target

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "met": self.met}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Recall:
        """Read what `to_json` wrote."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


def share_found(found: Ranking, truth: Ranking) -> npt.NDArray[np.float64]:
    """Recall of each query, float64 q, counted by distance.

    Args:
        found: what an index found, q×k.
        truth: the exact k nearest, q×k. A query without any neighbour has recall 1.
    """
    true = truth.distances
    wanted = np.isfinite(true).sum(axis=1)
    last = np.where(wanted > 0, true[np.arange(len(true)), np.maximum(wanted - 1, 0)], 0.0)
    # both are measured by differences in float32, only summed in another order
    limit = last * (1 + 1e-5) + 1e-6
    hits = (found.distances <= limit[:, None]).sum(axis=1)
    return np.where(wanted > 0, np.minimum(hits, wanted) / np.maximum(wanted, 1), 1.0)


def recall_interval(shares: npt.NDArray[np.float64], k: int) -> tuple[float, float]:
    """95 % interval of the mean of `shares`, each a share of k neighbours found.

    Wilson's interval (1927). Neighbours of one query are found or missed together, so the sample
    counts as q·k over the design effect (Kish 1965), that is never more than its own variance
    says, and as q where nothing at all was missed.
    """
    mean, count = float(shares.mean()), len(shares)
    spread = mean * (1 - mean)
    size = float(count)
    if spread > 0 and count > 1 and shares.var() > 0:
        size = min(spread / (shares.var(ddof=1) / count), count * k)
    low, high = wilson_interval(mean, size)
    return min(mean, low), max(mean, high)


def tune(
    index: IndexBackend, queries: Floats, truth: Ranking, target: float, seed: int = SEED
) -> Recall:
    """Set the index's effort to the least that keeps the promise, and measure what it gives.

    Half of the queries choose the effort: the least at which the low end of their interval
    reaches the target, or at which they miss no more than half of what it lets them (near 1 no
    few hundred queries could show more). The other half, which had no part in that, measure it.
    Where these miss the target, effort goes up until they do not or there is no more.

    Args:
        index: its effort is set.
        queries: float32 q×d, q at least 2, none in the index.
        truth: their exact nearest among the codes in the index, q×k.
        target: recall promised, in (0, 1].
    """
    order = np.random.default_rng(seed).permutation(len(queries))
    choosing, judging = np.array_split(order, 2)
    efforts = index.efforts()
    low, high = 0, len(efforts) - 1
    while low < high:
        middle = (low + high) // 2
        shares = _shares(index, queries, truth, choosing, efforts[middle])
        sure = recall_interval(shares, truth.rows.shape[1])[0] >= target
        if sure or shares.mean() >= (1 + target) / 2:
            high = middle
        else:
            low = middle + 1
    while True:
        shares = _shares(index, queries, truth, judging, efforts[low])
        if shares.mean() >= target or low == len(efforts) - 1:
            return _report(index, queries, truth, judging, target, shares)
        low += 1


def measure(index: IndexBackend, queries: Floats, truth: Ranking, target: float) -> Recall:
    """Measure recall at the index's present effort; arguments as for `tune`."""
    everything = np.arange(len(queries))
    shares = _shares(index, queries, truth, everything, index.effort)
    return _report(index, queries, truth, everything, target, shares)


def _shares(
    index: IndexBackend, queries: Floats, truth: Ranking, which: npt.NDArray[np.intp], effort: int
) -> npt.NDArray[np.float64]:
    index.effort = effort
    found = index.search(queries[which], truth.rows.shape[1])
    return share_found(found, Ranking(truth.rows[which], truth.distances[which]))


def _report(
    index: IndexBackend,
    queries: Floats,
    truth: Ranking,
    which: npt.NDArray[np.intp],
    target: float,
    shares: npt.NDArray[np.float64],
) -> Recall:
    k = truth.rows.shape[1]
    seconds = []
    for query in queries[which[:50]]:
        start = time.perf_counter()
        index.search(query[None], k)
        seconds.append(time.perf_counter() - start)
    low, high = recall_interval(shares, k)
    return Recall(
        mean=float(shares.mean()),
        low=low,
        high=high,
        k=k,
        queries=len(which),
        count=len(index),
        target=target,
        effort=index.effort,
        milliseconds=float(np.median(seconds)) * 1e3,
    )

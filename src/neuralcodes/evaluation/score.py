"""`Score`: a measure's values over queries, their mean and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
CHUNK = 4_000_000  # values drawn at a time

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Values of one measure, float64 q; NaN for queries that have none."""

    measure: str
    values: Values

    @property
    def defined(self) -> Values:
        """The values there are."""
        return self.values[~np.isnan(self.values)]

    @property
    def mean(self) -> float:
        """Mean over the queries that have a value; NaN when none has."""
        return float(self.defined.mean()) if len(self.defined) else float("nan")

    def interval(self, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
        """Percentile bootstrap interval of the mean over queries (Efron 1979), seeded."""
        return bootstrap_interval(self.defined, confidence, seed)

    def to_json(self) -> dict[str, Any]:
        """Mean, interval and counts, JSON-ready; what is not defined is null."""
        low, high = self.interval()
        return {
            "measure": self.measure,
            "mean": or_null(self.mean),
            "low": or_null(low),
            "high": or_null(high),
            "queries": len(self.values),
            "without_relevant": int(np.isnan(self.values).sum()),
        }


@dataclass(frozen=True)
class ScoreSummary:
    """A mean over queries with its 95 % bootstrap interval, where single values are not kept.

    Attributes:
        mean, low, high: NaN for what is not known.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Values) -> ScoreSummary:
        """From values of queries, float64 q; NaN for queries that have none."""
        score = Score("", values)
        return cls(score.mean, *score.interval())

    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        return self.low, self.high


def bootstrap_interval(values: Values, confidence: float, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (float64, none NaN); NaN for none."""
    count = len(values)
    if not count:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    step = max(1, CHUNK // count)
    for at in range(0, RESAMPLES, step):
        part = means[at : at + step]
        part[:] = values[generator.integers(count, size=(len(part), count))].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def or_null(value: float) -> float | None:
    """A figure for JSON: NaN, which JSON does not know, becomes null."""
    return None if math.isnan(value) else value

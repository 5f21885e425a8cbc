"""`Score`: a measure's values over queries, their mean and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """Values of one measure, float64 q; NaN for queries that have none."""

    measure: str
    values: npt.NDArray[np.float64]

    @property
    def defined(self) -> npt.NDArray[np.float64]:
        """The values there are."""
        return self.values[~np.isnan(self.values)]

    @property
    def mean(self) -> float:
        """Mean over the queries that have a value; NaN when none has."""
        return float(self.defined.mean()) if len(self.defined) else float("nan")

    def interval(self, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
        """Percentile bootstrap interval of the mean over queries (Efron 1979), seeded."""
        values = self.defined
        if not len(values):
            return float("nan"), float("nan")
        generator = np.random.default_rng(seed)
        means = np.empty(RESAMPLES)
        for number in range(RESAMPLES):
            means[number] = values[generator.integers(len(values), size=len(values))].mean()
        tail = (1 - confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """Mean, interval and counts, JSON-ready."""
        low, high = self.interval()
        return {
            "measure": self.measure,
            "mean": self.mean,
            "low": low,
            "high": high,
            "queries": len(self.values),
            "without_relevant": int(np.isnan(self.values).sum()),
        }

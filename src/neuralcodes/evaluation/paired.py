"""Is one of two sets of values, on the same queries, really better? Paired tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.evaluation.score import Score, bootstrap_interval

FLIPS = 20_000
CHUNK = 8_000_000  # signs drawn at a time
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """B's mean less A's over the queries that have values.

    Attributes:
        measure: of both.
        mean_a, mean_b, difference: means, and the second less the first.
        low, high: 95 % paired bootstrap interval of the difference over queries.
        p: of the two-sided sign-flip test that no difference is expected.
        queries: how many were compared.
    """

    measure: str
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    queries: int

    @property
    def real(self) -> bool:
        """Whether both the test (p < 0.05) and the interval rule out that it is chance."""
        return self.p < LEVEL and not self.low <= 0 <= self.high

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return {**vars(self), "real": self.real}


def compare_scores(a: Score, b: Score, seed: int = 0) -> Difference:
    """Compare two codes' values on the same queries in the same order.

    The interval is the percentile bootstrap of the differences; the test flips the sign of each
    query's difference at random (Fisher's randomisation; Smucker et al., CIKM 2007), seeded.

    Args:
        a, b: of one measure; NaN at the same queries.

    Raises:
        ValueError: measures, numbers of queries or queries without value differ, or there is no
            value.
    """
    if a.measure != b.measure:
        raise ValueError(f"{a.measure} and {b.measure} are two measures")
    if len(a.values) != len(b.values) or not np.array_equal(np.isnan(a.values), np.isnan(b.values)):
        raise ValueError("not the same queries")
    if not len(a.defined):
        raise ValueError("no query has a value")
    apart = b.defined - a.defined
    low, high = bootstrap_interval(apart, 0.95, seed)
    return Difference(
        measure=a.measure,
        mean_a=a.mean,
        mean_b=b.mean,
        difference=float(apart.mean()),
        low=low,
        high=high,
        p=sign_flip_test(apart, seed),
        queries=len(apart),
    )


def sign_flip_test(differences: npt.NDArray[np.float64], seed: int = 0) -> float:
    """Two-sided p of a mean as far from 0 as this one when each difference's sign is a coin's.

    Exact over all 2ⁿ signs for up to 14 differences that are not 0; else of `FLIPS` random ones,
    the observed one counted among them, so never below 1 / (FLIPS + 1).
    """
    values = differences[differences != 0]  # a flip leaves a zero as it is
    if not len(values):
        return 1.0
    # flips that differ by rounding alone must count as equal
    threshold = abs(values.sum()) * (1 - 1e-12) - 1e-15
    if len(values) <= 14:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * bits) @ values) >= threshold))
    generator = np.random.default_rng(seed)
    as_far, step = 0, max(1, CHUNK // len(values))
    for at in range(0, FLIPS, step):
        count = min(step, FLIPS - at)
        width = -(-len(values) // 8)
        random = np.frombuffer(generator.bytes(count * width), np.uint8).reshape(count, width)
        flipped = np.unpackbits(random, axis=1, count=len(values)) @ values
        as_far += int(np.count_nonzero(np.abs(values.sum() - 2 * flipped) >= threshold))
    return (as_far + 1) / (FLIPS + 1)

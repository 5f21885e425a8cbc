"""How far is similar? Distances of search results become the probability that they match.

Fitted on what a search returns: the nearest results of held-out queries, each a match or not. So
the probability is that of a *returned* result at this distance, and the share of matches among the
results is the prior; any two images at that distance are another question with a smaller answer.

- `isotonic` (Zadrozny & Elkan 2002): any curve that never rises with the distance.
- `logistic` (Platt 1999, with his targets): a straight line behind the logistic function.

How good it is, is measured on results that the curve was not fitted on: the queries are dealt into
5 folds, by class where there are enough of them (then no class is in both parts), and each fold's
results are predicted by a curve fitted on the others. The curve that is kept is fitted on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.probability import Curve, Method, Probabilities
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.score import RESAMPLES

FOLDS = 5
BINS = 15  # of the expected calibration error, as wide as each other (Guo et al. 2017)
LEAST = 30  # queries
BANDS = ((1, 1), (2, 10), (11, None))  # ranks that are looked at on their own
CHUNK = 4_000_000  # draws at a time

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Returned:
    """What searches returned: n results, of several queries.

    Attributes:
        distances: float64 n.
        matches: bool n.
        queries: int64 n, whose result it is.
        ranks: int64 n, from 1.
        classes: int64 n, the query's class; None where there are none.
        kind: what these are, "classes", or "pictures" that several queries are views of.
    """

    distances: Floats
    matches: Bools
    queries: Ints
    ranks: Ints
    classes: Ints | None = None
    kind: str = "classes"

    @property
    def by_class(self) -> bool:
        """Whether there are enough classes to hold some out."""
        return self.classes is not None and len(np.unique(self.classes)) >= FOLDS

    @property
    def held_out(self) -> str:
        """What is held out, in words."""
        return self.kind if self.by_class else "queries"

    @property
    def groups(self) -> Ints:
        """int64 n: what stays together in folds and resamples, the query's class or the query."""
        which = self.classes if self.by_class and self.classes is not None else self.queries
        return np.unique(which, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Estimate:
    """A figure from 0 to 1 and its 95 % bootstrap interval, its bias taken off."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """JSON-ready."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Bin:
    """Results whose predicted probability lies in one of the equal parts of 0 to 1.

    Attributes:
        predicted: mean of the predicted probabilities.
        observed: share that matches.
        count: of results.
    """

    predicted: float
    observed: Estimate
    count: int


@dataclass(frozen=True)
class Reliability:
    """How good predicted probabilities are, on results that they were not fitted on.

    Attributes:
        ece: expected calibration error (Guo et al. 2017): the mean gap between predicted and
            observed over 15 equally wide bins, weighted by results. It is never negative, so with
            few results chance alone raises it.
        brier: mean squared error of the probabilities (Brier 1950).
        base: the share of matches, and
        brier_of_base: the Brier score of always saying just that.
        bins: those that are not empty.
        bands: ECE by ranks, as "rank 1", "ranks 2 to 10".
        queries, results: how many.
        held_out: "classes", "pictures" or "queries": what fitting never saw, and is resampled.
        groups: how many of these.
    """

    ece: Estimate
    brier: Estimate
    base: float
    brier_of_base: float
    bins: tuple[Bin, ...]
    bands: dict[str, Estimate]
    queries: int
    results: int
    held_out: str
    groups: int

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "ece": self.ece.to_json(),
            "brier": self.brier.to_json(),
            "base_rate": self.base,
            "brier_of_base_rate": self.brier_of_base,
            "held_out": self.held_out,
            "folds": FOLDS,
            "groups": self.groups,
            "queries": self.queries,
            "results": self.results,
            "ece_by_rank": {name: band.to_json() for name, band in self.bands.items()},
            "bins": [
                {"predicted": b.predicted, "observed": b.observed.to_json(), "count": b.count}
                for b in self.bins
            ],
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Reliability:
        """Read what `to_json` gave."""
        return cls(
            Estimate(**facts["ece"]),
            Estimate(**facts["brier"]),
            facts["base_rate"],
            facts["brier_of_base_rate"],
            tuple(
                Bin(b["predicted"], Estimate(**b["observed"]), b["count"]) for b in facts["bins"]
            ),
            {name: Estimate(**band) for name, band in facts["ece_by_rank"].items()},
            facts["queries"],
            facts["results"],
            facts["held_out"],
            facts["groups"],
        )


def known_facts(
    returned: Returned, reliability: Reliability, seed: int, **more: Any
) -> dict[str, Any]:
    """What is kept beside a curve: how good it is, when and from what it was made."""
    return {
        "reliability": reliability.to_json(),
        "distances": [float(returned.distances.min()), float(returned.distances.max())],
        "seed": seed,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def fit_curve(distances: Floats, matches: Bools, method: Method) -> Curve:
    """Probability of a match by distance.

    Where nearer results match no more often than others the curve is level, at their share.

    Args:
        distances: float64 n, at least one.
        matches: bool n.
    """
    return _isotonic(distances, matches) if method == "isotonic" else _logistic(distances, matches)


def _isotonic(distances: Floats, matches: Bools) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=False, out_of_bounds="clip")
    fitted.fit(distances, matches.astype(np.float64))
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    # that all of n results matched is no certainty: (n + 1) / (n + 2), Laplace's rule
    predicted = fitted.predict(distances)
    inner = y[(y > 0) & (y < 1)]
    sure, never = int((predicted >= 1).sum()), int((predicted <= 0).sum())
    high = max(1 - 1 / (sure + 2), inner.max(initial=0.0)) if sure else 1.0
    low = min(1 / (never + 2), inner.min(initial=1.0)) if never else 0.0
    return Curve("isotonic", tuple(x.tolist()), tuple(np.clip(y, low, high).tolist()))


def _logistic(distances: Floats, matches: Bools) -> Curve:
    from sklearn.linear_model import LogisticRegression

    count, hits = len(matches), int(matches.sum())
    middle, spread = float(distances.mean()), float(distances.std()) or 1.0
    x = ((distances - middle) / spread)[:, None]
    # Platt's targets, a little inside 0 and 1, as weights of either answer
    target = np.where(matches, (hits + 1) / (hits + 2), 1 / (count - hits + 2))
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    fitted.fit(
        np.concatenate([x, x]),
        np.repeat([1, 0], count),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(fitted.coef_[0, 0]) / spread
    if slope > 0:
        share = float(target.mean())
        return Curve("logistic", intercept=float(np.log(share / (1 - share))))
    return Curve("logistic", slope=slope, intercept=float(fitted.intercept_[0]) - slope * middle)


def calibrate(
    returned: Returned, method: Method = "isotonic", seed: int = 0
) -> tuple[Curve, Reliability]:
    """Fit the curve, and measure it on held-out queries or classes.

    Args:
        returned: of at least 30 queries.
        seed: deals the folds and draws the resamples.

    Raises:
        UserError: too few queries, or results that all or none of them match.
    """
    queries = len(np.unique(returned.queries))
    if queries < LEAST:
        raise UserError(f"{queries} pictures to search by; a calibration needs at least {LEAST}")
    if returned.matches.all() or not returned.matches.any():
        which = "all" if returned.matches.any() else "none"
        raise UserError(
            f"{which} of the {len(returned.matches):,} results match, so there is nothing to learn "
            "from; are the labels those that are meant?"
        )
    curve = fit_curve(returned.distances, returned.matches, method)
    return curve, measure(held_out(returned, method, seed), returned, seed)


def held_out(returned: Returned, method: Method, seed: int) -> Probabilities:
    """Probabilities of results, float64 n, each from a curve that never saw its query (class)."""
    groups = returned.groups
    count = int(groups.max()) + 1
    fold = np.random.default_rng(seed).permutation(count)[groups] % min(FOLDS, count)
    made = np.empty(len(groups))
    for number in np.unique(fold):
        own = fold == number
        curve = fit_curve(returned.distances[~own], returned.matches[~own], method)
        made[own] = curve.of(returned.distances[own])
    return made


def measure(predicted: Probabilities, returned: Returned, seed: int = 0) -> Reliability:
    """How well probabilities agree with what matched; see `Reliability`."""
    matches, groups = returned.matches.astype(np.float64), returned.groups
    cells = np.minimum((predicted * BINS).astype(np.int64), BINS - 1)
    count = int(groups.max()) + 1

    def table(part: Bools) -> _Table:
        return _Table(groups[part], cells[part], predicted[part], matches[part], count)

    whole = table(np.ones(len(groups), dtype=np.bool_))
    tables = {"": whole}
    for first, last in BANDS:
        inside = (returned.ranks >= first) & (returned.ranks <= (last or np.inf))
        if inside.any():
            ends = "" if first == last else f" to {last or int(returned.ranks.max())}"
            tables[f"rank{'s' if ends else ''} {first}{ends}"] = table(inside)
    drawn = [
        (*(t.ece(w) for t in tables.values()), whole.brier(w), whole.observed(w))
        for w in _resamples(count, seed)
    ]
    *eces, briers, shares = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    once = np.ones((1, count))
    found = {
        name: _estimate(t.ece(once)[0], draws)
        for (name, t), draws in zip(tables.items(), eces, strict=True)
    }
    base = float(matches.mean())
    return Reliability(
        ece=found.pop(""),
        brier=_estimate(whole.brier(once)[0], briers),
        base=base,
        brier_of_base=base * (1 - base),
        bins=whole.bins(shares),
        bands=found,
        queries=len(np.unique(returned.queries)),
        results=len(matches),
        held_out=returned.held_out,
        groups=count,
    )


class _Table:
    """Sums by group and bin, all that resampled groups need.

    Attributes:
        results, predicted, matches: float64 groups×bins.
        errors: float64 groups, sums of squared errors.
    """

    def __init__(
        self, groups: Ints, cells: Ints, predicted: Floats, matches: Floats, count: int
    ) -> None:
        def add(values: Floats) -> Floats:
            made = np.zeros(count * BINS)
            np.add.at(made, groups * BINS + cells, values)
            return made.reshape(count, BINS)

        self.results = add(np.ones(len(groups)))
        self.predicted = add(predicted)
        self.matches = add(matches)
        self.errors = np.bincount(groups, weights=(predicted - matches) ** 2, minlength=count)

    def ece(self, weights: Floats) -> Floats:
        """float64 b of b×groups weights; NaN where none of the groups drawn has a result."""
        gaps = np.abs(weights @ (self.predicted - self.matches)).sum(1)
        return _divide(gaps, (weights @ self.results).sum(1))

    def brier(self, weights: Floats) -> Floats:
        """Likewise."""
        return _divide(weights @ self.errors, weights @ self.results.sum(1))

    def observed(self, weights: Floats) -> Floats:
        """float64 b×bins."""
        return _divide(weights @ self.matches, weights @ self.results)

    def bins(self, shares: Floats) -> tuple[Bin, ...]:
        """Those that are not empty; `shares`: `observed` of all resamples."""
        results = self.results.sum(0)
        observed = self.observed(np.ones((1, len(self.results))))[0]
        return tuple(
            Bin(
                float(self.predicted[:, cell].sum() / results[cell]),
                _estimate(observed[cell], shares[:, cell]),
                int(results[cell]),
            )
            for cell in np.flatnonzero(results)
        )


def _divide(top: Floats, bottom: Floats) -> Floats:
    made: Floats = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    return made


def _resamples(count: int, seed: int) -> Iterator[Floats]:
    """How often each group is drawn, float64 b×groups, in parts."""
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK // count)
    for at in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - at)
        yield generator.multinomial(count, np.full(count, 1 / count), size).astype(np.float64)


def _estimate(value: float, draws: Floats) -> Estimate:
    # resampling adds gaps of its own to the ECE: the draws are moved, their mean is the value
    low, high = np.nanquantile(draws, [0.025, 0.975]) - (np.nanmean(draws) - value)
    return Estimate(float(value), max(0.0, float(low)), min(1.0, float(high)))

"""`MatchProbability`: how likely a search result at this distance matches, for one code.

It is fitted in `neuralcodes.evaluation.calibration`; here it is only read and applied, with NumPy
alone, so that a search that shows it starts no slower.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import read_json, write_json

FORMAT = 1
GROWN = 1.5  # times as many images, or as few, and the share of matches may be another

Method = Literal["isotonic", "logistic"]
METHODS: tuple[Method, ...] = ("isotonic", "logistic")
Probabilities = npt.NDArray[np.float64]


def parse_method(text: str) -> Method:
    """A method by name.

    Raises:
        UserError: there is none of that name.
    """
    for method in METHODS:
        if text == method:
            return method
    raise UserError(f"--method {text}: choose {' or '.join(METHODS)}")


SUREST = 30.0  # logit of a probability of 1 - 1e-13


@dataclass(frozen=True)
class Curve:
    """Probability by distance, never rising.

    Attributes:
        method: "isotonic": straight lines between the knots, and level beyond them; "logistic":
            1 / (1 + exp(-(slope · distance + intercept))).
        distances, probabilities: the knots, distances rising; empty for "logistic".
        slope, intercept: of "logistic"; the slope is at most 0.
    """

    method: Method
    distances: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    slope: float = 0.0
    intercept: float = 0.0

    def of(self, distances: npt.ArrayLike) -> Probabilities:
        """Probabilities, float64, of distances of any shape."""
        apart = np.asarray(distances, dtype=np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(apart, self.distances, self.probabilities))
        # beyond this float64 would round to a certainty, which no sample of results can give
        logit = np.clip(self.slope * apart + self.intercept, -SUREST, SUREST)
        made: Probabilities = 0.5 * (1 + np.tanh(logit / 2))
        return made


@dataclass(frozen=True)
class MatchProbability:
    """A curve with the code it is of and what it was measured on.

    Attributes:
        spec: the code whose distances it reads.
        curve: fitted on all sampled results.
        match: what is called a match, in words that follow "a result that …".
        count: so many images were searched when it was fitted.
        depth: results a query that it was fitted on; it is the probability of one that is
            *returned* among so many, not of any two images.
        facts: how it was measured and how good it is; see `evaluation.calibration`.
    """

    spec: CodeSpec
    curve: Curve
    match: str
    count: int
    depth: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    def of(self, distances: npt.ArrayLike) -> Probabilities:
        """Probability, float64 from 0 to 1, that a result at each distance matches."""
        return self.curve.of(distances)

    def require_code(self, spec: CodeSpec) -> None:
        """Refuse to read the distances of another code.

        Raises:
            UserError: it names both codes.
        """
        try:
            self.spec.require_same(spec)
        except UserError as error:
            raise UserError(
                f"the calibration of {self.spec.name} says nothing of {spec.name}; "
                f"calibrate that one: {error}"
            ) from None

    def stale(self, count: int) -> str:
        """Why it should be measured again on a set of `count` images; empty if it need not be."""
        if not self.count / GROWN < count < self.count * GROWN:
            return (
                f"the probabilities are stale: calibrated on {self.count:,} images, now there are "
                f"{count:,}; run `neuralcodes calibrate` again"
            )
        return ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        curve: dict[str, Any] = {"method": self.curve.method}
        if self.curve.method == "isotonic":
            curve |= {
                "distances": list(self.curve.distances),
                "probabilities": list(self.curve.probabilities),
            }
        else:
            curve |= {"slope": self.curve.slope, "intercept": self.curve.intercept}
        return {
            "calibration": FORMAT,
            "code": self.spec.to_json(),
            "match": self.match,
            "count": self.count,
            "depth": self.depth,
            "curve": curve,
            "facts": dict(self.facts),
        }


def probability_file(folder: Path, spec: CodeSpec) -> Path:
    """Where the calibration of a code is kept: in a collection, or beside a run's codes."""
    return Path(folder) / f"calibration-{spec.fingerprint()}.json"


def save_probability(path: Path, known: MatchProbability) -> None:
    """Write atomically.

    Raises:
        UserError: full disk or no right to write.
    """
    write_json(path, known.to_json())


def load_probability(path: Path) -> MatchProbability:
    """Read what `save_probability` wrote.

    Raises:
        UserError: absent, or not a calibration that this version reads.
    """
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("calibration") != FORMAT:
        raise UserError(f"{path}: not a calibration that this version reads; calibrate again")
    try:
        curve = facts["curve"]
        made = Curve(
            curve["method"],
            tuple(map(float, curve.get("distances", ()))),
            tuple(map(float, curve.get("probabilities", ()))),
            float(curve.get("slope", 0.0)),
            float(curve.get("intercept", 0.0)),
        )
        _require_curve(made)
        return MatchProbability(
            CodeSpec.from_json(facts["code"]),
            made,
            str(facts["match"]),
            int(facts["count"]),
            int(facts["depth"]),
            dict(facts["facts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); calibrate again") from None


def _require_curve(curve: Curve) -> None:
    x, y = np.array(curve.distances), np.array(curve.probabilities)
    if curve.method == "isotonic":
        whole = len(x) > 0 and x.shape == y.shape and bool((np.diff(x) >= 0).all())
        falling = bool((np.diff(y) <= 0).all()) and bool(((y >= 0) & (y <= 1)).all())
    else:
        whole = curve.method == "logistic" and math.isfinite(curve.slope + curve.intercept)
        falling = curve.slope <= 0
    if not whole or not falling:
        raise ValueError("its curve is none")

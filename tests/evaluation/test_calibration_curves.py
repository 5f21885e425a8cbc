"""Curves against scikit-learn and SciPy; measures against a loop; known probabilities found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from neuralcodes.codes.probability import METHODS, Method
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.calibration import (
    BINS,
    Returned,
    calibrate,
    fit_curve,
    held_out,
    measure,
)


def truth(distances: np.ndarray) -> np.ndarray:
    """The probability that the made results match."""
    return 1 / (1 + np.exp(8 * (distances - 0.7)))


def made(queries: int, depth: int = 10, classes: int = 12, seed: int = 0) -> Returned:
    dice = np.random.default_rng(seed)
    distances = np.sort(dice.uniform(0, 1.4, (queries, depth)), axis=1)
    matches = dice.random(distances.shape) < truth(distances)
    return Returned(
        distances.ravel(),
        matches.ravel(),
        np.repeat(np.arange(queries), depth),
        np.tile(np.arange(1, depth + 1), queries),
        np.repeat(dice.integers(classes, size=queries), depth),
    )


def test_isotonic_is_scikit_learns_away_from_certainty() -> None:
    returned = made(300)
    curve = fit_curve(returned.distances, returned.matches, "isotonic")
    reference = IsotonicRegression(increasing=False, out_of_bounds="clip")
    reference.fit(returned.distances, returned.matches)
    near = np.linspace(-0.2, 2, 500)
    expected = reference.predict(near)
    inner = (expected > 0) & (expected < 1)
    assert inner.sum() > 100
    np.testing.assert_allclose(curve.of(near)[inner], expected[inner], atol=1e-12)


def test_certainty_is_what_laplace_allows() -> None:
    distances = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
    matches = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=bool)
    curve = fit_curve(distances, matches, "isotonic")
    assert curve.of(0.1) == pytest.approx(4 / 5)  # three of three
    assert curve.of(0.55) == pytest.approx(1 / 2)
    assert curve.of(0.9) == pytest.approx(1 / 5)  # none of three


def test_logistic_minimises_platts_loss() -> None:
    returned = made(200)
    d, y = returned.distances, returned.matches
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))

    def loss(line: np.ndarray) -> float:
        z = line[0] * d + line[1]
        return float((np.logaddexp(0, z) - target * z).sum())

    found = minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-8})
    curve = fit_curve(d, y, "logistic")
    np.testing.assert_allclose([curve.slope, curve.intercept], found.x, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_known_probabilities_are_found(method: Method) -> None:
    returned = made(4000)
    curve, found = calibrate(returned, method)
    near = np.linspace(0.1, 1.3, 50)
    assert np.abs(curve.of(near) - truth(near)).max() < 0.06
    # the Brier score of the true probabilities themselves
    p = truth(returned.distances)
    ideal = float((p * (1 - p)).mean())
    assert found.brier.low < ideal < found.brier.high
    assert found.brier.value < 0.8 * found.brier_of_base
    assert found.ece.value < 0.02
    assert found.held_out == "classes"


@pytest.mark.parametrize("method", METHODS)
def test_distances_that_say_nothing_give_the_base_rate(method: Method) -> None:
    dice = np.random.default_rng(1)
    distances, matches = dice.random(4000), dice.random(4000) < 0.3
    level = fit_curve(distances, matches, method).of([0.05, 0.5, 0.95])
    assert np.ptp(level) < 0.15
    # nearer results match less: the curve is level, never rising with the distance
    opposite = fit_curve(distances, distances > dice.random(4000), method).of([0.1, 0.5, 0.9])
    np.testing.assert_allclose(opposite, (distances > 0.5).mean(), atol=0.05)


def test_measures_against_scikit_learn_and_a_loop() -> None:
    returned = made(300)
    dice = np.random.default_rng(2)
    predicted = np.clip(truth(returned.distances) + dice.normal(0, 0.1, 3000), 0, 1)
    found = measure(predicted, returned)
    y = returned.matches.astype(int)
    assert found.brier.value == pytest.approx(brier_score_loss(y, predicted), abs=1e-12)
    observed, said = calibration_curve(y, predicted, n_bins=BINS)
    np.testing.assert_allclose([b.observed.value for b in found.bins], observed, atol=1e-12)
    np.testing.assert_allclose([b.predicted for b in found.bins], said, atol=1e-12)
    gap = 0.0
    for number in range(BINS):
        inside = (predicted >= number / BINS) & (predicted < (number + 1) / BINS)
        if number == BINS - 1:
            inside |= predicted == 1
        if inside.any():
            gap += inside.mean() * abs(predicted[inside].mean() - y[inside].mean())
    assert found.ece.value == pytest.approx(gap, abs=1e-12)
    first = returned.ranks == 1
    only = measure(
        predicted[first],
        Returned(*(getattr(returned, n)[first] for n in
                   ("distances", "matches", "queries", "ranks", "classes"))),
    )  # fmt: skip
    assert found.bands["rank 1"].value == pytest.approx(only.ece.value)


def test_no_class_is_in_both_parts() -> None:
    """A class that alone matches everywhere cannot be foreseen from the others."""
    returned = made(600, classes=6)
    assert returned.classes is not None
    odd = returned.classes == 3
    matches = np.where(odd, True, False)
    predicted = held_out(
        Returned(returned.distances, matches, returned.queries, returned.ranks, returned.classes),
        "isotonic",
        seed=0,
    )
    assert predicted[odd].max() < 0.4  # at most one other class is in its fold
    by_query = held_out(
        Returned(returned.distances, matches, returned.queries, returned.ranks, None), "isotonic", 0
    )
    assert abs(by_query[odd].mean() - odd.mean()) < 0.05


def test_intervals_are_wider_where_classes_differ() -> None:
    """Results of a class are no independent draws, and the interval knows it."""
    returned = made(600, classes=8)
    assert returned.classes is not None
    shift = np.where(returned.classes % 2 == 0, 0.3, -0.3)
    dice = np.random.default_rng(3)
    matches = dice.random(len(shift)) < np.clip(truth(returned.distances) + shift, 0, 1)
    args = (returned.distances, matches, returned.queries, returned.ranks)
    p = truth(returned.distances)
    by_class = measure(p, Returned(*args, returned.classes)).brier
    by_query = measure(p, Returned(*args, None)).brier
    assert by_class.value == pytest.approx(by_query.value)
    assert by_class.high - by_class.low > 1.4 * (by_query.high - by_query.low)


@given(
    st.lists(st.tuples(st.floats(0, 2, width=32), st.booleans()), min_size=2, max_size=60).filter(
        lambda pairs: len({hit for _, hit in pairs}) == 2
    ),
    st.sampled_from(METHODS),
)
@example([(0.0, True), (0.0625, False)], "logistic")  # steep: rounds to 1 far away
def test_curves_never_rise_and_stay_probabilities(
    pairs: list[tuple[float, bool]], method: Method
) -> None:
    distances = np.array([d for d, _ in pairs], dtype=np.float64)
    matches = np.array([hit for _, hit in pairs])
    values = fit_curve(distances, matches, method).of(np.linspace(-1, 3, 200))
    assert ((values > 0) & (values < 1)).all()
    assert (np.diff(values) <= 1e-12).all()


@pytest.mark.parametrize("kind", ["none", "all", "few"])
def test_what_cannot_be_calibrated(kind: str) -> None:
    returned = made(20 if kind == "few" else 40)
    matches = returned.matches if kind == "few" else np.full(400, kind == "all")
    with pytest.raises(UserError, match="at least 30" if kind == "few" else f"{kind} of the 400"):
        calibrate(Returned(returned.distances, matches, returned.queries, returned.ranks))

"""Each answer follows from the figures: opposite figures, the opposite answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from neuralcodes.reports.answers import (
    headline,
    layers_differ,
    overfitting,
    published_order,
    raising_accuracy,
)
from neuralcodes.reports.content import Comparison
from neuralcodes.reports.statistics import LayerDifference
from neuralcodes.training.classification import ClassifierScore
from neuralcodes.training.history import History

HistoryOf = Callable[..., History]
COUNTS = {"train": 76_000, "val": 9_500, "test": 9_500}


def _scores(train: float, test: float, val: float | None = None) -> dict[str, ClassifierScore]:
    return {
        "train": ClassifierScore(1.0, train, min(1.0, train + 0.05)),
        "val": ClassifierScore(2.0, test if val is None else val, min(1.0, test + 0.05)),
        "test": ClassifierScore(2.1, test, min(1.0, test + 0.05)),
    }


def _differences(*pairs: tuple[str, str, bool]) -> list[LayerDifference]:
    return [
        LayerDifference(a, b, 0.02, (0.01, 0.03) if clear else (-0.01, 0.05), 7, 10)
        for a, b, clear in pairs
    ]


@pytest.mark.parametrize(
    ("train", "test", "losses", "verdict"),
    [
        (0.60, 0.33, [3.0, 2.5, 2.6], "Yes, clearly."),
        (0.36, 0.33, [3.0, 2.5, 2.4], "Yes, a little."),
        (0.33, 0.33, [3.0, 2.5, 2.4], "No."),
        (0.30, 0.33, [3.0, 2.5, 2.4], "No."),
        (0.33, 0.33, [3.0, 2.5, 2.7], "It is beginning to: the validation loss is rising."),
    ],
)
def test_overfitting(
    history_of: HistoryOf, train: float, test: float, losses: Sequence[float], verdict: str
) -> None:
    assert overfitting(history_of(losses), 3, _scores(train, test), COUNTS).verdict == verdict


def test_a_gap_that_chance_explains_is_no_overfitting(history_of: HistoryOf) -> None:
    few = {"train": 1000, "val": 20, "test": 20}
    history = history_of([3.0, 2.5])
    assert overfitting(history, 2, _scores(0.60, 0.45), few).verdict == "No."
    assert overfitting(history, 2, _scores(0.60, 0.45), COUNTS).verdict == "Yes, clearly."


def test_the_course_of_the_validation_loss_is_told(history_of: HistoryOf) -> None:
    def course(losses: Sequence[float], train: Sequence[float], kept: int) -> str:
        return overfitting(history_of(losses, train), kept, _scores(0.5, 0.3), COUNTS).reasons[1]

    assert course([3.0, 2.5, 2.4], [3.0, 2.0, 1.0], 3).endswith(
        "its lowest, 2.400, in epoch 3, the last: it was still falling."
    )
    rising = course([3.0, 2.5, 2.6], [3.0, 2.0, 1.0], 2)
    assert "in epoch 2, and stood at 2.600 in epoch 3, while the train loss fell" in rising
    assert rising.endswith("Epoch 2 was kept.")
    assert "the train loss did not fall" in course([3.0, 2.5, 2.6], [3.0, 2.0, 2.2], 3)
    assert course([2.5, 2.6], [3.0, 2.0], 2).startswith("Validation loss was lowest in epoch 1,")
    assert "no course to judge" in course([2.5], [3.0], 1)


def test_validation_against_test(history_of: HistoryOf) -> None:
    history = history_of([3.0, 2.5])

    def told(val: float) -> str:
        return overfitting(history, 2, _scores(0.5, 0.33, val), COUNTS).reasons[2]

    assert "agree" in told(0.331)
    assert "validation above test" in told(0.40)
    assert "validation below test" in told(0.25)


def _advice(history: History, kept: int, scores: dict[str, ClassifierScore]) -> set[str]:
    answer = raising_accuracy(history, kept, scores, COUNTS, classes=190)
    return {reason.split(":")[0] for reason in answer.reasons}


def test_variety_helps_against_a_gap_and_fit_without_one(history_of: HistoryOf) -> None:
    history = history_of([3.0, 2.4, 2.5])
    overfit = _advice(history, 2, _scores(0.60, 0.33))
    underfit = _advice(history, 2, _scores(0.33, 0.33))
    assert "More variety in training" in overfit
    assert "A network that fits better" not in overfit
    assert "A network that fits better" in underfit
    assert "More variety in training" not in underfit


def test_advice_on_epochs(history_of: HistoryOf) -> None:
    scores = _scores(0.60, 0.33)
    falling = _advice(history_of([3.0, 2.7, 2.5]), 3, scores)
    assert "More epochs" in falling
    assert "Keeping the best epoch's weights" not in falling
    turned = _advice(history_of([3.0, 2.5, 2.9]), 3, scores)
    assert "More epochs" not in turned
    assert "Keeping the best epoch's weights" in turned
    assert "Keeping the best epoch's weights" not in _advice(history_of([3.0, 2.5, 2.9]), 2, scores)


def test_one_small_rise_may_be_chance(history_of: HistoryOf) -> None:
    scores = _scores(0.60, 0.33)
    assert "Longer training" in _advice(history_of([3.0, 2.5, 2.51]), 3, scores)
    assert "Longer training" not in _advice(history_of([3.0, 2.5, 2.7]), 3, scores)
    assert "Longer training" not in _advice(history_of([3.0, 2.5, 2.51, 2.52]), 4, scores)


def test_similar_classes(history_of: HistoryOf) -> None:
    history = history_of([3.0, 2.4, 2.5])
    near, far = _scores(0.6, 0.33), _scores(0.6, 0.33)
    near["test"] = ClassifierScore(2.1, 0.33, 0.80)
    far["test"] = ClassifierScore(2.1, 0.33, 0.40)
    assert "Telling similar classes apart" in _advice(history, 2, near)
    assert "Telling similar classes apart" not in _advice(history, 2, far)
    # of 7 classes five are named: there the right one is among them by chance
    few = raising_accuracy(history, 2, near, COUNTS, classes=7)
    assert not any(reason.startswith("Telling") for reason in few.reasons)


def test_nothing_to_advise(history_of: HistoryOf) -> None:
    answer = raising_accuracy(history_of([1.0, 0.1, 0.2]), 2, _scores(1.0, 1.0), COUNTS, 7)
    assert answer.verdict == "Nothing that these figures show."


def test_the_leading_advice_is_the_verdict(history_of: HistoryOf) -> None:
    answer = raising_accuracy(history_of([3.0, 2.4, 2.5]), 3, _scores(0.6, 0.33), COUNTS, 190)
    assert answer.verdict == "Above all more variety in training."
    single = raising_accuracy(history_of([3.0, 2.4, 2.9]), 2, _scores(0.6, 0.33), COUNTS, 190)
    assert single.verdict == "More variety in training."


def test_layers_differ() -> None:
    means, dims = {"L5": 0.29, "L6": 0.32, "L7": 0.35}, {"L5": 16_384, "L6": 2048, "L7": 2048}
    differences = _differences(("L7", "L6", True), ("L7", "L5", True), ("L6", "L5", True))
    answer = layers_differ(["L7", "L6", "L5"], differences, means, dims)
    assert answer.verdict == "L7 is best, mAP 0.350."
    assert answer.reasons[0] == (
        "L7 above L6: +0.020 mAP (95% interval 0.010 to 0.030); in 7 of 10 classes L7 is ahead."
    )
    assert "2,048 values against 16,384" in answer.reasons[-1]

    unclear = _differences(("L7", "L6", False), ("L7", "L5", True), ("L6", "L5", True))
    answer = layers_differ(["L7", "L6", "L5"], unclear, means, dims)
    assert answer.verdict == "No single best: L7 and L6 cannot be told apart."
    assert "L7 and L6 cannot be told apart: +0.020 mAP (95% interval −0.010 to" in answer.reasons[0]


def test_layers_differ_with_one_or_no_layer() -> None:
    assert layers_differ(["x"], [], {"x": 0.5}, {"x": 8}).verdict == "Only x was searched."
    assert layers_differ([], [], {}, {}).verdict == "No layer was searched."


def test_of_many_layers_not_every_pair_is_told() -> None:
    order = [f"block{n}" for n in range(12)]
    pairs = [(a, b, True) for n, a in enumerate(order) for b in order[n + 1 :]]
    answer = layers_differ(
        order, _differences(*pairs), dict.fromkeys(order, 0.5), dict.fromkeys(order, 64)
    )
    assert len(answer.reasons) == 11 + 10


FOUNDING = Comparison("founding experiment", 0.33, 0.60, {"L5": 0.29, "L6": 0.32, "L7": 0.35})


@pytest.mark.parametrize(
    ("order", "clear", "verdict"),
    [
        ("L7 L6 L5", True, "The founding experiment's, not the paper's: here L7 > L6 > L5."),
        ("L6 L7 L5", True, "The paper's, not the founding experiment's: here L6 > L7 > L5."),
        ("L5 L6 L7", True, "Not the paper's or the founding experiment's: here L5 > L6 > L7."),
        (
            "L7 L6 L5",
            False,
            "Undecided for the paper's and the founding experiment's: here L7 ≈ L6 > L5.",
        ),
    ],
)
def test_published_order(order: str, clear: bool, verdict: str) -> None:
    first, second, third = order.split()
    differences = _differences((first, second, clear), (first, third, True), (second, third, True))
    answer = published_order([first, second, third], differences, FOUNDING)
    assert answer.verdict == verdict


def test_published_order_says_why() -> None:
    differences = _differences(("L7", "L6", True), ("L7", "L5", True), ("L6", "L5", True))
    answer = published_order(["L7", "L6", "L5"], differences, FOUNDING)
    assert answer.reasons == (
        "The paper's order, L6 > L7 > L5 (Holidays and Oxford5k), is contradicted: L7 is above L6.",
        "The founding experiment's order, L7 > L6 > L5 (the same images), is confirmed.",
    )
    alone = published_order(["L7", "L6", "L5"], differences, None)
    assert alone.verdict == "Not the paper's: here L7 > L6 > L5."


def test_published_order_of_other_layers() -> None:
    answer = published_order(["b", "a"], _differences(("b", "a", True)), FOUNDING)
    assert answer.verdict == "None has two of the layers searched here."
    two = published_order(["L6", "L5"], _differences(("L6", "L5", True)), FOUNDING)
    assert two.verdict == "The paper's and the founding experiment's: here L6 > L5."


def test_headline() -> None:
    text = headline(_scores(0.6, 0.331), 9500, 190, ("L7", 0.3456, (0.341, 0.35)), 5000, 10)
    assert text == (
        "The network names the right one of 190 classes for 33.1% of 9,500 test images (38.1% "
        "within five guesses). Among 5,000 images of 10 classes it never saw, L7 is the best code: "
        "mAP 0.346 (95% interval 0.341 to 0.350)."
    )
    assert "within five" not in headline(_scores(0.6, 0.3), 10, 5, None, 3, 1)
    assert headline(_scores(0.6, 0.3), 10, 5, ("L7", float("nan"), (0, 0)), 3, 3).endswith(
        "10 test images."
    )

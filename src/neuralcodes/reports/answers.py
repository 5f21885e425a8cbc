"""The founding experiment's questions, answered from a run's own figures.

Each answer is a pure function: other figures, another answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from neuralcodes.reports.content import PAPER, Comparison, Published
from neuralcodes.reports.statistics import (
    LayerDifference,
    order_text,
    share_difference,
)
from neuralcodes.reports.wording import fraction, listed, percent, points, signed, span
from neuralcodes.training.classification import ClassifierScore
from neuralcodes.training.history import History, best_epoch

LARGE_GAP = 0.10  # of accuracy, train above test: overfitting beyond doubt
LARGE_RISE = 0.02  # of the validation loss above its lowest, relative
HIGH_ACCURACY = 0.95  # on train images: there is little left to learn from them
SIMILAR_CLASSES = 1 / 3  # of wrong answers with the right class among the five best

OrderState = Literal["confirmed", "contradicted", "open"]


@dataclass(frozen=True)
class Answer:
    """A question, the answer in a few words, and what it follows from."""

    question: str
    verdict: str
    reasons: tuple[str, ...]


def overfitting(
    history: History,
    kept_epoch: int,
    scores: Mapping[str, ClassifierScore],
    counts: Mapping[str, int],
) -> Answer:
    """Whether the network knows its training images better than others.

    Args:
        counts: images by split, as in `scores`.
    """
    train, test = scores["train"], scores["test"]
    low, high = _gap(scores, counts)
    if low > LARGE_GAP:
        verdict = "Yes, clearly."
    elif low > 0:
        verdict = "Yes, a little."
    elif _rise(history, kept_epoch) > LARGE_RISE:
        verdict = "It is beginning to: the validation loss is rising."
    else:
        verdict = "No."
    gap = train.accuracy - test.accuracy
    reasons = [
        f"Accuracy is {percent(train.accuracy)} on train and {percent(test.accuracy)} on test "
        f"images, a gap of {points(gap)} (95% interval {fraction(100 * low, 1)} to "
        f"{fraction(100 * high, 1)}). Cross-entropy is {fraction(train.cross_entropy)} and "
        f"{fraction(test.cross_entropy)}.",
        _loss_course(history, kept_epoch),
        _validation_against_test(scores, counts),
    ]
    return Answer("Is the network overfitting?", verdict, tuple(reasons))


def raising_accuracy(
    history: History,
    kept_epoch: int,
    scores: Mapping[str, ClassifierScore],
    counts: Mapping[str, int],
    classes: int,
) -> Answer:
    """What the figures say would raise test accuracy, the most telling first.

    Args:
        classes: how many the classifier tells apart.
    """
    advice: list[tuple[str, str]] = []
    train, test = scores["train"], scores["test"]
    gap_low, _ = _gap(scores, counts)
    if gap_low > 0:
        advice.append((
            "more variety in training",
            f"the network does {points(train.accuracy - test.accuracy)} better on images it was "
            "trained on; flipped, shifted and cropped copies, weight decay, more dropout or more "
            "images attack that gap.",
        ))  # fmt: skip
    if gap_low <= LARGE_GAP and train.accuracy < HIGH_ACCURACY:
        advice.append((
            "a network that fits better",
            f"even on its training images it is right for only {percent(train.accuracy)}; a larger "
            "network, a higher learning rate or longer training has room to gain.",
        ))  # fmt: skip
    advice += _advice_on_epochs(history, kept_epoch)
    wrong = 1 - test.accuracy
    near = (test.top5_accuracy - test.accuracy) / wrong if wrong > 0 else 0.0
    by_chance = 4 / (classes - 1) if classes > 1 else 1.0
    if near > max(SIMILAR_CLASSES, 2 * by_chance):
        advice.append((
            "telling similar classes apart",
            f"in {percent(near, 0)} of the wrong answers on test images the right class is among "
            f"the five best (by chance {percent(by_chance, 0)}); larger images or a network for "
            "finer detail would help there.",
        ))  # fmt: skip
    question = "What would raise test accuracy?"
    if not advice:
        return Answer(
            question,
            "Nothing that these figures show.",
            (
                f"Test accuracy is {percent(test.accuracy)}, not clearly below that on train "
                "images, and the validation loss was no longer falling.",
            ),
        )
    first = advice[0][0]
    return Answer(
        question,
        f"Above all {first}." if len(advice) > 1 else f"{_capital(first)}.",
        tuple(f"{_capital(what)}: {why}" for what, why in advice),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _advice_on_epochs(history: History, kept_epoch: int) -> list[tuple[str, str]]:
    best, last = best_epoch(history), history[-1].epoch
    losses = {entry.epoch: entry.val_loss for entry in history}
    advice = []
    if best == last and len(history) > 1:
        advice.append((
            "more epochs",
            f"the validation loss was still falling when training ended (epoch {last}, "
            f"{fraction(losses[last])}).",
        ))  # fmt: skip
    if losses[kept_epoch] > losses[best]:
        advice.append((
            "keeping the best epoch's weights",
            f"the weights kept are of epoch {kept_epoch} (validation loss "
            f"{fraction(losses[kept_epoch])}); epoch {best} had {fraction(losses[best])} "
            "(--keep best).",
        ))  # fmt: skip
    rise = _rise(history, last)
    if len(history) > 1 and best == history[-2].epoch and rise <= LARGE_RISE:
        advice.append((
            "longer training",
            f"it ended at the first rise of the validation loss, by {percent(rise)}: so little may "
            "be chance.",
        ))  # fmt: skip
    return advice


def _gap(scores: Mapping[str, ClassifierScore], counts: Mapping[str, int]) -> tuple[float, float]:
    """95% interval of train accuracy less test accuracy."""
    return share_difference(
        scores["train"].accuracy, counts["train"], scores["test"].accuracy, counts["test"]
    )


def _rise(history: History, number: int) -> float:
    """How far an epoch's validation loss lies above the lowest, relative to it."""
    losses = {entry.epoch: entry.val_loss for entry in history}
    lowest = min(losses.values())
    return losses[number] / lowest - 1 if lowest > 0 else 0.0


def _loss_course(history: History, kept_epoch: int) -> str:
    best, last = best_epoch(history), history[-1]
    lowest = next(entry for entry in history if entry.epoch == best)
    if len(history) == 1:
        return f"After one epoch there is no course to judge (validation loss {last.val_loss:.3f})."
    course = f"Validation loss was lowest in epoch 1, {fraction(lowest.val_loss)}"
    if best > 1:
        course = (
            f"Validation loss fell from {fraction(history[0].val_loss)} in epoch 1 to its lowest, "
            f"{fraction(lowest.val_loss)}, in epoch {best}"
        )
    if best == last.epoch:
        return f"{course}, the last: it was still falling."
    train = "fell" if last.train_loss < lowest.train_loss else "did not fall"
    kept = "" if kept_epoch == last.epoch else f" Epoch {kept_epoch} was kept."
    return (
        f"{course}, and stood at {fraction(last.val_loss)} in epoch {last.epoch}, while the train "
        f"loss {train} ({fraction(lowest.train_loss)} to {fraction(last.train_loss)}).{kept}"
    )


def _validation_against_test(
    scores: Mapping[str, ClassifierScore], counts: Mapping[str, int]
) -> str:
    val, test = scores["val"].accuracy, scores["test"].accuracy
    low, high = share_difference(val, counts["val"], test, counts["test"])
    told = f"Validation ({percent(val)}) and test ({percent(test)}) accuracy"
    if low <= 0 <= high:
        return f"{told} agree: no sign that stopping by the validation images favoured them."
    way = "above" if val > test else "below"
    return f"{told} differ by more than chance explains, validation {way} test."


def layers_differ(
    order: Sequence[str],
    differences: Sequence[LayerDifference],
    means: Mapping[str, float],
    dims: Mapping[str, int],
) -> Answer:
    """How the layers' codes differ in mAP.

    Args:
        order: aliases, best first.
        differences: of all pairs.
        means: mAP by alias.
        dims: code length by alias.
    """
    question = "How do the layers differ?"
    if not order:
        return Answer(question, "No layer was searched.", ())
    best = order[0]
    if len(order) == 1:
        return Answer(question, f"Only {best} was searched.", (f"mAP {fraction(means[best])}.",))
    rivals = [d.worse for d in differences if d.better == best and not d.clear]
    if rivals:
        verdict = f"No single best: {listed([best, *rivals])} cannot be told apart."
    else:
        verdict = f"{best} is best, mAP {fraction(means[best])}."
    place = {alias: number for number, alias in enumerate(order)}
    reasons = [
        _difference_text(d)
        for d in differences
        if d.better == best or abs(place[d.better] - place[d.worse]) == 1
    ]
    longest = max(dims.values())
    if dims[best] < longest:
        reasons.append(
            f"{best}'s codes are not the longest: {dims[best]:,} values against {longest:,}."
        )
    return Answer(question, verdict, tuple(reasons))


def _difference_text(difference: LayerDifference) -> str:
    d = difference
    amount = f"{signed(d.mean)} mAP (95% interval {span(d.interval)})"
    where = f"in {d.classes_won} of {d.classes} classes {d.better} is ahead"
    if d.clear:
        return f"{d.better} above {d.worse}: {amount}; {where}."
    return f"{d.better} and {d.worse} cannot be told apart: {amount}; {where}."


def published_order(
    order: Sequence[str],
    differences: Sequence[LayerDifference],
    comparison: Comparison | None,
    others: Sequence[Published] = PAPER,
) -> Answer:
    """Which published order of the layers this run confirms.

    An order is confirmed when every pair of its layers clearly stands in it, contradicted when
    one clearly stands the other way round, and open otherwise.
    """
    question = "Which published order of layers does this run confirm?"
    found = order_text(order, differences)
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    told = [(p.name, p.data, p.mean_average_precision) for p in others]
    if comparison is not None:
        told.append((comparison.name, "the same images", comparison.mean_average_precision))
    for name, data, means in told:
        ranked = tuple(sorted((a for a in means if a in order), key=lambda a: -means[a]))
        if len(ranked) > 1:
            groups.setdefault((name, ranked), []).append(data)
    if not groups:
        return Answer(question, "None has two of the layers searched here.", (f"Here: {found}.",))
    states = {key: _order_state(key[1], differences) for key in groups}
    reasons = [
        f"The {name}'s order, {' > '.join(ranked)} ({listed(groups[name, ranked])}), is {state}"
        f"{why}."
        for (name, ranked), (state, why) in states.items()
    ]
    by_state: dict[OrderState, list[str]] = {"confirmed": [], "contradicted": [], "open": []}
    for (name, _), (state, _) in states.items():
        if f"the {name}'s" not in by_state[state]:
            by_state[state].append(f"the {name}'s")
    return Answer(question, _order_verdict(by_state, found), tuple(reasons))


def _order_state(
    ranked: Sequence[str], differences: Sequence[LayerDifference]
) -> tuple[OrderState, str]:
    clear = {(d.better, d.worse) for d in differences if d.clear}
    pairs = [(a, b) for place, a in enumerate(ranked) for b in ranked[place + 1 :]]
    against = [f"{b} is above {a}" for a, b in pairs if (b, a) in clear]
    unsure = [f"{a} and {b}" for a, b in pairs if not {(a, b), (b, a)} & clear]
    if against:
        return "contradicted", f": {listed(against)}"
    if unsure:
        return "open", f": {listed(unsure)} cannot be told apart"
    return "confirmed", ""


def _order_verdict(by_state: Mapping[OrderState, Sequence[str]], found: str) -> str:
    confirmed, open_ = by_state["confirmed"], by_state["open"]
    refused = [name for name in by_state["contradicted"] if name not in confirmed]
    if confirmed:
        verdict = listed(confirmed) + (f", not {listed(refused, 'or')}" if refused else "")
    elif open_:
        verdict = f"undecided for {listed(open_)}"
    else:
        verdict = f"not {listed(refused, 'or')}"
    return f"{_capital(verdict)}: here {found}."


def headline(
    scores: Mapping[str, ClassifierScore],
    tested: int,
    classes: int,
    best: tuple[str, float, tuple[float, float]] | None,
    searched: int,
    unseen: int,
) -> str:
    """The run's result in a sentence or two.

    Args:
        tested: test images.
        classes: told apart by the classifier.
        best: alias, mAP and its interval of the best layer.
        searched: images searched.
        unseen: their classes.
    """
    test = scores["test"]
    text = (
        f"The network names the right one of {classes:,} classes for "
        f"{percent(test.accuracy)} of {tested:,} test images"
    )
    if classes > 5:
        text += f" ({percent(test.top5_accuracy)} within five guesses)"
    if best is None or math.isnan(best[1]):
        return f"{text}."
    alias, mean, interval = best
    return (
        f"{text}. Among {searched:,} images of {unseen:,} classes it never saw, {alias} is the "
        f"best code: mAP {fraction(mean)} (95% interval {span(interval)})."
    )

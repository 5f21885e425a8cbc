"""The Pareto front, the one code recommended, and how sure that is.

The rule, in words, is `RULE` or `BUDGET_RULE`. It is followed on the classes that choose; the
tests and the judged figure are from classes that had no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neuralcodes.choosing.sweep import Scored
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.paired import Difference, compare_scores
from neuralcodes.evaluation.score import Score

NEGLIGIBLE = 0.01  # of mAP
RIVALS = 12  # codes that the recommended one is tested against, at most

RULE = (
    "The fewest bytes whose mAP is less than 0.01 below the best code's, or not shown to be below "
    "it (paired test, p < 0.05); of codes of that size the best."
)
BUDGET_RULE = "The best code of at most {budget} bytes; of equally good ones the smaller."


@dataclass(frozen=True)
class Judged:
    """What the choice is worth on classes that it did not see.

    Attributes:
        chosen_on, judged_on: average precision of the codes chosen, on the classes that chose and
            on those that did not. Where the parts take turns, each turn's own choice counts: the
            best code of at most the recommended one's bytes.
        level_on, level_off: mean mAP of all codes on the same classes. Some classes are harder than
            others, whatever the code.
        codes: the choice of each turn.
    """

    chosen_on: Score
    judged_on: Score
    level_on: float
    level_off: float
    codes: tuple[str, ...]

    @property
    def optimism(self) -> float:
        """How much higher above all codes the choice stands on what it was made on."""
        return (self.chosen_on.mean - self.level_on) - (self.judged_on.mean - self.level_off)


@dataclass(frozen=True)
class Decision:
    """The recommended code and how it stands.

    Attributes:
        rule: by which it was chosen, in words.
        best: the code of the highest mAP whatever its size, on the classes that choose.
        chosen: the recommended one.
        front: codes that none of fewer or as many bytes beats, by rising bytes.
        front_by_time: likewise by milliseconds.
        against_best: the chosen less the best, on the classes that judge; None if it is the best.
        smaller: the next smaller code of the front, if there is one.
        against_smaller: the chosen less that one.
        steps: each code of the front less the one before.
        rivals: codes no larger than the chosen that it is not shown to be better than.
        judged: what the choice is worth.
    """

    rule: str
    best: Scored
    chosen: Scored
    front: tuple[Scored, ...]
    front_by_time: tuple[Scored, ...]
    against_best: Difference | None
    smaller: Scored | None
    against_smaller: Difference | None
    steps: tuple[Difference, ...]
    rivals: tuple[Scored, ...]
    judged: Judged

    @property
    def decided(self) -> bool:
        """Whether each step of the front is a real gain."""
        return all(step.real and step.difference > 0 for step in self.steps)


def decide(
    scored: Sequence[Scored], milliseconds: Mapping[str, float], budget: int | None = None
) -> Decision:
    """Choose a code.

    Args:
        scored: at least one.
        milliseconds: of a search, by code.
        budget: bytes that a code may take.

    Raises:
        UserError: no code is within the budget.
    """
    chosen = recommend(scored, budget)
    best = max(scored, key=_quality(None))
    front = pareto_front(scored, lambda one: float(one.bytes))
    smaller = max(
        (one for one in front if one.bytes < chosen.bytes), key=lambda one: one.bytes, default=None
    )
    rivals = sorted(
        (one for one in scored if one.bytes <= chosen.bytes and one is not chosen),
        key=_quality(None),
        reverse=True,
    )[:RIVALS]
    return Decision(
        rule=RULE if budget is None else BUDGET_RULE.format(budget=f"{budget:,}"),
        best=best,
        chosen=chosen,
        front=tuple(front),
        front_by_time=tuple(pareto_front(scored, lambda one: milliseconds[one.code])),
        against_best=None if best is chosen else _compare(best, chosen),
        smaller=smaller,
        against_smaller=None if smaller is None else _compare(smaller, chosen),
        steps=tuple(_compare(a, b) for a, b in pairwise(front)),
        rivals=tuple(one for one in rivals if not _is_better(chosen, one)),
        judged=_judge(scored, chosen),
    )


def recommend(
    scored: Sequence[Scored], budget: int | None = None, rotation: int | None = None
) -> Scored:
    """The code by the rule, from the classes that choose.

    Args:
        scored: at least one.
        budget: bytes that a code may take; None for the rule without one.
        rotation: look at the classes that choose in this one only.

    Raises:
        UserError: no code is within the budget.
    """
    quality = _quality(rotation)
    if budget is not None:
        within = [one for one in scored if one.bytes <= budget]
        if not within:
            least = min(scored, key=lambda one: one.bytes)
            raise UserError(
                f"--budget {budget}: the smallest code tried, {least.code}, takes {least.bytes} "
                "bytes; allow more, or try smaller ones by --dims, --bytes or --transforms"
            )
        return max(within, key=quality)
    best = max(scored, key=quality)
    for size in sorted({one.bytes for one in scored}):
        candidate = max((one for one in scored if one.bytes == size), key=quality)
        if best.score("choose", rotation).mean - candidate.score("choose", rotation).mean < (
            NEGLIGIBLE
        ):
            return candidate
        apart = compare_scores(candidate.score("choose", rotation), best.score("choose", rotation))
        if not apart.real:
            return candidate
    return best


def pareto_front(scored: Sequence[Scored], cost: Any) -> list[Scored]:
    """Codes that none of lower or equal cost equals or beats in mAP, by rising cost."""
    front: list[Scored] = []
    order = sorted(scored, key=lambda one: (cost(one), [-part for part in _quality(None)(one)]))
    for one in order:
        if not front or one.score("choose").mean > front[-1].score("choose").mean:
            front.append(one)
    return front


def best_by_layer(scored: Sequence[Scored]) -> list[Scored]:
    """The best code of each network and layer, best first."""
    best: dict[tuple[str, str], Scored] = {}
    for one in sorted(scored, key=_quality(None), reverse=True):
        best.setdefault((one.candidate.base.network, one.candidate.base.layer), one)
    return list(best.values())


def compare_judged(a: Scored, b: Scored) -> Difference:
    """B less A on the classes that judge."""
    return _compare(a, b)


def _judge(scored: Sequence[Scored], chosen: Scored) -> Judged:
    """The chosen code where one part of the classes chose. Where the parts take turns, each turn
    chooses anew, by its own choosing classes, the best code of at most the chosen one's bytes."""
    turns = range(len(chosen.choose))
    picks = [chosen]
    if len(turns) > 1:
        picks = [recommend(scored, chosen.bytes, turn) for turn in turns]
    on = [pick.score("choose", turn).values for turn, pick in enumerate(picks)]
    off = [pick.score("judge", turn).values for turn, pick in enumerate(picks)]
    return Judged(
        chosen_on=Score(AVERAGE_PRECISION.name, _merged(on)),
        judged_on=Score(AVERAGE_PRECISION.name, _merged(off)),
        level_on=float(np.mean([one.score("choose").mean for one in scored])),
        level_off=float(np.mean([one.score("judge").mean for one in scored])),
        codes=tuple(pick.code for pick in picks),
    )


def _merged(values: Sequence[np.ndarray]) -> np.ndarray:
    merged = values[0].copy()
    for more in values[1:]:
        merged = np.where(np.isnan(merged), more, merged)
    return merged


def _compare(a: Scored, b: Scored) -> Difference:
    return compare_scores(a.score("judge"), b.score("judge"))


def _is_better(chosen: Scored, other: Scored) -> bool:
    apart = _compare(other, chosen)
    return apart.real and apart.difference > 0


def _quality(rotation: int | None) -> Any:
    """What is better: higher mAP, then fewer bytes, then fewer dimensions, then the name."""

    def key(one: Scored) -> tuple[float, int, int]:
        return one.score("choose", rotation).mean, -one.bytes, -one.dims

    return key

"""What codes reached before a training and after it, on the same queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.evaluation.paired import Difference, compare_scores
from neuralcodes.reports.results import MeanInterval
from neuralcodes.reports.statistics import mean_and_interval
from neuralcodes.reports.wording import listed


@dataclass(frozen=True)
class Change:
    """A layer's mAP before and after.

    Attributes:
        alias: the layer.
        dims: of its code.
        before, after: means over the same queries, with 95 % intervals.
        difference: after less before, paired.
    """

    alias: str
    dims: int
    before: MeanInterval
    after: MeanInterval
    difference: Difference

    @property
    def verdict(self) -> str:
        """In a word or three."""
        if not self.difference.real:
            return "no clear change"
        return "better" if self.difference.difference > 0 else "worse"


def changes(
    before: Mapping[str, ClassRetrieval], after: Mapping[str, ClassRetrieval]
) -> tuple[Change, ...]:
    """By layer, of layers that both have.

    Raises:
        ValueError: not the same queries.
    """
    return tuple(
        Change(
            alias=alias,
            dims=found.spec.dims,
            before=mean_and_interval(before[alias].average_precision),
            after=mean_and_interval(found.average_precision),
            difference=compare_scores(before[alias].average_precision, found.average_precision),
        )
        for alias, found in after.items()
        if alias in before
    )


def comparable(before: ClassRetrieval, after: ClassRetrieval) -> bool:
    """Whether both were judged on the same queries, with codes of one precision."""
    a, b = before.average_precision.values, after.average_precision.values
    same = len(a) == len(b) and np.array_equal(np.isnan(a), np.isnan(b))
    return bool(same and not np.isnan(a).all() and before.spec.precision == after.spec.precision)


def summary(found: Sequence[Change]) -> str:
    """ "Better: L6 and L7. No clear change: L5."."""
    parts = []
    for verdict in ("better", "worse", "no clear change"):
        aliases = [change.alias for change in found if change.verdict == verdict]
        if aliases:
            parts.append(f"{verdict.capitalize()}: {listed(aliases)}.")
    return " ".join(parts)

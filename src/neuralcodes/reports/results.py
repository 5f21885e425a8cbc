"""What a run reached, worked out once for all figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.index.ranking import Ranking
from neuralcodes.reports.content import RunContent
from neuralcodes.reports.statistics import (
    Interval,
    LayerDifference,
    chance_map,
    layer_differences,
    layer_order,
    mean_and_interval,
    share_interval,
)

MeanInterval = tuple[float, Interval]
"""A mean and its 95% interval."""


@dataclass(frozen=True)
class LayerResult:
    """What the codes of one layer reached.

    Attributes:
        alias: the layer.
        spec: the code.
        mean_average_precision: over queries.
        precision: interpolated, at recall 0, 0.01 … 1.
        precision_at, recall_at: by cut-off.
        neighbours: rows of `split.ood`, of its first images.
    """

    alias: str
    spec: CodeSpec
    mean_average_precision: MeanInterval
    precision: npt.NDArray[np.float64]
    precision_at: Mapping[int, MeanInterval]
    recall_at: Mapping[int, MeanInterval]
    neighbours: Ranking

    @property
    def about(self) -> str:
        """The code's name and fingerprint, for whoever finds a figure alone."""
        return f"{self.spec.name} ({self.spec.fingerprint()})"


@dataclass(frozen=True)
class Results:
    """A run's figures with their intervals.

    Attributes:
        layers: in the order to show.
        order: aliases, best mAP first.
        differences: of all pairs of layers.
        chance: mAP of a random order.
        counts: images by split.
        accuracy, top5: by split, with Wilson intervals over images.
        classes: told apart by the classifier.
        unseen: classes searched.
    """

    layers: tuple[LayerResult, ...]
    order: tuple[str, ...]
    differences: tuple[LayerDifference, ...]
    chance: float
    counts: Mapping[str, int]
    accuracy: Mapping[str, MeanInterval]
    top5: Mapping[str, MeanInterval]
    classes: int
    unseen: int

    def layer(self, alias: str) -> LayerResult:
        """The layer of this alias."""
        return next(layer for layer in self.layers if layer.alias == alias)


def work_out(content: RunContent) -> Results:
    """All figures of a run, with their intervals."""
    split, retrievals = content.split, content.retrievals
    counts = {name: len(images) for name, images in split.named().items()}
    labels = split.ood.label_array()
    scores = content.classification
    return Results(
        layers=tuple(_layer_result(alias, found) for alias, found in retrievals.items()),
        order=tuple(layer_order(retrievals)),
        differences=tuple(layer_differences(retrievals, labels)),
        chance=chance_map(labels),
        counts=counts,
        accuracy={
            name: (score.accuracy, share_interval(score.accuracy, counts[name]))
            for name, score in scores.items()
        },
        top5={
            name: (score.top5_accuracy, share_interval(score.top5_accuracy, counts[name]))
            for name, score in scores.items()
        },
        classes=len(np.unique(split.train.label_array())),
        unseen=len(np.unique(labels)),
    )


def _layer_result(alias: str, found: ClassRetrieval) -> LayerResult:
    return LayerResult(
        alias=alias,
        spec=found.spec,
        mean_average_precision=mean_and_interval(found.average_precision),
        precision=found.precision,
        precision_at={k: mean_and_interval(value) for k, value in found.precision_at.items()},
        recall_at={k: mean_and_interval(value) for k, value in found.recall_at.items()},
        neighbours=found.neighbours,
    )

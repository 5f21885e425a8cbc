"""`RunContent`: all that a run's report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neuralcodes.evaluation.class_retrieval import ClassRetrieval
from neuralcodes.images.splits import Split
from neuralcodes.networks.summary import LayerRow
from neuralcodes.training.classification import ClassifierScore
from neuralcodes.training.history import History


@dataclass(frozen=True)
class Comparison:
    """Figures of another run on the same images, to show beside this one's.

    Attributes:
        name: whose they are ("founding experiment").
        test_accuracy, test_top5: of its classifier, rounded; None where unknown.
        mean_average_precision: by layer alias.
    """

    name: str
    test_accuracy: float | None
    test_top5: float | None
    mean_average_precision: Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """Figures on other images, of which only the order of the layers compares.

    Attributes:
        name: whose they are ("paper").
        data: the images.
        mean_average_precision: by layer alias.
    """

    name: str
    data: str
    mean_average_precision: Mapping[str, float]


PAPER = (
    Published("paper", "Holidays", {"L5": 0.690, "L6": 0.749, "L7": 0.736}),
    Published("paper", "Oxford5k", {"L5": 0.389, "L6": 0.435, "L7": 0.430}),
)
PAPER_NOTE = (
    "Paper: Babenko et al., Neural Codes for Image Retrieval (arXiv 1404.1777), network trained on "
    "ILSVRC, full codes; figures as recalled, not checked against the text. Other photographs and "
    "another task (the same object or place, not the same class), so only the order of the layers "
    "compares."
)


@dataclass(frozen=True)
class RunContent:
    """A run's results.

    Attributes:
        config: JSON-ready configuration, shown as a table.
        history: one entry an epoch, at least one.
        stopped_because: why training ended, in words.
        kept_epoch: the epoch whose weights were evaluated.
        classification: by "train", "val" and "test".
        retrievals: by layer alias, in the order to show; the images searched are `split.ood`.
        split: with class labels.
        layers: the network's summary.
        comparison: figures on the same images; None when there are none.
        before: by layer alias, what the weights that the run started with reached on the same
            queries; empty where they were not judged.
    """

    config: Mapping[str, Any]
    history: History
    stopped_because: str
    kept_epoch: int
    classification: Mapping[str, ClassifierScore]
    retrievals: Mapping[str, ClassRetrieval]
    split: Split
    layers: Sequence[LayerRow]
    comparison: Comparison | None = None
    before: Mapping[str, ClassRetrieval] = field(default_factory=dict)

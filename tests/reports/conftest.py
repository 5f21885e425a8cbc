"""Run contents for the report's tests: real images, real codes, real retrieval."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from made import make_spec
from neuralcodes.codes.spec import Preprocessing
from neuralcodes.codes.store import Codes
from neuralcodes.evaluation.class_retrieval import ClassRetrieval, evaluate_class_retrieval
from neuralcodes.images.digits import digits
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.splits import Split, reference_split
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.summary import layer_table
from neuralcodes.reports.content import Comparison, RunContent
from neuralcodes.training.classification import ClassifierScore
from neuralcodes.training.history import Epoch, History


def _history(val: Sequence[float], train: Sequence[float] | None = None) -> History:
    losses = train or [loss - 0.1 for loss in val]
    return [
        Epoch(n + 1, t, 0.5 - t / 10, 0.9 - t / 10, v, 0.5 - v / 10, 0.9 - v / 10, 10.0, 100.0)
        for n, (t, v) in enumerate(zip(losses, val, strict=True))
    ]


def _retrieval(images: ImageSet, alias: str, grid: int) -> ClassRetrieval:
    """Codes that are mean colours of grid×grid cells, judged by class."""
    pixels = images.read(np.arange(len(images))).astype(np.float32)
    n, height, width, _ = pixels.shape
    cells = pixels.reshape(n, grid, height // grid, grid, width // grid, 3).mean((2, 4))
    values = cells.reshape(n, -1) + 1
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    spec = make_spec(values.shape[1], alias, preprocessing=Preprocessing(images.size))
    keys = tuple(images.key(row) for row in range(n))
    codes = Codes(spec, values, keys, images.fingerprint())
    return evaluate_class_retrieval(codes, images.label_array())


@pytest.fixture(scope="session")
def history_of() -> Callable[..., History]:
    """A history from its validation losses and, if given, train losses."""
    return _history


@pytest.fixture(scope="session")
def retrieval_of() -> Callable[[ImageSet, str, int], ClassRetrieval]:
    return _retrieval


@pytest.fixture(scope="session")
def digits_split() -> Split:
    return reference_split(digits(), 7)


@pytest.fixture(scope="session")
def content(digits_split: Split) -> RunContent:
    """A run on digits whose codes get worse from L5 to L7."""
    kind = get_network("small")
    return RunContent(
        config={
            "network": "small",
            "recipe": {"learning_rate": 1e-3, "amsgrad": True, "nested": {"patience": 0}},
            "machine": {"cpu": "Tom & Jerry <2>", "memory_bytes": 8 * 2**30},
            "commit": None,
        },
        history=_history([2.0, 1.2, 0.9, 0.8, 0.85], [2.2, 1.1, 0.7, 0.5, 0.35]),
        stopped_because="validation loss has not fallen for 1 epoch(s) (patience 0)",
        kept_epoch=5,
        classification={
            "train": ClassifierScore(0.301, 0.912, 0.995),
            "val": ClassifierScore(0.850, 0.722, 0.960),
            "test": ClassifierScore(0.811, 0.714, 0.952),
        },
        retrievals={
            alias: _retrieval(digits_split.ood, alias, grid)
            for alias, grid in (("L5", 8), ("L6", 4), ("L7", 2))
        },
        split=digits_split,
        layers=layer_table(kind.build(7), kind.input_size, kind.layers),
        comparison=Comparison("founding experiment", 0.33, 0.60, {"L5": 0.29, "L6": 0.32}),
    )

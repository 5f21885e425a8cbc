"""Codes for the tests of transforms: classes around centres, of unequal spread, unit length."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from test_spec import SPEC

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.store import Codes
from neuralcodes.codes.transforms.fitted import FittedOn

ON = FittedOn(source="made for tests", images="ab" * 32, count=300, labels=True, seed=0)


def class_codes(
    count: int, dims: int, classes: int = 6, seed: int = 0, noise: float = 0.5, centres: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """float32 count×dims and labels. The first dimensions vary most, and most of that within a
    class; `centres` seeds where the classes lie, so that two sets can show different classes."""
    middle = np.random.default_rng(100 + centres).normal(size=(classes, dims))
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    spread = np.linspace(2.0, 0.3, dims)
    values = 0.5 + middle[labels] * 0.5 + noise * spread * generator.normal(size=(count, dims))
    values = values.astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True), labels


def spec_of(dims: int) -> CodeSpec:
    return replace(SPEC, dims=dims)


def codes_of(values: np.ndarray) -> Codes:
    keys = tuple(f"{n}.png" for n in range(len(values)))
    return Codes(spec_of(values.shape[1]), values, keys, "images")


def mean_ap(values: np.ndarray, labels: np.ndarray, queries: np.ndarray | None = None) -> float:
    """mAP of leave-one-out class retrieval by a plain float64 loop."""
    queries = values if queries is None else queries
    scores = queries.astype(np.float64) @ values.astype(np.float64).T
    precisions = []
    for row in range(len(values)):
        order = np.argsort(-scores[row], kind="stable")
        hits = (labels[order] == labels[row])[order != row]
        precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(precisions))

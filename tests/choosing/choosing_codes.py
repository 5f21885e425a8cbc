"""Codes of two made-up layers for the tests of the chooser: classes around centres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from made import make_spec
from neuralcodes.choosing.grid import Base, Candidate
from neuralcodes.choosing.layers import BaseCodes
from neuralcodes.choosing.sweep import Scored

SPEC = make_spec(24, layer="L", name="run@L")


def layer(labels: np.ndarray, dims: int, noise: float, seed: int, name: str) -> BaseCodes:
    """Unit-length codes of images of these classes; more noise, a worse layer."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(int(labels.max()) + 1, dims))
    values = centres[labels] + noise * generator.normal(size=(len(labels), dims))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    spec = replace(SPEC, name=f"run@{name}", layer=name, dims=dims)
    return BaseCodes(spec, (values,))


def scored(
    name: str, size: int, values: np.ndarray, judge: np.ndarray | None = None, dims: int = 8
) -> Scored:
    """A candidate whose average precisions are given, float64 rotations×rows."""
    values = np.atleast_2d(np.asarray(values, dtype=np.float64))
    judge = values if judge is None else np.atleast_2d(np.asarray(judge, dtype=np.float64))
    return Scored(Candidate(Base("run", name)), dims, size, values, judge)

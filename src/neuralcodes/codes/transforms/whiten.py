"""`whitenN`: PCA to N dimensions, each scaled to the same variance, and length 1 again."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Linear
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training

FLOOR = 1e-6  # of the largest variance; a smaller one is mostly noise and is not raised further


@register("whiten", "N")
class Whiten(Linear):
    """PCA whitening (Jégou & Chum 2012). Directions of next to no variance are raised only so far
    as if they had a millionth of the first one's."""

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        assert number is not None
        found = training.principal(number, f"whiten{number}")
        scale = 1 / np.sqrt(np.maximum(found.variances, FLOOR * found.variances[0]))
        return cls(
            number,
            {
                "mean": found.mean.astype(np.float32),
                "matrix": (found.components * scale[:, None]).astype(np.float32),
            },
            {"variance_kept": float(found.variances.sum() / found.total), "rows": found.rows},
        )

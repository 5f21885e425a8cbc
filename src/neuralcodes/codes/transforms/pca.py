"""`pcaN`: principal component analysis to N dimensions, and length 1 again."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Linear
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training


@register("pca", "N")
class PCA(Linear):
    """The N directions of largest variance (Babenko et al. 2014, section 3.3)."""

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        assert number is not None
        found = training.principal(number, f"pca{number}")
        return cls(
            number,
            {
                "mean": found.mean.astype(np.float32),
                "matrix": found.components.astype(np.float32),
            },
            {"variance_kept": float(found.variances.sum() / found.total), "rows": found.rows},
        )

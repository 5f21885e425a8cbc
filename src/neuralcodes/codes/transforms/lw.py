"""`lwN`: whitening learned from matching pairs, to N dimensions, and length 1 again."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Linear
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

INNER = 512  # principal components, at most, within which it is learned


@register("lw", "N")
class LearnedWhitening(Linear):
    """Learned whitening (Mikolajczyk & Matas 2007; Radenović et al. 2019, section 4.3).

    The differences between matching codes are whitened, and then the N directions are kept in
    which all codes differ most: what separates images that do not match, in units of what
    separates those that do.

    Two things keep it from raising noise where there are few images for the dimensions. It is
    learned within the first `INNER` principal components (codes that have no more lose nothing);
    and the mean variance of the differences, times dimensions over images, is added to each
    variance, which with many images is next to nothing.
    """

    needs_pairs = True

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        from scipy.linalg import eigh

        assert number is not None
        training.principal(number, f"lw{number}")  # refuses what cannot be
        inner = training.principal_up_to(max(INNER, number))
        values = training.projected(inner)
        pairs = training.pairs().matching
        differences = (values[pairs[:, 0]] - values[pairs[:, 1]]).astype(np.float64)
        within = differences.T @ differences / len(pairs)
        if not within.any():
            raise UserError(f"lw{number}: matching codes do not differ; give other images")
        dims, images = len(within), len(values)
        within += np.trace(within) / dims * (dims / images) * np.eye(dims)
        spread = np.diag(inner.variances)  # principal components do not vary together
        # eigenvectors of spread relative to within, scaled so that the differences are white
        _, directions = eigh(spread, within, subset_by_index=(dims - number, dims - 1))
        return cls(
            number,
            {
                "mean": inner.mean.astype(np.float32),
                "matrix": (directions[:, ::-1].T @ inner.components).astype(np.float32),
            },
            {"pairs": len(pairs)},
        )

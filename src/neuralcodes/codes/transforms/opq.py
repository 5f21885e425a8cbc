"""`opqM`: a learned rotation, then product quantisation to M bytes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Stored, unit_length
from neuralcodes.codes.transforms.pq import (
    ProductQuantiser,
    drawn,
    import_faiss,
    learn_centres,
    require_parts,
)
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

ROUNDS = 25  # of the search for the rotation
WIDEST = 1024  # dimensions; each round takes a matrix of that size apart


@register("opq", "M")
class OptimisedProductQuantiser(ProductQuantiser):
    """Optimised product quantisation (Ge et al. 2013): `pqM` behind a rotation that spreads what
    varies evenly over the M parts. Behind a PCA, whose first dimensions vary most, it loses much
    less than `pqM`. Codes are rotated back when they are decoded.

    Tensors: `rotation` float32 d×d, and those of `pqM`.
    """

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        assert number is not None
        rows, dims = training.values.shape
        require_parts(f"opq{number}", rows, dims, number)
        if dims > WIDEST:
            raise UserError(
                f"opq{number}: codes of {dims} dimensions are too long for it; put "
                f"pca{WIDEST // 4} or the like before it"
            )
        values = drawn(training)
        faiss = import_faiss()
        search: Any = faiss.OPQMatrix(dims, number)
        search.niter = ROUNDS
        search.train(values)
        rotation: Floats = faiss.vector_to_array(search.A).reshape(dims, dims)
        centres = learn_centres(values @ rotation.T, number, training.seed)
        return cls(number, {"rotation": rotation, "centres": centres})

    def encode(self, values: Floats) -> Stored:
        """See `Quantiser.encode`."""
        return super().encode(values @ self.tensors["rotation"].T)

    def decode(self, stored: Stored) -> Floats:
        """See `Quantiser.decode`."""
        parts = self.look_up(stored)[:, None, :]
        # row by row: how a product of two matrices is rounded depends on their shapes, and a code
        # must not depend on those that it is decoded with
        return unit_length(np.matmul(parts, self.tensors["rotation"])[:, 0])

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`: the queries are rotated, not the codes."""
        return super().products(queries @ self.tensors["rotation"].T)

"""`half`: float16, two bytes a dimension."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Quantiser, Stored, unit_length
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training


@register("half")
class Half(Quantiser):
    """Rounds to half precision; there is nothing to fit.

    Stored form: little-endian float16.
    """

    is_fitted = False

    @classmethod
    def fit(cls, training: Training | None = None, number: int | None = None) -> Self:
        """See `Transform.fit`; looks at nothing."""
        return cls(None, {})

    @classmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """See `Transform.stored_bytes`."""
        return 2 * dims

    def encode(self, values: Floats) -> Stored:
        """See `Quantiser.encode`."""
        return np.ascontiguousarray(values, dtype="<f2").view(np.uint8)

    def decode(self, stored: Stored) -> Floats:
        """See `Quantiser.decode`."""
        return unit_length(np.ascontiguousarray(stored).view("<f2").astype(np.float32))

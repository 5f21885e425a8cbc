"""`int8`: whole numbers from -127 to 127, a byte a dimension."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Stored, unit_length
from neuralcodes.codes.transforms.numbers import Numbers
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training

_ROWS = 1024  # looked at at a time


@register("int8")
class Int8(Numbers):
    """Rounds each dimension on a scale of its own, symmetric about 0.

    A scale a dimension keeps the small ones of a PCA code, which a common scale would drown. The
    largest value met in fitting is 127; larger ones are cut.

    Tensors: `step` float32 d, the value of 1. Stored form: int8.
    """

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        values = training.values
        largest = np.zeros(values.shape[1], dtype=np.float32)
        for start in range(0, len(values), _ROWS):
            np.maximum(largest, np.abs(values[start : start + _ROWS]).max(axis=0), out=largest)
        return cls(None, {"step": largest / np.float32(127)})

    @classmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """See `Transform.stored_bytes`."""
        return dims

    def encode(self, values: Floats) -> Stored:
        """See `Quantiser.encode`."""
        step = self.tensors["step"]
        scaled = np.divide(values, step, out=np.zeros_like(values), where=step > 0)
        return np.rint(scaled).clip(-127, 127).astype(np.int8).view(np.uint8)

    def decode(self, stored: Stored) -> Floats:
        """See `Quantiser.decode`."""
        return unit_length(self.values(stored))

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`: the steps go into the queries."""
        return super().products(queries * self.tensors["step"])

    def numbers(self, stored: Stored) -> Floats:
        """See `Numbers.numbers`: without the steps."""
        return stored.view(np.int8).astype(np.float32)

    def values(self, stored: Stored) -> Floats:
        """See `Numbers.values`."""
        return self.numbers(stored) * self.tensors["step"]

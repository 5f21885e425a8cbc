"""`int8`: whole numbers from -127 to 127, a byte a dimension."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Quantiser, Stored, unit_length
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training

_ROWS = 1024  # looked at at a time; as floats they stay in the processor's cache


@register("int8")
class Int8(Quantiser):
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
        return unit_length(stored.view(np.int8).astype(np.float32) * self.tensors["step"])

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`: the steps go into the queries."""
        stepped = queries * self.tensors["step"]

        def multiply(stored: Stored) -> Floats:
            made = np.empty((len(queries), len(stored)), dtype=np.float32)
            for start in range(0, len(stored), _ROWS):
                rows = slice(start, start + _ROWS)
                numbers = stored[rows].view(np.int8).astype(np.float32)
                for query, into in zip(stepped, made, strict=True):
                    np.vecdot(numbers, query, out=into[rows])
            return made

        return multiply

    def lengths(self, stored: Stored) -> Floats:
        """See `Quantiser.lengths`."""
        made = np.empty(len(stored), dtype=np.float32)
        for start in range(0, len(stored), _ROWS):
            rows = slice(start, start + _ROWS)
            raw = stored[rows].view(np.int8) * self.tensors["step"]
            np.sqrt(np.vecdot(raw, raw), out=made[rows])
        return made

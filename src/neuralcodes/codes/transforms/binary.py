"""`binary`: a bit a dimension."""

from __future__ import annotations

from typing import Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Quantiser, Stored, unit_length
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.tables import Tables
from neuralcodes.codes.transforms.training import Training

_COLUMNS = 512  # looked at at a time
_BYTES = np.arange(256, dtype=np.uint8)[:, None]
_SIGNS = np.unpackbits(_BYTES, axis=1).astype(np.float32) * 2 - 1  # of each byte's bits, 256×8


@register("binary")
class Binary(Quantiser):
    """Keeps on which side of its median each dimension lies.

    Decoded, a bit is ±1/√d, so that the squared distance of two codes is 4/d times the number of
    bits in which they differ: the exact search over decoded codes is search by Hamming distance.
    A query's own form is what it has beyond the medians.

    Tensors: `middle` float32 d. Stored form: bits, the first dimension in the highest bit of the
    first byte, unused bits 0.
    """

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        values = training.values
        middle = np.empty(values.shape[1], dtype=np.float32)
        for start in range(0, len(middle), _COLUMNS):
            block = slice(start, start + _COLUMNS)
            middle[block] = np.median(values[:, block], axis=0)
        return cls(None, {"middle": middle})

    @classmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """See `Transform.stored_bytes`."""
        return -(-dims // 8)

    def encode(self, values: Floats) -> Stored:
        """See `Quantiser.encode`."""
        return np.packbits(values > self.tensors["middle"], axis=1)

    def decode(self, stored: Stored) -> Floats:
        """See `Quantiser.decode`."""
        dims = len(self.tensors["middle"])
        signs = np.unpackbits(stored, axis=1, count=dims).astype(np.float32) * 2 - 1
        unit: Floats = signs / np.sqrt(np.float32(dims))
        return unit

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`; looked up by whole bytes."""
        count, dims = queries.shape
        whole = np.zeros((count, -(-dims // 8) * 8), dtype=np.float32)  # unused bits count nothing
        whole[:, :dims] = queries
        return Tables(whole.reshape(count, -1, 8) @ _SIGNS.T)

    def lengths(self, stored: Stored) -> Floats:
        """See `Quantiser.lengths`."""
        length = np.sqrt(np.float32(len(self.tensors["middle"])))
        return np.full(len(stored), length, dtype=np.float32)

    def query(self, values: Floats) -> Floats:
        """See `Quantiser.query`."""
        return unit_length(values - self.tensors["middle"])

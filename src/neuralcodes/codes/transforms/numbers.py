"""`Numbers`: quantisers that store a number a dimension, and are searched by multiplying these."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Quantiser, Stored

_ROWS = 1024  # at a time; as floats they stay in the processor's cache


class Numbers(Quantiser):
    """What two such quantisers share: products and lengths, some rows at a time."""

    @abstractmethod
    def numbers(self, stored: Stored) -> Floats:
        """uint8 n×bytes → float32 n×d: what `products` multiplies queries with."""

    def values(self, stored: Stored) -> Floats:
        """uint8 n×bytes → float32 n×d: the codes before their lengths are made 1."""
        return self.numbers(stored)

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`."""

        def multiply(stored: Stored) -> Floats:
            made = np.empty((len(queries), len(stored)), dtype=np.float32)
            for start in range(0, len(stored), _ROWS):
                rows = slice(start, start + _ROWS)
                numbers = self.numbers(stored[rows])
                for query, into in zip(queries, made, strict=True):
                    np.vecdot(numbers, query, out=into[rows])
            return made

        return multiply

    def lengths(self, stored: Stored) -> Floats:
        """See `Quantiser.lengths`."""
        made = np.empty(len(stored), dtype=np.float32)
        for start in range(0, len(stored), _ROWS):
            rows = slice(start, start + _ROWS)
            values = self.values(stored[rows])
            np.sqrt(np.vecdot(values, values), out=made[rows])
        return made

"""Products of queries with codes that stand in bytes, by looking them up (Jégou et al. 2011)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Floats, Stored

MANY = 16_384  # codes at a time from which it pays to make tables of two bytes at once


class Tables:
    """Sums over a code's bytes of what stands in a table for each of them.

    Args:
        tables: float32 q×M×256, of q queries (or of anything else to be summed).
    """

    def __init__(self, tables: Floats) -> None:
        self._tables = tables
        self._pairs: Floats | None = None

    def __call__(self, stored: Stored) -> Floats:
        """uint8 n×M → float32 q×n."""
        count, width = stored.shape
        if width % 2 == 0 and count >= MANY:
            if self._pairs is None:
                self._pairs = _pairs(self._tables)
            return _sums(self._pairs, np.ascontiguousarray(stored).view("<u2"))
        return _sums(self._tables, stored)


def _pairs(tables: Floats) -> Floats:
    """float32 q×(M/2)×65536: what two bytes, the lower first, give together."""
    low, high = tables[:, 0::2], tables[:, 1::2]
    both: Floats = low[:, :, None, :] + high[:, :, :, None]
    return both.reshape(*low.shape[:2], -1)


def _sums(tables: Floats, stored: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Floats:
    columns = np.ascontiguousarray(stored.T)
    sums = np.zeros((len(tables), len(stored)), dtype=np.float32)
    for place, column in enumerate(columns):  # one table at a time stays in the cache
        for query, table in enumerate(tables[:, place]):
            sums[query] += table[column]
    return sums

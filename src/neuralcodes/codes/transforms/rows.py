"""`StoredRows`: codes that lie in a quantiser's bytes and are decoded as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Quantiser, Stored

READ_BYTES = 2**26  # of float32 codes decoded at a time, where all are read one after another


@dataclass(frozen=True, eq=False)
class StoredRows:
    """n codes of d dimensions, to be read like a float32 array n×d by rows.

    Attributes:
        stored: uint8 n×bytes; a memory map stays one.
        quantiser: what they were stored by.
        dims: d.
    """

    stored: Stored
    quantiser: Quantiser
    dims: int

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def shape(self) -> tuple[int, int]:
        """n and d."""
        return len(self), self.dims

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of what is read."""
        return np.dtype(np.float32)

    @property
    def at_once(self) -> int:
        """Rows to read at a time where all are read, to keep memory bounded."""
        return max(1, READ_BYTES // (4 * self.dims))

    def __getitem__(self, rows: Any) -> Floats:
        """Decoded rows, float32 m×d: a slice of them, or those of an array of numbers or bools."""
        return self.quantiser.decode(np.ascontiguousarray(self.stored[rows]))

    def part(self, rows: slice) -> StoredRows:
        """Some rows, not decoded."""
        return StoredRows(self.stored[rows], self.quantiser, self.dims)

"""`half`: float16, two bytes a dimension."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Floats, Stored, unit_length
from neuralcodes.codes.transforms.numbers import Numbers
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.training import Training


@register("half")
class Half(Numbers):
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
        return unit_length(self.numbers(stored))

    def numbers(self, stored: Stored) -> Floats:
        """See `Numbers.numbers`."""
        return widen(np.ascontiguousarray(stored).view("<f2"))


def widen(values: npt.NDArray[np.float16]) -> Floats:
    """Finite float16 as float32, to the bit as NumPy does it and several times as fast.

    The bits are moved to where float32 has them, the sign spread over four; what is then off is
    the two formats' bias.
    """
    bits = values.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70000001)
    wide: Floats = bits.view(np.float32)
    wide *= np.float32(2.0**112)
    return wide

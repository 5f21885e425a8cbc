"""What a transform is: `Transform`, and the two families `Linear` and `Quantiser`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from neuralcodes.codes.transforms.training import Training

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[np.uint8]
Tensors = Mapping[str, npt.NDArray[Any]]
_ROWS = 4096  # decoded at a time where all are looked at

Products = Callable[[Stored], Floats]
"""uint8 n×bytes → float32 q×n; see `Quantiser.products`."""


@dataclass(frozen=True, eq=False)
class Transform(ABC):
    """A fitted map from codes to codes, both float32 with rows of length 1.

    Attributes:
        number: the N of its name, as in `pca128`; None for a kind that has none.
        tensors: what was learned, by name.
        facts: how it went, for the record; it does not change what the transform is.
    """

    kind: ClassVar[str]
    needs_pairs: ClassVar[bool] = False
    is_quantiser: ClassVar[bool] = False
    is_fitted: ClassVar[bool] = True

    number: int | None
    tensors: Tensors
    facts: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As people type it."""
        return self.kind + ("" if self.number is None else str(self.number))

    def digest(self) -> str:
        """16 hex digits over kind, number and what was learned."""
        digest = hashlib.sha256(self.name.encode())
        for name in sorted(self.tensors):
            tensor = np.ascontiguousarray(self.tensors[name])
            digest.update(f"\n{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            digest.update(tensor.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    @abstractmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """Learn from codes.

        Raises:
            UserError: these codes do not allow it (too few, too short, no pairs).
        """

    @abstractmethod
    def apply(self, values: Floats) -> Floats:
        """The form that is searched: float32 n×d → float32 n×dims, rows of length 1 or zero."""

    @abstractmethod
    def dims(self, dims: int) -> int:
        """Length of the codes that come out when those that go in have `dims`."""

    @classmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """Bytes that a stored code of `dims` takes."""
        return 4 * dims


class Linear(Transform):
    """Subtract a mean, multiply by a matrix, make the length 1.

    Tensors: `mean` float32 d; `matrix` float32 dims×d.
    """

    def apply(self, values: Floats) -> Floats:
        """See `Transform.apply`. A row of zeros is a code like others: it gets minus the mean."""
        return unit_length((values - self.tensors["mean"]) @ self.tensors["matrix"].T)

    def dims(self, dims: int) -> int:
        """See `Transform.dims`."""
        return len(self.tensors["matrix"])


class Quantiser(Transform):
    """Stores a code in fewer bytes. It stands last in a chain.

    The *stored* form is uint8 n×bytes, the *searched* form is float32 n×d of unit length, decoded
    from it. A *query* need not be stored: its own form, not rounded, may be compared with the
    searched form (asymmetric distances) and finds more.
    """

    is_quantiser = True

    @abstractmethod
    def encode(self, values: Floats) -> Stored:
        """float32 n×d → uint8 n×`stored_bytes`."""

    @abstractmethod
    def decode(self, stored: Stored) -> Floats:
        """uint8 n×`stored_bytes` → float32 n×d, rows of length 1 or zero."""

    def query(self, values: Floats) -> Floats:
        """float32 n×d → float32 n×d, not rounded, to be compared with what `decode` gives."""
        return values

    def products(self, queries: Floats) -> Products:
        """What multiplies queries with stored codes, to find candidates among many by.

        Args:
            queries: float32 q×d.

        Returns:
            From stored codes to the products of each query with each code before its length is
            made 1 (see `lengths`), rounded otherwise than products with decoded codes are.
        """
        return lambda stored: np.concatenate(
            [queries @ self.decode(part).T for part in _parts(stored)], axis=1
        )

    def lengths(self, stored: Stored) -> Floats:
        """float32 n: lengths of the codes that `products` multiplies with; 0 for codes of zeros."""
        return np.concatenate(
            [np.linalg.norm(self.decode(part), axis=1) for part in _parts(stored)]
        )

    def apply(self, values: Floats) -> Floats:
        """See `Transform.apply`: encoded and decoded."""
        return self.decode(self.encode(values))

    def dims(self, dims: int) -> int:
        """See `Transform.dims`."""
        return dims

    @classmethod
    @abstractmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """See `Transform.stored_bytes`."""


def _parts(stored: Stored) -> list[Stored]:
    """Few rows at a time, at least one part."""
    return [stored[at : at + _ROWS] for at in range(0, max(1, len(stored)), _ROWS)]


def unit_length(values: Floats) -> Floats:
    """Rows of length 1; rows of zeros stay so."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    divided: Floats = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return divided

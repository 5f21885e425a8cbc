"""`Training`: the codes that transforms learn from, and what several of them need, found once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Floats
from neuralcodes.codes.transforms.pairs import Pairs, class_pairs, graph_pairs
from neuralcodes.codes.transforms.principal import Principal, principal_components
from neuralcodes.common.errors import UserError

PAIRS = 50_000  # of each sort, at most
PAIRS_AN_IMAGE = 20
AT_ONCE = 512  # components found at least: a few more cost little, and the next size needs them
_ROWS = 1024  # looked at at a time


@dataclass
class Training:
    """Codes to learn from.

    Attributes:
        values: float32 n×d, rows of length 1 or zero, in memory or memory-mapped.
        labels: int64 n, the images' classes; None without any.
        seed: of everything that is drawn.

    Raises:
        UserError: fewer than two codes, or a value that is not finite.
    """

    values: Floats
    labels: npt.NDArray[np.int64] | None = None
    seed: int = 0
    _principal: Principal | None = field(default=None, init=False, repr=False)
    _pairs: Pairs | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise UserError(f"{len(self.values)} image(s) to learn from; give at least 2")
        for start in range(0, len(self.values), _ROWS):
            if not np.isfinite(self.values[start : start + _ROWS]).all():
                raise UserError(
                    "the codes to learn from are not all finite numbers; "
                    "look at the network's weights"
                )

    def principal(self, count: int, name: str) -> Principal:
        """The first `count` principal components of the codes.

        Args:
            name: of the transform that needs them, for the message.

        Raises:
            UserError: the codes do not have so many.
        """
        found = self.principal_up_to(count)
        rows, dims = self.values.shape
        most = len(found.variances)
        if most < count:
            raise UserError(
                f"{name}: the {rows} codes of {dims} dimensions to learn from vary in {most} "
                "directions only; choose a smaller number"
                + (" or give more images" if most < dims else "")
            )
        return found

    def principal_up_to(self, count: int) -> Principal:
        """The first `count` principal components, or all that are more than rounding."""
        rows, dims = self.values.shape
        limit = min(dims, rows - 1)
        count = min(count, limit)
        if self._principal is None or len(self._principal.variances) < count:
            self._principal = principal_components(
                self.values, max(count, min(AT_ONCE, limit)), self.seed
            )
        return self._principal.first(min(count, self._principal.rank))

    def projected(self, principal: Principal) -> Floats:
        """The codes by their principal components, float32 n×k."""
        matrix = principal.components.astype(np.float32)
        mean = principal.mean.astype(np.float32)
        made = np.empty((len(self.values), len(matrix)), dtype=np.float32)
        for start in range(0, len(made), _ROWS):
            made[start : start + _ROWS] = (self.values[start : start + _ROWS] - mean) @ matrix.T
        return made

    def pairs(self) -> Pairs:
        """Pairs of rows that match and that do not, from the labels or, without, from the codes.

        Raises:
            UserError: there are none.
        """
        if self._pairs is None:
            count = min(PAIRS, PAIRS_AN_IMAGE * len(self.values))
            if self.labels is None:
                self._pairs = graph_pairs(self.values, count, self.seed)
            else:
                self._pairs = class_pairs(self.labels, count, self.seed)
        return self._pairs

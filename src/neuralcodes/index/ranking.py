"""`Ranking`: for each query the database rows in order of distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Ranking:
    """The k nearest database rows of q queries, nearest first; ties stand in order of rows.

    Attributes:
        rows: int64 q×k, no row twice for a query; -1 where a query has fewer than k candidates.
        distances: float32 q×k, Euclidean; infinite where the row is -1. After re-ranking by
            something else than codes they are that step's own; lower stands first always.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]

    @classmethod
    def nothing(cls, queries: int, k: int) -> Ranking:
        """Of so many queries that found nothing, to be filled in."""
        return cls(
            np.full((queries, k), -1, dtype=np.int64),
            np.full((queries, k), np.inf, dtype=np.float32),
        )

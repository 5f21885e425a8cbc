"""`Relevance`: for each query, which database rows are relevant and which do not count (junk)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


class Relevance(Protocol):
    """What is relevant to each of `queries` queries among `database` rows."""

    @property
    def queries(self) -> int:
        """Number of queries."""

    @property
    def database(self) -> int:
        """Number of database rows."""

    def relevant(self, block: slice) -> Mask:
        """bool k×n for the queries of this block."""

    def junk(self, block: slice) -> Mask:
        """bool k×n: rows that are taken out of the ranking before it is judged."""


@dataclass(frozen=True)
class ClassRelevance:
    """Relevant is what has the query's class; junk is the query itself.

    Attributes:
        query_labels: int64 q.
        database_labels: int64 n.
        itself: int64 q, the database row that is the query itself; -1 where it is not in there.
    """

    query_labels: npt.NDArray[np.int64]
    database_labels: npt.NDArray[np.int64]
    itself: npt.NDArray[np.int64]

    @classmethod
    def among(cls, labels: npt.NDArray[np.int64]) -> ClassRelevance:
        """Each image queries all the others."""
        return cls(labels, labels, np.arange(len(labels)))

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.query_labels)

    @property
    def database(self) -> int:
        """Number of database rows."""
        return len(self.database_labels)

    def relevant(self, block: slice) -> Mask:
        """bool k×n: same class and not the query itself."""
        same: Mask = self.query_labels[block, None] == self.database_labels[None, :]
        return same & ~self.junk(block)

    def junk(self, block: slice) -> Mask:
        """bool k×n: the query itself, by identity."""
        mine = self.itself[block]
        mask = np.zeros((len(mine), self.database), dtype=bool)
        has = np.flatnonzero(mine >= 0)
        mask[has, mine[has]] = True
        return mask

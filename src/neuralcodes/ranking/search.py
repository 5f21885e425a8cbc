"""`Search`: queries, the database they search, and the ranking found so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from neuralcodes.index.exact import Database, search_exact
from neuralcodes.index.ranking import Ranking

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

GATHERED_BYTES = 32 * 2**20  # of codes copied together at a time


@dataclass(frozen=True)
class Search:
    """What a re-ranking step takes and gives.

    Attributes:
        queries: float32 q×d, of length 1 or zero.
        database: n codes.
        exclude: int64 q, a database row that each query must not find (itself); -1 for none.
        ranking: q×k.
        by_codes: whether the ranking is by the distances of these queries and this database; if
            so more of it can be had from them.
    """

    queries: Floats
    database: Database
    exclude: Rows
    ranking: Ranking
    by_codes: bool = True

    @classmethod
    def start(
        cls, queries: Floats, database: Floats | Database, k: int, exclude: Rows | None = None
    ) -> Search:
        """Search exactly for the k nearest of each query."""
        base = Database.of(database)
        queries = np.asarray(queries, dtype=np.float32)
        if exclude is None:
            exclude = np.full(len(queries), -1, dtype=np.int64)
        return cls(queries, base, exclude, search_exact(queries, base, k, exclude))

    @property
    def depth(self) -> int:
        """How many rows a query has in the ranking."""
        return int(self.ranking.rows.shape[1])

    def again(self, queries: Floats | None = None, database: Database | None = None) -> Search:
        """Search as deep with other queries or another database."""
        return Search.start(
            self.queries if queries is None else queries,
            self.database if database is None else database,
            self.depth,
            self.exclude,
        )

    def reordered(self, order_by: npt.NDArray[np.float64]) -> Search:
        """The same rows, by rising `order_by` (float64 q×k); equals keep their order."""
        order_by = np.where(self.ranking.rows < 0, np.inf, order_by)
        order = np.argsort(order_by, axis=1, kind="stable")
        ranking = Ranking(
            np.take_along_axis(self.ranking.rows, order, axis=1),
            np.take_along_axis(order_by, order, axis=1).astype(np.float32),
        )
        return replace(self, ranking=ranking, by_codes=False)

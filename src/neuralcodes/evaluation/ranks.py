"""Ranks of the relevant rows: all that the measures need to know of a ranking."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.common.machine import cpu_count
from neuralcodes.evaluation.relevance import Relevance
from neuralcodes.index.exact import LAST, pack, score_blocks


@dataclass(frozen=True)
class RelevantRanks:
    """For each query the ranks of its relevant rows, with the junk taken out.

    Attributes:
        ranks: int64, 1-based, rising within a query, queries one behind the other.
        starts: int64 q+1; query i has `ranks[starts[i]:starts[i+1]]`.
        candidates: int64 q, number of rows that count (database less junk).
    """

    ranks: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    candidates: npt.NDArray[np.int64]

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.candidates)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64 q: how many relevant rows each query has."""
        return np.diff(self.starts)

    def of(self, query: int) -> npt.NDArray[np.int64]:
        """The ranks of one query."""
        return self.ranks[self.starts[query] : self.starts[query + 1]]


def relevant_ranks(
    queries: npt.NDArray[np.float32], database: npt.NDArray[np.float32], relevance: Relevance
) -> RelevantRanks:
    """Rank the whole database for each query and note where the relevant rows are.

    Exact, over all rows, in blocks of bounded memory. Equal distances stand in the order of
    database rows.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise.
        relevance: of these q queries and n rows.

    Raises:
        ValueError: the sizes do not agree.
    """
    if (len(queries), len(database)) != (relevance.queries, relevance.database):
        raise ValueError(
            f"{len(queries)} queries and {len(database)} rows, but relevance of "
            f"{relevance.queries} and {relevance.database}"
        )
    ranks, counts, candidates = [], [], []
    with ThreadPoolExecutor(cpu_count()) as pool:
        for block, scores in score_blocks(queries, database):
            packed = pack(scores)
            junk = relevance.junk(block)
            packed |= relevance.relevant(block)  # the mark travels in the lowest bit
            packed[junk] = LAST - 1  # behind all others, without the mark
            candidates.append(packed.shape[1] - junk.sum(axis=1))
            list(pool.map(lambda row: row.sort(), packed))  # sorting lets go of the lock
            query, position = np.nonzero(packed & 1)
            ranks.append(position + 1)
            counts.append(np.bincount(query, minlength=len(packed)))
    flat = np.concatenate(counts) if counts else np.zeros(0, np.int64)
    return RelevantRanks(
        ranks=np.concatenate(ranks) if ranks else np.zeros(0, np.int64),
        starts=np.concatenate([[0], np.cumsum(flat)]).astype(np.int64),
        candidates=np.concatenate(candidates) if candidates else np.zeros(0, np.int64),
    )

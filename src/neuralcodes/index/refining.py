"""Candidates measured by their codes: exact distances, and the k nearest of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neuralcodes.index.backend import Floats, Ids, Mask
from neuralcodes.index.ranking import Ranking

REFINE_BYTES = 2**26  # of candidates' codes at a time


def nearest_of(
    queries: Floats, ids: Ids, k: int, codes: Callable[[slice, Mask], Floats]
) -> Ranking:
    """The k nearest of each query's candidates.

    Args:
        queries: float32 q×d.
        ids: int64 q×c, candidates; -1 for none.
        k: how many.
        codes: of some queries' candidates: for a slice of queries and a bool mask of that part of
            `ids`, float32 m×d.
    """
    distances = np.full(ids.shape, np.inf, dtype=np.float32)
    step = max(1, REFINE_BYTES // (4 * max(1, queries.shape[1]) * max(1, ids.shape[1])))
    for start in range(0, len(ids), step):
        part = slice(start, start + step)
        real = ids[part] >= 0
        difference = codes(part, real) - queries[part].repeat(real.sum(axis=1), axis=0)
        distances[part][real] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    beyond = np.where(ids >= 0, ids, np.iinfo(np.int64).max)
    order = np.lexsort((beyond, distances), axis=1)[:, :k]
    found = Ranking.nothing(len(ids), k)
    found.rows[:, : order.shape[1]] = np.take_along_axis(ids, order, axis=1)
    found.distances[:, : order.shape[1]] = np.take_along_axis(distances, order, axis=1)
    return found

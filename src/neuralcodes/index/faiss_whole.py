"""FAISS indexes that keep whole codes: their distances are the answer.

FAISS makes them of differences, as ours are, so nothing is measured again: among 10,000 codes that
took three quarters of a search. What is left of Python around a single query is what it costs to
call FAISS by addresses and to take square roots.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuralcodes.index.backend import Floats, Ids, Mask, Parameters, Vectors
from neuralcodes.index.faiss_base import FaissIndex, load_faiss
from neuralcodes.index.ranking import Ranking


class WholeCodesIndex(FaissIndex):
    """A FAISS index whose distances are exact, however few of the nearest it finds."""

    def __init__(self, dims: int, parameters: Parameters, vectors: Vectors | None = None) -> None:
        super().__init__(dims, parameters, vectors)
        self._looked_at: tuple[Mask, bool, int] | None = None
        self._plain: tuple[tuple[int, int, int], Any] | None = None

    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """See `IndexBackend.search`."""
        if exclude is None and len(queries) and self._may_find_all(k, allowed):
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            squared, places = self._ask(queries, k, self._at_effort(k))
            if not np.count_nonzero(places[:, -1] < 0):  # a microsecond or two faster than `any`
                return _in_order(self._ids[places], np.sqrt(squared))
        return super().search(queries, k, exclude, allowed)

    def _ask(self, queries: Floats, k: int, parameters: Any) -> tuple[Floats, Ids]:
        """See `FaissIndex`; FAISS's own Python method does more around it."""
        if queries.shape[1] != self.dims:
            raise ValueError(f"queries of shape {queries.shape} among codes of {self.dims}")
        address = load_faiss().swig_ptr
        squared = np.empty((len(queries), k), dtype=np.float32)
        places = np.empty((len(queries), k), dtype=np.int64)
        self._faiss.search_c(
            len(queries), address(queries), k, address(squared), address(places), parameters
        )
        return squared, places

    def _at_effort(self, k: int) -> Any:
        """Parameters without a selector, made once: making them takes microseconds."""
        state = (self.effort, k, len(self._ids))
        plain = self._plain
        if plain is None or plain[0] != state:
            plain = self._plain = (state, self._search_parameters(None, k))
        return plain[1]

    def _may_find_all(self, k: int, allowed: Mask | None) -> bool:
        """Whether nothing is dead or forbidden, and there are at least k."""
        if self._looked_at is None or self._looked_at[0] is not self._alive:
            highest = int(self._ids.max()) if len(self._ids) else -1
            self._looked_at = (self._alive, bool(self._alive.all()), highest)
        _, whole, highest = self._looked_at
        if not whole or not 0 < k <= len(self._ids):
            return False
        return allowed is None or (len(allowed) > highest and bool(allowed.all()))

    def _rank(self, queries: Floats, squared: Floats, places: Ids, ids: Ids, k: int) -> Ranking:
        """See `FaissIndex`."""
        distances = np.where(ids >= 0, np.sqrt(squared), np.float32(np.inf))
        order = np.lexsort((np.where(ids >= 0, ids, np.iinfo(np.int64).max), distances), axis=1)
        found, width = Ranking.nothing(len(ids), k), min(k, ids.shape[1])
        found.rows[:, :width] = np.take_along_axis(ids, order[:, :width], axis=1)
        found.distances[:, :width] = np.take_along_axis(distances, order[:, :width], axis=1)
        return found


def _in_order(ids: Ids, distances: Floats) -> Ranking:
    """Rows whose distances rise already, with equal ones put in order of ids.

    Only those: sorting all lines for the sake of a few took as long as the search.
    """
    level = distances[:, 1:] <= distances[:, :-1]
    if np.count_nonzero(level):
        tied = np.flatnonzero(level.any(axis=1))
        order = np.lexsort((ids[tied], distances[tied]), axis=1)
        ids[tied] = np.take_along_axis(ids[tied], order, axis=1)
        distances[tied] = np.take_along_axis(distances[tied], order, axis=1)
    return Ranking(ids, distances)

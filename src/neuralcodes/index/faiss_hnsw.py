"""FAISS's navigable small-world graph (Malkov & Yashunin, arXiv 1603.09320)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.index.backend import Floats, Ids, Mask, Parameters, Vectors, register
from neuralcodes.index.faiss_base import FaissIndex, load_faiss
from neuralcodes.index.ranking import Ranking


@dataclass(frozen=True)
class HnswParameters(Parameters):
    """A graph over the codes.

    Attributes:
        links: neighbours a node keeps on each upper level; twice that on the lowest.
        construction: candidates looked at when a node is added.
    """

    links: int = 24
    construction: int = 100


@register("hnsw")
class HnswIndex(FaissIndex):
    """Fast at high recall; holds all codes in memory. `effort` is FAISS's efSearch."""

    parameters_kind = HnswParameters
    parameters: HnswParameters

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Codes at 4 bytes a number, links at 4 bytes each, ids."""
        return count * (4 * dims + _link_bytes(HnswParameters()) + 9)

    def __init__(self, dims: int, parameters: Parameters, vectors: Vectors | None = None) -> None:
        super().__init__(dims, parameters, vectors)
        self._looked_at: tuple[Mask, bool, int] | None = None
        self._plain: tuple[int, Any] | None = None  # effort and FAISS's parameters of it

    def efforts(self) -> list[int]:
        """efSearch from 10 to 2,048, by steps of a quarter to a third."""
        steps = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512]
        return [*steps, 640, 768, 1024, 1536, 2048]

    def search(
        self, queries: Floats, k: int, exclude: Ids | None = None, allowed: Mask | None = None
    ) -> Ranking:
        """See `IndexBackend.search`.

        Where everything may be found, FAISS's answer is the answer: it keeps whole codes, and its
        distances are made of differences, as ours are. Measuring them anew took three quarters of
        a search among 10,000.
        """
        if exclude is None and len(queries) and self._may_find_all(k, allowed):
            queries = np.ascontiguousarray(queries, dtype=np.float32)
            squared, places = self._faiss.search(queries, k, params=self._at_effort())
            if places.min() >= 0:
                return _in_order(self._ids[places], np.sqrt(squared))
        return super().search(queries, k, exclude, allowed)

    def _at_effort(self) -> Any:
        """Parameters of the present effort without a selector, made once: it takes microseconds."""
        if self._plain is None or self._plain[0] != self.effort:
            self._plain = (self.effort, self._search_parameters(None))
        return self._plain[1]

    def _may_find_all(self, k: int, allowed: Mask | None) -> bool:
        """Whether nothing is dead or forbidden, and there are at least k."""
        if self._looked_at is None or self._looked_at[0] is not self._alive:
            highest = int(self._ids.max()) if len(self._ids) else -1
            self._looked_at = (self._alive, bool(self._alive.all()), highest)
        _, whole, highest = self._looked_at
        if not whole or not 0 < k <= len(self._ids):
            return False
        return allowed is None or (len(allowed) > highest and bool(allowed.all()))

    def _make(self) -> Any:
        faiss = load_faiss()

        index = faiss.IndexHNSWFlat(self.dims, self.parameters.links)
        index.hnsw.efConstruction = self.parameters.construction
        return index

    def _search_parameters(self, selector: Any) -> Any:
        faiss = load_faiss()

        return faiss.SearchParametersHNSW(sel=selector, efSearch=self.effort)

    def _code_bytes(self) -> int:
        return 4 * self.dims + _link_bytes(self.parameters)


def _in_order(ids: Ids, distances: Floats) -> Ranking:
    """Rows whose distances rise already, with equal ones put in order of ids."""
    tied = np.flatnonzero((distances[:, 1:] <= distances[:, :-1]).any(axis=1))
    if len(tied):  # sorting all lines for the sake of a few took as long as the search
        order = np.lexsort((ids[tied], distances[tied]), axis=1)
        ids[tied] = np.take_along_axis(ids[tied], order, axis=1)
        distances[tied] = np.take_along_axis(distances[tied], order, axis=1)
    return Ranking(ids, distances)


def _link_bytes(parameters: HnswParameters) -> int:
    # twice the links at the bottom, one upper level for one node in `links`, level and offset
    return 4 * (2 * parameters.links + 1) + 12

"""FAISS's fast scan of 4-bit product codes, re-ordered by whole codes in the same call.

Two bits a dimension lie in inverted lists and are compared in registers (André, Kermarrec & Le
Scouarnec, arXiv 1812.09162); the nearest by them are measured by whole codes within FAISS
(`IndexRefineFlat`), so Python sees only the k nearest. ScaNN (Guo et al., arXiv 1908.10396) works
likewise.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.index.backend import Floats, Ids, Vectors, register
from neuralcodes.index.faiss_base import load_faiss
from neuralcodes.index.faiss_ivfpq import (
    IvfPqParameters,
    fit_rotation,
    probing,
    product_lists,
    suggest_lists,
    training_sample,
)
from neuralcodes.index.faiss_whole import WholeCodesIndex

LISTS = 0.4  # times √n: finding the lists costs as much as looking into them
CANDIDATES = 0.08  # times √(codes looked at), for each of the nearest that is wanted
CANDIDATES_LEAST = 3.0
WANTED_LEAST = 10  # fewer neighbours take as many candidates as these
AT_ONCE = 256  # queries a thread: 10 kB each
IMPLEMENTATION = 11  # FAISS's number: IndexIVFFastScan::search_implem_10 with a reservoir
DOUBLINGS = 4  # of the candidates, once all lists are looked into


@register("fastscan")
class FastScanIndex(WholeCodesIndex):
    """Fastest among tens and hundreds of thousands; holds all codes in memory.

    `effort` is the number of lists looked into (FAISS's nprobe), and how many candidates are
    measured (k_factor) rises with it. Beyond the number of lists it multiplies the candidates.
    """

    trained = True
    parameters_kind = IvfPqParameters
    parameters: IvfPqParameters

    @classmethod
    def suggest(cls, count: int, dims: int) -> IvfPqParameters:
        """About 0.4·√n lists, a piece for every two dimensions."""
        return suggest_lists(count, dims, LISTS)

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Codes at 4 bytes a number, half a byte a piece, ids, and the lists' centres."""
        return _bytes(cls.suggest(count, dims), dims, count)

    def efforts(self) -> list[int]:
        """Lists by steps of a tenth or so up to all of them, then more candidates."""
        most = self.parameters.lists
        ladder = [1]
        while ladder[-1] < most:
            octave = 2 ** (ladder[-1].bit_length() - 1)
            ladder.append(min(most, ladder[-1] + max(1, octave // 8)))
        return [*ladder, *(most * 2**doubling for doubling in range(1, DOUBLINGS + 1))]

    def train(self, codes: Floats) -> None:
        """See `IndexBackend.train`; takes at least 16 codes, and one a list.

        Raises:
            UserError: fewer codes.
        """
        super().train(training_sample(codes, self.parameters.lists, self.name))

    def _prepare(self, codes: Floats) -> None:
        fit_rotation(self._faiss.base_index, codes)

    def _make(self) -> Any:
        faiss = load_faiss()

        lists = product_lists(self.dims, self.parameters)
        whole = faiss.IndexRefineFlat(lists)
        whole.own_fields = True
        lists.this.disown()
        return _query_by_query(whole)

    @classmethod
    def load(cls, path: Path, vectors: Vectors | None = None) -> FastScanIndex:
        """See `IndexBackend.load`."""
        index = super().load(path, vectors)
        assert isinstance(index, FastScanIndex)
        if index._faiss is not None:
            _query_by_query(index._faiss)
        return index

    def _search_parameters(self, selector: Any, k: int) -> Any:
        faiss = load_faiss()

        lists = self.parameters.lists
        probes = min(self.effort, lists)
        looked_at = len(self._ids) * probes / lists
        each = max(CANDIDATES_LEAST, CANDIDATES * math.sqrt(looked_at)) * self.effort / probes
        candidates = min(len(self._ids), math.ceil(each * max(k, WANTED_LEAST)))
        return faiss.IndexRefineSearchParameters(
            # FAISS multiplies and cuts off, in single precision
            k_factor=max(1.0, (candidates + 0.5) / k),
            base_index_params=probing(self.parameters, probes, selector),
        )

    def _ask(self, queries: Floats, k: int, parameters: Any) -> tuple[Floats, Ids]:
        """See `FaissIndex`. So many at a time: FAISS keeps tables and candidates of all of them."""
        step = AT_ONCE * load_faiss().omp_get_max_threads()
        if len(queries) <= step:
            return super()._ask(queries, k, parameters)
        squared = np.empty((len(queries), k), dtype=np.float32)
        places = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            squared[part], places[part] = super()._ask(queries[part], k, parameters)
        return squared, places

    def _code_bytes(self) -> int:
        return 4 * self.dims + self.parameters.pieces // 2 + 8

    def memory_bytes(self) -> int:
        """See `IndexBackend.memory_bytes`."""
        return _bytes(self.parameters, self.dims, len(self._ids))


def _query_by_query(whole: Any) -> Any:
    """Let FAISS scan for one query after the other, not for all that look into a list together.

    A single query is a tenth faster for it, many at once from 8 % faster to 5 % slower.
    """
    faiss = load_faiss()

    faiss.downcast_index(faiss.extract_index_ivf(whole.base_index)).implem = IMPLEMENTATION
    return whole


def _bytes(parameters: IvfPqParameters, dims: int, count: int) -> int:
    width = parameters.reduced or dims
    code = 4 * dims + parameters.pieces // 2 + 8 + 9  # FAISS's position and our id and tombstone
    return count * code + 4 * width * parameters.lists

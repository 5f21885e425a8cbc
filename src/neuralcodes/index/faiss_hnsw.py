"""FAISS's navigable small-world graph (Malkov & Yashunin, arXiv 1603.09320)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neuralcodes.index.backend import Parameters, register
from neuralcodes.index.faiss_base import load_faiss
from neuralcodes.index.faiss_whole import WholeCodesIndex


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
class HnswIndex(WholeCodesIndex):
    """Fast at high recall; holds all codes in memory. `effort` is FAISS's efSearch."""

    parameters_kind = HnswParameters
    parameters: HnswParameters

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Codes at 4 bytes a number, links at 4 bytes each, ids."""
        return count * (4 * dims + _link_bytes(HnswParameters()) + 9)

    def efforts(self) -> list[int]:
        """efSearch from 10 to 2,048, by steps of a quarter to a third."""
        steps = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512]
        return [*steps, 640, 768, 1024, 1536, 2048]

    def _make(self) -> Any:
        faiss = load_faiss()

        index = faiss.IndexHNSWFlat(self.dims, self.parameters.links)
        index.hnsw.efConstruction = self.parameters.construction
        return index

    def _search_parameters(self, selector: Any, k: int) -> Any:
        faiss = load_faiss()

        return faiss.SearchParametersHNSW(sel=selector, efSearch=self.effort)

    def _code_bytes(self) -> int:
        return 4 * self.dims + _link_bytes(self.parameters)


def _link_bytes(parameters: HnswParameters) -> int:
    # twice the links at the bottom, one upper level for one node in `links`, level and offset
    return 4 * (2 * parameters.links + 1) + 12

"""FAISS's exact search over codes held in memory."""

from __future__ import annotations

from typing import Any

from neuralcodes.index.backend import Parameters, register
from neuralcodes.index.faiss_base import FaissIndex, load_faiss


@register("flat")
class FlatIndex(FaissIndex):
    """All codes in memory, compared one by one. For many queries at a time."""

    exact = True
    parameters_kind = Parameters

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """The codes at 4 bytes a number, and their ids."""
        return count * (4 * dims + 9)

    def _make(self) -> Any:
        faiss = load_faiss()

        return faiss.IndexFlatL2(self.dims)

    def _search_parameters(self, selector: Any, k: int) -> Any:
        faiss = load_faiss()

        return faiss.SearchParameters(sel=selector)

    def _depth(self, k: int) -> int:
        # its products round, so the k-th may be a hair farther than the next
        return k + 8

    def _code_bytes(self) -> int:
        return 4 * self.dims

"""FAISS's inverted lists of 4-bit product codes, re-ranked by the stored codes.

Product quantisation: Jégou, Douze & Schmid, PAMI 2011; the 4-bit form that is scanned in
registers: André, Kermarrec & Le Scouarnec, arXiv 1812.09162.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.common.errors import UserError
from neuralcodes.index.backend import Floats, Ids, Parameters, Vectors, efforts_upto, register
from neuralcodes.index.faiss_base import FaissIndex, load_faiss

WIDEST = 256  # dimensions; longer codes are first rotated and cut to these (PCA)
TRAINING = 64  # codes a list, at most
SEED = 1234


@dataclass(frozen=True)
class IvfPqParameters(Parameters):
    """Lists and pieces.

    Attributes:
        lists: cells that the codes are divided into.
        pieces: parts that a code is cut into, each kept as 4 bits.
        reduced: dimensions to which PCA cuts the codes before that; 0 for none.
    """

    lists: int = 256
    pieces: int = 32
    reduced: int = 0


@register("ivfpq")
class IvfPqIndex(FaissIndex):
    """Small in memory: it keeps half a byte a piece and reads the stored codes to re-rank.

    `effort` is the number of lists looked into; more are re-ranked with it too.

    Raises:
        ValueError: there are no stored codes to re-rank by.
    """

    trained = True
    parameters_kind = IvfPqParameters
    parameters: IvfPqParameters

    def __init__(self, dims: int, parameters: Parameters, vectors: Vectors | None = None) -> None:
        super().__init__(dims, parameters, vectors)
        if vectors is None:
            raise ValueError("the index 'ivfpq' needs the stored codes to re-rank by")

    @classmethod
    def suggest(cls, count: int, dims: int) -> IvfPqParameters:
        """About 4·√n lists, a piece for every two dimensions."""
        reduced = WIDEST if dims > WIDEST else 0
        width = reduced or dims
        lists = 2 ** round(np.log2(max(1.0, 4 * np.sqrt(max(count, 1)))))
        return IvfPqParameters(
            # FAISS wants 39 training codes for each list
            lists=int(max(1, min(lists, count // 39))),
            pieces=next(p for p in (width // 2, width // 3, width // 5, width) if _fits(width, p)),
            reduced=reduced,
        )

    @classmethod
    def estimate_bytes(cls, count: int, dims: int) -> int:
        """Half a byte a piece, FAISS's id and ours, and the lists' centres."""
        chosen = cls.suggest(count, dims)
        width = chosen.reduced or dims
        return count * (chosen.pieces // 2 + 8 + 9) + chosen.lists * width * 4

    def efforts(self) -> list[int]:
        """From one list to all of them."""
        return efforts_upto(self.parameters.lists)

    def _make(self) -> Any:
        faiss = load_faiss()

        chosen = self.parameters
        width = chosen.reduced or self.dims
        text = f"IVF{chosen.lists},PQ{chosen.pieces}x4fs"
        index = faiss.index_factory(width, text)
        index.cp.seed = SEED
        index.pq.cp.seed = SEED
        if not chosen.reduced:
            return index
        rotation = faiss.PCAMatrix(self.dims, width)
        whole = faiss.IndexPreTransform(rotation, index)
        whole.own_fields = True
        for part in (rotation, index):  # the whole frees them, so Python must not
            part.this.disown()
        return whole

    def train(self, codes: Floats) -> None:
        """See `IndexBackend.train`; takes at least 16 codes and needs no more than `sample`.

        Raises:
            UserError: fewer codes.
        """
        if len(codes) < max(16, self.parameters.lists):
            raise UserError(f"too few codes ({len(codes)}) for the index 'ivfpq'; use 'exact'")
        most = self.sample(self.parameters)
        if len(codes) > most:
            picked = np.random.default_rng(SEED).choice(len(codes), most, replace=False)
            codes = codes[np.sort(picked)]
        super().train(codes)

    @staticmethod
    def sample(parameters: IvfPqParameters) -> int:
        """How many codes it is trained on, at most."""
        return max(TRAINING * parameters.lists, 16_384)

    def _search_parameters(self, selector: Any) -> Any:
        faiss = load_faiss()

        inner = faiss.SearchParametersIVF(sel=selector, nprobe=self.effort)
        if not self.parameters.reduced:
            return inner
        return faiss.SearchParametersPreTransform(index_params=inner)

    def _depth(self, k: int) -> int:
        return max(4 * k, 16 * self.effort)

    def _codes(self, positions: Ids, ids: Ids) -> Floats:
        assert self.vectors is not None
        return self.vectors(ids)

    def _code_bytes(self) -> int:
        return self.parameters.pieces // 2 + 8


def _fits(width: int, pieces: int) -> bool:
    return pieces > 0 and width % pieces == 0

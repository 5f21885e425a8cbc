"""FAISS's inverted lists of 4-bit product codes, re-ranked by the stored codes.

Product quantisation: Jégou, Douze & Schmid, PAMI 2011; the 4-bit form that is scanned in
registers: André, Kermarrec & Le Scouarnec, arXiv 1812.09162.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuralcodes.codes.transforms.principal import principal_components
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
        return suggest_lists(count, dims, 4.0)

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
        return product_lists(self.dims, self.parameters)

    def train(self, codes: Floats) -> None:
        """See `IndexBackend.train`; takes at least 16 codes, and one a list.

        Raises:
            UserError: fewer codes.
        """
        super().train(training_sample(codes, self.parameters.lists, self.name))

    def _prepare(self, codes: Floats) -> None:
        fit_rotation(self._faiss, codes)

    def _search_parameters(self, selector: Any, k: int) -> Any:
        return probing(self.parameters, self.effort, selector)

    def _depth(self, k: int) -> int:
        return max(4 * k, 16 * self.effort)

    def _codes(self, positions: Ids, ids: Ids) -> Floats:
        assert self.vectors is not None
        return self.vectors(ids)

    def _code_bytes(self) -> int:
        return self.parameters.pieces // 2 + 8


def suggest_lists(count: int, dims: int, times: float) -> IvfPqParameters:
    """Parameters with about `times`·√n lists, a power of two."""
    reduced = WIDEST if dims > WIDEST else 0
    width = reduced or dims
    lists = 2 ** round(np.log2(max(1.0, times * np.sqrt(max(count, 1)))))
    cuts = (width // 2, width // 3, width // 5, width)
    return IvfPqParameters(
        # FAISS wants 39 training codes for each list
        lists=int(max(1, min(lists, count // 39))),
        pieces=next(pieces for pieces in cuts if pieces > 0 and width % pieces == 0),
        reduced=reduced,
    )


def product_lists(dims: int, parameters: IvfPqParameters) -> Any:
    """FAISS's inverted lists of 4-bit product codes, not trained."""
    faiss = load_faiss()

    width = parameters.reduced or dims
    index = faiss.index_factory(width, f"IVF{parameters.lists},PQ{parameters.pieces}x4fs")
    index.cp.seed = SEED
    index.pq.cp.seed = SEED
    if not parameters.reduced:
        return index
    rotation = faiss.LinearTransform(dims, width, True)
    whole = faiss.IndexPreTransform(rotation, index)
    whole.own_fields = True
    for part in (rotation, index):  # the whole frees them, so Python must not
        part.this.disown()
    return whole


def fit_rotation(lists: Any, codes: Floats) -> None:
    """Give the lists of long codes their principal directions; do nothing where none are cut.

    FAISS's own PCA takes a matrix of d×d apart whole, minutes and gigabytes where d is 16,384, and
    writes it down; the few directions are all that is wanted.
    """
    faiss = load_faiss()

    lists = faiss.downcast_index(lists)
    if not isinstance(lists, faiss.IndexPreTransform):
        return
    rotation = faiss.downcast_VectorTransform(lists.chain.at(0))
    found = principal_components(codes, rotation.d_out, SEED)
    matrix = np.zeros((rotation.d_out, rotation.d_in), dtype=np.float32)
    matrix[: len(found.components)] = found.components
    faiss.copy_array_to_vector(matrix.ravel(), rotation.A)
    faiss.copy_array_to_vector(-(matrix @ found.mean.astype(np.float32)), rotation.b)
    rotation.is_trained = True


def probing(parameters: IvfPqParameters, lists: int, selector: Any) -> Any:
    """FAISS's search parameters: so many lists, and only what the selector lets through."""
    faiss = load_faiss()

    inner = faiss.SearchParametersIVF(sel=selector, nprobe=lists)
    if not parameters.reduced:
        return inner
    return faiss.SearchParametersPreTransform(index_params=inner)


def training_sample(codes: Floats, lists: int, name: str) -> Floats:
    """The codes that so many lists and their product codes are learnt from; seeded.

    Raises:
        UserError: too few codes for the index of that name.
    """
    if len(codes) < max(16, lists):
        raise UserError(f"too few codes ({len(codes)}) for the index {name!r}; use 'exact'")
    most = max(TRAINING * lists, 16_384)
    if len(codes) <= most:
        return codes
    return codes[np.sort(np.random.default_rng(SEED).choice(len(codes), most, replace=False))]

"""`pqM`: product quantisation to M bytes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from neuralcodes.codes.transforms.base import Floats, Products, Quantiser, Stored, unit_length
from neuralcodes.codes.transforms.registry import register
from neuralcodes.codes.transforms.tables import Tables
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

CENTRES = 256  # a byte's worth
ROUNDS = 25  # of k-means
MOST = 256 * CENTRES  # codes that k-means looks at


@register("pq", "M")
class ProductQuantiser(Quantiser):
    """Cuts a code into M parts and stores each as the nearest of 256 centres (Jégou et al. 2011).

    Learned and encoded by FAISS. Decoding makes the length 1 again, so distances to the searched
    form are those of directions.

    Tensors: `centres` float32 M×256×(d/M). Stored form: the numbers of the centres.
    """

    @classmethod
    def fit(cls, training: Training, number: int | None) -> Self:
        """See `Transform.fit`."""
        assert number is not None
        rows, dims = training.values.shape
        require_parts(f"pq{number}", rows, dims, number)
        return cls(number, {"centres": learn_centres(drawn(training), number, training.seed)})

    @classmethod
    def stored_bytes(cls, number: int | None, dims: int) -> int:
        """See `Transform.stored_bytes`."""
        assert number is not None
        return number

    def encode(self, values: Floats) -> Stored:
        """See `Quantiser.encode`."""
        centres = self.tensors["centres"]
        quantiser = _faiss_quantiser(centres.shape[0] * centres.shape[2], len(centres))
        import_faiss().copy_array_to_vector(centres.ravel(), quantiser.centroids)
        found: Stored = quantiser.compute_codes(np.ascontiguousarray(values))
        return found

    def decode(self, stored: Stored) -> Floats:
        """See `Quantiser.decode`."""
        return unit_length(self.look_up(stored))

    def products(self, queries: Floats) -> Products:
        """See `Quantiser.products`; of each part with each of its centres, looked up."""
        centres = self.tensors["centres"]
        parts = queries.reshape(len(queries), len(centres), 1, -1)
        return Tables(np.vecdot(parts, centres))

    def lengths(self, stored: Stored) -> Floats:
        """See `Quantiser.lengths`; the squares of the centres' lengths are looked up."""
        centres = self.tensors["centres"]
        squares: Floats = Tables(np.vecdot(centres, centres)[None])(stored)[0]
        return np.sqrt(squares)

    def look_up(self, stored: Stored) -> Floats:
        """float32 n×d: the centres as they are, of any length."""
        centres = self.tensors["centres"]
        parts: Floats = centres[np.arange(len(centres)), stored]
        return parts.reshape(len(stored), -1)


def require_parts(name: str, rows: int, dims: int, parts: int) -> None:
    """Refuse what cannot be learned.

    Raises:
        UserError: the code cannot be cut into so many equal parts, or there are too few codes.
    """
    if dims % parts:
        able = [m for m in (8, 16, 32, 64, 128, 256) if m <= dims and dims % m == 0]
        raise UserError(
            f"{name}: codes of {dims} dimensions cannot be cut into {parts} equal parts"
            + (f"; for instance into {', '.join(map(str, able))}" if able else "")
        )
    if rows < CENTRES:
        raise UserError(f"{name}: {rows} images to learn from; give at least {CENTRES}")


def drawn(training: Training) -> Floats:
    """The codes, or of too many a seeded choice, in memory."""
    values = training.values
    if len(values) > MOST:
        generator = np.random.default_rng(training.seed)
        values = values[np.sort(generator.choice(len(values), MOST, replace=False))]
    return np.ascontiguousarray(values)


def learn_centres(values: Floats, parts: int, seed: int) -> Floats:
    """float32 parts×256×(d/parts), by k-means in each part."""
    quantiser = _faiss_quantiser(values.shape[1], parts)
    quantiser.cp.niter = ROUNDS
    quantiser.cp.seed = seed
    quantiser.cp.min_points_per_centroid = 1  # or it prints a warning of its own
    quantiser.train(np.ascontiguousarray(values))
    centres: Floats = import_faiss().vector_to_array(quantiser.centroids)
    return centres.reshape(parts, CENTRES, -1)


def _faiss_quantiser(dims: int, parts: int) -> Any:
    return import_faiss().ProductQuantizer(dims, parts, 8)


def import_faiss() -> Any:
    """FAISS, loaded when it is first needed."""
    import faiss

    return faiss

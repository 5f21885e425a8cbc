"""Exact Euclidean search by matrix products, in blocks of queries.

For codes of length 1, |q - x|² = 2 - 2 q·x: the order of distances is the order of products. A
code of zeros has distance 1 to each code of length 1, as has a product of 1/2, and is given that.

A query's products and their rows are packed into one integer each, product first: sorting these
sorts by distance and, where distances are equal, by row. Nothing depends on the sort's stability,
and plain integer sorts are the fastest there are (NumPy's use AVX-512 where there is any).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from neuralcodes.index.ranking import Ranking

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.int64]

LAST: int = np.iinfo(np.int64).max  # packed value of a candidate that does not count
BLOCK_BYTES = 128 * 2**20  # of packed values at a time


def score_blocks(queries: Floats, database: Floats) -> Iterator[tuple[slice, Floats]]:
    """Scores of all database rows for a block of queries at a time; higher is nearer.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise.

    Yields:
        The block's queries, and float32 k×n scores (q·x, 1/2 for zero rows). Rows of the database
        that are equal to the bit get scores that are equal to the bit.
    """
    first = _first_of_equals(database)
    copies = np.flatnonzero(first != np.arange(len(database)))
    zeros = np.flatnonzero(~database.any(axis=1))
    base = torch.from_numpy(np.ascontiguousarray(database)).T
    step = max(1, BLOCK_BYTES // (8 * max(1, len(database))))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        scores = (torch.from_numpy(np.ascontiguousarray(queries[block])) @ base).numpy()
        # A product may round differently at another place in the matrix, so copies are given the
        # score of the first of their kind.
        scores[:, copies] = scores[:, first[copies]]
        scores[:, zeros] = 0.5
        yield block, scores


def pack(scores: Floats) -> Packed:
    """int64 k×n that sort by falling score, then by row; see `unpack`.

    The upper half is the score's bits, turned so that they order like the floats; the lower half
    is twice the row, which leaves the lowest bit free for a mark.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 into 0.0
    # for negative floats the bits order the wrong way round: flip all but the sign
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    packed = (~bits).astype(np.int64) << 32
    packed |= np.arange(scores.shape[1], dtype=np.int64) << 1
    return packed


def unpack(packed: Packed) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows (int64) and scores (float32) of packed values."""
    rows = (packed & 0xFFFFFFFF) >> 1
    bits = ~(packed >> 32).astype(np.int32)
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return rows, bits.view(np.float32)


def search_exact(
    queries: Floats, database: Floats, k: int, exclude: npt.NDArray[np.int64] | None = None
) -> Ranking:
    """The k nearest database rows of each query.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise.
        k: how many; at most n are found.
        exclude: int64 q, a database row each query must not find (itself); -1 for none.
    """
    found = min(k, len(database))
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    distances = np.full((len(queries), k), np.inf, dtype=np.float32)
    for block, scores in score_blocks(queries, database):
        packed = pack(scores)
        if exclude is not None:
            mine = exclude[block]
            has = np.flatnonzero(mine >= 0)
            packed[has, mine[has]] = LAST
        if found < packed.shape[1]:
            packed = np.partition(packed, found - 1, axis=1)[:, :found]
        packed = np.sort(packed, axis=1)
        block_rows, block_scores = unpack(packed)
        real = packed != LAST
        rows[block, :found] = np.where(real, block_rows, -1)
        lengths = np.linalg.norm(queries[block], axis=1)[:, None]
        squared = np.maximum(lengths**2 + 1 - 2 * block_scores, 0)
        distances[block, :found] = np.where(real, np.sqrt(squared), np.inf)
    return Ranking(rows, distances)


def _first_of_equals(database: Floats) -> npt.NDArray[np.int64]:
    """For each row the first row equal to it (itself, as a rule)."""
    first: dict[bytes, int] = {}
    out = np.arange(len(database))
    contiguous = np.ascontiguousarray(database)
    for row in range(len(contiguous)):
        out[row] = first.setdefault(contiguous[row].tobytes(), row)
    return out

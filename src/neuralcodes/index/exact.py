"""Exact Euclidean search by matrix products, in blocks of queries.

For codes of length 1, |q - x|² = 2 - 2 q·x: the order of distances is the order of products. A
code of zeros has distance 1 to each code of length 1, as has a product of 1/2, and is given that.

Equal distances stand in the order of database rows. For that, a query's scores and their rows are
packed into one integer each, score first, and sorted together: nothing depends on a sort's
stability, and plain integer sorts are fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuralcodes.common.machine import cpu_count
from neuralcodes.index.equals import first_of_equals
from neuralcodes.index.products import products_of
from neuralcodes.index.ranking import Ranking

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

BLOCK_BYTES = 128 * 2**20  # of scores at a time
WHOLE_BYTES = 512 * 2**20  # of scores at a time where queries and database are the same codes
CHUNK_BYTES = 2 * 2**20  # of scores that a thread works on, to stay in its cache
CLOSE = 1e-3  # squared distances below it lose too many digits in 2 - 2 q·x
DROPPED = np.float32(-np.inf)  # score of a row that does not count


@dataclass(frozen=True)
class Database:
    """Codes to be searched, looked over once for what equal scores need.

    Attributes:
        values: float32 n×d, rows of length 1 or zero; in memory or memory-mapped.
        copies: int64 c, rows that are equal to the bit to an earlier row.
        originals: int64 c, the first row that each of them equals.
        zeros: int64, rows of zeros.
    """

    values: Floats
    copies: Rows
    originals: Rows
    zeros: Rows

    @classmethod
    def of(cls, values: Floats | Database) -> Database:
        """Look codes over (a `Database` is given back as it is).

        Raises:
            ValueError: not an n×d array, or a value that is not finite.
        """
        if isinstance(values, Database):
            return values
        values = np.ascontiguousarray(values, dtype=np.float32)
        if values.ndim != 2:
            raise ValueError(f"codes must be an n×d array, not of shape {values.shape}")
        squares = _squares(values)
        first = first_of_equals(values)
        copies = np.flatnonzero(first != np.arange(len(values)))
        return cls(values, copies, first[copies], np.flatnonzero(squares == 0))

    def __len__(self) -> int:
        return len(self.values)


def score_blocks(
    queries: Floats, database: Floats | Database, memory: int | None = None
) -> Iterator[tuple[slice, Floats]]:
    """Scores of all database rows for a block of queries at a time; higher is nearer.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise.
        memory: bytes of scores at a time; `BLOCK_BYTES` when None.

    Yields:
        The block's queries, and float32 k×n scores (q·x, 1/2 for zero rows). Rows of the database
        that are equal to the bit get scores that are equal to the bit. The scores may be written
        to, and hold until the next block only.
    """
    base = Database.of(database)
    count = len(base)
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    itself = _same(queries, base.values)
    if not itself:
        _squares(queries)  # refuses what is not finite
    step = max(1, (memory or BLOCK_BYTES) // (4 * max(1, count)))
    # half the work, where all products of codes with themselves are made at once
    whole = itself and 4 * count * count <= max(WHOLE_BYTES, memory or 0)
    if whole:
        queries, step = base.values, count
    step = min(step, max(1, len(queries)))
    buffer = np.empty((step, count), dtype=np.float32)
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        scores = buffer[: block.stop - start]
        if whole:
            products_of(base.values, scores)
        else:
            np.matmul(queries[block], base.values.T, out=scores)
        # A product may round differently at another place in the matrix, so copies are given the
        # score of the first of their kind.
        scores[:, base.copies] = scores[:, base.originals]
        scores[:, base.zeros] = 0.5
        yield block, scores


def order_blocks(queries: Floats, database: Floats | Database) -> Iterator[tuple[slice, Floats]]:
    """As `score_blocks`, with scores that order as the distances in float64 do.

    Rounding in float32 swaps neighbours whose distances agree to seven digits. That is lost in the
    mean of many queries and is not in that of a few hundred, which this is for.

    Yields:
        The block's queries, and float32 k×n: 0 for the nearest rows, -1 for the next, and so on;
        equal for rows that are equal to the bit.
    """
    base = Database.of(database)
    wide = base.values.astype(np.float64)
    lengths = np.einsum("ij,ij->i", wide, wide)
    step = max(1, BLOCK_BYTES // (8 * max(1, len(base))))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        squared = lengths - 2 * (np.asarray(queries[block], dtype=np.float64) @ wide.T)
        squared[:, base.copies] = squared[:, base.originals]
        order = np.argsort(squared, axis=1)
        rises = np.diff(np.take_along_axis(squared, order, axis=1), axis=1, prepend=-np.inf) > 0
        scores = np.empty(squared.shape, dtype=np.float32)
        np.put_along_axis(scores, order, (1 - np.cumsum(rises, axis=1)).astype(np.float32), axis=1)
        yield block, scores


def chunks(scores: Floats) -> list[slice]:
    """Parts of a block's queries, each small enough for one thread's cache."""
    step = max(1, CHUNK_BYTES // (4 * max(1, scores.shape[1])))
    return [slice(at, min(at + step, len(scores))) for at in range(0, len(scores), step)]


def pack(scores: Floats, rows: Rows | None = None) -> Packed:
    """Integers that sort by falling score, then by row; see `unpack`.

    Args:
        scores: float32, any shape.
        rows: int64, the scores' database rows, under 2³²; the last axis's positions when None.

    Returns:
        int64 of the scores' shape: the upper half is the score's bits, turned so that they order
        like the floats; the lower half is the row.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 into 0.0
    # for negative floats the bits order the wrong way round: flip all but the sign
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    packed = (~bits).astype(np.int64) << 32
    packed |= np.arange(scores.shape[-1], dtype=np.int64) if rows is None else rows
    return packed


def unpack(packed: Packed) -> tuple[Rows, Floats]:
    """Rows (int64) and scores (float32) of packed values."""
    rows = packed & 0xFFFFFFFF
    bits = ~(packed >> 32).astype(np.int32)
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return rows, bits.view(np.float32)


def search_exact(
    queries: Floats, database: Floats | Database, k: int, exclude: Rows | None = None
) -> Ranking:
    """The k nearest database rows of each query.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise; who searches often makes it a `Database` once.
        k: how many; at most n are found.
        exclude: int64 q, a database row each query must not find (itself); -1 for none.
    """
    base = Database.of(database)
    found = min(k, len(base))
    ranking = Ranking.nothing(len(queries), k)
    if not found:
        return ranking
    with ThreadPoolExecutor(cpu_count()) as pool:
        for block, scores in score_blocks(queries, base):
            if exclude is not None:
                mine = exclude[block]
                has = np.flatnonzero(mine >= 0)
                scores[has, mine[has]] = DROPPED

            def search(part: slice, scores: Floats = scores, start: int = block.start) -> None:
                here = slice(start + part.start, start + part.stop)
                near, near_scores = _nearest(scores[part], found)
                ranking.distances[here, :found] = _distances(queries[here], base, near, near_scores)
                ranking.rows[here, :found] = near

            list(pool.map(search, chunks(scores)))
    return ranking


def _nearest(scores: Floats, k: int) -> tuple[Rows, Floats]:
    """Rows (int64 c×k, -1 for dropped ones) and scores of the k highest of each line."""
    count = scores.shape[1]
    if 4 * k > count:
        packed = np.sort(pack(scores), axis=1)[:, :k]
    else:
        packed = np.empty((len(scores), k), dtype=np.int64)
        for number, line in enumerate(scores):
            last = np.partition(line, count - k)[count - k]
            near = np.flatnonzero(line >= last)  # more than k where scores are equal
            packed[number] = np.sort(pack(line[near], near))[:k]
    rows, found = unpack(packed)
    return np.where(found == DROPPED, -1, rows), found


def _distances(queries: Floats, base: Database, rows: Rows, scores: Floats) -> Floats:
    """Euclidean distances, float32 c×k, never falling along a line; infinite for row -1.

    Small ones are computed anew from the codes, and `rows` put in their order.
    """
    lengths = np.linalg.norm(queries, axis=1).astype(np.float32)[:, None]
    squared = np.maximum(lengths**2 + 1 - 2 * scores, 0)
    query, place = np.nonzero(squared < CLOSE)
    step = max(1, CHUNK_BYTES // (4 * max(1, base.values.shape[1])))
    for at in range(0, len(query), step):
        part = query[at : at + step], place[at : at + step]
        apart = queries[part[0]] - base.values[rows[part]]
        squared[part] = np.einsum("ij,ij->i", apart, apart)
    for line, close in enumerate(np.bincount(query, minlength=len(rows))):
        if close > 1:
            order = np.lexsort((rows[line, :close], squared[line, :close]))
            rows[line, :close] = rows[line, order]
            squared[line, :close] = squared[line, order]
    return np.where(rows < 0, np.float32(np.inf), np.maximum.accumulate(np.sqrt(squared), axis=1))


def _squares(values: Floats) -> Floats:
    """Squared lengths, float32 n; refuses what is not finite."""
    squares: Floats = np.einsum("ij,ij->i", values, values)
    odd = np.flatnonzero(~np.isfinite(squares))
    if len(odd):
        raise ValueError(f"the code in row {odd[0]} has values that are not finite")
    return squares


def _same(one: Floats, other: Floats) -> bool:
    return (
        one.shape == other.shape
        and one.__array_interface__["data"][0] == other.__array_interface__["data"][0]
    )

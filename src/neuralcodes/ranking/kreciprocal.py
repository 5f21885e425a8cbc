"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017).

Each image is described by its k-reciprocal neighbours: those among its k nearest that have it
among theirs. Two images are near if these sets overlap. As in the authors' program the queries
belong to the set in which neighbours are sought, so a query's result depends on the queries that
are asked with it; a query that is an image of the database is that image and not a second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neuralcodes.index.exact import Database, score_blocks, search_exact
from neuralcodes.ranking.search import GATHERED_BYTES, Floats, Rows, Search
from neuralcodes.ranking.steps import require, step

Doubles = npt.NDArray[np.float64]


@step("kreciprocal")
@dataclass(frozen=True)
class KReciprocal:
    """Reorder the rows found by the Jaccard distance of k-reciprocal neighbours.

    Attributes:
        k1: how many nearest are looked at.
        k2: over how many nearest, itself included, an image's description is averaged.
        weight: share of the original distance in the final one (λ).
    """

    reorders: ClassVar[bool] = True

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        require(self.k1 >= 1, "k1 must be at least 1")
        require(1 <= self.k2 <= self.k1 + 1, "k2 must be from 1 to k1 + 1")
        require(0 <= self.weight <= 1, "weight must be from 0 to 1")

    @property
    def reads(self) -> int:
        """It reads all rows found."""
        return 0

    def prepare(self, database: Database) -> None:
        """Nothing: neighbours are sought among queries and database together."""

    def apply(self, search: Search, prepared: None) -> tuple[Search, int]:
        """Reorder each query's rows (rows that a truncated ranking does not hold stay out)."""
        together, query_at = _together(search)
        near = _nearest_and_itself(together, self.k1)
        farthest = _farthest(together)
        members = _expanded_neighbours(near, self.k1)
        encoded = _encode(members, together, farthest)
        if self.k2 > 1:
            first = near[:, : self.k2]
            encoded = _indicator(first) @ encoded / first.shape[1]
        database_at = len(together) - len(search.database)
        final = np.empty(search.ranking.rows.shape)
        original = _squared_distances(search) / farthest[query_at][:, None]
        by_column = encoded.tocsc()
        for query, row in enumerate(query_at):
            overlap = _overlaps(encoded, by_column, row)[database_at + search.ranking.rows[query]]
            final[query] = (1 - overlap / (2 - overlap)) * (1 - self.weight)
        final += original * self.weight
        size = near.nbytes + 2 * (encoded.data.nbytes + encoded.indices.nbytes)
        return search.reordered(final), size


def _together(search: Search) -> tuple[Database, Rows]:
    """Queries that are not in the database, then the database; and where each query is."""
    own = search.exclude
    same = (own >= 0) & (search.database.values[own] == search.queries).all(axis=1)
    apart = np.flatnonzero(~same)
    places = np.where(same, own + len(apart), 0)
    places[apart] = np.arange(len(apart))
    if not len(apart):
        return search.database, places
    return Database.of(np.concatenate([search.queries[apart], search.database.values])), places


def _nearest_and_itself(codes: Database, k: int) -> Rows:
    """int64 N×(k+1): each code itself, then its k nearest others (fewer if there are fewer)."""
    itself = np.arange(len(codes))
    near = search_exact(codes.values, codes, min(k, len(codes) - 1), exclude=itself).rows
    return np.concatenate([itself[:, None], near], axis=1)


def _farthest(codes: Database) -> Doubles:
    """The squared distance of the code that is farthest from each, float64 N."""
    lowest = [scores.min(axis=1).copy() for _, scores in score_blocks(codes.values, codes)]
    squares = np.einsum("ij,ij->i", codes.values, codes.values, dtype=np.float64)
    far: Doubles = squares + 1 - 2 * np.concatenate(lowest)
    return np.maximum(far, float(np.finfo(np.float32).tiny))


def _indicator(near: Rows) -> sparse.csr_array:
    """float32 N×N, 1 at each row's neighbours."""
    count, k = near.shape
    starts = np.arange(0, count * k + 1, k)
    return sparse.csr_array(
        (np.ones(count * k, np.float32), near.ravel(), starts), shape=(count, count)
    )


def _reciprocal(near: Rows) -> sparse.csr_array:
    """float32 N×N, 1 where each of two is among the other's neighbours."""
    forward = _indicator(near)
    return forward.multiply(forward.T).tocsr()


def _expanded_neighbours(near: Rows, k1: int) -> sparse.csr_array:
    """R*(p, k1) of equation 4: R(p, k1), and R(q, k1/2) of members q that mostly lie in it."""
    reciprocal = _reciprocal(near)
    half = _reciprocal(near[:, : round(k1 / 2) + 1])
    shared = (reciprocal @ half.T).multiply(reciprocal).tocsr()  # |R(p, k1) ∩ R(q, k1/2)|
    sizes = np.diff(half.indptr)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.float32)
    return (reciprocal + shared @ half).tocsr()


def _encode(members: sparse.csr_array, codes: Database, farthest: Doubles) -> sparse.csr_array:
    """Each row's members, weighted by exp(-distance), to a sum of 1 (float32 N×N)."""
    members.eliminate_zeros()
    rows = np.repeat(np.arange(len(codes)), np.diff(members.indptr))
    weights = np.exp(-_pairwise(codes.values, rows, members.indices) / farthest[rows])
    weights /= np.bincount(rows, weights=weights)[rows]
    return sparse.csr_array(
        (weights.astype(np.float32), members.indices, members.indptr), shape=members.shape
    )


def _pairwise(codes: Floats, ones: Rows, others: Rows) -> Doubles:
    """Squared distances of pairs of rows, float64."""
    out = np.empty(len(ones))
    step_size = max(1, GATHERED_BYTES // (4 * max(1, codes.shape[1])))
    for at in range(0, len(ones), step_size):
        part = slice(at, at + step_size)
        apart = codes[ones[part]] - codes[others[part]]
        out[part] = np.einsum("ij,ij->i", apart, apart)
    return out


def _overlaps(encoded: sparse.csr_array, by_column: sparse.csc_array, row: int) -> Doubles:
    """Sum of the smaller weights that one row and each row have in common, float64 N."""
    here = slice(encoded.indptr[row], encoded.indptr[row + 1])
    columns, weights = encoded.indices[here], encoded.data[here]
    starts, ends = by_column.indptr[columns], by_column.indptr[columns + 1]
    lengths = ends - starts
    places = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    smaller = np.minimum(by_column.data[places], np.repeat(weights, lengths))
    found = by_column.indices[places]
    return np.bincount(found, smaller, minlength=encoded.shape[0]).astype(np.float64)


def _squared_distances(search: Search) -> Doubles:
    """Of the ranking's rows by the codes, whatever the ranking is by (float64 q×k)."""
    rows = search.ranking.rows
    if search.by_codes:
        return search.ranking.distances.astype(np.float64) ** 2
    squares = np.einsum("ij,ij->i", search.queries, search.queries, dtype=np.float64)
    out = np.empty(rows.shape)
    for block, scores in score_blocks(search.queries, search.database):
        found = np.take_along_axis(scores, np.maximum(rows[block], 0), axis=1)
        out[block] = np.maximum(squares[block, None] + 1 - 2 * found, 0)
    return out

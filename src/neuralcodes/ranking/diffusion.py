"""Diffusion on the graph of mutual nearest neighbours (Iscen et al., CVPR 2017).

Similarity flows from a query's nearest rows along the database's graph: f solves
(1 - α S) f = y, with y the query's similarities to its nearest rows, S = D^-½ A D^-½ and A the
affinities s^γ of mutual neighbours. Solved by conjugate gradients, all queries of a block at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neuralcodes.index.exact import Database, search_exact
from neuralcodes.ranking.search import GATHERED_BYTES, Floats, Rows, Search
from neuralcodes.ranking.steps import require, step

Doubles = npt.NDArray[np.float64]

SOLVED_BYTES = 64 * 2**20  # of one of the solver's arrays


@step("diffusion")
@dataclass(frozen=True)
class Diffusion:
    """Reorder the rows found by diffusion; those that it does not reach follow in their order.

    Attributes:
        k: neighbours of a row in the graph, itself not counted (the authors' program counts it:
            its k is one higher).
        kq: rows near the query where its similarity flows in.
        gamma: power of similarities.
        alpha: share that flows on, below 1.
        iterations: of the solver at most.
        tolerance: of its residual, relative to y.
    """

    reorders: ClassVar[bool] = True

    k: int = 50
    kq: int = 10
    gamma: float = 3.0
    alpha: float = 0.99
    iterations: int = 20
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        require(min(self.k, self.kq) >= 1, "k and kq must be at least 1")
        require(self.iterations >= 1, "iterations must be at least 1")
        require(self.gamma > 0, "gamma must be above 0")
        require(0 <= self.alpha < 1, "alpha must be from 0 to below 1")
        require(self.tolerance >= 0, "tolerance must not be below 0")

    @property
    def reads(self) -> int:
        """The similarities to the first kq rows found start the flow."""
        return self.kq

    def prepare(self, database: Database) -> sparse.csr_array:
        """The matrix 1 - α S, float64 n×n."""
        itself = np.arange(len(database))
        k = max(1, min(self.k, len(database) - 1))
        near = search_exact(database.values, database, k, exclude=itself).rows
        affinity = mutual_affinity(database.values, near, self.gamma)
        degrees = affinity.sum(axis=1)
        scale = np.where(degrees > 0, 1 / np.sqrt(np.where(degrees > 0, degrees, 1)), 0)
        spread = sparse.dia_array((scale[None], [0]), shape=affinity.shape)
        identity = sparse.eye_array(len(database), format="csr")
        return (identity - self.alpha * (spread @ affinity @ spread)).tocsr()

    def apply(self, search: Search, prepared: sparse.csr_array) -> tuple[Search, int]:
        """Reorder each query's rows (rows that a truncated ranking does not hold stay out)."""
        rows = search.ranking.rows
        reached = np.empty(rows.shape)
        step_size = max(1, SOLVED_BYTES // (8 * len(search.database)))
        for at in range(0, len(rows), step_size):
            part = slice(at, at + step_size)
            start = self._start(search, part)
            flow = conjugate_gradients(prepared, start, self.iterations, self.tolerance)
            reached[part] = np.take_along_axis(flow.T, np.maximum(rows[part], 0), axis=1)
        graph = (prepared.data, prepared.indices, prepared.indptr)
        return search.reordered(-np.maximum(reached, 0)), sum(part.nbytes for part in graph)

    def _start(self, search: Search, part: slice) -> Doubles:
        """The y of these queries, float64 n×c."""
        near = search.ranking.rows[part, : self.kq]
        start = np.zeros((len(search.database), len(near)))
        query, place = np.nonzero(near >= 0)
        rows = near[query, place]
        similar = _similarities(search.queries[part], query, search.database.values, rows)
        start[rows, query] = np.maximum(similar, 0) ** self.gamma
        return start


def mutual_affinity(codes: Floats, near: Rows, gamma: float) -> sparse.csr_array:
    """float64 n×n: s^γ where each of two codes is among the other's near rows, else 0."""
    count, k = near.shape
    ones, others = np.repeat(np.arange(count), k), near.ravel()
    there = others >= 0
    ones, others = ones[there], others[there]
    values = np.maximum(_similarities(codes, ones, codes, others), 0) ** gamma
    forward = sparse.csr_array((values, (ones, others)), shape=(count, count))
    return forward.minimum(forward.T).tocsr()


def conjugate_gradients(
    matrix: sparse.csr_array, right: Doubles, iterations: int, tolerance: float
) -> Doubles:
    """Solve matrix · x = right for each column (Hestenes and Stiefel 1952), from x = 0.

    Args:
        matrix: float64 n×n, symmetric and positive definite.
        right: float64 n×c.
        iterations: at most; columns that are done stand still.
        tolerance: a column is done when its residual is this part of its right side.
    """
    solution = np.zeros_like(right)
    residual, direction = right.copy(), right.copy()
    length = np.einsum("nc,nc->c", residual, residual)
    enough = length * tolerance**2
    for _ in range(iterations):
        going = length > enough
        if not going.any():
            break
        onward = matrix @ direction
        curve = np.einsum("nc,nc->c", direction, onward)
        stride = np.where(going & (curve > 0), length / np.where(curve > 0, curve, 1), 0)
        solution += stride * direction
        residual -= stride * onward
        shorter = np.einsum("nc,nc->c", residual, residual)
        turn = np.where(going, shorter / np.where(length > 0, length, 1), 0)
        direction = residual + turn * direction
        length = np.where(going, shorter, length)
    return solution


def _similarities(ones: Floats, one: Rows, others: Floats, other: Rows) -> Doubles:
    """Products of pairs of rows, float64."""
    out = np.empty(len(one))
    step_size = max(1, GATHERED_BYTES // (4 * max(1, ones.shape[1])))
    for at in range(0, len(one), step_size):
        part = slice(at, at + step_size)
        out[part] = np.einsum("ij,ij->i", ones[one[part]], others[other[part]])
    return out

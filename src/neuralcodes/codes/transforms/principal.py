"""Principal components of codes, in bounded memory and float64.

Two routes to the same components. With more rows than dimensions it is the covariance matrix,
d×d; otherwise the matrix of products between the rows, n×n (Gram's). Neither is ever larger than
`SIDE`×`SIDE`: where both numbers are, a seeded choice of `SIDE` rows stands for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Real = npt.NDArray[np.floating[Any]]

SIDE = 5000  # of the largest matrix taken apart: 0.2 GB, and about a minute
BLOCK_BYTES = 128 * 2**20  # of float64 at a time
NO_VARIANCE = 1e-10  # of the first component's: beyond it a direction is rounding


@dataclass(frozen=True)
class Principal:
    """Principal components of n rows.

    Attributes:
        mean: float64 d.
        variances: float64 k, falling, divided by n - 1.
        components: float64 k×d, orthonormal rows; in each the largest entry is positive.
        total: the variance of all d dimensions together.
        rows: how many were used.
    """

    mean: Doubles
    variances: Doubles
    components: Doubles
    total: float
    rows: int

    @property
    def rank(self) -> int:
        """How many of these components have a variance that is more than rounding."""
        if not len(self.variances) or self.variances[0] <= 0:
            return 0
        return int((self.variances > NO_VARIANCE * self.variances[0]).sum())

    def first(self, count: int) -> Principal:
        """Only so many of these components."""
        return replace(self, variances=self.variances[:count], components=self.components[:count])


def principal_components(values: Real, count: int, seed: int) -> Principal:
    """The first `count` principal components, fewer where there are fewer dimensions or rows.

    Args:
        values: float n×d, in memory or memory-mapped, n at least 2.
        count: how many are wanted.
        seed: chooses the rows where there are too many.
    """
    rows, dims = values.shape
    if min(rows, dims) > SIDE:
        chosen = np.random.default_rng(seed).choice(rows, SIDE, replace=False)
        values = np.asarray(values[np.sort(chosen)])
    if len(values) > dims:
        return _by_covariance(values, count)
    return _by_products(values, count)


def _mean(values: Real) -> Doubles:
    """float64 mean of the rows."""
    total = np.zeros(values.shape[1])
    for block in _slices(len(values), values.shape[1]):
        total += values[block].sum(axis=0, dtype=np.float64)
    return total / len(values)


def _by_covariance(values: Real, count: int) -> Principal:
    mean, (rows, dims) = _mean(values), values.shape
    matrix = np.zeros((dims, dims))
    for block in _slices(rows, dims):
        centred = values[block] - mean
        matrix += centred.T @ centred
    matrix /= rows - 1
    total = float(np.trace(matrix))
    variances, vectors = _largest_eigenvectors(matrix, count)
    return Principal(mean, variances, _turned(vectors.T), total, rows)


def _by_products(values: Real, count: int) -> Principal:
    mean, (rows, dims) = _mean(values), values.shape
    matrix = np.zeros((rows, rows))
    for block in _slices(dims, rows):
        centred = values[:, block] - mean[block]
        matrix += centred @ centred.T
    matrix /= rows - 1
    total = float(np.trace(matrix))
    # the rows' differences from their mean span at most rows - 1 directions
    variances, vectors = _largest_eigenvectors(matrix, min(count, rows - 1))
    components = np.empty((len(variances), dims))
    lengths = np.sqrt(np.maximum(variances, np.finfo(np.float64).tiny) * (rows - 1))
    for block in _slices(dims, rows):
        components[:, block] = (vectors.T @ (values[:, block] - mean[block])) / lengths[:, None]
    return Principal(mean, variances, _turned(components), total, rows)


def _largest_eigenvectors(matrix: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """The largest eigenvalues, falling, and their vectors as columns, of a symmetric matrix."""
    from scipy.linalg import eigh

    side = len(matrix)
    count = min(count, side)
    values, vectors = eigh(matrix, subset_by_index=(side - count, side - 1), overwrite_a=True)
    return np.maximum(values[::-1], 0), vectors[:, ::-1]


def _turned(components: Doubles) -> Doubles:
    """An eigenvector's sign is arbitrary: make the entry of largest size positive."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return components * np.where(signs == 0, 1, signs)[:, None]


def _slices(length: int, width: int) -> list[slice]:
    """Pieces of `length` whose float64 blocks of that `width` stay within `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // (8 * max(1, width)))
    return [slice(start, start + step) for start in range(0, length, step)]

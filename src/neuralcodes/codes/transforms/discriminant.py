"""Fisher's discriminants with shrinkage: where the learning of `disc` may start."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Floats

Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

SHRINKAGES = (0.3, 1.0, 3.0, 10.0)  # times the mean variance within classes
POWERS = (0.0, 0.5)  # of a direction's gain, by which it is scaled


def discriminants(within: Doubles, between: Doubles, number: int) -> dict[str, Doubles]:
    """Directions in which codes differ much between classes and little within, by how they are had.

    Fisher's discriminants with the variance within classes shrunk towards its mean (Friedman
    1989); a direction counts by its gain, the variance between over that within, to some power.

    Args:
        within, between: float64 k×k covariances, by principal components.

    Returns:
        float64 number×k each; none where codes of a class do not differ.
    """
    from scipy.linalg import eigh

    mean = np.trace(within) / len(within)
    if mean <= 0:
        return {}
    found = {}
    for shrinkage in SHRINKAGES:
        shrunk = within + shrinkage * mean * np.eye(len(within))
        ends = (len(within) - number, len(within) - 1)
        gains, directions = eigh(between, shrunk, subset_by_index=ends)
        for power in POWERS:
            scaled = directions * np.maximum(gains, 0) ** power
            found[f"shrinkage {shrinkage:g} power {power:g}"] = scaled[:, ::-1].T
    return found


def scatter(
    codes: Floats | Doubles, labels: Rows | None, matching: Rows
) -> tuple[Doubles, Doubles]:
    """Covariance within classes and between them, float64 k×k each.

    Args:
        codes: float n×k.
        labels: int64 n; without any, differences of matching codes tell the variance within.
        matching: int64 m×2.
    """
    if labels is None:
        differences = (codes[matching[:, 0]] - codes[matching[:, 1]]).astype(np.float64)
        within = differences.T @ differences / (2 * len(matching))
    else:
        _, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
        means = np.zeros((len(counts), codes.shape[1]))
        np.add.at(means, group, codes)
        means /= counts[:, None]
        apart = codes - means[group]
        within = apart.T @ apart / max(1, len(codes) - len(counts))
    return within, np.cov(codes.T.astype(np.float64)) - within

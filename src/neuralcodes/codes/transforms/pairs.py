"""Pairs of images that match and pairs that do not, to learn from.

With labels, images of one class match. Without, they are mined from a graph of the codes
themselves: two images are neighbours if each is among the other's `NEIGHBOURS` nearest, and two
match if they share at least `SHARED` neighbours without being neighbours: close enough to show
the same thing, yet not so alike that there is nothing to learn. The rule is that of the paper
(Babenko et al. 2014, section 3.4, as recalled), whose graph came from matched local features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.base import Floats
from neuralcodes.common.errors import UserError

Rows = npt.NDArray[np.int64]

NEIGHBOURS = 10
SHARED = 3
GRAPH_ROWS = 20_000  # a graph of more would take long, and more pairs than needed come from these
BLOCK = 1024  # rows compared at a time


@dataclass(frozen=True)
class Pairs:
    """Row numbers, int64 m×2 each.

    Attributes:
        matching: pairs that shall come close.
        other: as many pairs that shall not.
    """

    matching: Rows
    other: Rows


def class_pairs(labels: Rows, count: int, seed: int) -> Pairs:
    """Random pairs by class, each class alike often whatever its size.

    Args:
        labels: int64 n.
        count: of pairs of each sort; a pair may come twice.
        seed: of the choice.

    Raises:
        UserError: fewer than two classes, or none with two images.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    able = np.flatnonzero(sizes > 1)
    if len(sizes) < 2 or not len(able):
        raise UserError(
            "pairs to learn from need at least 2 classes, and 2 images in one of them; give more "
            "images, or --labels none"
        )
    classes = generator.choice(able, count)
    first = generator.integers(sizes[classes])
    second = (first + 1 + generator.integers(sizes[classes] - 1)) % sizes[classes]
    matching = np.stack([starts[classes] + first, starts[classes] + second], axis=1)
    one = generator.integers(len(sizes), size=count)
    two = (one + 1 + generator.integers(len(sizes) - 1, size=count)) % len(sizes)
    other = np.stack([starts[c] + generator.integers(sizes[c]) for c in (one, two)], axis=1)
    return Pairs(order[matching], order[other])


def graph_pairs(values: Floats, count: int, seed: int) -> Pairs:
    """Pairs without labels; see the module. Pairs that do not match are drawn from those that are
    not neighbours and share none.

    Args:
        values: float32 n×d, rows of length 1; of more than `GRAPH_ROWS` a seeded choice is used.
        count: of pairs of each sort; a pair may come twice.
        seed: of the choices.

    Raises:
        UserError: the graph has no such pairs.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(len(values))
    if len(rows) > GRAPH_ROWS:
        rows = np.sort(generator.choice(rows, GRAPH_ROWS, replace=False))
    graph = mutual_neighbours(np.ascontiguousarray(values[rows]), NEIGHBOURS)
    shared = (graph @ graph).tocoo()
    good = (shared.data >= SHARED) & (shared.row < shared.col)
    found = np.stack([shared.row[good], shared.col[good]], axis=1).astype(np.int64)
    found = found[~_holds(graph, found)]
    related = (graph + shared).tocsr()
    drawn = generator.integers(len(rows), size=(4 * count, 2))
    apart = drawn[(drawn[:, 0] != drawn[:, 1]) & ~_holds(related, drawn)]
    if not len(found) or not len(apart):
        raise UserError(
            f"no matching pairs can be told from {len(values)} images without labels; give more "
            "images, or class folders and --labels folder"
        )
    matching = found[generator.choice(len(found), count)]
    other = apart[generator.choice(len(apart), count)]
    return Pairs(rows[matching], rows[other])


def mutual_neighbours(values: Floats, neighbours: int) -> Any:
    """SciPy CSR matrix, int32 n×n: 1 where each of two rows is among the other's nearest."""
    import torch
    from scipy.sparse import csr_matrix

    count = len(values)
    near = min(neighbours, count - 1)
    base = torch.from_numpy(values)
    found = np.empty((count, near), dtype=np.int64)
    for start in range(0, count, BLOCK):
        scores = base[start : start + BLOCK] @ base.T
        own = torch.arange(len(scores))
        scores[own, start + own] = -torch.inf
        found[start : start + BLOCK] = scores.topk(near, dim=1).indices.numpy()
    edges = np.ones(found.size, dtype=np.int32)
    ends = (np.repeat(np.arange(count), near), found.ravel())
    directed = csr_matrix((edges, ends), shape=(count, count))
    return directed.multiply(directed.T).tocsr()


def _holds(graph: Any, pairs: Rows) -> npt.NDArray[np.bool_]:
    if not len(pairs):
        return np.zeros(0, dtype=np.bool_)  # SciPy gives a matrix of no known shape
    held: npt.NDArray[np.bool_] = np.asarray(graph[pairs[:, 0], pairs[:, 1]]).ravel() != 0
    return held

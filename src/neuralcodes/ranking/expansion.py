"""Query expansion and database augmentation: codes averaged with those of their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuralcodes.index.exact import Database, search_exact
from neuralcodes.ranking.search import GATHERED_BYTES, Floats, Rows, Search
from neuralcodes.ranking.steps import require, step


@step("aqe")
@dataclass(frozen=True)
class AverageQueryExpansion:
    """Search again with the mean of the query and the first rows found.

    Source: Chum et al., Total Recall, ICCV 2007.

    Attributes:
        n: how many rows found join the query.
    """

    reorders: ClassVar[bool] = False

    n: int = 10

    def __post_init__(self) -> None:
        require(self.n >= 1, "n must be at least 1")

    @property
    def reads(self) -> int:
        """It reads the first n rows found."""
        return self.n

    def prepare(self, database: Database) -> None:
        """Nothing to make beforehand."""

    def apply(self, search: Search, prepared: None) -> tuple[Search, int]:
        """Queries become means, of length 1."""
        return _expanded(search, self.n, 0.0), 0


@step("alphaqe")
@dataclass(frozen=True)
class AlphaQueryExpansion:
    """Search again with a mean in which each row found weighs its similarity to the power α.

    The query itself weighs 1. Similarities below zero weigh nothing.
    Source: Radenović et al., PAMI 2019, section 3.3 (α = 3, n = 50).

    Attributes:
        n: how many rows found join the query.
        alpha: the power; 0 is average query expansion.
    """

    reorders: ClassVar[bool] = False

    n: int = 50
    alpha: float = 3.0

    def __post_init__(self) -> None:
        require(self.n >= 1, "n must be at least 1")
        require(self.alpha >= 0, "alpha must not be below 0")

    @property
    def reads(self) -> int:
        """It reads the first n rows found."""
        return self.n

    def prepare(self, database: Database) -> None:
        """Nothing to make beforehand."""

    def apply(self, search: Search, prepared: None) -> tuple[Search, int]:
        """Queries become weighted means, of length 1."""
        return _expanded(search, self.n, self.alpha), 0


@step("dba")
@dataclass(frozen=True)
class DatabaseAugmentation:
    """Each code of the database becomes the mean of itself and its nearest others.

    Sources: Turcot and Lowe, ICCV Workshops 2009; Arandjelović and Zisserman, CVPR 2012.

    Attributes:
        n: how many others join it.
        alpha: they weigh their similarity to this power; 0 weighs all alike.
    """

    reorders: ClassVar[bool] = False

    n: int = 10
    alpha: float = 0.0

    def __post_init__(self) -> None:
        require(self.n >= 1, "n must be at least 1")
        require(self.alpha >= 0, "alpha must not be below 0")

    @property
    def reads(self) -> int:
        """It reads no rows found."""
        return 0

    def prepare(self, database: Database) -> Database:
        """The augmented database."""
        itself = np.arange(len(database))
        near = search_exact(database.values, database, self.n, exclude=itself).rows
        return Database.of(weighted_means(database.values, database, near, self.alpha))

    def apply(self, search: Search, prepared: Database) -> tuple[Search, int]:
        """Search the augmented database instead; its codes lie beside the original ones."""
        return search.again(database=prepared), prepared.values.nbytes


def weighted_means(codes: Floats, database: Database, near: Rows, alpha: float) -> Floats:
    """Each code (weight 1) and its near rows (weight similarity^α, if above 0), to length 1.

    Args:
        codes: float32 c×d.
        database: where the near rows are.
        near: int64 c×n; -1 for none.
        alpha: at least 0; with 0 all weigh 1, whatever their similarity.

    Returns:
        float32 c×d; a code whose mean is zero stays as it is.
    """
    means = np.empty_like(codes)
    step_size = max(1, GATHERED_BYTES // (4 * max(1, near.shape[1] * codes.shape[1])))
    for at in range(0, len(codes), step_size):
        part = slice(at, at + step_size)
        own, rows = codes[part], near[part]
        others = database.values[rows]
        weights = np.ones(rows.shape)
        if alpha > 0:
            weights = np.maximum(np.einsum("cd,cnd->cn", own, others), 0).astype(np.float64)
            weights **= alpha
        weights[rows < 0] = 0
        # in double precision means of the same codes are equal to the bit, whatever their order
        sums = own + np.einsum("cn,cnd->cd", weights, others, dtype=np.float64)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        means[part] = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), own)
    return means


def _expanded(search: Search, n: int, alpha: float) -> Search:
    near = search.ranking.rows[:, :n]
    return search.again(queries=weighted_means(search.queries, search.database, near, alpha))

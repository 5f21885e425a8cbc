"""`Relevance`: for each query, which database rows are relevant and which do not count (junk)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowLists:
    """A list of database rows for each of k queries.

    Attributes:
        starts: int64 k+1; query i has `rows[starts[i]:starts[i+1]]`.
        rows: int64, rising within a query, no row twice, queries one behind the other.
    """

    starts: Rows
    rows: Rows

    @classmethod
    def of(cls, lists: Sequence[npt.ArrayLike]) -> RowLists:
        """Lists in any order; a row given twice counts once."""
        sorted_lists = [np.unique(np.asarray(rows, dtype=np.int64)) for rows in lists]
        starts = np.cumsum([0, *(len(rows) for rows in sorted_lists)], dtype=np.int64)
        return cls(starts, np.concatenate([np.zeros(0, np.int64), *sorted_lists]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> Rows:
        """int64 k: lengths of the lists."""
        return np.diff(self.starts)

    @property
    def queries(self) -> Rows:
        """int64, one for each of `rows`: whose list it is in, counted from 0."""
        return np.repeat(np.arange(len(self)), self.counts)

    def part(self, block: slice) -> RowLists:
        """The lists of the queries of this block."""
        starts = self.starts[block.start : block.stop + 1]
        return RowLists(starts - starts[0], self.rows[starts[0] : starts[-1]])


class Relevance(Protocol):
    """What is relevant to each of `queries` queries among `database` rows.

    No row is both relevant and junk to a query.
    """

    @property
    def queries(self) -> int:
        """Number of queries."""

    @property
    def database(self) -> int:
        """Number of database rows."""

    def relevant(self, block: slice) -> RowLists:
        """The relevant rows of the queries start to stop of this block."""

    def junk(self, block: slice) -> RowLists:
        """The rows that are taken out of their rankings before these are judged."""


@dataclass(frozen=True)
class ListedRelevance:
    """Relevant and junk rows given as lists, one of each a query.

    Attributes:
        relevant_lists, junk_lists: of q queries.
        database: number of database rows.
    """

    relevant_lists: RowLists
    junk_lists: RowLists
    database: int

    @classmethod
    def of(
        cls, relevant: Sequence[npt.ArrayLike], junk: Sequence[npt.ArrayLike], database: int
    ) -> ListedRelevance:
        """From one list of rows a query.

        Args:
            relevant, junk: q lists of rows each, in any order.
            database: number of database rows.

        Raises:
            ValueError: not as many lists of each, rows that are not in the database, or a row
                that is both relevant and junk.
        """
        return cls(RowLists.of(relevant), RowLists.of(junk), database)

    def __post_init__(self) -> None:
        if len(self.relevant_lists) != len(self.junk_lists):
            raise ValueError(
                f"{len(self.relevant_lists)} lists of relevant rows and "
                f"{len(self.junk_lists)} of junk"
            )
        for lists in (self.relevant_lists, self.junk_lists):
            if len(lists.rows) and not 0 <= lists.rows.min() <= lists.rows.max() < self.database:
                raise ValueError(f"rows outside the database of {self.database}")
        relevant, junk = (
            lists.queries * self.database + lists.rows
            for lists in (self.relevant_lists, self.junk_lists)
        )
        both = np.intersect1d(relevant, junk, assume_unique=True)
        if len(both):
            query, row = divmod(int(both[0]), self.database)
            raise ValueError(f"row {row} is both relevant and junk to query {query}")

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.relevant_lists)

    def relevant(self, block: slice) -> RowLists:
        """The relevant rows of these queries."""
        return self.relevant_lists.part(block)

    def junk(self, block: slice) -> RowLists:
        """The junk rows of these queries."""
        return self.junk_lists.part(block)


@dataclass(frozen=True)
class ClassRelevance:
    """Relevant is what has the query's class; junk is the query itself.

    Attributes:
        query_labels: int64 q.
        database_labels: int64 n.
        itself: int64 q, the database row that is the query itself; -1 where it is not in there.
    """

    query_labels: Labels
    database_labels: Labels
    itself: Rows

    @classmethod
    def among(cls, labels: Labels) -> ClassRelevance:
        """Each image queries all the others."""
        return cls(labels, labels, np.arange(len(labels)))

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.query_labels)

    @property
    def database(self) -> int:
        """Number of database rows."""
        return len(self.database_labels)

    def relevant(self, block: slice) -> RowLists:
        """The rows of the query's class but the query itself."""
        order, sorted_labels = self._by_class
        labels = self.query_labels[block]
        first = np.searchsorted(sorted_labels, labels)
        counts = np.searchsorted(sorted_labels, labels, side="right") - first
        ends = np.cumsum(counts)
        # place i of the answer is place i - (query's start in the answer) of the query's class
        rows = order[np.arange(counts.sum()) + np.repeat(first - (ends - counts), counts)]
        kept = rows != np.repeat(self.itself[block], counts)
        queries = np.repeat(np.arange(len(labels)), counts)[kept]
        lengths = np.bincount(queries, minlength=len(labels))
        return RowLists(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), rows[kept])

    def junk(self, block: slice) -> RowLists:
        """The query itself, by identity."""
        mine = self.itself[block]
        starts = np.concatenate([[0], np.cumsum(mine >= 0)]).astype(np.int64)
        return RowLists(starts, mine[mine >= 0].astype(np.int64))

    @cached_property
    def _by_class(self) -> tuple[Rows, Labels]:
        order = np.argsort(self.database_labels, kind="stable")
        return order, self.database_labels[order]

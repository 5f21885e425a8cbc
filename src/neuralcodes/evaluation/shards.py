"""Ranks of the relevant rows in a database that comes in shards, of which none sees another.

Two passes. The first gives the distance of each query to its relevant rows; the second counts,
shard by shard, the rows before them. Counts of shards add up, so that shards may be looked at
anywhere and in any order, and what comes together is as large as the relevance, not the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuralcodes.evaluation.ranks import RelevantRanks
from neuralcodes.evaluation.relevance import Relevance, RowLists
from neuralcodes.index.exact import Floats

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BLOCK_BYTES = 64 * 2**20  # of distances at a time


@dataclass(frozen=True)
class Shard:
    """Some rows of the database.

    Attributes:
        rows: which, rising; a range, or int64 n where they do not stand one behind the other.
        read: gives their codes, float n×d; called where the shard is looked at.
    """

    rows: range | Ints
    read: Callable[[], Floats]

    def places(self, rows: Ints) -> Ints:
        """How many of the shard's rows are lower than each of these."""
        if isinstance(self.rows, range):
            return np.clip(rows - self.rows.start, 0, len(self.rows))
        return np.searchsorted(self.rows, rows)


Map = Callable[[Callable[[Shard], Any], Iterable[Shard]], Iterator[Any]]
"""Does a function for each shard, anywhere; results in any order."""


def shard_ranks(
    queries: Floats, shards: list[Shard], relevance: Relevance, each: Map = map
) -> RelevantRanks:
    """As `ranks.relevant_ranks`, of a database in shards; distances in float64.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        shards: together the database, each row in one of them.
        relevance: of these.
        each: how a function is done for all shards.

    Raises:
        ValueError: the shards are not the relevance's database, or a code is not finite.
    """
    count = sum(len(shard.rows) for shard in shards)
    if (len(queries), count) != (relevance.queries, relevance.database):
        raise ValueError(f"{len(queries)} queries and {count} rows, and relevance of others")
    everything = slice(0, len(queries))
    relevant, junk = relevance.relevant(everything), relevance.junk(everything)

    def measure(shard: Shard) -> tuple[Ints, Doubles]:
        return _relevant_distances(queries, shard, relevant)

    squared = np.full(len(relevant.rows), np.nan)
    for places, values in each(measure, shards):
        squared[places] = values

    def count_before(shard: Shard) -> Ints:
        return _before(queries, shard, relevant, junk, squared)

    ranks = np.ones(len(relevant.rows), dtype=np.int64)
    for before in each(count_before, shards):
        ranks += before
    for query in range(len(queries)):
        ranks[relevant.starts[query] : relevant.starts[query + 1]].sort()
    return RelevantRanks(ranks, relevant.starts, count - junk.counts)


def _blocks(queries: Floats, shard: Shard) -> Iterator[tuple[slice, Doubles]]:
    """Queries, and their squared distances to the shard's rows, but for the query's length.

    To twelve digits: a product's last ones hang on its place in the matrix and on the machine, and
    copies of a row shall be equally far away wherever they lie.

    Yields:
        A block of queries, float64 k×n.
    """
    wide = np.asarray(shard.read()).astype(np.float64)
    lengths = np.einsum("nd,nd->n", wide, wide)
    if not np.isfinite(lengths).all():
        raise ValueError("a code has values that are not finite")
    step = max(1, BLOCK_BYTES // (8 * max(1, len(wide))))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        products = queries[block].astype(np.float64) @ wide.T
        yield block, np.round(lengths[None, :] - 2 * products, 12)


def _inside(shard: Shard, lists: RowLists, query: int) -> tuple[Ints, Ints]:
    """Places in a query's list of the rows that lie in the shard, and these rows in it."""
    begin, end = int(lists.starts[query]), int(lists.starts[query + 1])
    wanted = lists.rows[begin:end]
    here = np.flatnonzero(shard.places(wanted + 1) > shard.places(wanted))
    return begin + here, shard.places(wanted[here])


def _relevant_distances(queries: Floats, shard: Shard, relevant: RowLists) -> tuple[Ints, Doubles]:
    places: list[Ints] = [np.zeros(0, np.int64)]
    values: list[Doubles] = [np.zeros(0)]
    for block, squared in _blocks(queries, shard):
        for number, line in enumerate(squared, block.start):
            where, rows = _inside(shard, relevant, number)
            places.append(where)
            values.append(line[rows])
    return np.concatenate(places), np.concatenate(values)


def _before(
    queries: Floats, shard: Shard, relevant: RowLists, junk: RowLists, squared: Doubles
) -> Ints:
    """How many of the shard's rows stand before each relevant one; of equals the lower row."""
    found = np.zeros(len(relevant.rows), dtype=np.int64)
    for block, distances in _blocks(queries, shard):
        for number, line in enumerate(distances, block.start):
            begin, end = int(relevant.starts[number]), int(relevant.starts[number + 1])
            line[_inside(shard, junk, number)[1]] = np.inf
            own, rows = squared[begin:end], relevant.rows[begin:end]
            where, here = _inside(shard, relevant, number)
            line[here] = squared[where]  # to the bit, also if this is another machine
            ordered = np.sort(line)
            nearer = np.searchsorted(ordered, own, side="left")
            equals = np.searchsorted(ordered, own, side="right") - nearer
            equals[where - begin] -= 1  # itself
            for tied in np.flatnonzero(equals):
                lower = line[: shard.places(rows[tied : tied + 1])[0]]
                nearer[tied] += np.count_nonzero(lower == own[tied])
            found[begin:end] = nearer
    return found

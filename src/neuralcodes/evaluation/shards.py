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
    """Some rows of the database, one behind the other.

    Attributes:
        first: the database row of its first one.
        read: gives its codes, float n×d; called where the shard is looked at.
        rows: how many.
    """

    first: int
    rows: int
    read: Callable[[], Floats]


Map = Callable[[Callable[[Shard], Any], Iterable[Shard]], Iterator[Any]]
"""Does a function for each shard, anywhere; results in any order."""


def shard_ranks(
    queries: Floats, shards: list[Shard], relevance: Relevance, each: Map = map
) -> RelevantRanks:
    """As `ranks.relevant_ranks`, of a database in shards; distances in float64.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        shards: together the database, in order.
        relevance: of these.
        each: how a function is done for all shards.

    Raises:
        ValueError: the shards are not the relevance's database.
    """
    count = sum(shard.rows for shard in shards)
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


def _squared(queries: Floats, codes: Floats) -> Doubles:
    """float64 q×n, but for the query's length.

    To twelve digits: a product's last ones hang on its place in the matrix and on the machine, and
    copies of a row shall be equally far away wherever they lie.
    """
    wide, other = codes.astype(np.float64), queries.astype(np.float64)
    lengths = np.einsum("nd,nd->n", wide, wide)
    found: Doubles = np.round(lengths[None, :] - 2 * (other @ wide.T), 12)
    return found


def _blocks(queries: Floats, shard: Shard) -> Iterator[tuple[slice, Doubles]]:
    codes = np.asarray(shard.read(), dtype=np.float32)
    step = max(1, BLOCK_BYTES // (8 * max(1, shard.rows)))
    for start in range(0, len(queries), step):
        block = slice(start, min(start + step, len(queries)))
        yield block, _squared(queries[block], codes)


def _inside(shard: Shard, lists: RowLists, query: int) -> tuple[Ints, Ints]:
    """Places in a query's list of the rows that lie in the shard, and these rows in it."""
    begin, end = int(lists.starts[query]), int(lists.starts[query + 1])
    low, high = begin + np.searchsorted(
        lists.rows[begin:end], [shard.first, shard.first + shard.rows]
    )
    return np.arange(low, high), lists.rows[low:high] - shard.first


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
            found[begin:end] = np.searchsorted(ordered, own, side="left")
            upto = np.searchsorted(ordered, own, side="right")
            for tied in np.flatnonzero(upto > found[begin:end]):
                equal = np.flatnonzero(line == own[tied]) + shard.first
                found[begin + tied] += int((equal < rows[tied]).sum())
    return found

"""Ranks of the relevant rows: all that the measures need to know of a ranking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuralcodes.common.machine import cpu_count
from neuralcodes.evaluation.relevance import Relevance, RowLists
from neuralcodes.index.exact import (
    DROPPED,
    Database,
    Floats,
    chunks,
    order_blocks,
    pack,
    score_blocks,
)
from neuralcodes.index.ranking import Ranking

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Missing = Literal["refuse", "last"]

PART = 2_000_000  # ranks that a measure works on at a time
LISTED = 1024  # queries whose lists are made at a time
FEW_PAIRS = 1_000_000  # of query and row, up to which distances are worked out in float64
MARK, SIGN = np.uint32(1), np.uint32(1 << 31)  # bits of a score
FEW_TIES = 8  # relevant rows with equals, beyond which all equals are looked up at once


@dataclass(frozen=True)
class RelevantRanks:
    """For each query the ranks of its relevant rows, with the junk taken out.

    Attributes:
        ranks: int64, 1-based, rising within a query, queries one behind the other.
        starts: int64 q+1; query i has `ranks[starts[i]:starts[i+1]]`.
        candidates: int64 q, number of rows that count (database less junk).
    """

    ranks: Ints
    starts: Ints
    candidates: Ints

    @classmethod
    def joined(
        cls, ranks: Sequence[Ints], counts: Sequence[Ints], candidates: Sequence[Ints]
    ) -> RelevantRanks:
        """Of runs of queries, one behind the other: ranks, and each query's numbers of relevant
        rows and of candidates, int64 each.
        """
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        return cls(np.concatenate(ranks), starts, np.concatenate(candidates))

    @property
    def queries(self) -> int:
        """Number of queries."""
        return len(self.candidates)

    @property
    def counts(self) -> Ints:
        """int64 q: how many relevant rows each query has."""
        return np.diff(self.starts)

    def of(self, query: int) -> Ints:
        """The ranks of one query."""
        return self.ranks[self.starts[query] : self.starts[query + 1]]

    def parts(self) -> Iterator[RelevantRanks]:
        """The same in runs of queries with about `PART` ranks each, for bounded memory."""
        first = 0
        while first < self.queries:
            enough = np.searchsorted(self.starts, self.starts[first] + PART)
            last = int(min(max(enough, first + 1), self.queries))
            begin, end = self.starts[first], self.starts[last]
            yield RelevantRanks(
                self.ranks[begin:end],
                self.starts[first : last + 1] - begin,
                self.candidates[first:last],
            )
            first = last


def relevant_ranks(
    queries: Floats, database: Floats | Database, relevance: Relevance
) -> RelevantRanks:
    """Rank the whole database for each query and note where the relevant rows are.

    Exact, over all rows, in blocks of bounded memory. Equal distances stand in the order of
    database rows. Distances are products in float32, or in float64 where queries are few.

    Args:
        queries: float32 q×d, rows of length 1 or zero.
        database: float32 n×d, likewise.
        relevance: of these q queries and n rows.

    Raises:
        ValueError: the sizes do not agree.
    """
    base = Database.of(database)
    _require_sizes((len(queries), len(base)), relevance)
    gathered = _Gathered(relevance.database)
    with ThreadPoolExecutor(cpu_count()) as pool:
        blocks = order_blocks if len(queries) * len(base) <= FEW_PAIRS else score_blocks
        for block, scores in blocks(queries, base):
            relevant, junk = relevance.relevant(block), relevance.junk(block)
            scores[junk.queries, junk.rows] = DROPPED
            ranks = np.empty(len(relevant.rows), dtype=np.int64)

            def rank(
                part: slice,
                scores: Floats = scores,
                relevant: RowLists = relevant,
                ranks: Ints = ranks,
            ) -> None:
                _rank_part(scores[part], relevant, part.start, ranks)

            list(pool.map(rank, chunks(scores)))
            gathered.add(ranks, relevant.counts, junk.counts)
    return gathered.done()


def ranks_in(ranking: Ranking, relevance: Relevance, missing: Missing = "refuse") -> RelevantRanks:
    """Ranks of the relevant rows in a ranking at hand, so that any way of ranking is judged alike.

    Args:
        ranking: of the q queries; full, or the first k rows only.
        relevance: of the q queries.
        missing: what is done with relevant rows that a truncated ranking does not hold. "refuse"
            them, or place them "last", behind all rows of the database that are not relevant: no
            full ranking with this beginning has a lower value of any measure. Measures that look
            no deeper than the ranking does are the same for every such ranking.

    Raises:
        ValueError: the sizes do not agree, a row is twice in a query's ranking or is none of the
            database, or a relevant row is missing that should not be.
    """
    _require_sizes((len(ranking.rows), relevance.database), relevance)
    gathered = _Gathered(relevance.database)
    places = np.zeros(relevance.database, dtype=np.int64)  # of one query; 0 is not in the ranking
    for start in range(0, len(ranking.rows), LISTED):
        block = slice(start, min(start + LISTED, len(ranking.rows)))
        relevant, junk = relevance.relevant(block), relevance.junk(block)
        ranks = [
            _ranks_in_line(line, places, _list(relevant, i), _list(junk, i), missing, start + i)
            for i, line in enumerate(ranking.rows[block])
        ]
        gathered.add(np.concatenate(ranks), relevant.counts, junk.counts)
    return gathered.done()


def _ranks_in_line(
    line: Ints, places: Ints, relevant: Ints, junk: Ints, missing: Missing, query: int
) -> Ints:
    rows = line[line >= 0]
    if len(rows) and rows.max() >= len(places):
        raise ValueError(f"query {query}: row {rows.max()} is not in the database")
    places[rows] = np.arange(1, len(rows) + 1)
    if np.count_nonzero(places) != len(rows):
        raise ValueError(f"query {query}: a row is twice in its ranking")
    mine, ignored = places[relevant], places[junk]
    places[rows] = 0
    found = np.sort(mine[mine > 0])
    found -= np.searchsorted(np.sort(ignored[ignored > 0]), found)
    absent = len(mine) - len(found)
    if absent and missing == "refuse":
        raise ValueError(
            f"query {query}: {absent} of {len(mine)} relevant rows are not among the "
            f'{len(rows)} of its ranking; rank more, or say missing="last"'
        )
    end = len(places) - len(junk)
    return np.concatenate([found, np.arange(end - absent + 1, end + 1)])


def _list(lists: RowLists, query: int) -> Ints:
    return lists.rows[lists.starts[query] : lists.starts[query + 1]]


def _rank_part(scores: Floats, relevant: RowLists, first: int, out: Ints) -> None:
    """Ranks of the relevant rows of a chunk of queries, the block's `first` and on, into `out`.

    How many scores are higher is counted one by one where queries have few relevant rows, else
    read off the sorted scores.
    """
    lines, count = scores.shape
    starts = relevant.starts[first : first + lines + 1]
    mine = slice(starts[0], starts[-1])
    rows, ranks = relevant.rows[mine], out[mine]
    starts = starts - starts[0]
    if _counting_pays(len(rows) / lines, count):
        unsure = np.ones(len(rows), dtype=bool)
    else:
        unsure = _places(scores, np.repeat(np.arange(lines), np.diff(starts)), rows, ranks)
    for number in np.unique(np.searchsorted(starts, np.flatnonzero(unsure), side="right") - 1):
        line = slice(starts[number], starts[number + 1])
        _settle(scores[number], rows[line], unsure[line], ranks[line])


def _places(scores: Floats, queries: Ints, rows: Ints, ranks: Ints) -> Mask:
    """Ranks of the relevant rows of many queries at once, but for rows with nearly equal scores.

    The lowest bit of a score gives way to a mark of the relevant rows; then one sort of a query's
    scores shows at which ranks those stand.

    Args:
        scores: float32 q×n, finite but for rows that are not relevant.
        queries: int64 m, rising, the lines that `rows` belong to.
        rows: int64 m.
        ranks: int64 m, written to; rising in a line.

    Returns:
        bool m: where a rank may be wrong, as other scores were equal but for that bit.
    """
    count = scores.shape[1]
    bits = scores.view(np.uint32) & ~MARK
    bits ^= SIGN  # high scores are to be sorted to the front
    bits[queries, rows] |= MARK
    bits.view(np.float32).sort(axis=1)
    found = np.flatnonzero((bits & MARK).astype(bool))
    bits &= ~MARK
    ordered = bits.view(np.float32).ravel()
    places = found - queries * count
    ranks[:] = places + 1
    values = ordered[found]
    unsure: Mask = (values == ordered[found - 1]) & (places > 0)
    after = np.minimum(found + 1, len(ordered) - 1)
    unsure |= (values == ordered[after]) & (places < count - 1)
    return unsure


def _settle(scores: Floats, rows: Ints, unsure: Mask, ranks: Ints) -> None:
    """Exact ranks of a query's relevant rows where the ones at hand are not sure."""
    count = len(scores)
    if np.count_nonzero(unsure) > FEW_TIES:
        if _counting_pays(len(rows), count):
            ranks[:] = [_place(scores, row) for row in rows]
        else:
            ranks[:] = _sorted_places(scores, rows)
        ranks.sort()
        return
    # the sure ones stand where they stand in the order of scores
    which = rows[np.argsort(-scores[rows])][unsure]
    ranks[unsure] = np.sort([_place(scores, row) for row in which])


def _counting_pays(rows: float, count: int) -> bool:
    """Whether so many relevant rows of a query are counted faster than its `count` scores sorted.

    In nanoseconds, about: 2,000 + n/20 to count for one row, 4,000 + 1.8 n to sort.
    """
    return rows * (40_000 + count) < 80_000 + 36 * count


def _place(scores: Floats, row: int) -> int:
    """The rank of one row; of equal scores the lower row stands first."""
    score = scores[row]
    before, after = scores[:row] >= score, scores[row:] > score
    return 1 + int(np.count_nonzero(before)) + int(np.count_nonzero(after))


def _sorted_places(scores: Floats, rows: Ints) -> Ints:
    """The ranks of several rows, read off the sorted scores."""
    wanted, ordered = np.sort(scores[rows]), np.sort(scores)  # sorted ones are found fast
    upto = ordered.searchsorted(wanted, side="right")  # number of scores not higher
    ranks: Ints = len(scores) + 1 - upto
    tied = np.flatnonzero((upto > 1) & (ordered[upto - 2] == wanted))
    if len(tied):
        rows = rows[np.argsort(scores[rows])]
    if len(tied) > FEW_TIES:
        ranks[tied] += _equals_before(scores, rows[tied])
    else:
        ranks[tied] = [_place(scores, row) for row in rows[tied]]
    return ranks


def _equals_before(scores: Floats, rows: Ints) -> Ints:
    """For each of these rows the number of lower rows with the same score."""
    values = scores[rows]
    # Half of a score's bits pick out few rows, in one quick pass, among them all of equal score.
    known = np.zeros(2**16, dtype=bool)
    known[values.view(np.uint16)[::2]] = True
    candidates = np.flatnonzero(known[scores.view(np.uint16)[::2]])
    packed = np.sort(pack(scores[candidates], candidates))
    first = pack(values, np.zeros_like(rows))  # sorts before all rows of that score
    return packed.searchsorted(pack(values, rows)) - packed.searchsorted(first)


def _require_sizes(sizes: tuple[int, int], relevance: Relevance) -> None:
    if sizes != (relevance.queries, relevance.database):
        raise ValueError(
            f"{sizes[0]} queries and {sizes[1]} rows, but relevance of "
            f"{relevance.queries} and {relevance.database}"
        )


class _Gathered:
    """Ranks block by block, then as one `RelevantRanks`."""

    def __init__(self, database: int) -> None:
        self._database = database
        self._ranks: list[Ints] = [np.zeros(0, np.int64)]
        self._counts: list[Ints] = [np.zeros(0, np.int64)]
        self._junk: list[Ints] = [np.zeros(0, np.int64)]

    def add(self, ranks: Ints, counts: Ints, junk: Ints) -> None:
        self._ranks.append(ranks)
        self._counts.append(counts)
        self._junk.append(junk)

    def done(self) -> RelevantRanks:
        candidates = [self._database - junk for junk in self._junk]
        return RelevantRanks.joined(self._ranks, self._counts, candidates)

"""Ranks of the relevant rows, queries or shards divided among the processes of a team."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from neuralcodes.common.team import Team
from neuralcodes.evaluation.ranks import RelevantRanks, relevant_ranks
from neuralcodes.evaluation.relevance import Relevance, RowLists
from neuralcodes.index.exact import Database, Floats

Thing = TypeVar("Thing")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RelevancePart:
    """The relevance of a run of queries."""

    whole: Relevance
    part: slice

    @property
    def queries(self) -> int:
        """How many queries there are in it."""
        return int(self.part.stop - self.part.start)

    @property
    def database(self) -> int:
        """Rows of the database."""
        return self.whole.database

    def relevant(self, block: slice) -> RowLists:
        """See `Relevance`."""
        return self.whole.relevant(self._there(block))

    def junk(self, block: slice) -> RowLists:
        """See `Relevance`."""
        return self.whole.junk(self._there(block))

    def _there(self, block: slice) -> slice:
        return slice(self.part.start + block.start, self.part.start + block.stop)


def team_ranks(queries: Floats, database: Floats | Database, relevance: Relevance) -> RelevantRanks:
    """`relevant_ranks`, each rank of the team taking its part of the queries; all get all ranks.

    Equal to one process's but where two distances agree to the last digits of float32.

    Args:
        queries: float32 q×d.
        database: float32 n×d.
        relevance: of these.

    Raises:
        ValueError: the sizes do not agree.
        UserError: a process of the team has died.
    """
    team = Team.current()
    if team.alone:
        return relevant_ranks(queries, database, relevance)
    part = team.part(len(queries))
    mine = relevant_ranks(
        np.ascontiguousarray(queries[part]), database, RelevancePart(relevance, part)
    )
    return join_ranks(team.gather(mine))


def join_ranks(parts: list[RelevantRanks]) -> RelevantRanks:
    """Ranks of runs of queries, one behind the other."""
    return RelevantRanks.joined(
        [part.ranks for part in parts],
        [part.counts for part in parts],
        [part.candidates for part in parts],
    )


def team_map(work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
    """`work` of all things in their order, each done by one rank of the team and known to all.

    Raises:
        UserError: a process of the team has died.
    """
    team, every = Team.current(), list(things)
    for at in range(0, len(every), team.size):
        turn = every[at : at + team.size]
        for found in team.gather([work(thing) for thing in turn[team.rank : team.rank + 1]]):
            yield from found

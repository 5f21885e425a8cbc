"""A closer look at the few codes that matter: indexes over them, and example queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from neuralcodes.choosing.decide import Decision
from neuralcodes.choosing.grid import Base
from neuralcodes.choosing.indexes import Indexed, measure_index
from neuralcodes.choosing.kept import Kept
from neuralcodes.choosing.layers import BaseCodes
from neuralcodes.choosing.sweep import Branch, Scored, Swept, facts_of
from neuralcodes.choosing.task import Rows, Task
from neuralcodes.codes.transforms.base import Floats
from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.index.exact import search_exact

QUERIES = 3
SHOWN = 5
WIDEST_INDEX = 4096  # dimensions; of longer codes only exact search is measured

Made = tuple[Floats, Floats, StoredRows | None]  # codes as they are searched, as queries, as kept


@dataclass(frozen=True)
class Way:
    """One way of judging codes and what it gave.

    Attributes:
        task: rows and parts.
        content: fingerprint of images and views, by network.
        codes: of all rows, by base.
        swept: the scores.
        seed: of everything drawn.
    """

    task: Task
    content: Mapping[str, str]
    codes: Mapping[Base, BaseCodes]
    swept: Swept
    seed: int

    def facts(self, one: Scored, what: str) -> dict[str, Any]:
        """All that a closer look at a code depends on."""
        base = one.candidate.base
        spec, content = self.codes[base].spec, self.content[base.network]
        facts = facts_of(self.task, 0, spec, one.candidate.chain, content, self.seed)
        return {**facts, "what": what}

    def branch(self, one: Scored) -> Branch:
        """What makes its codes, fitted as in the first rotation."""
        return Branch(self.codes[one.candidate.base], self.task, 0, self.seed)


@dataclass(frozen=True)
class Example:
    """A query and what a code found for it.

    Attributes:
        query: row of the images.
        found: rows of the images, nearest first.
        distances: of each.
    """

    query: int
    found: tuple[int, ...]
    distances: tuple[float, ...]


def look_at_indexes(
    way: Way, decision: Decision, backends: Sequence[str], kept: Kept
) -> list[Indexed]:
    """Each backend over the recommended code, the best and the next smaller."""
    few = dict.fromkeys(
        one for one in (decision.chosen, decision.best, decision.smaller) if one is not None
    )
    measured = []
    for one in few:
        made: list[Made] = []
        for backend in backends:
            if one.dims > WIDEST_INDEX and backend != "exact":
                continue
            facts = {**way.facts(one, "index on disk"), "backend": backend}
            found = kept.get(facts, partial(_index, way, one, backend, made))
            if found is not None:
                measured.append(Indexed.from_json(found))
    return measured


def look_at_examples(way: Way, decision: Decision, kept: Kept) -> dict[str, tuple[Example, ...]]:
    """What the recommended code finds, and what the worst code without transforms finds.

    The queries are random images of different groups of the part that judges.
    """
    plain = [one for one in way.swept.scored if not one.candidate.chain]
    worst = min(plain or way.swept.scored, key=lambda one: one.score("judge").mean)
    task = way.task
    rows = task.part(0, "judge").rows
    rows = rows[rows < task.images]
    groups = task.groups[rows]
    generator = np.random.default_rng(way.seed)
    drawn = generator.permutation(np.unique(groups))[:QUERIES]
    queries = np.array([generator.choice(np.flatnonzero(groups == group)) for group in drawn])
    examples = {}
    for one in dict.fromkeys((decision.chosen, worst)):
        facts = {**way.facts(one, "examples"), "queries": rows[queries].tolist()}
        found = kept.get(facts, partial(_search, way, one, rows, queries))
        examples[one.code] = tuple(
            Example(int(row), tuple(int(other) for other, _ in line), tuple(far for _, far in line))
            for row, line in zip(rows[queries], found, strict=True)
        )
    return examples


def _index(way: Way, one: Scored, backend: str, made: list[Made]) -> dict[str, Any] | None:
    if not made:  # one transformation serves all backends
        branch, chain, rows = way.branch(one), one.candidate.chain, np.arange(way.task.images)
        made.append((*branch.transformed(chain, rows), branch.stored(chain, rows)))
    values, queries, stored = made[0]
    found = measure_index(one.code, one.bytes, values, queries, backend, way.seed, stored)
    return None if found is None else found.to_json()


def _search(way: Way, one: Scored, rows: Rows, queries: Rows) -> list[list[tuple[int, float]]]:
    """For each query the rows found and their distances."""
    values, asked = way.branch(one).transformed(one.candidate.chain, rows)
    found = search_exact(asked[queries], values, min(SHOWN, len(rows) - 1), exclude=queries)
    return [
        [(int(rows[row]), round(float(far), 4)) for row, far in zip(*line, strict=True)]
        for line in zip(found.rows, found.distances, strict=True)
    ]

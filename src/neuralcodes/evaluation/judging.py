"""Codes judged by a protocol: from names and codes to scores, with or without re-ranking."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.store import Codes
from neuralcodes.common.team import Team
from neuralcodes.evaluation.protocols.binding import Binding, bind
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth
from neuralcodes.evaluation.ranks import ranks_in
from neuralcodes.evaluation.score import Score
from neuralcodes.evaluation.sharing import team_ranks
from neuralcodes.index.exact import Database
from neuralcodes.ranking.search import Search
from neuralcodes.ranking.steps import Cost, Step, run_steps

RANKED = 50_000_000  # rows that a re-ranked search may hold, of all queries together


@dataclass(frozen=True)
class Evaluation:
    """What codes reached in a protocol.

    Attributes:
        protocol: its name.
        spec: the code.
        images: fingerprint of all pictures that took part; equal for other codes of the same.
        truth: fingerprint of queries and judgements.
        database: how many images were searched.
        queries: the queries' names.
        queried_with: "boxes" where queries are parts of images and have codes of their own,
            "whole images" where the protocol has boxes but whole images were searched with, ""
            where it has none.
        steps: re-ranking steps and their costs, in order.
        ranked: rows a query was re-ranked to, where that is not the whole database: relevant
            images behind them count as the last of all. None where all are ranked.
        tasks: scores by task, in the protocol's order of measures.
        fitted_on_these: transforms of the code that were fitted on these very images, so that the
            figures promise more than other images would give.
    """

    protocol: str
    spec: CodeSpec
    images: str
    truth: str
    database: int
    queries: tuple[str, ...]
    queried_with: Literal["", "boxes", "whole images"]
    steps: tuple[Cost, ...]
    ranked: int | None
    tasks: Mapping[str, tuple[Score, ...]]
    fitted_on_these: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the queries' single values, JSON-ready."""
        return {
            "protocol": self.protocol,
            "code": self.spec.to_json(),
            "images": self.images,
            "ground_truth": self.truth,
            "database": self.database,
            "queried_with": self.queried_with,
            "steps": [asdict(cost) for cost in self.steps],
            "ranked": self.ranked,
            "fitted_on_these_images": list(self.fitted_on_these),
            "tasks": {
                name: [score.to_json() for score in scores] for name, scores in self.tasks.items()
            },
        }


def evaluate_codes(
    truth: GroundTruth,
    codes: Codes,
    query_codes: Codes | None = None,
    distractors: Sequence[Codes] = (),
    steps: Sequence[Step] = (),
) -> Evaluation:
    """Judge codes by a protocol.

    In a team (`common.team`) each rank takes its part of the queries. Re-ranking is done by the
    first alone, since its steps look at all queries together.

    Args:
        truth: the protocol's files.
        codes: of the protocol's images.
        query_codes: of the queries, where they are not the images' own codes (boxes cut out).
        distractors: codes of further images, which are relevant to nothing.
        steps: of re-ranking, in order.

    Raises:
        UserError: codes that are not comparable, or images without a code.
    """
    team = Team.current()
    if steps and not team.alone:
        return team.lead(partial(evaluate_codes, truth, codes, query_codes, distractors, steps))
    bound, took_part = bind_codes(truth, [codes], query_codes, distractors)
    search, costs, ranked = _search(bound, codes, query_codes, distractors, steps)
    tasks = {}
    for name, relevance in bound.relevance.items():
        if search.by_codes:
            ranks = team_ranks(search.queries, search.database, relevance)
        else:
            ranks = ranks_in(search.ranking, relevance, "refuse" if ranked is None else "last")
        tasks[name] = tuple(measure.score(ranks) for measure in truth.measures)
    return evaluation_of(
        truth, took_part, query_codes is not None, len(search.database), tasks,
        costs, None if search.by_codes else ranked,
    )  # fmt: skip


def bind_codes(
    truth: GroundTruth,
    searched: Sequence[Codes],
    query_codes: Codes | None,
    distractors: Sequence[Codes],
) -> tuple[Binding, tuple[Codes, ...]]:
    """The protocol by rows of the codes at hand, and all codes that take part.

    Args:
        searched: codes of the protocol's images, in one piece or several.
        truth, query_codes, distractors: see `evaluate_codes`.

    Raises:
        UserError: codes that are not comparable, or images without a code.
    """
    took_part = (*searched, *([query_codes] if query_codes else []), *distractors)
    for other in took_part[1:]:
        took_part[0].spec.require_same(other.spec)
    keys = tuple(key for codes in searched for key in codes.keys)
    extra = sum(len(more) for more in distractors)
    return bind(truth, keys, query_codes.keys if query_codes else None, extra), took_part


def evaluation_of(
    truth: GroundTruth,
    took_part: Sequence[Codes],
    boxes: bool,
    database: int,
    tasks: Mapping[str, tuple[Score, ...]],
    steps: Sequence[Cost] = (),
    ranked: int | None = None,
) -> Evaluation:
    """What was found, with what it was found on.

    Args:
        took_part: all codes, at least one.
        boxes: whether queries had codes of their own.
        truth, database, tasks, steps, ranked: see `Evaluation`.
    """
    spec = took_part[0].spec
    return Evaluation(
        protocol=truth.protocol,
        spec=spec,
        images=hashlib.sha256("\n".join(c.images for c in took_part).encode()).hexdigest(),
        truth=truth.fingerprint(),
        database=database,
        queries=tuple(query.name for query in truth.queries),
        queried_with="" if not truth.has_boxes else "boxes" if boxes else "whole images",
        steps=tuple(steps),
        ranked=ranked,
        tasks=tasks,
        fitted_on_these=_fitted_on(spec, took_part),
    )


def _fitted_on(spec: CodeSpec, judged: Sequence[Codes]) -> tuple[str, ...]:
    if not spec.transforms:
        return ()
    from neuralcodes.codes.transforms.fitted import fitted_on_any

    return fitted_on_any(spec, {codes.images for codes in judged})


def _search(
    bound: Binding,
    codes: Codes,
    query_codes: Codes | None,
    distractors: Sequence[Codes],
    steps: Sequence[Step],
) -> tuple[Search, list[Cost], int | None]:
    """The search as it is after all steps, their costs, and the depth if it is not all rows."""
    values = codes.values
    if not np.array_equal(bound.database, np.arange(len(values))):
        values = values[bound.database]
    if distractors:
        values = np.concatenate([values, *(more.values for more in distractors)])
    database = Database.of(values)
    if query_codes is not None:
        queries = query_codes.values[bound.queries]
    elif np.array_equal(bound.queries, np.arange(len(database))):
        queries = database.values  # the same memory, for half the work
    else:
        queries = codes.values[bound.queries]
    depth = max((step.reads for step in steps), default=0)
    if any(step.reorders for step in steps):
        depth = max(depth, RANKED // max(1, len(queries)))
    depth = min(depth, len(database))
    search, costs = run_steps(Search.start(queries, database, depth, bound.exclude), steps)
    return search, costs, depth if depth < len(database) else None

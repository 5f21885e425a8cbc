"""Codes in shards judged by a protocol: as `judging`, of a database that no memory holds.

In memory are the images' names, what is relevant, and the codes of a block of queries; shards are
read in pieces, by whoever looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from neuralcodes.codes.store import Codes
from neuralcodes.common.progress import progress
from neuralcodes.evaluation.judging import Evaluation, bind_codes, evaluation_of
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth
from neuralcodes.evaluation.score import Score
from neuralcodes.evaluation.shards import Ints, Map, Shard, shard_ranks
from neuralcodes.evaluation.sharing import RelevancePart, team_map
from neuralcodes.index.exact import Floats

PIECE_BYTES = 32 * 2**20  # of codes that are read at a time
QUERIES = 8192  # for each so many the database is read anew


def evaluate_shards(
    truth: GroundTruth,
    shards: Sequence[Codes],
    query_codes: Codes | None = None,
    distractors: Sequence[Codes] = (),
    each: Map = team_map,
) -> Evaluation:
    """Judge codes in shards by a protocol. The values are those of `evaluate_codes` of them joined,
    with distances in float64.

    Args:
        truth: the protocol's files, opened with the keys of all shards in their order.
        shards: codes of the protocol's images, memory-mapped.
        query_codes: of the queries, where they are not the images' own codes (boxes cut out).
        distractors: codes of further images, which are relevant to nothing; memory-mapped.
        each: how a function is done for all pieces of shards: here, by the ranks of a team, or on
            other machines, which see the shards' files under the same names.

    Raises:
        UserError: codes that are not comparable, or images without a code.
        ValueError: a code is not finite.
    """
    bound, took_part = bind_codes(truth, shards, query_codes, distractors)
    pieces = [*_pieces(shards, bound.database), *_further(distractors, len(bound.database))]
    asked = [query_codes] if query_codes else shards
    values: dict[str, list[list[Any]]] = {name: [] for name in bound.relevance}
    with progress(
        2 * len(values) * len(pieces) * -(-len(bound.queries) // QUERIES), "pieces"
    ) as bar:

        def counted(work: Callable[[Shard], Any], things: Iterable[Shard]) -> Iterator[Any]:
            for found in each(work, things):
                bar.update(1)
                yield found

        for start in range(0, len(bound.queries), QUERIES):
            block = slice(start, min(start + QUERIES, len(bound.queries)))
            queries = _rows(asked, bound.queries[block])
            for name, relevance in bound.relevance.items():
                ranks = shard_ranks(queries, pieces, RelevancePart(relevance, block), counted)
                values[name].append([m.score(ranks).values for m in truth.measures])
    tasks = {
        name: tuple(
            Score(measure.name, np.concatenate([block[number] for block in blocks]))
            for number, measure in enumerate(truth.measures)
        )
        for name, blocks in values.items()
    }
    database = sum(len(piece.rows) for piece in pieces)
    return evaluation_of(truth, took_part, query_codes is not None, database, tasks)


def _pieces(shards: Sequence[Codes], database: Ints) -> Iterator[Shard]:
    """Shards cut small, and of them the rows that are searched.

    Args:
        database: int64 m, rows of all shards together, in the database's order.
    """
    starts = np.cumsum([0, *(len(shard) for shard in shards)])
    if np.array_equal(database, np.arange(starts[-1])):
        for shard, start in zip(shards, starts, strict=False):
            yield from _cut(shard, int(start))
        return
    owner = np.searchsorted(starts, database, side="right") - 1
    for number, shard in enumerate(shards):
        places = np.flatnonzero(owner == number)
        step = _step(shard)
        for at in range(0, len(places), step):
            part = places[at : at + step]
            yield Shard(part, _reader(shard, database[part] - starts[number]))


def _further(distractors: Sequence[Codes], first: int) -> Iterator[Shard]:
    for more in distractors:
        yield from _cut(more, first)
        first += len(more)


def _cut(codes: Codes, first: int) -> Iterator[Shard]:
    bounds = [*range(0, len(codes), _step(codes)), len(codes)]
    for low, high in pairwise(bounds):
        yield Shard(range(first + low, first + high), _reader(codes, slice(low, high)))


def _step(codes: Codes) -> int:
    return max(1, PIECE_BYTES // (4 * codes.spec.dims))


def _reader(codes: Codes, rows: slice | Ints) -> Callable[[], Floats]:
    """Reads by the file's name where there is one: what is sent to another machine stays small."""
    values = codes.values
    if isinstance(values, np.memmap) and values.filename:
        return partial(_read, str(values.filename), rows)
    return partial(values.__getitem__, rows)


def _read(path: str, rows: slice | Ints) -> Floats:
    codes: Floats = np.load(path, mmap_mode="r", allow_pickle=False)[rows]
    return codes


def _rows(parts: Sequence[Codes], rows: Ints) -> Floats:
    """Codes of rows of all parts together, float32 k×d."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    found = np.empty((len(rows), parts[0].spec.dims), dtype=np.float32)
    for part, start in zip(parts, starts, strict=False):
        mine = np.flatnonzero((rows >= start) & (rows < start + len(part)))
        found[mine] = part.values[rows[mine] - start]
    return found

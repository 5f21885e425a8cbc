"""Codes in shards are judged as the same codes in one piece."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_judging import SPEC, codes_of

from neuralcodes.codes.store import Codes, load_codes, save_codes
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation import judging_shards
from neuralcodes.evaluation.judging import evaluate_codes
from neuralcodes.evaluation.judging_shards import evaluate_shards
from neuralcodes.evaluation.protocols.groundtruth import Classes, GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import get_protocol

MEASURES = get_protocol("class-retrieval").open(None, ("a/1", "b/2")).measures


def cut(codes: Codes, at: list[int]) -> list[Codes]:
    bounds = [0, *sorted(at), len(codes)]
    return [
        Codes(codes.spec, codes.values[low:high], codes.keys[low:high], f"{low}")
        for low, high in pairwise(bounds)
    ]


def judged(dice: np.random.Generator, count: int, listed: bool, boxes: bool) -> GroundTruth:
    """Two tasks by lists and one by classes, of some queries; perhaps of some images only."""
    names = [f"{row}" for row in range(count)]
    database = [names[row] for row in dice.permutation(count)[: count - 2]] if listed else names
    queries = [database[row] for row in dice.permutation(len(database))[:5]]
    kinds = [dice.integers(0, 3, len(database)) for _ in queries]
    classes = {name: f"{dice.integers(3)}" for name in database}
    lists = [
        Lists(
            tuple(tuple(np.array(database)[kind == good]) for kind in kinds),
            tuple(tuple(np.array(database)[kind == bad]) for kind in kinds),
        )
        for good, bad in ((1, 2), (2, 1))
    ]
    return GroundTruth(
        "own",
        tuple(Query(f"q{n}" if boxes else q, q) for n, q in enumerate(queries)),
        tuple(database) if listed else None,
        {
            "easy": lists[0],
            "hard": lists[1],
            "classes": Classes(tuple(classes[q] for q in queries), classes),
        },
        bool(dice.integers(2)),
        MEASURES,
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(7, 40), st.integers(0, 99), st.booleans(), st.booleans(), st.booleans(), st.data()
)
def test_equal_to_one_piece(
    count: int, seed: int, listed: bool, boxes: bool, many: bool, data: st.DataObject
) -> None:
    dice = np.random.default_rng(seed)
    codes, extra = codes_of([f"{n}" for n in range(count)], seed), codes_of(["x", "y", "z"], seed)
    queries = codes_of([f"q{n}" for n in range(5)], seed + 1) if boxes else None
    truth = judged(dice, count, listed, boxes)
    at = data.draw(st.lists(st.integers(0, count), max_size=4))
    whole = evaluate_codes(truth, codes, queries, [extra])
    with pytest.MonkeyPatch.context() as patch:
        if many:  # small pieces, and more than one block of queries
            patch.setattr(judging_shards, "PIECE_BYTES", 4 * SPEC.dims * 3)
            patch.setattr(judging_shards, "QUERIES", 2)
        parts = evaluate_shards(truth, cut(codes, at), queries, cut(extra, [1]))
    assert (parts.database, parts.queried_with) == (whole.database, whole.queried_with)
    for name, scores in whole.tasks.items():
        for one, other in zip(scores, parts.tasks[name], strict=True):
            np.testing.assert_array_equal(one.values, other.values, f"{name} {one.measure}")


def test_files_are_read_where_they_are_looked_at(tmp_path: Path) -> None:
    codes = codes_of([f"{n % 3}/{n}.jpg" for n in range(30)])
    files = [save_codes(tmp_path / f"{n}", part) for n, part in enumerate(cut(codes, [11, 20]))]
    truth = get_protocol("class-retrieval").open(None, codes.keys)
    seen = []

    def each(work, shards):  # type: ignore[no-untyped-def]
        for shard in shards:
            seen.append(shard.read.args[0])
            yield work(shard)

    parts = evaluate_shards(truth, files, each=each)
    assert seen == 2 * [str(tmp_path / f"{n}.npy") for n in range(3)]
    whole = evaluate_codes(truth, codes)
    assert [s.mean for s in parts.tasks[""]] == [s.mean for s in whole.tasks[""]]


def test_other_codes_are_refused(tmp_path: Path) -> None:
    codes = codes_of([f"{n % 3}/{n}.jpg" for n in range(30)])
    one, other = cut(codes, [11])
    truth = get_protocol("class-retrieval").open(None, codes.keys)
    other = save_codes(tmp_path / "other", replace(other, spec=replace(SPEC, layer="relu7")))
    with pytest.raises(UserError, match="layer differ"):
        evaluate_shards(truth, [one, load_codes(tmp_path / "other")])

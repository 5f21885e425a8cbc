"""Protocols on codes, end to end: from official layouts to scores, against slow loops."""

import hashlib

import numpy as np
import pytest

from made import make_spec, unit_rows
from neuralcodes.codes.store import Codes
from neuralcodes.common.errors import UserError
from neuralcodes.evaluation import judging
from neuralcodes.evaluation.judging import evaluate_codes
from neuralcodes.evaluation.protocols.groundtruth import GroundTruth, Lists, Query
from neuralcodes.evaluation.protocols.registry import get_protocol
from neuralcodes.ranking.steps import parse_steps

SPEC = make_spec(8)


def codes_of(keys, seed=0, spec=SPEC) -> Codes:
    images = hashlib.sha256("".join(keys).encode()).hexdigest()
    return Codes(spec, unit_rows(len(keys), 8, seed), tuple(keys), images)


def order(query: np.ndarray, base: np.ndarray) -> list[int]:
    return np.argsort(((base.astype(np.float64) - query) ** 2).sum(axis=1), kind="stable").tolist()


def test_ukbench_equals_a_loop_with_distractors():
    keys = [f"ukbench{n:05}.jpg" for n in range(40)]
    codes, extra = codes_of(keys), codes_of([f"d{n}.jpg" for n in range(30)], seed=1)
    truth = get_protocol("ukb").open(None, keys)
    found = evaluate_codes(truth, codes, distractors=[extra])
    base = np.concatenate([codes.values, extra.values])
    expected = [
        sum(row // 4 == query // 4 for row in order(codes.values[query], base)[:4] if row < 40)
        for query in range(40)
    ]
    assert found.tasks[""][0].values.tolist() == expected
    assert found.database == 70 and found.queried_with == ""


def test_holidays_equals_the_published_loop():
    keys = [f"{100000 + 100 * group + n}.jpg" for group in range(6) for n in range(group % 3 + 1)]
    codes = codes_of(keys)
    found = evaluate_codes(get_protocol("holidays").open(None, keys), codes)
    expected = []
    for query, key in enumerate(keys):
        if not key.endswith("00.jpg"):
            continue
        ranked = [row for row in order(codes.values[query], codes.values) if row != query]
        good = {row for row in ranked if keys[row][:4] == key[:4]}
        area = 0.0
        for number, rank in enumerate(r for r, row in enumerate(ranked) if row in good):
            before = number / rank if rank else 1.0
            area += (before + (number + 1) / (rank + 1)) / len(good) / 2
        expected.append(area if good else np.nan)
    np.testing.assert_allclose(found.tasks[""][0].values, expected)
    assert found.tasks[""][0].to_json()["without_relevant"] == 2


def own(count: int, seed: int = 0) -> GroundTruth:
    generator = np.random.default_rng(seed)
    relevant = tuple(
        tuple(f"{row}" for row in np.flatnonzero(generator.random(count) < 0.2)) for _ in range(9)
    )
    return GroundTruth(
        "own",
        tuple(Query(f"{row}", f"{row}") for row in range(9)),
        None,
        {"": Lists(relevant, tuple(() for _ in relevant))},
        False,
        get_protocol("class-retrieval").open(None, ("a/1", "b/2")).measures,
    )


def test_a_truncated_reranking_is_a_lower_bound_and_says_so(monkeypatch):
    codes = codes_of([f"{row}" for row in range(50)])
    steps = list(parse_steps("kreciprocal6:k2=2").values())
    full = evaluate_codes(own(50), codes, steps=steps)
    assert full.ranked is None
    monkeypatch.setattr(judging, "RANKED", 9 * 20)
    short = evaluate_codes(own(50), codes, steps=steps)
    assert short.ranked == 20
    assert (short.tasks[""][0].values <= full.tasks[""][0].values + 0.2).all()
    assert short.tasks[""][0].mean < full.tasks[""][0].mean


@pytest.mark.parametrize("steps", ["dba3+aqe2", "kreciprocal6:k2=2", "aqe2+diffusion5:kq=3"])
def test_reranking_is_judged_as_its_own_ranking(steps):
    """The scores are those of the ranking that the steps give, walked by a loop."""
    from neuralcodes.ranking.search import Search
    from neuralcodes.ranking.steps import run_steps

    codes, truth = codes_of([f"{row}" for row in range(40)]), own(40)
    made = list(parse_steps(steps).values())
    found = evaluate_codes(truth, codes, steps=made)
    relevant = [{int(name) for name in names} for names in truth.tasks[""].relevant]
    exclude = np.array([-1 if row in relevant[row] else row for row in range(9)])
    search, _ = run_steps(Search.start(codes.values[:9], codes.values, 40, exclude), made)
    for query in range(9):
        hits, total = 0, 0.0
        rows = [row for row in search.ranking.rows[query] if row >= 0]
        for rank, row in enumerate(rows, 1):
            if row in relevant[query]:
                hits += 1
                total += hits / rank
        assert found.tasks[""][0].values[query] == pytest.approx(total / hits)
    assert [cost.step.split(":")[0] for cost in found.steps] == [
        part.split(":")[0] for part in steps.split("+")
    ]


def test_query_codes_and_boxes(tmp_path):
    import protocol_layouts as layouts

    truth = get_protocol("oxford5k").open(layouts.oxford(tmp_path), layouts.OXFORD_KEYS)
    codes = codes_of(layouts.OXFORD_KEYS)
    whole = evaluate_codes(truth, codes)
    assert whole.queried_with == "whole images"
    boxes = codes_of(["all_souls_2.png", "all_souls_1.png"], seed=4)
    found = evaluate_codes(truth, codes, boxes)
    assert found.queried_with == "boxes" and found.images != whole.images
    ranked = [row for row in order(boxes.values[1], codes.values) if row != 4]
    hits, area, before = 0, 0.0, 1.0
    for number, row in enumerate(ranked, 1):
        hits += row in (1, 2, 3)
        area += (row in (1, 2, 3)) / 3 * (before + hits / number) / 2
        before = hits / number
    assert found.tasks[""][0].values[0] == pytest.approx(area)


def test_codes_that_cannot_be_compared_are_refused():
    from dataclasses import replace

    keys = [f"ukbench{n:05}.jpg" for n in range(4)]
    other = codes_of(["d.jpg"], spec=replace(SPEC, layer="relu7", name="runs/a@L7"))
    with pytest.raises(UserError, match="cannot be compared"):
        evaluate_codes(get_protocol("ukb").open(None, keys), codes_of(keys), distractors=[other])

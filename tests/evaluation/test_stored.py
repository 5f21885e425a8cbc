"""Stored evaluations, read back for reports and comparisons."""

import json

import numpy as np
import pytest
from test_judging import codes_of, own

from neuralcodes.common.errors import UserError
from neuralcodes.evaluation.class_retrieval import evaluate_class_retrieval
from neuralcodes.evaluation.judging import evaluate_codes
from neuralcodes.evaluation.stored import (
    load_measured,
    load_retrieval,
    save_evaluation,
    save_retrieval,
)
from neuralcodes.ranking.steps import parse_steps


def test_class_retrieval_round_trip(tmp_path):
    codes = codes_of([f"{row}" for row in range(30)])
    labels = np.array([9, *(np.arange(29) % 3)])  # the first query has no relevant image
    made = evaluate_class_retrieval(codes, labels)
    save_retrieval(tmp_path / "L6.json", made, "fingerprint")
    back = load_retrieval(tmp_path / "L6.json")
    np.testing.assert_allclose(
        back.average_precision.values, made.average_precision.values, atol=1e-6
    )
    assert np.isnan(back.average_precision.values[0])
    assert np.array_equal(back.neighbours.rows, made.neighbours.rows)
    assert back.precision_at == made.precision_at
    assert back.recall_at == made.recall_at
    for k, estimate in made.recall_at.items():
        assert estimate.low <= estimate.mean <= estimate.high, k
    assert made.precision_at[1].low < made.precision_at[1].high
    measured = load_measured(tmp_path / "L6.json")
    assert measured.judged == ("fingerprint",)
    assert measured.scores["average precision"].mean == pytest.approx(
        made.average_precision.mean, abs=1e-6
    )


def test_no_query_with_relevant_images_can_be_stored(tmp_path):
    codes = codes_of(["1", "2"])
    save_retrieval(
        tmp_path / "L6.json", evaluate_class_retrieval(codes, np.array([0, 1])), "fingerprint"
    )
    assert np.isnan(load_retrieval(tmp_path / "L6.json").average_precision.mean)


def test_files_of_means_without_intervals_can_still_be_read(tmp_path):
    """As the first recorded runs hold them."""
    path = tmp_path / "L6.json"
    made = evaluate_class_retrieval(codes_of([f"{n}" for n in range(30)]), np.arange(30) % 3)
    save_retrieval(path, made, "fingerprint")
    facts = json.loads(path.read_text())
    for name in ("precision_at", "recall_at"):
        facts[name] = {k: value["mean"] for k, value in facts[name].items()}
    path.write_text(json.dumps(facts))
    back = load_retrieval(path)
    assert back.precision_at[5].mean == made.precision_at[5].mean
    assert all(np.isnan(back.precision_at[5].interval()))


def test_protocol_round_trip(tmp_path):
    codes = codes_of([f"{row}" for row in range(40)])
    steps = list(parse_steps("aqe2").values())
    made = evaluate_codes(own(40), codes, steps=steps)
    save_evaluation(tmp_path / "e.json", made)
    back = load_measured(tmp_path / "e.json")
    assert back.code == "runs/a@L6 with aqe2"
    for score in made.tasks[""]:
        np.testing.assert_allclose(back.scores[score.measure].values, score.values, atol=1e-6)
    facts = json.loads((tmp_path / "e.json").read_text())
    assert facts["query_names"] == [str(row) for row in range(9)]
    assert facts["tasks"][""][0]["mean"] == pytest.approx(made.tasks[""][0].mean)


def test_other_images_or_judgements_are_not_compared(tmp_path):
    codes, fewer = codes_of([f"{row}" for row in range(40)]), codes_of([str(r) for r in range(39)])
    for name, made in {
        "a": evaluate_codes(own(40), codes),
        "b": evaluate_codes(own(40, seed=1), codes),
        "c": evaluate_codes(own(39), fewer),
    }.items():
        save_evaluation(tmp_path / f"{name}.json", made)
    a, b, c = (load_measured(tmp_path / f"{name}.json") for name in "abc")
    a.require_same_queries(a)
    for other in (b, c):
        with pytest.raises(UserError, match="not judged on the same images and queries"):
            a.require_same_queries(other)


@pytest.mark.parametrize("text", ["[]", "{}", '{"code": 3}', "3"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="not a stored evaluation"):
        load_measured(tmp_path / "x.json")

"""Scores are those of an independent computation; what is there is not made again."""

import json

import numpy as np
import pytest
from choosing_codes import layer
from sklearn.decomposition import PCA

from neuralcodes.choosing.grid import Base, candidates, expand
from neuralcodes.choosing.kept import Kept
from neuralcodes.choosing.sweep import sweep
from neuralcodes.choosing.task import label_task
from neuralcodes.codes.transforms.chain import Chain, fit_transform
from neuralcodes.codes.transforms.fitted import FittedOn
from neuralcodes.codes.transforms.training import Training
from neuralcodes.common.errors import UserError

LABELS = np.repeat(np.arange(9), 14)
TASK = label_task(LABELS, 0, "made")
BASE = Base("run", "good")
CODES = {
    BASE: layer(LABELS, 24, 0.9, 1, "good"),
    Base("run", "bad"): layer(LABELS, 16, 2.5, 2, "bad"),
}
CONTENT = {"run": "made"}


def swept(folder, templates, dims=(4, 8), bases=tuple(CODES)):
    kept = Kept(folder)
    found = sweep(
        TASK, CODES, candidates(bases, expand(templates, dims, (4,))), kept, CONTENT, seed=0
    )
    return {one.code: one for one in found.scored}, found.dropped, kept


def precisions(queries, database, labels):
    """By the definition in float64; equal distances stand in the order of rows."""
    scores = (queries.astype(np.float64) @ database.astype(np.float64).T).round(6)
    found = []
    for row in range(len(labels)):
        order = np.argsort(-scores[row], kind="stable")
        hits = (labels[order] == labels[row])[order != row]
        found.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return found


def unit(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_scores_are_those_of_scikit_learns_projection_and_a_plain_loop(tmp_path):
    found, dropped, _ = swept(tmp_path, ["none", "pca", "whiten"])
    assert not dropped
    values = CODES[BASE].parts[0].astype(np.float64)
    for turn in range(3):
        fit = TASK.fit_rows(turn)
        for role in ("choose", "judge"):
            rows = TASK.part(turn, role).rows
            for code, whiten, dims in (
                ("pca8", False, 8),
                ("pca4", False, 4),
                ("whiten4", True, 4),
            ):
                pca = PCA(dims, whiten=whiten, svd_solver="full").fit(values[fit])
                wanted = unit(pca.transform(values[rows]))
                mine = getattr(found[f"run@good/{code}"], role)[turn]
                np.testing.assert_allclose(
                    mine[rows], precisions(wanted, wanted, LABELS[rows]), atol=2e-3
                )
                assert np.isnan(np.delete(mine, rows)).all()
    plain = found["run@good"]
    assert (plain.dims, plain.bytes) == (24, 96)
    assert plain.score("choose").mean > found["run@bad"].score("choose").mean + 0.1


def test_quantised_codes_are_searched_by_queries_that_are_not_rounded(tmp_path):
    found, _, _ = swept(tmp_path, ["pca/binary", "disc"], bases=(BASE,))
    one = found["run@good/pca8/binary"]
    assert (one.dims, one.bytes) == (8, 1)
    base = CODES[BASE]
    on = FittedOn("made", "x", 1, True, 0)
    fit = TASK.fit_rows(0)
    for names in (("pca8", "binary"), ("disc8",)):
        chain, values = Chain(base.spec), base.take(fit)
        for name in names:
            step = fit_transform(chain.spec, name, Training(values, LABELS[fit], 0), on)
            chain, values = chain.then(step), step.transform.apply(values)
        rows = TASK.part(0, "judge").rows
        searched, asked = chain.make(base.take(rows)), chain.make(base.take(rows), "query")
        wanted = precisions(asked, searched, LABELS[rows])
        mine = found["run@good/" + "/".join(names)].judge[0][rows]
        np.testing.assert_allclose(mine, wanted, atol=1e-3)
        if names[-1] == "binary":
            rounded = precisions(searched, searched, LABELS[rows])
            assert np.abs(np.array(rounded) - mine).max() > 0.05


def test_a_repeated_sweep_makes_only_what_is_new(tmp_path):
    first, _, kept = swept(tmp_path, ["none", "pca"])
    assert (kept.made, kept.found) == (2 * 3 * 3, 0)
    again, _, kept = swept(tmp_path, ["none", "pca"], dims=(4, 8, 12))
    assert (kept.made, kept.found) == (2 * 3, 18)
    for code, one in first.items():
        np.testing.assert_array_equal(one.judge, again[code].judge)
    # a size in between is the same as if all had been asked for at once
    whole, _, _ = swept(tmp_path / "whole", ["none", "pca"], dims=(4, 8, 12))
    for code, one in whole.items():
        np.testing.assert_allclose(one.choose, again[code].choose, atol=1e-6)


def test_a_killed_sweep_goes_on_and_damage_is_made_anew(tmp_path):
    first, _, _ = swept(tmp_path, ["none", "pca"])
    files = sorted(tmp_path.glob("*.json"))
    files[0].unlink()  # not reached
    files[1].write_text(files[1].read_text()[:40])  # cut short
    facts = json.loads(files[2].read_text())
    facts["facts"]["seed"] = 99  # another's result
    files[2].write_text(json.dumps(facts))
    again, _, kept = swept(tmp_path, ["none", "pca"])
    assert kept.made == 3
    for code, one in first.items():
        np.testing.assert_array_equal(one.judge, again[code].judge)


def test_what_cannot_be_fitted_is_left_out_and_said(tmp_path):
    found, dropped, _ = swept(tmp_path, ["none", "pca", "pca/pq"], dims=(16,), bases=(BASE,))
    assert set(found) == {"run@good", "run@good/pca16"}
    assert "give at least 256" in dropped["run@good/pca16/pq4"]
    with pytest.raises(UserError, match="no code could be made"):
        swept(tmp_path, ["pca16/pq"], bases=(BASE,))

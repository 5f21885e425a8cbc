"""Means and bootstrap intervals against SciPy."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from neuralcodes.evaluation.score import Score


def test_mean_leaves_undefined_queries_out_and_counts_them():
    score = Score("average precision", np.array([0.25, np.nan, 0.75]))
    assert score.mean == 0.5
    assert score.to_json()["without_relevant"] == 1


def test_interval_equals_scipy_within_resampling_noise():
    values = np.random.default_rng(0).beta(2, 5, size=300)
    low, high = Score("m", values).interval()
    peer = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    spread = peer.high - peer.low
    assert low == pytest.approx(peer.low, abs=0.08 * spread)
    assert high == pytest.approx(peer.high, abs=0.08 * spread)


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        low, high = Score("m", generator.exponential(size=80)).interval()
        covered += low <= 1.0 <= high
    assert 175 <= covered <= 200


def test_interval_is_repeatable_and_wider_at_higher_confidence():
    score = Score("m", np.random.default_rng(2).random(50))
    assert score.interval() == score.interval()
    assert score.interval(0.99)[0] < score.interval(0.9)[0]


def test_no_values():
    score = Score("m", np.array([np.nan]))
    assert np.isnan([score.mean, *score.interval()]).all()


def test_what_is_not_defined_is_null_in_json():
    facts = Score("m", np.array([np.nan, np.nan])).to_json()
    assert (facts["mean"], facts["low"], facts["high"]) == (None, None, None)
    assert (facts["queries"], facts["without_relevant"]) == (2, 2)


def test_many_queries_are_resampled_in_parts(monkeypatch):
    score = Score("m", np.random.default_rng(2).random(50))
    whole = score.interval()
    monkeypatch.setattr("neuralcodes.evaluation.score.CHUNK", 120)
    assert score.interval() == pytest.approx(whole, abs=1e-12)

"""Paired comparisons against SciPy and by how often they cry wolf."""

import itertools

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from neuralcodes.evaluation.paired import FLIPS, compare_scores, sign_flip_test
from neuralcodes.evaluation.score import Score


def test_exact_test_equals_all_sign_flips():
    differences = np.random.default_rng(0).normal(0.3, 1, size=9)
    observed = abs(differences.mean())
    flips = [
        abs(np.mean(differences * signs)) >= observed - 1e-12
        for signs in itertools.product((-1, 1), repeat=9)
    ]
    assert sign_flip_test(differences) == pytest.approx(np.mean(flips))


@pytest.mark.parametrize(("shift", "count"), [(0.05, 40), (0.3, 40), (0.2, 63)])
def test_random_test_equals_scipy_within_sampling_noise(shift, count):
    generator = np.random.default_rng(1)
    a = generator.random(count)
    b = a + generator.normal(shift / 3, 0.4, size=count)
    peer = permutation_test(
        (b, a),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).pvalue
    assert sign_flip_test(b - a) == pytest.approx(peer, abs=0.015)


def test_interval_equals_scipy_within_resampling_noise():
    generator = np.random.default_rng(3)
    a = generator.random(200)
    b = np.clip(a + generator.normal(0.02, 0.1, size=200), 0, 1)
    found = compare_scores(Score("m", a), Score("m", b))
    peer = bootstrap(
        (b - a,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(4)
    ).confidence_interval
    assert found.difference == pytest.approx(b.mean() - a.mean())
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.002)


def test_pairing_finds_what_unpaired_intervals_hide():
    """Queries differ much, the codes little but always in the same direction."""
    a = np.random.default_rng(5).random(100) * 0.9
    found = compare_scores(Score("m", a), Score("m", a + 0.01))
    assert Score("m", a).interval()[1] > Score("m", a + 0.01).interval()[0]
    assert found.real and found.p == 1 / (FLIPS + 1)


def test_no_difference_is_called_real_about_as_seldom_as_it_says():
    generator = np.random.default_rng(6)
    wrong = 0
    for seed in range(100):
        a, b = generator.random((2, 30))
        wrong += compare_scores(Score("m", a), Score("m", b), seed).real
    assert wrong <= 12


def test_the_same_values_and_single_queries_are_no_difference():
    a = np.array([0.2, np.nan, 0.9])
    found = compare_scores(Score("m", a), Score("m", a))
    assert (found.difference, found.p, found.real, found.queries) == (0, 1, False, 2)
    one = compare_scores(Score("m", np.array([0.1])), Score("m", np.array([0.9])))
    assert one.p == 1 and not one.real


def test_order_of_a_and_b_only_turns_the_sign():
    a, b = np.random.default_rng(7).random((2, 50))
    there, back = (
        compare_scores(Score("m", a), Score("m", b)),
        compare_scores(Score("m", b), Score("m", a)),
    )
    assert there.difference == -back.difference
    assert there.p == pytest.approx(back.p)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (Score("m", np.ones(2)), Score("n", np.ones(2)), "two measures"),
        (Score("m", np.ones(2)), Score("m", np.ones(3)), "same queries"),
        (Score("m", np.array([1, np.nan])), Score("m", np.ones(2)), "same queries"),
        (Score("m", np.array([np.nan])), Score("m", np.array([np.nan])), "no query"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        compare_scores(a, b)

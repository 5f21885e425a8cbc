"""Rank correlation with what is known, and the record that the package carries."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from choosing_codes import scored

from neuralcodes.choosing.agreement import agree, kendall_tau, recorded
from neuralcodes.choosing.grid import Base, Candidate
from neuralcodes.choosing.sweep import Scored

RECORD = Path(__file__).parents[2] / "results" / "choosing"


def by_definition(a, b):
    """Tau-b, pair by pair."""
    signs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)
    ]
    top = sum(x * y for x, y in signs)
    return top / np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))


def test_tau_is_that_of_the_definition():
    generator = np.random.default_rng(0)
    for _ in range(20):
        a, b = generator.integers(0, 6, size=(2, 12)).astype(float)
        assert kendall_tau(a, b) == pytest.approx(by_definition(a, b))


def codes(qualities, sizes, seed):
    noise = np.random.default_rng(seed).normal(0, 0.05, size=(len(qualities), 200))
    return [
        scored(f"L{n}", size, quality + noise[n])
        for n, (quality, size) in enumerate(zip(qualities, sizes, strict=True))
    ]


def test_an_estimate_that_orders_alike_loses_nothing():
    quality = np.linspace(0.3, 0.7, 8)
    sizes = 2 ** np.arange(8)
    truth = codes(quality, sizes, 0)
    found = agree(truth, codes(quality**2, sizes, 1), "made", 200)
    assert found.tau == pytest.approx(1)
    assert found.low > 0.9
    assert found.by_labels == found.by_views
    assert found.loss == 0
    upside_down = agree(truth, codes(1 - quality, sizes, 2), "made", 200)
    assert upside_down.tau == pytest.approx(-1)
    assert upside_down.high < -0.9
    assert upside_down.by_views == "run@L0"
    assert upside_down.loss == pytest.approx(0.4, abs=0.02)


def test_layers_and_sizes_are_told_apart():
    """An estimate that has the layers the wrong way round and the sizes of each right."""
    truth, estimate = [], []
    for name, quality in (("L6", 0.3), ("L7", 0.5)):
        for chain, loss in (((), 0.0), (("pca8",), 0.02), (("pca4",), 0.05)):
            for codes_, sign in ((truth, 1), (estimate, -1)):
                values = np.full((1, 50), 0.5 + sign * (quality - 0.4) - loss)
                candidate = Candidate(Base("run", name), chain)
                codes_.append(Scored(candidate, 8, 8 if chain else 64, values, values))
    found = agree(truth, estimate, "made", 50)
    assert found.layers == pytest.approx(-1)
    assert found.sizes == {"pca": pytest.approx(1)}
    assert -1 < found.tau < 0


def test_noise_widens_the_interval():
    quality = np.full(8, 0.5)
    found = agree(codes(quality, range(1, 9), 0), codes(quality, range(1, 9), 1), "made", 200)
    assert found.low < 0 < found.high


def test_the_record_is_that_of_the_results():
    """What the package tells its users was measured, and the measurement is kept."""
    measured = {}
    for path in RECORD.glob("*.json"):
        agreement = json.loads(path.read_text()).get("agreement")
        if agreement:
            key = agreement["source"], agreement["images"], *agreement["networks"]
            measured[key] = agreement
    assert len(recorded()) == len(measured)
    for one in recorded():
        kept = measured[one.source, one.images, *one.networks]
        assert {**one.to_json(), "networks": list(one.networks)} == kept

"""What the speed benchmarks call of ours, on the least of work: they must not lag behind it."""

from __future__ import annotations

import numpy as np
import pytest

from scripts import ROOT, load_script


@pytest.fixture(scope="module")
def contestants():
    """`benchmarks/peer_torch.py`; what it imports beside itself is found as in a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield load_script("benchmarks/peer_torch.py")


def test_our_training_takes_steps(contestants):
    contestants.our_training("fp32", 2, 1)()


def test_our_encoder_makes_codes(contestants):
    encoder = contestants.our_encoder("fp32", ["L6", "L7"])
    codes = encoder.encode(np.zeros((2, 64, 64, 3), dtype=np.uint8))
    assert [part.shape for part in codes] == [(2, 2048), (2, 2048)]

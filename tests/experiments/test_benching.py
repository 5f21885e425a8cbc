"""`neuralcodes bench` on a small scale."""

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.experiments.benching import bench


def test_each_row_names_its_peers_and_their_spread():
    found = bench(rounds=2, codes=1000)
    assert [row["name"] for row in found["rows"]] == ["decode", "forward", "search"]
    assert found["machine"]["cores"] >= 1
    for row in found["rows"]:
        assert row["rate"] > 0 and row["peers"]
        for peer in row["peers"].values():
            assert 0 < peer["low"] <= peer["ratio"] <= peer["high"]


def test_what_it_refuses():
    with pytest.raises(UserError, match="--only speed: choose decode"):
        bench(only="speed")
    with pytest.raises(UserError, match="--rounds"):
        bench(rounds=0)

"""The demo, whole: digits that training never saw are found by their codes."""

import json

import pytest

from neuralcodes.common.errors import UserError
from neuralcodes.experiments.demo import run_demo


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp("demo") / "run")


def test_it_learns_and_retrieves(run):
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["splits"]["test"]["accuracy"] > 0.95
    # three unseen digits: a random order would give 0.33
    assert min(metrics["map"].values()) > 0.6


@pytest.mark.slow
def test_it_is_repeatable_and_replaces_an_earlier_demo(run):
    before = json.loads(run.metrics_file.read_text())
    again = run_demo(run.path)
    assert json.loads(again.metrics_file.read_text())["map"] == before["map"]


def test_it_does_not_touch_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not a demo"):
        run_demo(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"

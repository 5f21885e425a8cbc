"""Pages of the shipped network: made from the records, and what they compute is right."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy.stats import linregress
from torch import nn

from neuralcodes.common.files import read_json, write_json
from neuralcodes.networks.names import shipped_file
from neuralcodes.networks.registry import get_network
from scripts import ROOT, load_script


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.chdir(ROOT)


def load(name: str) -> ModuleType:
    return sys.modules.get(name) or load_script(f"benchmarks/{name}.py")


def test_pages_say_what_is_recorded() -> None:
    """After new weights or figures: `python benchmarks/shipped_page.py`."""
    page = load("shipped_page")
    of, compute = page.Recorded(Path("results")), read_json(Path("results/shipped/compute.json"))
    blocks = page.blocks_of(of, compute)
    for name in page.PAGES:
        text = Path(name).read_text(encoding="utf-8")
        assert page.BLOCK.search(text) is not None
        assert page.fill(text, blocks, name) == text, name
    record = Path("results/shipped")
    for part in (page.table(page.comparison(of, 4)), page.looks_table(compute)):
        assert part in (record / "README.md").read_text(encoding="utf-8")
    card = Path(str(shipped_file())).with_name("MODEL_CARD.md").read_text(encoding="utf-8")
    assert page.model_card(of.shipped, record) == card


def test_the_last_look_is_at_what_ships() -> None:
    shipped, looks = (read_json(Path("results", n)) for n in ("shipped.json", "shipped/looks.json"))
    assert looks[-1]["weights"] == shipped["weights"] and looks[-1]["map"] == shipped["map"]
    stages = load("shipped_looks").read_stages(Path("results/shipped"))
    assert looks[-1]["stages"] == [stage.brief() for stage in stages]


@pytest.mark.parametrize(
    ("freeze", "frozen", "first"),
    [
        ("", (), "stem."),
        ("blocks.2", ("stem.", "blocks.0.", "blocks.1.", "blocks.2."), "blocks.3."),
    ],
)
def test_operations_are_those_of_all_layers_three_times(
    freeze: str, frozen: tuple[str, ...], first: str
) -> None:
    """Forward, and the gradients of weights and of maps; what comes in at `first` needs none."""
    kind, view = get_network("compact"), 48
    network = kind.build(190)
    operations: list[int] = []

    def count(name: str, module: nn.Module, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        macs = module.weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)
        first_ones = name.startswith(first) and not name.endswith("conv2")
        operations.append(macs * (2 if name.startswith(frozen) else 4 if first_ones else 6))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, _, made, name=name: count(name, m, made))
    network.eval()(torch.zeros(1, 3, view, view))
    expected = sum(operations) + 6 * 128 * 190  # the classifier's cosines
    expected += 4 * 4 * (256 * 36 + 512 * 9)  # four regions' means, and their gradient by the maps
    assert load("shipped_looks").operations("compact", 190, view, freeze) == expected


def test_a_line_is_that_of_scipy_and_crosses_where_it_says() -> None:
    compute = load("shipped_compute")
    peta, found = np.array([1.0, 3.0, 9.0, 40.0, 90.0]), np.array([0.30, 0.34, 0.37, 0.43, 0.44])
    line = compute.Line.through(peta, found)
    known = linregress(np.log10(peta), found)
    assert line.slope == pytest.approx(known.slope)
    assert line.at(np.array([0.0]))[0] == pytest.approx(known.intercept)
    half = 3.182446 * known.stderr  # Student's t of 3 degrees of freedom
    assert line.slope_interval() == pytest.approx((known.slope - half, known.slope + half))
    reached = line.reaches(0.5)
    at = {name: np.log10([value]) for name, value in reached.items()}
    assert line.at(at["pflop"])[0] == pytest.approx(0.5)
    low, high = at["pflop_low"], at["pflop_high"]
    assert (line.at(low) + line.half(low))[0] == pytest.approx(0.5)
    assert (line.at(high) - line.half(high))[0] == pytest.approx(0.5)
    assert reached["pflop_low"] < reached["pflop"] < reached["pflop_high"]
    noisy = compute.Line.through(peta[:3], np.array([0.30, 0.36, 0.33]))
    assert noisy.reaches(0.9)["pflop_high"] is None  # its lower edge falls


def test_where_a_stage_begins() -> None:
    looks = load("shipped_looks")

    def stage(run: str, start: str, epochs: int) -> object:
        accuracy = (0.5,) * epochs
        return looks.Stage(run, start, "small", 10, 16, 100, "", accuracy, 1.0)

    a, b, c, d = stages = [
        stage("a", "", 9), stage("b", "a4.safetensors", 3), stage("c", "b", 2), stage("d", "x", 1),
    ]  # fmt: skip
    epoch = a.epoch
    assert epoch > 0
    assert [round(looks.begins(s, stages) / epoch) for s in (a, b, c, d)] == [0, 4, 7, 14]


def test_a_look_at_the_same_weights_is_kept_once(tmp_path: Path) -> None:
    looks = load("shipped_looks")
    write_json(tmp_path / "mean.json", {"of": ["one", "two"], "stages": []})
    figures = {"weights": "w", "test_accuracy": 0.5, "map": 0.4, "map_low": 0.3, "map_high": 0.5}
    looks.add_look(tmp_path, figures)
    looks.add_look(tmp_path, {**figures, "map": 0.41})
    looks.add_look(tmp_path, {**figures, "weights": "v"})
    rows = read_json(tmp_path / "looks.json")
    assert [(row["weights"], row["map"]) for row in rows] == [("w", 0.41), ("v", 0.4)]
    assert rows[0]["what"] == "the mean of one, two"

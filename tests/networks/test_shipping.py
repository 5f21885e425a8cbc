"""tools/ship.py: what goes into the package."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from scripts import ROOT, load_script


@pytest.fixture
def ship(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return load_script("tools/ship.py")


def network(seed: int, classes: int = 3) -> OpenNetwork:
    torch.manual_seed(seed)
    kind = get_network("small")
    return OpenNetwork.of(str(seed), kind, kind.build(classes), classes)


def test_the_mean_is_of_every_weight_and_leaves_the_runs_alone(ship: ModuleType) -> None:
    runs = [network(seed) for seed in range(3)]
    before = [run.weights for run in runs]
    mean = ship.mean_of(runs)
    for name, value in mean.module.state_dict().items():
        parts = [run.module.state_dict()[name] for run in runs]
        expected = (parts[0] + parts[1] + parts[2]) / 3
        torch.testing.assert_close(value, expected.to(value.dtype))
    assert [OpenNetwork.of("", r.kind, r.module, r.classes).weights for r in runs] == before
    assert mean.weights not in before


def test_one_run_is_itself(ship: ModuleType) -> None:
    assert ship.mean_of([network(0)]).weights == network(0).weights


def test_runs_of_other_classes_have_no_mean(ship: ModuleType) -> None:
    with pytest.raises(UserError, match="not one network"):
        ship.mean_of([network(0), network(1, classes=4)])

"""Networks by name, ours and those of installed packages."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks import registry
from neuralcodes.networks.registry import get_network, network_names, register


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers leaves with it."""
    network_names()
    monkeypatch.setattr(
        registry, "_KINDS", replace(registry._KINDS, entries=dict(registry._KINDS.entries))
    )


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str) -> None:
    """An installed package `module` with a `neuralcodes.networks` entry point `plug`."""
    (folder / f"{module}.py").write_text(code)
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[neuralcodes.networks]\nplug = {module}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)


GOOD = """
from torch import nn
from neuralcodes.networks.registry import register

@register("NAME", layers={"L": "1"}, default_layer="L", input_size=(8, 8))
def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))
"""


def test_our_networks() -> None:
    assert {"reference", "paper", "small"} <= set(network_names())
    assert get_network("paper").input_size == (227, 227)


def test_an_unknown_network_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"unknown network 'refrence'; there are: .*reference"):
        get_network("refrence")


def test_a_network_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "plug_good", GOOD.replace("NAME", "plugged"))
    kind = get_network("plugged")
    assert (kind.layers, kind.input_size) == ({"L": "1"}, (8, 8))
    assert isinstance(kind.build(3)[1], nn.Linear)  # type: ignore[index]
    assert "plugged" in network_names()


@pytest.mark.parametrize(
    ("module", "code", "reason"),
    [
        ("plug_absent", "import a_package_that_is_not_there", "ModuleNotFoundError"),
        ("plug_fails", "raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("plug_syntax", "def (", "SyntaxError"),
        ("plug_thief", GOOD.replace("NAME", "reference"), "the network name 'reference' is taken"),
    ],
)
def test_a_broken_plug_in_is_named_and_ours_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, code: str, reason: str
) -> None:
    install(tmp_path, monkeypatch, module, code)
    ours = get_network("reference").build
    for ask in (network_names, lambda: get_network("plugged")):
        with pytest.raises(UserError) as caught:
            ask()
        message = str(caught.value)
        assert "\n" not in message
        assert f"network plug-in 'plug' ({module}, from {module})" in message
        assert reason in message
    assert get_network("reference").build is ours


def test_a_name_is_given_once_but_a_cell_may_run_twice() -> None:
    def add(build: registry.Builder) -> None:
        register("twice", layers={}, default_layer="0", input_size=(4, 4))(build)

    def make() -> registry.Builder:
        def build(classes: int) -> nn.Module:
            return nn.Linear(1, classes)

        return build

    add(make())
    again = make()
    add(again)
    assert get_network("twice").build is again
    with pytest.raises(ValueError, match="'twice' is taken"):
        add(lambda classes: nn.Linear(2, classes))

"""The code of a new collection when none is named: the weights that the package carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.opening import open_or_create
from neuralcodes.common.errors import UserError
from neuralcodes.networks import names, opened
from neuralcodes.networks.opened import open_network, save_network


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package's weights would be; there are none yet."""
    file = tmp_path / "weights.safetensors"
    for module in (names, opened):
        monkeypatch.setattr(module, "shipped_file", lambda: file)
    return file


def test_it_is_the_shipped_network(
    shipped: Path, code: str, pictures: Path, tmp_path: Path
) -> None:
    network = open_network(code.partition("@")[0])
    save_network(shipped, network, half=True)
    with open_or_create(tmp_path / "c", None, device="cpu") as collection:
        collection.sync([pictures])
        assert collection.spec.name == "shipped@L7"
    with Collection.open(tmp_path / "c", device="cpu") as collection:
        found = collection.search(next(pictures.rglob("*.jpg")).read_bytes())
        assert found[0].distance == pytest.approx(0, abs=1e-6)
    save_network(shipped, network)  # another release's weights
    with pytest.raises(UserError, match="made with other weights or another code than shipped"):
        Collection.open(tmp_path / "c", code="shipped", device="cpu")


def test_without_one_a_code_is_asked_for(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no collection yet, and no --code .*hf:facebook/dinov2"):
        open_or_create(tmp_path / "c", None)

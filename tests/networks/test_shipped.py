"""Weights in half precision, and those that the package carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from neuralcodes.codes.encoder import Encoder
from neuralcodes.codes.spec import parse_code
from neuralcodes.common.errors import UserError
from neuralcodes.networks import names, opened
from neuralcodes.networks.opened import OpenNetwork, open_network, save_network
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import weights_hash


@pytest.fixture
def network() -> OpenNetwork:
    torch.manual_seed(0)
    kind = get_network("small")
    return OpenNetwork.of("mine", kind, kind.build(4), 4)


def test_half_precision_is_half_the_file(network: OpenNetwork, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_network(whole, network)
    save_network(half, network, half=True)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    assert {tensor.dtype for tensor in load_file(half).values()} == {torch.float16}


def test_what_is_opened_is_the_rounded_network(network: OpenNetwork, tmp_path: Path) -> None:
    save_network(tmp_path / "half.safetensors", network, half=True)
    again = open_network(str(tmp_path / "half.safetensors"))
    own, read = network.module.state_dict(), again.module.state_dict()
    for name, tensor in own.items():
        assert read[name].dtype == torch.float32
        assert torch.equal(read[name], tensor.half().float())
    assert again.weights == weights_hash(read) != network.weights
    # saved whole or rounded once more, it stays the same network
    save_network(tmp_path / "again.safetensors", again)
    save_network(tmp_path / "twice.safetensors", again, half=True)
    for name in ("again", "twice"):
        assert open_network(str(tmp_path / f"{name}.safetensors")).weights == again.weights


def test_codes_of_the_rounded_network_are_near(network: OpenNetwork, tmp_path: Path) -> None:
    save_network(tmp_path / "half.safetensors", network, half=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype(np.uint8)
    one, other = (
        Encoder(net, [parse_code("n@L7")], Runtime(torch.device("cpu"), "fp32")).encode(pixels)[0]
        for net in (network, open_network(str(tmp_path / "half.safetensors")))
    )
    np.testing.assert_allclose(one, other, atol=2e-3)
    assert np.abs(one - other).max() > 0


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    kind = get_network("small")
    module = kind.build(4)
    module.append(torch.nn.BatchNorm1d(4))
    with torch.no_grad():
        module[-1].num_batches_tracked.fill_(70_001)  # more than a half can count
    save_network(tmp_path / "n", OpenNetwork.of("n", kind, module, 4), half=True)
    assert int(load_file(tmp_path / "n")[f"{len(module) - 1}.num_batches_tracked"]) == 70_001


def test_values_too_large_for_half_are_refused(network: OpenNetwork, tmp_path: Path) -> None:
    with torch.no_grad():
        network.module.dense6.weight[0, 0] = 1e5
    with pytest.raises(UserError, match=r"half precision: dense6\.weight holds values above"):
        save_network(tmp_path / "half.safetensors", network, half=True)
    assert not list(tmp_path.iterdir())


def test_a_damaged_half_is_seen(network: OpenNetwork, tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    save_network(file, network, half=True)
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        open_network(str(file))


def test_shipped(network: OpenNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.safetensors"
    for module in (names, opened):
        monkeypatch.setattr(module, "shipped_file", lambda: file)
    with pytest.raises(UserError, match="shipped: this copy of neuralcodes carries no weights"):
        open_network("shipped")
    assert not names.carries_weights()
    save_network(file, network, half=True)
    assert names.carries_weights()
    shipped = open_network("shipped")
    assert (shipped.name, shipped.weights) == ("shipped", open_network(str(file)).weights)
    code = parse_code("shipped")
    [spec] = Encoder(shipped, [code], Runtime(torch.device("cpu"), "fp32")).specs
    assert spec.name == "shipped@L7"


def test_the_packages_own_weights() -> None:
    if not names.carries_weights():
        pytest.skip("this copy of the package carries no weights yet")
    with names.shipped_file().open("rb") as file:
        assert len(file.read()) <= 16 * 10**6
    assert names.shipped_file().parent.joinpath("MODEL_CARD.md").is_file()
    assert open_network("shipped").classes > 1

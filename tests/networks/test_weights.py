"""Weights to files and back, and the hash that names them."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork, open_network, save_network
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.weights import (
    load_tensors,
    load_weights,
    save_tensors,
    unfilled,
    weights_hash,
)


def small(seed: int = 0, classes: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return get_network("small").build(classes)


def test_a_round_trip_is_exact(tmp_path: Path) -> None:
    network = small().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    path = tmp_path / "weights.safetensors"
    save_tensors(path, network.state_dict())
    other = small(seed=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert weights_hash(other.state_dict()) != weights_hash(network.state_dict())
    load_weights(other, path, "small")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(other.eval()(images), network.eval()(images))
    assert weights_hash(other.state_dict()) == weights_hash(network.state_dict())
    assert weights_hash(load_tensors(path)) == weights_hash(network.state_dict())
    assert other.get_submodule("conv3").weight.is_contiguous(memory_format=torch.channels_last)


def test_tensors_of_many_kinds(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2),
        "flags": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "tied": shared,
        "also tied": shared,
        "part": shared[2:4],
        "turned": torch.rand(2, 3).T,
    }
    path = tmp_path / "folder" / "some.safetensors"
    save_tensors(path, state)
    back = load_tensors(path)
    assert set(back) == set(state)
    assert all(torch.equal(back[n], state[n]) and back[n].dtype == state[n].dtype for n in state)
    assert weights_hash(back) == weights_hash(state)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_hash_is_what_its_definition_says() -> None:
    state = {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor(7)}
    content = b"a torch.int64 ()\n" + struct.pack("<q", 7)
    content += b"b torch.float32 (1, 2)\n" + struct.pack("<2f", 1.0, 2.0)
    assert weights_hash(state) == hashlib.sha256(content).hexdigest()[:32]
    # codes made long ago name their weights by it: it may never change
    assert weights_hash(state) == "c4cc9137cbc4a3fae6e42dff0ee1ba7a"


@pytest.mark.parametrize(
    "change",
    [
        {"b": torch.tensor([[1.0, 2.0000002]])},
        {"b": torch.tensor([1.0, 2.0])},
        {"b": torch.tensor([[1.0, 2.0]], dtype=torch.float64)},
        {"c": torch.zeros(0)},
        {"b": torch.tensor([[2.0, 1.0]])},
    ],
)
def test_the_hash_sees_every_change(change: dict[str, torch.Tensor]) -> None:
    state = {"a": torch.tensor(7), "b": torch.tensor([[1.0, 2.0]])}
    assert weights_hash({**state, **change}) != weights_hash(state)


def test_layout_and_order_do_not_change_the_hash() -> None:
    value = torch.rand(2, 3, 4, 5)
    one = {"x": value, "y": value[0]}
    other = {"y": value[0].clone(), "x": value.to(memory_format=torch.channels_last)}
    assert weights_hash(one) == weights_hash(other)


@pytest.mark.parametrize("cut", [0, 4, 200, -1])
def test_a_cut_file_is_refused_in_one_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.safetensors"
    save_tensors(path, small().state_dict())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"cut\.safetensors: not a whole safetensors file") as error:
        load_tensors(path)
    assert "\n" not in str(error.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such weights file"):
        load_tensors(tmp_path / "nowhere")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, small(classes=5).state_dict())
    with pytest.raises(UserError, match=r"not of small: dense8\.\w+ has another shape"):
        load_weights(small(classes=4), path, "small")
    state = dict(small().state_dict())
    save_tensors(path, {n: t for n, t in state.items() if n != "conv3.bias"})
    with pytest.raises(UserError, match=r"conv3\.bias is absent"):
        load_weights(small(), path, "small")
    save_tensors(path, {**state, "extra": torch.zeros(1)})
    with pytest.raises(UserError, match="extra is unknown"):
        load_weights(small(), path, "small")


def test_a_network_saved_and_opened(tmp_path: Path) -> None:
    kind = get_network("small")
    saved = OpenNetwork.of("mine", kind, small(), 4)
    save_network(tmp_path / "weights.safetensors", saved)
    for name in (tmp_path, tmp_path / "weights.safetensors"):
        opened = open_network(str(name))
        assert (opened.kind, opened.classes, opened.weights) == (kind, 4, saved.weights)
        assert not opened.module.training
        images = torch.rand(1, 3, 16, 16)
        assert torch.equal(opened.module(images), saved.module(images))


def test_weights_files_that_cannot_be_opened(tmp_path: Path) -> None:
    def refused(name: object, reason: str) -> None:
        with pytest.raises(UserError, match=reason) as caught:
            open_network(str(name))
        assert "\n" not in str(caught.value)

    path = tmp_path / "weights.safetensors"
    refused(tmp_path, "holds no weights.safetensors")
    refused("small", "network without weights")
    refused(tmp_path / "nowhere", "no such run folder or weights file")
    path.write_bytes(b"not a file of tensors")
    refused(path, "not a whole safetensors file")
    save_tensors(path, small().state_dict())
    refused(path, "does not say which network")
    about = {"network": "small", "classes": "4", "weights_hash": "0" * 32}
    save_tensors(path, small().state_dict(), {"network": "small"})
    refused(path, "does not say which network")
    save_tensors(path, small().state_dict(), about)
    refused(path, "damaged, its weights are not those that were saved")
    save_tensors(path, small().state_dict(), {**about, "network": "gone"})
    refused(path, "unknown network 'gone'")


def test_unfilled_leaves_parameters_as_they_are_and_nothing_else() -> None:
    with unfilled():
        torch.nn.init.normal_(plain := torch.zeros(3))
        torch.nn.init.normal_(parameter := torch.nn.Parameter(torch.zeros(3)))
        torch.nn.init.kaiming_uniform_(matrix := torch.nn.Parameter(torch.zeros(2, 3)))
        block = torch.nn.BatchNorm1d(3)
        drawn = torch.zeros(3).uniform_()
    assert plain.abs().sum() > 0
    assert drawn.abs().sum() > 0
    assert not parameter.any()
    assert not matrix.any()
    assert block.running_var is not None
    assert block.running_var.tolist() == [1, 1, 1]


def test_a_network_opened_from_a_file_draws_no_random_numbers(tmp_path: Path) -> None:
    kind = get_network("compact")
    torch.manual_seed(3)
    module = kind.build(4)
    save_network(tmp_path / "w.safetensors", OpenNetwork.of("a", kind, module, 4))
    before = torch.get_rng_state()
    opened = open_network(str(tmp_path / "w.safetensors"))
    assert torch.equal(torch.get_rng_state(), before)
    assert opened.weights == weights_hash(module.state_dict())

"""Which layers learn and how fast, against lists made by hand and steps worked out here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from digit_images import digit_images
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind, get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.taps import Tap
from neuralcodes.training.layers import blocks, prepare_layers, run_order
from neuralcodes.training.loop import train
from neuralcodes.training.recipe import Recipe

FP32 = Runtime(torch.device("cpu"), "fp32")
COMPACT = replace(get_network("compact"), input_size=(16, 16))
SMALL = get_network("small")
IMAGES = digit_images(120)


def build(name: str) -> tuple[nn.Module, NetworkKind]:
    """Without memory: only names and shapes are looked at."""
    kind = get_network(name)
    with torch.device("meta"):
        return kind.build(5), kind


FROZEN = {
    ("small", "L5"): ["conv1", "conv2", "conv3", "conv4", "conv5"],
    ("small", "L6"): ["conv1", "conv2", "conv3", "conv4", "conv5", "dense6"],
    ("small", "conv2"): ["conv1", "conv2"],
    ("reference", "L5"): ["conv1", "conv2", "conv3", "conv4", "conv5"],
    ("reference", "L6"): ["conv1", "conv2", "conv3", "conv4", "conv5", "dense6"],
    ("compact", "stem"): ["stem"],
    ("compact", "blocks.1"): ["stem", "blocks.0", "blocks.1"],
    ("compact", "blocks.1.conv1"): ["stem", "blocks.0", "blocks.1.conv1"],
    ("compact", "map"): ["stem", "blocks"],
    ("compact", "pooled"): ["stem", "blocks"],
    ("compact", "project"): ["stem", "blocks", "project"],
}


@pytest.mark.parametrize(("name", "layer"), FROZEN)
def test_what_is_frozen(name: str, layer: str) -> None:
    network, kind = build(name)
    prepare_layers(network, kind, layer)
    wanted = {
        parameter
        for parameter, _ in network.named_parameters()
        if any(parameter.startswith(f"{part}.") for part in FROZEN[name, layer])
    }
    assert wanted == {n for n, p in network.named_parameters() if not p.requires_grad}


def test_layers_that_cannot_be_frozen() -> None:
    network, kind = build("small")
    with pytest.raises(UserError, match=r"^--freeze: unknown layer 'L9'; there are: L5, L6, L7"):
        prepare_layers(network, kind, "L9")
    for layer in ("L7", "relu7", "dense8"):
        network, kind = build("small")
        with pytest.raises(UserError, match=rf"^--freeze {layer}: the code L7 of small could not"):
            prepare_layers(network, kind, layer)


def test_blocks_are_those_of_the_architecture() -> None:
    def named(name: str) -> list[list[str]]:
        network, kind = build(name)
        names = {module: name for name, module in network.named_modules()}
        found = blocks(network, run_order(network, kind.input_size))
        return [[names[part] for part in block] for block in found]

    assert named("reference") == [
        ["conv1"], ["conv2"], ["conv3"], ["conv4"], ["conv5"], ["dense6"], ["dense7"], ["dense8"],
    ]  # fmt: skip
    assert named("compact") == [
        ["stem"], *([f"blocks.{number}"] for number in range(6)), ["project", "learnt"],
        ["classifier"],
    ]  # fmt: skip


class Backwards(nn.Module):
    """A network in a wrapper, whose parts are defined from the last to the first."""

    def __init__(self) -> None:
        super().__init__()
        body = nn.Module()
        body.head = nn.Linear(4, 2)
        body.middle = nn.Linear(6, 4)
        body.first = nn.Conv2d(3, 6, 1)
        self.body = body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        body = self.body
        return body.head(body.middle(body.first(images).mean((2, 3))))


def test_what_counts_is_the_order_of_running() -> None:
    kind = NetworkKind("backwards", lambda classes: Backwards(), {}, "body.middle", (8, 8))
    network = Backwards()
    learning = prepare_layers(network, kind, "body.first", decay=0.5)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"body.first.weight", "body.first.bias"}
    scales = {name: learning.scales[p] for name, p in network.named_parameters()}
    assert scales["body.head.bias"] == 1
    assert scales["body.middle.weight"] == 0.5
    assert scales["body.first.weight"] == 0.25


def test_each_block_moves_by_its_share_of_the_rate(tmp_path: Path) -> None:
    """One plain step, against the gradient times rate times share."""

    def without_dropout(classes: int) -> nn.Module:
        network = SMALL.build(classes)
        for part in network.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        return network

    kind = replace(SMALL, build=without_dropout)
    recipe = Recipe(
        learning_rate=0.3, batch_size=120, max_epochs=1, seed=3, optimizer="sgd", layer_decay=0.5
    )
    trained = train(kind, 10, IMAGES, IMAGES, recipe, FP32, tmp_path)
    torch.manual_seed(3 * 1_000_003)
    network = without_dropout(10)
    pixels = torch.from_numpy(IMAGES.read(np.arange(120))).permute(0, 3, 1, 2).float() / 255
    loss = nn.functional.cross_entropy(network(pixels), torch.from_numpy(IMAGES.label_array()))
    loss.backward()
    order = ["conv1", "conv2", "conv3", "conv4", "conv5", "dense6", "dense7", "dense8"]
    moved = dict(trained.network.named_parameters())
    for name, parameter in network.named_parameters():
        back = len(order) - 1 - order.index(name.split(".")[0])
        assert parameter.grad is not None
        wanted = parameter.detach() - 0.3 * 0.5**back * parameter.grad
        assert torch.allclose(moved[name], wanted, atol=1e-6), name
        assert not torch.equal(moved[name], parameter), name


def test_frozen_layers_give_what_they_gave_and_the_others_learn(tmp_path: Path) -> None:
    """With batch normalisation and a running average: the map of the blocks, to the bit."""
    torch.manual_seed(1)
    start = OpenNetwork.of("given", COMPACT, COMPACT.build(7), 7)
    for part in start.module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
    before = {name: value.clone() for name, value in start.module.state_dict().items()}
    recipe = Recipe(
        learning_rate=0.05, batch_size=40, max_epochs=2, patience=9, optimizer="sgd",
        average=0.9, freeze="map",
    )  # fmt: skip
    trained = train(COMPACT, 10, IMAGES, IMAGES, recipe, FP32, tmp_path, start=start)
    after = trained.network.state_dict()
    for name, value in before.items():
        if name.startswith(("stem.", "blocks.")):
            assert torch.equal(after[name], value), name
        elif "weight" in name and "classifier" not in name:
            assert not torch.equal(after[name], value), name
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    pixels = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        maps = [
            Tap(FP32.place(network).eval(), ["blocks.5"])(pixels)["blocks.5"]
            for network in (start.module, trained.network)
        ]
    assert torch.equal(*maps)


def test_an_image_left_over_does_not_stop_batch_normalisation(tmp_path: Path) -> None:
    images = IMAGES.select(range(41))
    recipe = Recipe(learning_rate=0.01, batch_size=20, max_epochs=1, optimizer="sgd")
    trained = train(COMPACT, 10, images, images, recipe, FP32, tmp_path / "left over")
    assert len(trained.history) == 1
    with pytest.raises(UserError, match="--batch-size 1: batch normalisation"):
        train(COMPACT, 10, images, images, replace(recipe, batch_size=1), FP32, tmp_path / "one")

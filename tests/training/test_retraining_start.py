"""How retraining begins and what it keeps, against what is worked out here in NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from digit_images import digit_images
from torch import nn

from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind, get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.batches import Batches
from neuralcodes.training.classifier import start_from_class_means
from neuralcodes.training.layers import take_weights
from neuralcodes.training.loop import Trained, train
from neuralcodes.training.recipe import Recipe

FP32 = Runtime(torch.device("cpu"), "fp32")
COMPACT = replace(get_network("compact"), input_size=(16, 16))
SMALL = get_network("small")
IMAGES = digit_images(120)
CLASSES = int(IMAGES.label_array().max()) + 1


def opened(kind: NetworkKind, classes: int) -> OpenNetwork:
    torch.manual_seed(3)
    return OpenNetwork.of("start", kind, kind.build(classes), 1)


def inputs_of(network: nn.Module, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """What a layer is given for all images, and what the network answers."""
    seen: list[torch.Tensor] = []
    network.eval()
    module = network.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batches = Batches(IMAGES, SMALL if layer == "dense8" else COMPACT, FP32)
    with torch.no_grad():
        logits = network(batches.pixels(torch.arange(len(IMAGES))))
    handle.remove()
    return seen[0].double().numpy(), logits.numpy()


@pytest.mark.parametrize(("kind", "layer"), [(SMALL, "dense8"), (COMPACT, "classifier")])
def test_a_new_classifier_begins_with_the_mean_codes(kind: NetworkKind, layer: str) -> None:
    network = kind.build(CLASSES)
    unfit = take_weights(network, opened(kind, CLASSES + 2))
    assert {name.partition(".")[0] for name in unfit} == {layer}
    assert start_from_class_means(network, unfit, Batches(IMAGES, kind, FP32), CLASSES)
    codes, logits = inputs_of(network, layer)
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    labels = IMAGES.label_array()
    means = np.stack([unit[labels == number].mean(axis=0) for number in range(CLASSES)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = unit @ means.T
    lengths = np.linalg.norm(codes, axis=1) / np.linalg.norm(codes, axis=1).mean()
    scale = lengths[:, None] if kind is SMALL else 1  # the other divides by lengths itself
    np.testing.assert_allclose(logits, 16 * cosines * scale, atol=1e-3)


def test_means_say_nothing_behind_random_layers() -> None:
    network = SMALL.build(CLASSES)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batches = Batches(IMAGES, SMALL, FP32)
    for unfit in ([], ["dense7.weight", "dense8.weight"], ["conv1.weight", "conv1.bias"]):
        assert not start_from_class_means(network, unfit, batches, CLASSES)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def retrained(folder: Path, start: OpenNetwork, **changes: object) -> Trained:
    recipe = replace(
        Recipe(learning_rate=0.01, batch_size=40, max_epochs=1, optimizer="sgd"), **changes
    )
    return train(COMPACT, CLASSES, IMAGES, IMAGES, recipe, FP32, folder, start=start)


def test_statistics_are_kept(tmp_path: Path) -> None:
    start = opened(COMPACT, CLASSES + 2)
    first = start.module.state_dict()
    kept = retrained(tmp_path / "kept", start, keep_statistics=True).network.state_dict()
    moved = retrained(tmp_path / "moved", start).network.state_dict()
    statistics = [name for name in first if "running_" in name]
    assert len(statistics) > 10
    for name in statistics:
        assert torch.equal(kept[name], first[name])
        assert not torch.equal(moved[name], first[name])
    weights = [name for name in first if name.endswith("conv1.weight")]
    assert all(not torch.equal(kept[name], first[name]) for name in weights)


def test_a_part_of_the_way_is_kept(tmp_path: Path) -> None:
    start = opened(COMPACT, CLASSES + 2)
    first = {name: value.clone() for name, value in start.module.state_dict().items()}
    whole = retrained(tmp_path / "whole", start, class_means=True).network.state_dict()
    part = retrained(tmp_path / "part", start, class_means=True, blend=0.25).network.state_dict()
    for name, value in part.items():
        if name == "classifier.weight":
            assert torch.equal(value, whole[name])  # of other classes: there is no way back
        elif value.is_floating_point():
            between = 0.75 * first[name] + 0.25 * whole[name]
            torch.testing.assert_close(value, between, atol=1e-6, rtol=1e-5)
    assert all(torch.equal(first[name], value) for name, value in start.module.state_dict().items())

"""The supervised contrastive loss with its memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from digit_images import digit_images
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.augmentation import Augmentation, augment
from neuralcodes.training.batches import Batches
from neuralcodes.training.contrast import Contrast, contrast_loss
from neuralcodes.training.objective import Classes
from neuralcodes.training.recipe import Recipe


def by_hand(codes: np.ndarray, labels: list[int], at: int, temperature: float) -> float:
    """Mean over the first `at` codes that meet one of their class among all, in plain loops."""
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    losses = []
    for i in range(at):
        others = [j for j in range(len(unit)) if j != i]
        weights = {j: math.exp(float(unit[i] @ unit[j]) / temperature) for j in others}
        alike = [j for j in others if labels[j] == labels[i]]
        if alike:
            whole = sum(weights.values())
            losses.append(-sum(math.log(weights[j] / whole) for j in alike) / len(alike))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.integers(0, 9), st.integers(1, 4), st.integers(0, 2**31))
def test_it_is_the_papers_equation(batch: int, past: int, classes: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    codes = draw.normal(size=(batch + past, 5))
    labels = draw.integers(0, classes, batch + past)
    found = contrast_loss(
        torch.from_numpy(codes[:batch]), torch.from_numpy(labels[:batch]),
        torch.from_numpy(codes[batch:]), torch.from_numpy(labels[batch:]), 0.3,
    )  # fmt: skip
    assert found.item() == pytest.approx(by_hand(codes, labels.tolist(), batch, 0.3), abs=1e-9)


def test_a_class_alone_costs_nothing_and_has_a_gradient() -> None:
    codes = torch.randn(3, 4, requires_grad=True)
    loss = contrast_loss(codes, torch.arange(3), codes.detach()[:0], torch.arange(0), 0.1)
    loss.backward()
    assert loss.item() == 0
    assert codes.grad is not None
    assert torch.isfinite(codes.grad).all()


def test_the_memory_holds_the_newest_and_is_forgotten() -> None:
    one, two = torch.eye(4)[:2], torch.eye(4)[2:]
    labels = torch.tensor([0, 1])
    contrast = Contrast(2.0, 0.5, memory=3)
    first = contrast(one, labels)
    assert first.item() == 0  # nothing of their classes yet
    second = contrast(two, labels)
    assert second.item() == pytest.approx(2 * contrast_loss(two, labels, one, labels, 0.5).item())
    third = contrast(one, labels)  # of four earlier codes three: `two` and the first of `one`
    past, theirs = torch.cat([two, one[:1]]), torch.tensor([0, 1, 0])
    assert third.item() == pytest.approx(2 * contrast_loss(one, labels, past, theirs, 0.5).item())
    contrast.forget()
    assert contrast(one, labels).item() == 0


def test_a_step_learns_from_both_losses() -> None:
    """The batch's loss is the classes' plus the contrast's, of the same pass and views."""
    kind, runtime = get_network("compact"), Runtime(torch.device("cpu"), "fp32")
    images = digit_images(64)
    batches = Batches(images, kind, runtime)
    rows = torch.arange(32)
    pixels, labels = batches.pixels(rows), torch.from_numpy(np.asarray(images.label_array()))[rows]
    recipe = Recipe(augmentation=Augmentation(), contrast=0.5, temperature=0.1, memory=64)
    torch.manual_seed(0)
    network = kind.build(10)
    objective = Classes(network, kind, recipe, runtime)
    outcome = objective.step(pixels, labels.long(), torch.Generator().manual_seed(1))

    views = augment(pixels, labels, Augmentation(), torch.Generator().manual_seed(1)).pixels
    seen: list[torch.Tensor] = []
    network.get_submodule("code").register_forward_hook(lambda _m, _i, out: seen.append(out))
    logits = network(views)
    alone = torch.nn.functional.cross_entropy(logits, labels.long())
    beside = contrast_loss(seen[0], labels, seen[0][:0], labels[:0], 0.1)
    assert outcome.loss.item() == pytest.approx((alone + 0.5 * beside).item(), rel=1e-5)
    assert outcome.logits.shape == (32, 10)

"""Training end to end on digits."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from digit_images import digit_images
from training_worker import result, train_digits

from neuralcodes.common.errors import UserError
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import get_network
from neuralcodes.networks.runtime import Runtime, choose_runtime
from neuralcodes.networks.weights import weights_hash
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import evaluate_classifier
from neuralcodes.training.history import History
from neuralcodes.training.loop import train
from neuralcodes.training.recipe import Recipe

FP32 = Runtime(torch.device("cpu"), "fp32")
SMALL = get_network("small")
IMAGES = digit_images(300)


def test_it_learns_and_its_figures_are_of_the_weights_it_gives(tmp_path: Path) -> None:
    trained = train_digits(tmp_path, max_epochs=10, count=400)
    first, last = trained.history[0], trained.history[-1]
    assert last.val_accuracy > 0.7 and last.train_loss < first.train_loss
    assert [epoch.epoch for epoch in trained.history] == list(range(1, 11))
    assert trained.kept_epoch == 10 and not trained.network.training
    batches = Batches(digit_images(460).select(range(400, 460)), SMALL, FP32)
    score = evaluate_classifier(trained.network, batches)
    assert (score.cross_entropy, score.accuracy, score.top5_accuracy) == (
        last.val_loss, last.val_accuracy, last.val_top5,
    )  # fmt: skip
    assert last.seconds > 0 and last.images_per_second > 0


def test_the_train_figures_are_means_over_images_with_the_steps_of_the_recipe(
    tmp_path: Path,
) -> None:
    """One epoch against the textbook loop, with a last batch smaller than the others."""
    recipe = Recipe(learning_rate=1e-3, batch_size=70, max_epochs=1, seed=5)
    kind = replace(SMALL, build=without_dropout)
    trained = train(kind, 10, IMAGES, IMAGES, recipe, FP32, tmp_path)

    torch.manual_seed(5 * 1_000_003)
    network = without_dropout(10)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=1e-3, eps=1e-7, amsgrad=True, foreach=False, fused=False
    )
    generator = torch.Generator().manual_seed(5 * 1_000_003 + 1 + 500_009)
    order = torch.randperm(300, generator=generator).numpy()
    loss_sum, hits = 0.0, 0
    for rows in np.split(order, range(70, 300, 70)):
        pixels = torch.from_numpy(IMAGES.read(rows)).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(IMAGES.label_array()[rows])
        logits = network(pixels)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += float(loss.detach()) * len(rows)
        hits += int((logits.argmax(1) == labels).sum())
    epoch = trained.history[0]
    assert epoch.train_loss == pytest.approx(loss_sum / 300, rel=1e-5)
    assert epoch.train_accuracy == pytest.approx(hits / 300, abs=0.01)
    pairs = zip(trained.network.parameters(), network.parameters(), strict=True)
    apart = torch.cat([(ours - wanted).detach().abs().flatten() for ours, wanted in pairs])
    assert float(apart.max()) < 2e-4  # 5 steps of up to 1e-3 each
    assert float(apart.mean()) < 2e-6


def without_dropout(classes: int) -> torch.nn.Module:
    network = SMALL.build(classes)
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return network


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_run(tmp_path: Path, precision: str) -> None:
    options: dict[str, Any] = {"max_epochs": 2, "precision": precision}
    one = result(train_digits(tmp_path / "one", **options))
    assert one == result(train_digits(tmp_path / "two", **options))
    assert one != result(train_digits(tmp_path / "three", seed=1, **options))


def test_the_best_weights_are_kept_when_asked_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_epochs": 5, "astray": True}
    last = train_digits(tmp_path / "last", **options)
    best = train_digits(tmp_path / "best", keep="best", **options)
    assert best.history[-1].val_loss == last.history[-1].val_loss
    early = min(best.history, key=lambda epoch: epoch.val_loss).epoch
    assert best.kept_epoch == early < 5 == last.kept_epoch
    until = train_digits(tmp_path / "until", **{**options, "max_epochs": early})
    kept = [weights_hash(t.network.state_dict()) for t in (best, until, last)]
    assert kept[0] == kept[1] != kept[2]


def test_early_stopping(tmp_path: Path) -> None:
    trained = train_digits(tmp_path, max_epochs=50, patience=0, astray=True)
    losses = [epoch.val_loss for epoch in trained.history]
    *falling, last = losses
    assert last >= falling[-1]
    assert falling == sorted(set(falling), reverse=True)
    assert "has not fallen" in trained.stopped_because


def test_the_caller_hears_of_each_epoch_once_its_checkpoint_is_there(tmp_path: Path) -> None:
    heard: list[tuple[int, bool]] = []

    def hear(history: History) -> None:
        path = tmp_path / f"epoch-{len(history):04d}" / "state.json"
        heard.append((len(history), len(json.loads(path.read_text())["history"]) == len(history)))

    def go(epochs: int) -> None:
        recipe = Recipe(max_epochs=epochs, patience=9)
        train(SMALL, 10, IMAGES, IMAGES, recipe, FP32, tmp_path, resume=True, after_epoch=hear)

    go(2)
    assert heard == [(1, True), (2, True)]
    go(3)
    assert heard[2:] == [(2, True), (3, True)]


@pytest.mark.parametrize("rate", [1e20, 1e36])
def test_a_loss_that_is_no_number_ends_the_run_in_one_line(tmp_path: Path, rate: float) -> None:
    with pytest.raises(UserError, match="epoch 1: the loss is no longer a number") as caught:
        train_digits(tmp_path, max_epochs=3, learning_rate=rate)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "checkpoints").glob("epoch-*"))


def test_images_that_do_not_fit(tmp_path: Path) -> None:
    def go(classes: int, name: str = "small", count: int = 300) -> None:
        images = IMAGES.select(range(count))
        train(get_network(name), classes, IMAGES, images, Recipe(), FP32, tmp_path)

    with pytest.raises(UserError, match="digits: no images"):
        go(10, count=0)
    with pytest.raises(ValueError, match="labels up to 9, but 9 classes"):
        go(9)
    with pytest.raises(ValueError, match="images of"):
        go(10, name="reference")


def test_training_holds_on_to_nothing(tmp_path: Path) -> None:
    def tensors() -> int:
        return sum(issubclass(type(value), torch.Tensor) for value in gc.get_objects())

    counts: list[int] = []

    def count(history: History) -> None:
        gc.collect()
        counts.append(tensors())

    recipe = Recipe(max_epochs=4, patience=9, batch_size=30)
    train(SMALL, 10, IMAGES, IMAGES, recipe, FP32, tmp_path, after_epoch=count)
    assert counts[1] == counts[2] == counts[3]


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_on_a_gpu(tmp_path: Path, compiled: bool) -> None:
    runtime = choose_runtime("cuda", compiled=compiled)
    recipe = Recipe(learning_rate=4e-3, batch_size=40, max_epochs=10, patience=99)
    images = digit_images(500)
    sets = images.select(range(400)), images.select(range(400, 500))
    trained = train(SMALL, 10, *sets, recipe, runtime, tmp_path / "whole")
    assert trained.history[-1].val_accuracy > 0.7
    half = replace(recipe, max_epochs=5)
    train(SMALL, 10, *sets, half, runtime, tmp_path / "broken")
    again = train(SMALL, 10, *sets, recipe, runtime, tmp_path / "broken", resume=True)
    assert again.history[-1].val_loss == pytest.approx(trained.history[-1].val_loss, rel=0.2)


def test_the_modern_recipe_against_the_textbook(tmp_path: Path) -> None:
    """Momentum, weight decay, the rate at each step, smoothing and the average, step by step."""
    recipe = Recipe(
        learning_rate=0.02, batch_size=70, max_epochs=3, patience=9, seed=5, optimizer="sgd",
        momentum=0.9, weight_decay=1e-2, warmup_epochs=1.0, decay_epochs=1, label_smoothing=0.2,
        average=0.8,
    )  # fmt: skip
    kind = replace(SMALL, build=without_dropout)
    trained = train(kind, 10, IMAGES, IMAGES, recipe, FP32, tmp_path)

    torch.manual_seed(5 * 1_000_003)
    network = without_dropout(10)
    parameters = list(network.parameters())
    moments = [torch.zeros_like(p) for p in parameters]
    average = [p.detach().clone() for p in parameters]
    pixels = torch.from_numpy(IMAGES.read(np.arange(300))).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(IMAGES.label_array())
    rates = [0.02 * step / 5 for step in range(5)] + [0.02] * 5
    rates += [0.02 * (5 - step) / 5 for step in range(5)]
    for step, rate in enumerate(rates):
        if step % 5 == 0:
            generator = torch.Generator().manual_seed(5 * 1_000_003 + step // 5 + 1 + 500_009)
            order = torch.randperm(300, generator=generator)
        rows = order[step % 5 * 70 : (step % 5 + 1) * 70]
        logs = torch.log_softmax(network(pixels[rows]), 1)
        wanted = torch.full((len(rows), 10), 0.02)
        wanted[torch.arange(len(rows)), labels[rows]] += 0.8
        gradients = torch.autograd.grad(-(wanted * logs).sum(1).mean(), parameters)
        decay = min(0.8, (1 + step) / (10 + step))
        with torch.no_grad():
            for p, m, a, g in zip(parameters, moments, average, gradients, strict=True):
                pulled = g + 1e-2 * p if p.ndim > 1 else g
                m.mul_(0.9).add_(pulled)
                p.sub_(rate * (pulled + 0.9 * m))  # Nesterov
                a.mul_(decay).add_(p, alpha=1 - decay)
    for found, value in zip(trained.network.parameters(), average, strict=True):
        assert torch.allclose(found, value, atol=2e-5)


def test_training_starts_with_given_weights(tmp_path: Path) -> None:
    first = train_digits(tmp_path / "first", max_epochs=1)
    given = OpenNetwork.of("first", SMALL, first.network, 10)
    recipe = Recipe(learning_rate=1e-12, max_epochs=1)
    images = IMAGES.select(np.flatnonzero(IMAGES.label_array() < 4))
    again = train(SMALL, 4, images, images, recipe, FP32, tmp_path / "second", start=given)
    before, after = first.network.state_dict(), again.network.state_dict()
    for name, value in after.items():
        if name.startswith("dense8"):  # tells four classes apart now, not ten
            assert value.shape[0] == 4
        else:
            assert torch.allclose(value, before[name], atol=1e-8), name
    reference = OpenNetwork.of("r", SMALL, torch.nn.Linear(3, 5), 10)
    with pytest.raises(UserError, match="--from r: no layer of it fits"):
        train(SMALL, 4, images, images, recipe, FP32, tmp_path / "third", start=reference)

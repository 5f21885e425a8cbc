"""The training loop, one for CPU and GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import load_weights
from neuralcodes.training.batches import Batches
from neuralcodes.training.checkpoint import (
    checkpoint_of,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from neuralcodes.training.classification import ClassifierScore, Tally, evaluate_classifier
from neuralcodes.training.history import Epoch, History, epochs_since_best
from neuralcodes.training.recipe import Recipe


@dataclass(frozen=True)
class Trained:
    """A trained network with the weights that the recipe keeps, in evaluation mode."""

    network: nn.Module
    history: History
    kept_epoch: int
    stopped_because: str


def train(
    kind: NetworkKind,
    classes: int,
    train_images: ImageSet,
    val_images: ImageSet,
    recipe: Recipe,
    runtime: Runtime,
    checkpoints: Path,
    *,
    resume: bool = False,
    after_epoch: Callable[[History], None] = lambda history: None,
) -> Trained:
    """Train `kind` on `train_images`, watching `val_images`.

    Every random draw of an epoch comes from the seed and the epoch's number, so that a run that
    was killed and resumed gives the weights of an unbroken one.

    Args:
        classes: how many classes to tell apart; labels are below it.
        checkpoints: folder for one checkpoint an epoch.
        resume: go on from the newest checkpoint there, if there is one.
        after_epoch: called with the history after each epoch's checkpoint is on disk.

    Raises:
        UserError: checkpoints are there and `resume` is off, or they are of another run; the loss
            is no longer a number.
    """
    _seed(recipe.seed, 0)
    network = runtime.place(kind.build(classes))
    optimizer = make_optimizer(network, recipe)
    config = {
        "network": kind.name,
        "classes": classes,
        "train_images": train_images.fingerprint(),
        "val_images": val_images.fingerprint(),
        "precision": runtime.precision,
        **{k: v for k, v in recipe.to_json().items() if k not in ("max_epochs", "patience")},
    }
    history: History = []
    newest = latest_checkpoint(checkpoints)
    if newest is not None:
        if not resume:
            raise UserError(f"{checkpoints}: holds a started run; give --resume or another --out")
        history = load_checkpoint(newest, network, optimizer, config)

    train_batches = Batches(train_images, kind, runtime)
    val_batches = Batches(val_images, kind, runtime)
    while not (reason := stop_reason(history, recipe)):
        number = len(history) + 1
        start = time.perf_counter()
        score = _run_epoch(network, optimizer, train_batches, recipe, number)
        trained = time.perf_counter()
        val = evaluate_classifier(network, val_batches)
        history = [*history, _record(number, score, val, start, trained, len(train_batches))]
        save_checkpoint(
            checkpoints, network, optimizer, history, config, keep_best=recipe.keep == "best"
        )
        after_epoch(history)

    kept = history[-1].epoch
    if recipe.keep == "best":
        kept = min(history, key=lambda epoch: epoch.val_loss).epoch
        if kept != history[-1].epoch:
            best = checkpoint_of(checkpoints, kept) / "weights.safetensors"
            load_weights(network, best, kind.name)
    return Trained(network.eval(), history, kept, reason)


def stop_reason(history: History, recipe: Recipe) -> str:
    """Why training ends after this history, in words; empty while it goes on."""
    if history and epochs_since_best(history) > max(0, recipe.patience - 1):
        return (
            f"validation loss has not fallen for {epochs_since_best(history)} epoch(s) "
            f"(patience {recipe.patience})"
        )
    if len(history) >= recipe.max_epochs:
        return f"all {recipe.max_epochs} epoch(s) done"
    return ""


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam as the recipe says; fused, so that a step passes over its 1.5 GB of state once."""
    return torch.optim.Adam(
        network.parameters(),
        lr=recipe.learning_rate,
        eps=recipe.epsilon,
        amsgrad=recipe.amsgrad,
        fused=True,
    )


def _run_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    recipe: Recipe,
    number: int,
) -> ClassifierScore:
    order = torch.randperm(len(batches), generator=_seed(recipe.seed, number))
    labels = batches.labels()
    tally = Tally(labels.device)
    network.train()
    with progress(len(batches), f"epoch {number}") as bar:
        for step, rows in enumerate(order.split(recipe.batch_size)):
            wanted = labels[rows.to(labels.device)]
            optimizer.zero_grad(set_to_none=True)
            with batches.runtime.autocast():
                logits = network(batches.pixels(rows))
            loss = F.cross_entropy(logits.float(), wanted)
            loss.backward()
            optimizer.step()
            tally.add(loss, logits, wanted)
            bar.update(len(rows))
            if step % 50 == 0:
                _show(bar, tally, number)
    score = tally.score()
    if score.cross_entropy != score.cross_entropy:
        raise UserError(
            f"epoch {number}: the loss is no longer a number; try a lower --learning-rate "
            "or --precision fp32"
        )
    return score


def _show(bar: Any, tally: Tally, number: int) -> None:
    score = tally.score()
    bar.set_postfix(
        {"loss": f"{score.cross_entropy:.3f}", "acc": f"{score.accuracy:.3f}"}, refresh=False
    )


def _seed(seed: int, epoch: int) -> torch.Generator:
    """Seed the global generator (dropout) and give one for the order of images."""
    combined = seed * 1_000_003 + epoch
    torch.manual_seed(combined)
    return torch.Generator().manual_seed(combined + 500_009)


def _record(
    number: int,
    score: ClassifierScore,
    val: ClassifierScore,
    start: float,
    trained: float,
    images: int,
) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=score.cross_entropy,
        train_accuracy=score.accuracy,
        train_top5=score.top5_accuracy,
        val_loss=val.cross_entropy,
        val_accuracy=val.accuracy,
        val_top5=val.top5_accuracy,
        seconds=time.perf_counter() - start,
        images_per_second=images / (trained - start),
    )

"""The training loop, one for CPU and GPU."""

from __future__ import annotations

import math
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
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import load_weights
from neuralcodes.training.augmentation import augment
from neuralcodes.training.averaging import Average
from neuralcodes.training.batches import Batches
from neuralcodes.training.checkpoint import (
    AVERAGE,
    check_checkpoint_room,
    checkpoint_of,
    hold_checkpoints,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from neuralcodes.training.classification import ClassifierScore, Tally, evaluate_classifier
from neuralcodes.training.history import Epoch, History, best_epoch, epochs_since_best
from neuralcodes.training.recipe import Recipe

SHOW_EVERY = 1.0  # seconds between two looks at the loss


@dataclass(frozen=True)
class Trained:
    """A trained network with the weights that the recipe keeps, in evaluation mode."""

    network: nn.Module
    history: History
    kept_epoch: int
    stopped_because: str


@dataclass(frozen=True)
class _Trainee:
    """A network in training and what goes with it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None

    @property
    def judged(self) -> nn.Module:
        """The network whose weights are validated and kept."""
        return self.network if self.average is None else self.average.network

    @property
    def averaged(self) -> nn.Module | None:
        return None if self.average is None else self.average.network


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
    start: OpenNetwork | None = None,
    after_epoch: Callable[[History], None] = lambda history: None,
) -> Trained:
    """Train `kind` on `train_images`, watching `val_images`.

    Every random draw of an epoch comes from the seed and the epoch's number, so that a run that
    was killed and resumed gives the weights of an unbroken one: to the bit on the same kind of
    processor with the same number of threads.

    Args:
        classes: how many classes to tell apart; labels are below it.
        checkpoints: folder for one checkpoint an epoch.
        resume: go on from the newest checkpoint there, if there is one. The most epochs and the
            patience may differ from the start's, everything else in the recipe must not; nor
            may the most epochs where the rate falls towards them.
        start: take its weights to begin with, all that fit: a classifier of other classes
            starts anew.
        after_epoch: called with the history after each epoch's checkpoint is on disk, and once
            on resuming, since the run may have been killed between the two.

    Raises:
        UserError: checkpoints are there and `resume` is off, or they are damaged or of another
            run; another run is writing there; the disk is full; there are no images; the loss is
            no longer a number.
        ValueError: the images' size or labels do not fit the network.
    """
    for images in (train_images, val_images):
        _check_images(images, kind, classes)
    _seed(recipe.seed, 0)
    network = kind.build(classes)
    if start is not None:
        take_weights(network, start)
    network = runtime.place(network)
    optimizer = make_optimizer(network, recipe)
    average = Average(network, recipe.average) if recipe.average else None
    trainee = _Trainee(network, optimizer, average)
    config = _configuration(kind, classes, train_images, val_images, recipe, runtime)
    if start is not None:
        config["start"] = start.weights
    keep_best = recipe.keep == "best"
    history: History = []
    with hold_checkpoints(checkpoints):
        newest = latest_checkpoint(checkpoints)
        if newest is not None:
            if not resume:
                raise UserError(
                    f"{checkpoints}: holds a started run; give --resume or another --out"
                )
            history = load_checkpoint(newest, network, optimizer, config, trainee.averaged)
            after_epoch(history)
        if not stop_reason(history, recipe):
            check_checkpoint_room(checkpoints, optimizer, keep_best)
            forward = runtime.training_forward(network)
            batches = Batches(train_images, kind, runtime), Batches(val_images, kind, runtime)
        while not (reason := stop_reason(history, recipe)):
            number = len(history) + 1
            epoch = _run_epoch(trainee, forward, *batches, recipe, number)
            history = [*history, epoch]
            save_checkpoint(
                checkpoints, network, optimizer, history, config, keep_best, trainee.averaged
            )
            after_epoch(history)
        kept = best_epoch(history) if keep_best else history[-1].epoch
        if kept != history[-1].epoch:
            file = "weights.safetensors" if average is None else AVERAGE
            load_weights(trainee.judged, checkpoint_of(checkpoints, kept) / file, kind.name)
    return Trained(trainee.judged.eval(), history, kept, reason)


def take_weights(network: nn.Module, start: OpenNetwork) -> list[str]:
    """Copy the weights of `start` into `network` and give the names of those that do not fit.

    Raises:
        UserError: none fits.
    """
    own = network.state_dict()
    given = start.module.state_dict()
    fit = {n: v for n, v in given.items() if n in own and own[n].shape == v.shape}
    if not fit:
        raise UserError(f"--from {start.name}: no layer of it fits this network")
    network.load_state_dict(fit, strict=False)
    return [name for name in own if name not in fit]


def _configuration(
    kind: NetworkKind,
    classes: int,
    train_images: ImageSet,
    val_images: ImageSet,
    recipe: Recipe,
    runtime: Runtime,
) -> dict[str, Any]:
    """What a resumed run must agree with: all that its weights depend on."""
    free = {"patience"} if recipe.decay_epochs else {"patience", "max_epochs"}
    return {
        "network": kind.name,
        "classes": classes,
        "train_images": train_images.fingerprint(),
        "val_images": val_images.fingerprint(),
        "precision": runtime.precision,
        **{k: v for k, v in recipe.to_json().items() if k not in free},
        **({"compiled": True} if runtime.compiled else {}),
    }


def _check_images(images: ImageSet, kind: NetworkKind, classes: int) -> None:
    if not len(images):
        raise UserError(f"{images.source}: no images to train on or to validate with")
    if images.size != kind.input_size:
        raise ValueError(f"{images.source}: images of {images.size}, not {kind.input_size}")
    labels = images.label_array()
    # on a GPU a label out of range would end the whole process
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{images.source}: labels up to {labels.max()}, but {classes} classes")


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
    """As the recipe says; fused, so that a step of Adam passes over its 1.5 GB of state once."""
    if recipe.optimizer == "sgd":
        # biases, and the gains of normalisation, are not pulled to zero
        rich = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": rich, "weight_decay": recipe.weight_decay},
            {"params": plain},
        ]
        return torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            fused=True,
        )
    return torch.optim.Adam(
        network.parameters(),
        lr=recipe.learning_rate,
        eps=recipe.epsilon,
        amsgrad=recipe.amsgrad,
        fused=True,
    )


def _run_epoch(
    trainee: _Trainee,
    forward: Callable[[torch.Tensor], torch.Tensor],
    train_batches: Batches,
    val_batches: Batches,
    recipe: Recipe,
    number: int,
) -> Epoch:
    start = time.perf_counter()
    score = _train_once(trainee, forward, train_batches, recipe, number)
    trained = time.perf_counter()
    val = evaluate_classifier(trainee.judged, val_batches)
    _check_number(val, number)
    return Epoch(
        epoch=number,
        train_loss=score.cross_entropy,
        train_accuracy=score.accuracy,
        train_top5=score.top5_accuracy,
        val_loss=val.cross_entropy,
        val_accuracy=val.accuracy,
        val_top5=val.top5_accuracy,
        seconds=time.perf_counter() - start,
        images_per_second=len(train_batches) / (trained - start),
    )


def _train_once(
    trainee: _Trainee,
    forward: Callable[[torch.Tensor], torch.Tensor],
    batches: Batches,
    recipe: Recipe,
    number: int,
) -> ClassifierScore:
    """One pass over the training images in the order that the seed gives this epoch."""
    draw = _seed(recipe.seed, number)
    order = torch.randperm(len(batches), generator=draw)
    optimizer, average = trainee.optimizer, trainee.average
    tally = Tally(batches.runtime.device)
    steps = math.ceil(len(batches) / recipe.batch_size)
    trainee.network.train()
    shown = time.perf_counter()
    with progress(len(batches), f"epoch {number}") as bar:
        for index, (pixels, wanted) in enumerate(batches.stream(order, recipe.batch_size)):
            step = (number - 1) * steps + index
            _set_rate(optimizer, recipe.rate_at(step / steps))
            optimizer.zero_grad(set_to_none=True)
            loss, logits = _forward(forward, batches, pixels, wanted, recipe, draw)
            loss.backward()
            optimizer.step()
            if average is not None:
                average.update(trainee.network, step)
            tally.add(loss, logits, wanted)
            bar.update(len(wanted))
            # reading the tally waits for a GPU's queue to run empty, so not at every step
            if time.perf_counter() - shown > SHOW_EVERY:
                _show(bar, tally.score(), number)
                shown = time.perf_counter()
    score = tally.score()
    _check_number(score, number)
    return score


def _forward(
    forward: Callable[[torch.Tensor], torch.Tensor],
    batches: Batches,
    pixels: torch.Tensor,
    wanted: torch.Tensor,
    recipe: Recipe,
    draw: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and logits of a batch, or of views of it."""

    def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)

    if recipe.augmentation is None:
        with batches.runtime.autocast():
            logits = forward(pixels).float()
        return loss_of(logits, wanted), logits
    views = augment(pixels, wanted, recipe.augmentation, draw)
    with batches.runtime.autocast():
        logits = forward(views.pixels).float()
    loss = loss_of(logits, views.labels)
    if views.share < 1:
        loss = views.share * loss + (1 - views.share) * loss_of(logits, views.others)
    return loss, logits


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _show(bar: Any, score: ClassifierScore, number: int) -> None:
    _check_number(score, number)
    bar.set_postfix(
        {"loss": f"{score.cross_entropy:.3f}", "acc": f"{score.accuracy:.3f}"}, refresh=False
    )


def _check_number(score: ClassifierScore, number: int) -> None:
    if not math.isfinite(score.cross_entropy):
        raise UserError(
            f"epoch {number}: the loss is no longer a number; try a lower --learning-rate "
            "or --precision fp32"
        )


def _seed(seed: int, epoch: int) -> torch.Generator:
    """Seed the global generator (dropout) and give one for the order of images."""
    combined = seed * 1_000_003 + epoch
    torch.manual_seed(combined)
    return torch.Generator().manual_seed(combined + 500_009)

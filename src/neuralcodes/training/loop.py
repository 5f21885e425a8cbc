"""The training loop, one for CPU and GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.common.team import ALONE, Team, explain_deaths
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import load_weights
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
from neuralcodes.training.classification import ClassifierScore, Tally
from neuralcodes.training.classifier import start_from_class_means
from neuralcodes.training.history import Epoch, History, best_epoch, epochs_since_best
from neuralcodes.training.layers import Learning, blend_weights, prepare_layers, take_weights
from neuralcodes.training.objective import VIEWS, Classes, Objective, Views
from neuralcodes.training.optimizer import make_optimizer, set_rate
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.sharing import Share, share_layers

SHOW_EVERY = 1.0  # seconds between two looks at the loss


@dataclass(frozen=True)
class Trained:
    """A trained network with the weights that the recipe keeps, in evaluation mode."""

    network: nn.Module
    history: History
    kept_epoch: int
    stopped_because: str


@dataclass(frozen=True)
class Trainee:
    """A network in training and what goes with it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None
    learning: Learning
    share: Share = field(default_factory=lambda: Share(ALONE))

    @property
    def judged(self) -> nn.Module:
        """The network whose weights are validated and kept."""
        return self.network if self.average is None else self.average.network

    @property
    def averaged(self) -> nn.Module | None:
        """The network with the averaged weights, if the recipe keeps one."""
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
    """Train `kind` on `train_images`, watching `val_images`: their classes, or where the recipe's
    objective is views, the images alone.

    Every random draw of an epoch comes from the seed and the epoch's number, so that a run that
    was killed and resumed gives the weights of an unbroken one: to the bit on the same kind of
    processor with the same number of threads.

    In a team (`common.team`) each rank takes its rows of every batch, and what is learned is the
    same but for rounding. The first rank writes the checkpoints; all must see their folder.

    Args:
        classes: how many classes to tell apart; labels are below it. Without labels it only gives
            the classifier its size.
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
            run; another run is writing there; the disk is full; there are no images; a layer to
            freeze that is not there; the loss is no longer a number.
        ValueError: the images' size or labels do not fit the network.
    """
    for images in (train_images, val_images):
        _check_images(images, kind, classes, recipe)
    _seed(recipe.seed, 0)
    network = kind.build(classes)
    unfit = take_weights(network, start) if start is not None else []
    network = runtime.place(network)
    if unfit and recipe.class_means:
        start_from_class_means(network, unfit, Batches(train_images, kind, runtime), classes)
    learning = prepare_layers(
        network, kind, recipe.freeze, recipe.layer_decay, recipe.keep_statistics
    )
    optimizer = make_optimizer(network, recipe, learning.scales)
    average = Average(network, recipe.average) if recipe.average else None
    team = Team.current()
    share = Share(team, VIEWS if recipe.objective == "views" else 1)
    share_layers(network, share)
    trainee = Trainee(network, optimizer, average, learning, share)
    config = _configuration(kind, classes, train_images, val_images, recipe, runtime)
    if start is not None:
        config["start"] = start.weights
    keep_best = recipe.keep == "best"
    history: History = []
    with ExitStack() as held:
        if not team.alone:
            held.enter_context(explain_deaths())  # which gradients meet on their way too
        team.lead(lambda: _nothing(held.enter_context(hold_checkpoints(checkpoints))))
        newest = latest_checkpoint(checkpoints)
        if newest is not None:
            if not resume:
                raise UserError(
                    f"{checkpoints}: holds a started run; give --resume or another --out"
                )
            history = load_checkpoint(newest, network, optimizer, config, trainee.averaged)
            team.lead(partial(after_epoch, history))
        if not stop_reason(history, recipe):
            team.lead(partial(check_checkpoint_room, checkpoints, optimizer, keep_best))
            objective = _objective(network, kind, recipe, runtime, share)
            batches = Batches(train_images, kind, runtime), Batches(val_images, kind, runtime)
        while not (reason := stop_reason(history, recipe)):
            number = len(history) + 1
            epoch = _run_epoch(trainee, objective, *batches, recipe, number)
            history = [*history, epoch]
            team.lead(partial(
                save_checkpoint, checkpoints, network, optimizer, history, config, keep_best,
                trainee.averaged,
            ))  # fmt: skip
            team.lead(partial(after_epoch, history))
        kept = best_epoch(history) if keep_best else history[-1].epoch
        if kept != history[-1].epoch:
            file = "weights.safetensors" if average is None else AVERAGE
            load_weights(trainee.judged, checkpoint_of(checkpoints, kept) / file, kind.name)
        team.lead(lambda: None)  # all have read
    if start is not None and recipe.blend < 1:
        blend_weights(trainee.judged, start, recipe.blend)
    return Trained(trainee.judged.eval(), history, kept, reason)


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


def _check_images(images: ImageSet, kind: NetworkKind, classes: int, recipe: Recipe) -> None:
    if not len(images):
        raise UserError(f"{images.source}: no images to train on or to validate with")
    if images.size != kind.input_size:
        raise ValueError(f"{images.source}: images of {images.size}, not {kind.input_size}")
    if recipe.objective == "views":
        return
    labels = images.label_array()
    # on a GPU a label out of range would end the whole process
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{images.source}: labels up to {labels.max()}, but {classes} classes")


def _nothing(_value: object) -> None:
    """What a team shares must be nothing but data."""


def _objective(
    network: nn.Module, kind: NetworkKind, recipe: Recipe, runtime: Runtime, share: Share
) -> Objective:
    if recipe.batch_size == 1 and _learns_statistics(network.train()):
        raise UserError("--batch-size 1: batch normalisation needs at least 2 images a step")
    if recipe.objective == "views":
        return Views(network, kind, recipe, runtime, share)
    return Classes(network, kind, recipe, runtime, share)


def _learns_statistics(network: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) and part.training for part in network.modules())


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


def _run_epoch(
    trainee: Trainee,
    objective: Objective,
    train_batches: Batches,
    val_batches: Batches,
    recipe: Recipe,
    number: int,
) -> Epoch:
    start = time.perf_counter()
    score = train_once(trainee, objective, train_batches, recipe, number)
    trained = time.perf_counter()
    val = objective.evaluate(trainee.judged, val_batches)
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


def train_once(
    trainee: Trainee,
    objective: Objective,
    batches: Batches,
    recipe: Recipe,
    number: int,
) -> ClassifierScore:
    """One pass over the training images in the order that the seed gives this epoch."""
    draw = _seed(recipe.seed, number)
    order = torch.randperm(len(batches), generator=draw)
    optimizer, average, share = trainee.optimizer, trainee.average, trainee.share
    tally = Tally(batches.runtime.device)
    trainee.learning.start_epoch(trainee.network)
    objective.begin_epoch()
    if (
        len(order) % recipe.batch_size == 1
        and len(order) > 1
        and _learns_statistics(trainee.network)
    ):
        order = order[:-1]  # one image has no statistics
    steps = math.ceil(len(order) / recipe.batch_size)
    shown = time.perf_counter()
    with progress(len(batches), f"epoch {number}") as bar:
        whole = torch.split(order, recipe.batch_size)
        own = whole if objective.needs_all else [rows[share.take(len(rows))] for rows in whole]
        for index, (pixels, wanted) in enumerate(batches.stream_parts(own)):
            share.take(len(whole[index]))
            step = (number - 1) * steps + index
            set_rate(optimizer, recipe.rate_at(step / steps))
            optimizer.zero_grad(set_to_none=True)
            found = objective.step(pixels, wanted, draw)
            (found.loss * found.weight).backward()
            optimizer.step()
            if average is not None:
                average.update(trainee.network, step)
            if found.counted:
                tally.add(found.loss, found.logits, found.wanted)
            bar.update(len(whole[index]))
            # reading the tally waits for a GPU's queue to run empty, so not at every step
            if time.perf_counter() - shown > SHOW_EVERY:
                _show(bar, tally.score(), number)
                shown = time.perf_counter()
    score = tally.score(share.team)
    _check_number(score, number)
    return score


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

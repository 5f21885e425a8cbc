"""The training loop, one for CPU and GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from neuralcodes.common.errors import UserError
from neuralcodes.common.progress import progress
from neuralcodes.common.team import Team, explain_deaths
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime
from neuralcodes.networks.weights import load_weights
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
from neuralcodes.training.history import Epoch, History, best_epoch, epochs_since_best
from neuralcodes.training.layers import blend_weights
from neuralcodes.training.objective import Classes, Objective, Views
from neuralcodes.training.optimizer import set_rate
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.sharing import Share
from neuralcodes.training.trainee import Trainee, begin_training, seed_epoch

SHOW_EVERY = 1.0  # seconds between two looks at the loss


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
    trainee = begin_training(kind, classes, train_images, recipe, runtime, start)
    config = _configuration(kind, classes, train_images, val_images, recipe, runtime, start)
    run = _Run(checkpoints, config, recipe.keep == "best", after_epoch)
    with run.held(trainee.share.team):
        history = run.resume(trainee, resume)
        if not stop_reason(history, recipe):
            both = train_images, val_images
            history = _run_epochs(trainee, run, history, kind, both, recipe, runtime)
        kept = run.take_kept(trainee, history, kind)
    if start is not None and recipe.blend < 1:
        blend_weights(trainee.judged, start, recipe.blend)
    return Trained(trainee.judged.eval(), history, kept, stop_reason(history, recipe))


@dataclass(frozen=True)
class _Run:
    """A run's checkpoints: written by the team's first rank, read by all.

    Attributes:
        folder: of the checkpoints.
        config: what a resumed run must agree with.
        best: whether the best epoch's weights are kept; else the last's.
        after_epoch: see `train`.
    """

    folder: Path
    config: dict[str, Any]
    best: bool
    after_epoch: Callable[[History], None]

    @contextmanager
    def held(self, team: Team) -> Iterator[None]:
        """Nobody else writes there meanwhile."""
        with ExitStack() as held:
            if not team.alone:
                held.enter_context(explain_deaths())  # which gradients meet on their way too
            team.lead(lambda: _nothing(held.enter_context(hold_checkpoints(self.folder))))
            yield

    def resume(self, trainee: Trainee, allowed: bool) -> History:
        """Put the trainee where the newest checkpoint has it; no epochs where there is none."""
        newest = latest_checkpoint(self.folder)
        if newest is None:
            return []
        if not allowed:
            raise UserError(f"{self.folder}: holds a started run; give --resume or another --out")
        history = load_checkpoint(
            newest, trainee.network, trainee.optimizer, self.config, trainee.averaged
        )
        trainee.share.team.lead(partial(self.after_epoch, history))
        return history

    def save(self, trainee: Trainee, history: History) -> None:
        """Keep an epoch and tell of it."""
        team = trainee.share.team
        team.lead(partial(
            save_checkpoint, self.folder, trainee.network, trainee.optimizer, history,
            self.config, self.best, trainee.averaged,
        ))  # fmt: skip
        team.lead(partial(self.after_epoch, history))

    def take_kept(self, trainee: Trainee, history: History, kind: NetworkKind) -> int:
        """Give the judged network the weights that are kept; their epoch."""
        kept = best_epoch(history) if self.best else history[-1].epoch
        if kept != history[-1].epoch:
            file = "weights.safetensors" if trainee.average is None else AVERAGE
            load_weights(trainee.judged, checkpoint_of(self.folder, kept) / file, kind.name)
        trainee.share.team.lead(lambda: None)  # all have read
        return kept


def _run_epochs(
    trainee: Trainee,
    run: _Run,
    history: History,
    kind: NetworkKind,
    images: tuple[ImageSet, ImageSet],
    recipe: Recipe,
    runtime: Runtime,
) -> History:
    """Epochs until there is a reason to stop, a checkpoint each; all epochs so far.

    Args:
        images: to train on and to validate with.
    """
    room = partial(check_checkpoint_room, run.folder, trainee.optimizer, run.best)
    trainee.share.team.lead(room)
    objective = _objective(trainee.network, kind, recipe, runtime, trainee.share)
    train_batches, val_batches = (Batches(some, kind, runtime) for some in images)
    while not stop_reason(history, recipe):
        number = len(history) + 1
        epoch = _run_epoch(trainee, objective, train_batches, val_batches, recipe, number)
        history = [*history, epoch]
        run.save(trainee, history)
    return history


def _configuration(
    kind: NetworkKind,
    classes: int,
    train_images: ImageSet,
    val_images: ImageSet,
    recipe: Recipe,
    runtime: Runtime,
    start: OpenNetwork | None,
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
        **({} if start is None else {"start": start.weights}),
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
    draw = seed_epoch(recipe.seed, number)
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

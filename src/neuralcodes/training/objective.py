"""What a network learns from: the classes of images, or which views are of one image.

Each gives, for a batch, a loss with the scores and the right answers behind it, so that one loop
and one tally serve both. For views the answer is which of all the other views in the batch shows
the same image; "accuracy" is how often that view is the nearest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime, evaluating
from neuralcodes.networks.taps import Tap, resolve_layer
from neuralcodes.training.augmentation import Augmentation, augment
from neuralcodes.training.batches import Batches
from neuralcodes.training.classification import (
    EVALUATION_BATCH,
    ClassifierScore,
    Tally,
    evaluate_classifier,
)
from neuralcodes.training.contrast import Contrast
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.sharing import ALONE_SHARE, Share

VIEWS = 2  # of each image
VALIDATION_SEED = 20_090_612  # of the views that are validated with, in every epoch the same


@dataclass(frozen=True)
class Outcome:
    """Of a batch: loss (a scalar), scores float k×c, and the right column of each row, int64 k.

    In a team they are those of a rank's rows, except of views, which are seen together: the whole
    batch's on every rank. `weight` is what the loss counts in the mean over ranks; `counted` says
    whether this rank's tally takes it.
    """

    loss: torch.Tensor
    logits: torch.Tensor
    wanted: torch.Tensor
    weight: float = 1.0
    counted: bool = True


class Objective(Protocol):
    """What is learned."""

    needs_all: bool
    """Whether every rank of a team must be given the whole batch."""

    def begin_epoch(self) -> None:
        """Forget what the last epoch left, so that a resumed run is an unbroken one."""

    def step(self, pixels: torch.Tensor, labels: torch.Tensor, draw: torch.Generator) -> Outcome:
        """Loss of a training batch.

        Args:
            pixels: float32 k×3×H×W, normalised, of this rank's rows (see `Share`) or of all.
            labels: int64 k.
            draw: for the views, on the CPU.
        """

    def evaluate(self, network: nn.Module, batches: Batches) -> ClassifierScore:
        """Score a network on images that it does not learn from."""


class Classes:
    """Cross-entropy of the classes, of the images or of random views of them.

    With a recipe's `contrast` also the supervised contrastive loss of the codes; then the network
    is never compiled.

    Args:
        network: that learns.
        kind: of it; the code is its default layer.
        recipe, runtime: of the training.
        share: this rank's part of each batch.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: NetworkKind,
        recipe: Recipe,
        runtime: Runtime,
        share: Share = ALONE_SHARE,
    ) -> None:
        self._share = share
        self.needs_all = bool(recipe.augmentation is not None and recipe.augmentation.cutmix)
        self._contrast: Contrast | None = None
        self._forward: Callable[[torch.Tensor], Any]
        if recipe.contrast:
            layer = resolve_layer(network, kind.default_layer, kind.layers)
            self._contrast = Contrast(recipe.contrast, recipe.temperature, recipe.memory)
            self._forward = share.team.learn_together(_Tapped(network, [layer, ""]))
        else:
            self._forward = runtime.training_forward(share.team.learn_together(network))
        self._recipe = recipe
        self._runtime = runtime

    def begin_epoch(self) -> None:
        """The memory of codes is of one epoch."""
        if self._contrast is not None:
            self._contrast.forget()

    def step(self, pixels: torch.Tensor, labels: torch.Tensor, draw: torch.Generator) -> Outcome:
        """Loss of a training batch; see `Objective`."""
        how = self._recipe.augmentation
        share = self._share
        counted = share.team.leads or not share.whole
        if how is None:
            logits, codes = self._run(pixels)
            return Outcome(self._loss(logits, labels), logits, labels, share.weight, counted)
        if self.needs_all and not share.whole:
            views = augment(pixels, labels, how, draw)
            own = share.rows.to(pixels.device)
            pixels, labels, others = views.pixels[own], labels[own], views.others[own]
        else:
            views = augment(pixels, labels, how, draw, share.part)
            pixels, others = views.pixels, views.others
        logits, codes = self._run(pixels)
        loss = self._loss(logits, labels)
        if views.share < 1:
            loss = views.share * loss + (1 - views.share) * self._loss(logits, others)
        if self._contrast is not None and codes is not None:
            # of the whole batch, on every rank: not weighed by its rows
            known = share.whole_batch(torch.cat([codes, labels[:, None].to(codes)], dim=1))
            loss = loss + self._contrast(known[:, :-1], known[:, -1].long()) / share.weight
        return Outcome(loss, logits, labels, share.weight, counted)

    def evaluate(self, network: nn.Module, batches: Batches) -> ClassifierScore:
        """As a classifier of the images as they are."""
        return evaluate_classifier(network, batches)

    def _run(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        with self._runtime.autocast():
            given = self._forward(pixels)
        if self._contrast is None:
            return given.float(), None
        codes, logits = given
        return logits.float(), codes.float().flatten(1)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)


class Views:
    """Two views of each image find one another among all of the batch, by the network's code.

    The loss is NT-Xent (SimCLR, Chen et al., ICML 2020, equation 1), here on the code itself:
    no further layers stand between the loss and what is searched by. No label is looked at.

    Args:
        network: that learns. It runs up to its code, and is never compiled.
        kind: of it; the code is its default layer.
        recipe, runtime: of the training.
        share: this rank's part of each batch.
    """

    needs_all = False

    def __init__(
        self,
        network: nn.Module,
        kind: NetworkKind,
        recipe: Recipe,
        runtime: Runtime,
        share: Share = ALONE_SHARE,
    ) -> None:
        assert recipe.augmentation is not None  # a recipe without views is refused
        self._how: Augmentation = recipe.augmentation
        self._temperature = recipe.temperature
        self._layer = resolve_layer(network, kind.default_layer, kind.layers)
        self._share = share
        self._codes = share.team.learn_together(_Tapped(network, [self._layer]), partly=True)
        self._runtime = runtime

    def begin_epoch(self) -> None:
        """Nothing is kept from batch to batch."""

    def step(self, pixels: torch.Tensor, labels: torch.Tensor, draw: torch.Generator) -> Outcome:
        """Loss of a training batch; see `Objective`. The scores are 2k×2k."""
        views = self._views(pixels, labels, draw, self._share.part)
        with self._runtime.autocast():
            (codes,) = self._codes(views)
        found = self._outcome(self._share.whole_batch(codes.float().flatten(1)))
        return replace(found, counted=self._share.team.leads)

    def evaluate(self, network: nn.Module, batches: Batches) -> ClassifierScore:
        """On views that are the same at every call."""
        draw = torch.Generator().manual_seed(VALIDATION_SEED)
        tap = Tap(network, [self._layer])
        tally = Tally(self._runtime.device)
        with evaluating(network):
            for pixels, labels in batches.stream(torch.arange(len(batches)), EVALUATION_BATCH):
                with self._runtime.autocast():
                    codes = tap(self._views(pixels, labels, draw))[self._layer]
                found = self._outcome(codes.float().flatten(1))
                tally.add(found.loss, found.logits, found.wanted)
        return tally.score()

    def _views(
        self,
        pixels: torch.Tensor,
        labels: torch.Tensor,
        draw: torch.Generator,
        part: tuple[int, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        made = [augment(pixels, labels, self._how, draw, part).pixels for _ in range(VIEWS)]
        return torch.cat(made)

    def _outcome(self, codes: torch.Tensor) -> Outcome:
        logits, wanted = view_scores(codes, self._temperature)
        return Outcome(F.cross_entropy(logits, wanted), logits, wanted)


class _Tapped(nn.Module):
    """A network that gives the outputs of some of its layers; its own is that of layer ""."""

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._tap = Tap(network, layers)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._tap(pixels).values())


def view_scores(codes: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines over a temperature between all views, and where each view's partner stands.

    Args:
        codes: float 2k×d: the first views of k images, then their second views.

    Returns:
        float 2k×2k with −∞ for a view and itself, and int64 2k.
    """
    unit = F.normalize(codes)
    count = len(unit)
    itself = torch.eye(count, dtype=torch.bool, device=unit.device)
    scores = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    return scores, torch.arange(count, device=unit.device).roll(count // 2)

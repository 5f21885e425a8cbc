"""`Trainee`: a network in training and what goes with it, as it is before the first step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from neuralcodes.common.team import ALONE, Team
from neuralcodes.images.imageset import ImageSet
from neuralcodes.networks.opened import OpenNetwork
from neuralcodes.networks.registry import NetworkKind
from neuralcodes.networks.runtime import Runtime
from neuralcodes.training.averaging import Average
from neuralcodes.training.batches import Batches
from neuralcodes.training.classifier import start_from_class_means
from neuralcodes.training.convolutions import use_products
from neuralcodes.training.layers import Learning, prepare_layers, take_weights
from neuralcodes.training.objective import VIEWS
from neuralcodes.training.optimizer import make_optimizer
from neuralcodes.training.recipe import Recipe
from neuralcodes.training.sharing import Share, share_layers


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


def begin_training(
    kind: NetworkKind,
    classes: int,
    images: ImageSet,
    recipe: Recipe,
    runtime: Runtime,
    start: OpenNetwork | None,
) -> Trainee:
    """The network before its first step, the same for the same seed; see `loop.train`."""
    seed_epoch(recipe.seed, 0)
    network = kind.build(classes)
    unfit = take_weights(network, start) if start is not None else []
    network = runtime.place(network)
    if unfit and recipe.class_means:
        start_from_class_means(network, unfit, Batches(images, kind, runtime), classes)
    learning = prepare_layers(
        network, kind, recipe.freeze, recipe.layer_decay, recipe.keep_statistics
    )
    optimizer = make_optimizer(network, recipe, learning.scales)
    average = Average(network, recipe.average) if recipe.average else None
    use_products(network, runtime)
    share = Share(Team.current(), VIEWS if recipe.objective == "views" else 1)
    share_layers(network, share)
    return Trainee(network, optimizer, average, learning, share)


def seed_epoch(seed: int, epoch: int) -> torch.Generator:
    """Seed the global generator (dropout) and give one for the order of images; 0 is the start."""
    combined = seed * 1_000_003 + epoch
    torch.manual_seed(combined)
    return torch.Generator().manual_seed(combined + 500_009)

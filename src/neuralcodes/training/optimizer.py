"""The optimiser that a recipe asks for, and its rate at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from neuralcodes.training.recipe import Recipe


def make_optimizer(
    network: nn.Module, recipe: Recipe, scales: Mapping[nn.Parameter, float] | None = None
) -> torch.optim.Optimizer:
    """As the recipe says; fused, so that a step of Adam passes over its 1.5 GB of state once.

    Args:
        scales: shares of the learning rate by parameter; 1 where one is not named.
    """
    by_scale: dict[float, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            scale = 1.0 if scales is None else scales.get(parameter, 1.0)
            by_scale.setdefault(scale, []).append(parameter)
    groups: list[dict[str, Any]] = []
    for scale, parameters in by_scale.items():
        # named only where in use, so that older checkpoints have the same groups
        rate = {} if scale == 1 else {"scale": scale}
        if recipe.optimizer == "sgd":
            # biases, and the gains of normalisation, are not pulled to zero
            rich = [p for p in parameters if p.ndim > 1]
            plain = [p for p in parameters if p.ndim <= 1]
            groups.append({"params": rich, "weight_decay": recipe.weight_decay, **rate})
            groups.append({"params": plain, **rate})
        else:
            groups.append({"params": parameters, **rate})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            fused=True,
        )
    return torch.optim.Adam(
        groups,
        lr=recipe.learning_rate,
        eps=recipe.epsilon,
        amsgrad=recipe.amsgrad,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)

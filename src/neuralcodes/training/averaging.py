"""The running average of a network's weights, which is what a recipe with one keeps."""

from __future__ import annotations

import copy

import torch
from torch import nn

WARM_UP = 10.0


class Average:
    """An exponential average of all weights and of the statistics of batch normalisation.

    Args:
        network: what is trained; the average starts as its copy.
        decay: of the average a step. Early on it is lower, (1 + step) / (10 + step), so that the
            random weights of the start do not linger.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self.network.requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step number `step`, counted from the start of training."""
        decay = min(self._decay, (1 + step) / (WARM_UP + step))
        own, new = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[n] for n in floats], [new[n] for n in floats], 1 - decay)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])

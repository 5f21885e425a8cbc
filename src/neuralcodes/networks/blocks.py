"""Pieces that the plain convolutional networks here share."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def same_padding(kernel: int) -> nn.ZeroPad2d:
    """Zero padding that keeps the size at stride 1, as Keras pads: an even kernel's odd row
    and column go to the right and the bottom."""
    before = (kernel - 1) // 2
    after = kernel - 1 - before
    return nn.ZeroPad2d((before, after, before, after))


def convolution(incoming: int, outgoing: int, kernel: int) -> nn.Module:
    """A stride-1 convolution that keeps height and width."""
    if kernel % 2:
        return nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2)
    return nn.Sequential(
        OrderedDict(pad=same_padding(kernel), conv=nn.Conv2d(incoming, outgoing, kernel))
    )


def glorot(module: nn.Module) -> nn.Module:
    """Glorot-uniform weights and zero biases in every convolution and dense layer, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module

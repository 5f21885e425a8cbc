"""Our own network for short codes: residual, for 64×64 images, with a code of 128 values.

Basic residual blocks (He et al. 2016), generalised-mean pooling (Radenović et al. 2018), then a
linear code with batch normalisation and a classifier on the unit sphere ("Classification is a
strong baseline for deep metric learning", Zhai & Wu 2019). The first convolution halves the size:
on a CPU dense 3×3 convolutions run nearest to its limit, and early maps cost the most.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from neuralcodes.networks.registry import register

WIDTHS = (64, 128, 256, 512)
DEPTHS = (1, 2, 2, 1)
CODE = 128
SCALE = 16.0  # of the cosines, before the softmax


class Residual(nn.Module):
    """Two 3×3 convolutions beside a shortcut; `stride` 2 halves height and width."""

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, outgoing, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outgoing)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outgoing)
        shortcut: list[nn.Module] = []
        if stride == 2:
            shortcut.append(nn.AvgPool2d(2, ceil_mode=True))  # a strided 1×1 would drop 3 of 4
        if stride == 2 or incoming != outgoing:
            shortcut.append(nn.Conv2d(incoming, outgoing, 1, bias=False))
            shortcut.append(nn.BatchNorm2d(outgoing))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps N×incoming×H×W → N×outgoing×H'×W'."""
        inner = F.silu(self.norm1(self.conv1(maps)), inplace=True)
        inner = self.norm2(self.conv2(inner))
        return F.silu(inner + self.shortcut(maps), inplace=True)


def full_precision(like: torch.Tensor) -> AbstractContextManager[Any]:
    """No autocast for a sum that bf16 would spoil. (The "meta" device knows no autocast.)"""
    if like.device.type == "meta":
        return nullcontext()
    return torch.autocast(like.device.type, enabled=False)


class GeneralisedMean(nn.Module):
    """Cube root of the mean cube over positions, N×C×H×W → N×C, in fp32."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Negative values count as zero."""
        with full_precision(maps):
            cubes = maps.float().clamp(min=1e-6).pow(3)
            return cubes.mean((2, 3)).pow(1 / 3)


class CosineClassifier(nn.Module):
    """Scaled cosines between a code and one unit vector a class, in fp32."""

    def __init__(self, incoming: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, incoming))
        nn.init.normal_(self.weight, std=incoming**-0.5)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes N×incoming → logits N×classes."""
        with full_precision(codes):
            cosines = F.linear(F.normalize(codes.float()), F.normalize(self.weight))
            return SCALE * cosines


@register(
    "compact",
    layers={"map": "blocks", "pooled": "pool", "code": "code"},
    default_layer="code",
    input_size=(64, 64),
    mean=(0.480, 0.448, 0.398),  # of Tiny ImageNet's training images
    std=(0.277, 0.269, 0.282),
)
def compact(classes: int) -> nn.Module:
    """Input float N×3×H×W, normalised; 64×64 is what it is trained at, other sizes run too.

    "map" is 512×4×4, "pooled" has 512 values, "code" 128. Returns logits N×classes.
    """
    blocks: list[nn.Module] = []
    incoming = WIDTHS[0]
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        for number in range(depth):
            stride = 2 if stage and not number else 1
            blocks.append(Residual(incoming, width, stride))
            incoming = width
    stem = nn.Sequential(
        nn.Conv2d(3, WIDTHS[0], 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.SiLU(inplace=True),
    )
    layers: list[tuple[str, nn.Module]] = [
        ("stem", stem),
        ("blocks", nn.Sequential(*blocks)),
        ("pool", GeneralisedMean()),
        ("project", nn.Linear(incoming, CODE, bias=False)),
        ("code", nn.BatchNorm1d(CODE)),
        ("classifier", CosineClassifier(CODE, classes)),
    ]
    network = nn.Sequential(OrderedDict(layers))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, Residual):
            # a block starts as its shortcut, so that a deep network learns from the first step
            nn.init.zeros_(module.norm2.weight)
    return network

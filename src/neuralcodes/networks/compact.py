"""Our own network for short codes: residual, for 80×80 images, with a code of 128 values.

Basic residual blocks (He et al. 2016), generalised means (Radenović et al. 2018) of regions, then a
linear code with batch normalisation and a classifier on the unit sphere ("Classification is a
strong baseline for deep metric learning", Zhai & Wu 2019), and from these the code (`Mixture`). The
first convolution halves the size: on a CPU dense 3×3 convolutions run nearest to its limit, and
early maps cost the most.
"""

from __future__ import annotations

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
ANCHORS = 192  # at most, which a code is likened to
LEARNT = 0.8  # what the learnt code counts beside the fitted one
LENGTH = 32.0  # so that one of some thousand values is about 1, as layers behind expect
REGIONS = (  # shares of the height and of the width: from, to
    ((0.0, 1.0), (0.0, 1.0)),  # all of it
    ((0.25, 0.75), (0.25, 0.75)),  # its centre
    ((0.0, 0.5), (0.0, 1.0)),  # its upper half
    ((0.5, 1.0), (0.0, 1.0)),  # its lower half
)


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


class RegionalMeans(nn.Module):
    """Generalised means (exponent 3) of whole maps and of three of their regions, in fp32.

    Where something lies tells something of what it is, which one mean over all places forgets;
    the linear layer behind weighs the regions. (Regions as in R-MAC, Tolias et al., ICLR 2016.)
    """

    def forward(self, *levels: torch.Tensor) -> torch.Tensor:
        """Maps N×C×H×W of one or more levels → N×(4·C of all), a level's part `LENGTH` long.

        In a part one region comes after the other. Negative values count as zero.
        """
        with full_precision(levels[0]):
            parts = [_regional(maps.float()) for maps in levels]
            lengths = [part.norm(dim=1, keepdim=True).clamp(min=1e-12) for part in parts]
            if not self.training:
                # An explanation shares a similarity out over a map by its gradient, with lengths
                # taken as constants; through this one all shares would add up to nothing.
                lengths = [length.detach() for length in lengths]
            pairs = zip(parts, lengths, strict=True)
            return torch.cat([LENGTH * (part / length) for part, length in pairs], dim=1)


def _regional(maps: torch.Tensor) -> torch.Tensor:
    shares = region_shares(*maps.shape[2:]).to(maps.device)
    means = torch.einsum("nchw,rhw->nrc", maps.clamp(min=1e-6).pow(3), shares)
    return means.pow(1 / 3).flatten(1)


def region_shares(height: int, width: int) -> torch.Tensor:
    """What each place counts in each region's mean, float32 regions×height×width; sums are 1.

    A place that lies partly in a region counts in part, so that maps of any size are divided alike.
    """
    shares = [
        _inside(height, *rows)[:, None] * _inside(width, *columns) for rows, columns in REGIONS
    ]
    return torch.stack([share / share.sum() for share in shares])


def _inside(places: int, start: float, end: float) -> torch.Tensor:
    """How much of each of the equal parts of a side lies between these shares of it."""
    edges = torch.arange(places + 1) / places
    return (edges[1:].clamp(max=end) - edges[:-1].clamp(min=start)).clamp(min=0)


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


class Mixture(nn.Module):
    """The code: what training learnt, what a fit kept, and the likeness to anchors, in fp32.

    A projection that learns with the classifier forgets what tells other classes apart; principal
    components of the pooled values never saw it. Each finds what the other misses, and so does how
    like the two are to each training class: how sure that is, no linear layer tells
    (results/EXPERIMENTS.md, "A code of three parts"). All of it is fitted after training
    (experiments/fitted_code.py). While the network trains, and until then, the code is the learnt
    one.
    """

    def __init__(self, incoming: int) -> None:
        super().__init__()
        both = 2 * CODE
        learnt = torch.cat([torch.zeros(CODE, CODE), torch.eye(CODE)], dim=1)
        fitted = {
            "components": torch.zeros(CODE, incoming),
            "offset": torch.zeros(CODE),
            "anchors": torch.zeros(ANCHORS, both),
            "biases": torch.zeros(ANCHORS),  # of an anchor that is not used: far below zero
            "mix": torch.cat([learnt, torch.zeros(CODE, ANCHORS)], dim=1),
            "shift": torch.zeros(CODE),
        }
        for name, value in fitted.items():
            self.register_buffer(name, value)

    def forward(self, pooled: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
        """Pooled values N×incoming and learnt codes N×128 → codes N×128."""
        if self.training:
            return learnt
        with full_precision(pooled):
            parts = self.parts(pooled.float(), learnt.float())
            code: torch.Tensor = F.linear(parts, self.get_buffer("mix"))
            return code - self.get_buffer("shift")

    def parts(self, pooled: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
        """What is mixed: both codes and the likeness to the anchors, N×(256 + anchors)."""
        both = self.both(pooled, learnt)
        cosines = F.linear(_unit(both), self.get_buffer("anchors"))
        likeness = F.log_softmax(SCALE * cosines + self.get_buffer("biases"), dim=1)
        return torch.cat([both, (likeness / 2).exp()], dim=1)  # √: Hellinger's distance

    def both(self, pooled: torch.Tensor, learnt: torch.Tensor) -> torch.Tensor:
        """The fitted code, of length 1, and beside it the learnt one, N×256."""
        fitted = F.linear(pooled, self.get_buffer("components")) - self.get_buffer("offset")
        return torch.cat([_unit(fitted), LEARNT * _unit(learnt)], dim=1)


def _unit(values: torch.Tensor) -> torch.Tensor:
    """Of length 1; lengths are constants to explanations, as in `RegionalMeans`."""
    lengths = values.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
    return torch.div(values, lengths)


class Compact(nn.Module):
    """Convolutions, what they find in regions of their last two sizes of maps, a code, classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 4, 2, 1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.SiLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        incoming = WIDTHS[0]
        for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            for number in range(depth):
                blocks.append(Residual(incoming, width, 2 if stage and not number else 1))
                incoming = width
        self.blocks = nn.ModuleList(blocks)
        self.pool = RegionalMeans()
        pooled = len(REGIONS) * sum(WIDTHS[-2:])
        self.project = nn.Linear(pooled, CODE, bias=False)
        self.learnt = nn.BatchNorm1d(CODE)
        self.classifier = CosineClassifier(CODE, classes)
        self.code = Mixture(pooled)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels N×3×H×W → logits N×classes."""
        maps = [self.stem(pixels)]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        levels = maps[-1 - DEPTHS[-1]], maps[-1]
        pooled = self.pool(*levels)
        learnt = self.learnt(self.project(pooled))
        self.code(pooled, learnt)  # for those who watch it
        logits: torch.Tensor = self.classifier(learnt)
        return logits


@register(
    "compact",
    layers={
        "map": f"blocks.{sum(DEPTHS) - 1}",
        "pooled": "pool",
        "learnt": "learnt",
        "code": "code",
    },
    default_layer="code",
    input_size=(80, 80),
    mean=(0.480, 0.448, 0.398),  # of Tiny ImageNet's training images
    std=(0.277, 0.269, 0.282),
)
def compact(classes: int) -> nn.Module:
    """Input float N×3×H×W, normalised; 80×80 is what it is trained for, other sizes run too.

    "map" is 512×5×5; "pooled" has 4·(256 + 512) values, of the block's maps before and of these;
    "learnt" and "code" have 128. Returns logits N×classes.
    """
    network = Compact(classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, Residual):
            # a block starts as its shortcut, so that a deep network learns from the first step
            nn.init.zeros_(module.norm2.weight)
    return network

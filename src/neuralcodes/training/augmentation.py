"""Random views of a whole batch at once, on the device that trains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from neuralcodes.common.errors import UserError

GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image; each image of a batch meets its own draw.

    Attributes:
        smallest_area: a crop takes between this share of the image and all of it, with an aspect
            between 3:4 and 4:3, and is resized to the input's size (Szegedy et al. 2015).
        flip: mirror every other image.
        jitter: brightness, contrast and saturation change by up to this share.
        grey: share of images that lose their colour.
        erase: share of images that lose a rectangle of up to a third (Zhong et al. 2020).
        cutmix: share of batches in which a rectangle of each image is another's, and so is that
            share of its label (Yun et al. 2019).
        size: height and width of the views; None keeps the images'. Smaller ones train faster.
    """

    smallest_area: float = 0.35
    flip: bool = True
    jitter: float = 0.3
    grey: float = 0.1
    erase: float = 0.0
    cutmix: float = 0.0
    size: int | None = None

    def __post_init__(self) -> None:
        for name in ("grey", "erase", "cutmix"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"augmentation: {name} must be between 0 and 1")
        if not 0 < self.smallest_area <= 1:
            raise UserError("augmentation: smallest_area must be above 0 and at most 1")
        if not 0 <= self.jitter < 1:
            raise UserError("augmentation: jitter must be at least 0 and below 1")
        if self.size is not None and self.size < 1:
            raise UserError("augmentation: size must be at least 1 pixel")


@dataclass(frozen=True)
class Mixed:
    """A batch of views and what they show: `share` of `labels`, the rest of `others`."""

    pixels: torch.Tensor
    labels: torch.Tensor
    others: torch.Tensor
    share: float


@dataclass(frozen=True)
class _Draw:
    """Draws for each image of a batch, of which some rows are at hand (None for all)."""

    generator: torch.Generator
    total: int
    rows: torch.Tensor | None = None

    def uniform(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        values = _uniform(self.generator, self.total, low, high)
        return values if self.rows is None else values[self.rows]


def augment(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    how: Augmentation,
    draw: torch.Generator,
    part: tuple[int, torch.Tensor] | None = None,
) -> Mixed:
    """Views of a batch.

    Args:
        pixels: float32 k×3×H×W, normalised.
        labels: int64 k.
        draw: a generator on the CPU, so that a seed gives the same views on every device.
        part: these are rows (int64 k) of a batch of so many images, and get the views that they
            would have got in it. Not with cutmix, which needs all of them.
    """
    own = _Draw(draw, *(part or (len(pixels),)))
    views = _crop(pixels, how, own)
    views = _recolour(views, how, own)
    if how.erase:
        views = _erase(views, how.erase, own)
    if how.cutmix and _uniform(draw, 1).item() < how.cutmix:
        return _cutmix(views, labels, draw)
    return Mixed(views, labels, labels, 1.0)


def _uniform(
    draw: torch.Generator, count: int, low: float = 0.0, high: float = 1.0
) -> torch.Tensor:
    return torch.rand(count, generator=draw) * (high - low) + low


def _crop(pixels: torch.Tensor, how: Augmentation, draw: _Draw) -> torch.Tensor:
    count, _, height, width = pixels.shape
    area = draw.uniform(how.smallest_area)
    aspect = draw.uniform(math.log(3 / 4), math.log(4 / 3)).exp()
    # shares of the image's width and height that the crop takes, and where its centre may lie
    wide = (area * aspect).sqrt().clamp(max=1)
    high = (area / aspect).sqrt().clamp(max=1)
    left = (1 - wide) * draw.uniform(-1)
    top = (1 - high) * draw.uniform(-1)
    mirror = draw.uniform() < 0.5 if how.flip else torch.zeros(count, dtype=torch.bool)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = torch.where(mirror, -wide, wide)
    affine[:, 0, 2] = left
    affine[:, 1, 1] = high
    affine[:, 1, 2] = top
    out = (how.size, how.size) if how.size else (height, width)
    grid = F.affine_grid(affine, [count, 3, *out], align_corners=False).to(pixels.device)
    views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    return views.contiguous(memory_format=torch.channels_last)


def _recolour(views: torch.Tensor, how: Augmentation, draw: _Draw) -> torch.Tensor:
    count = len(views)
    if not how.jitter and not how.grey:
        return views
    gain, shift, colour = (
        draw.uniform(-how.jitter, how.jitter).view(-1, 1, 1, 1) for _ in range(3)
    )
    colour = torch.where(draw.uniform().view(-1, 1, 1, 1) < how.grey, -1.0, colour)
    # per image one affine map of its channels: x → (1+g)·(c·x + (1−c)·grey(x)) + s
    weights = torch.tensor(GREY)
    keep = 1 + colour.view(-1, 1, 1)
    mixing = keep * torch.eye(3) + (1 - keep) * weights.expand(3, 3)
    mixing = (1 + gain.view(-1, 1, 1)) * mixing
    flat = views.permute(0, 2, 3, 1).reshape(count, -1, 3)  # no copy: channels last
    mixed = torch.baddbmm(
        shift.view(-1, 1, 1).expand(-1, 1, 3).to(views.device), flat, mixing.mT.to(views.device)
    )
    return mixed.view(count, *views.shape[2:], 3).permute(0, 3, 1, 2)


def _erase(views: torch.Tensor, share: float, draw: _Draw) -> torch.Tensor:
    _, _, height, width = views.shape
    inside = _boxes(height, width, draw.uniform(0.02, 1 / 3), draw)
    chosen = (draw.uniform() < share).view(-1, 1, 1)
    return views.masked_fill((inside & chosen).unsqueeze(1).to(views.device), 0.0)


def _cutmix(views: torch.Tensor, labels: torch.Tensor, draw: torch.Generator) -> Mixed:
    count, _, height, width = views.shape
    one = _Draw(draw, 1)
    inside = _boxes(height, width, one.uniform(), one).to(views.device)
    partner = torch.randperm(count, generator=draw).to(views.device)
    mixed = torch.where(inside.unsqueeze(1), views[partner], views)
    share = 1.0 - inside.float().mean().item()
    return Mixed(mixed, labels, labels[partner.to(labels.device)], share)


def _boxes(height: int, width: int, area: torch.Tensor, draw: _Draw) -> torch.Tensor:
    """Masks bool count×height×width of a box of this share of the area, cut off at the border."""
    side = area.sqrt()

    def span(pixels: int) -> torch.Tensor:
        centre = draw.uniform() * pixels
        places = torch.arange(pixels).expand(len(area), -1) + 0.5
        return (places - centre[:, None]).abs() < (side * pixels / 2)[:, None]

    return span(height)[:, :, None] & span(width)[:, None, :]

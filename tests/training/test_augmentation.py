"""Random views: against a loop written from the definition, and their properties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuralcodes.common.errors import UserError
from neuralcodes.training.augmentation import Augmentation, augment

NOTHING: dict[str, Any] = {
    "smallest_area": 1.0, "flip": False, "jitter": 0.0, "grey": 0.0, "erase": 0.0, "cutmix": 0.0,
}  # fmt: skip


def images(count: int = 6, height: int = 16, width: int = 16) -> torch.Tensor:
    made = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return made.contiguous(memory_format=torch.channels_last)


def views(pixels: torch.Tensor, seed: int = 0, **options: Any) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(pixels))
    return augment(pixels, labels, Augmentation(**{**NOTHING, **options}), draw).pixels


def test_with_everything_off_only_the_aspect_changes() -> None:
    """A crop of the whole area at another aspect is cut off at the border on one side only."""
    pixels = images()
    seen = views(pixels)
    ramp = torch.linspace(0, 1, 16).expand(6, 3, 16, 16).contiguous()
    across = views(ramp)
    assert seen.shape == pixels.shape
    assert across.min() >= 0 and across.max() <= 1
    assert torch.allclose(across[:, :, :1], across, atol=1e-6)  # rows stay rows


def test_a_view_is_a_crop_of_its_own_image() -> None:
    """Each image's values are its number, so a view holds nothing of another."""
    numbers = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 12, 12).contiguous()
    seen = views(numbers, smallest_area=0.2, flip=True, size=7)
    assert seen.shape == (5, 3, 7, 7)
    assert torch.allclose(seen, numbers[:, :, :7, :7], atol=1e-5)


def test_crops_have_the_area_and_aspect_that_were_asked_for() -> None:
    """Measured on ramps: a view's slope is the share of the side that the crop takes."""
    side = 64
    across = torch.linspace(0, 1, side).expand(400, 3, side, side).contiguous()
    down = across.transpose(2, 3).contiguous()
    wide = views(across, seed=3, smallest_area=0.3)[:, 0, side // 2]
    high = views(down, seed=3, smallest_area=0.3)[:, 0, :, side // 2]

    def share(line: torch.Tensor) -> torch.Tensor:
        inner = line[:, 16:48]
        return (inner[:, -1] - inner[:, 0]).abs() * (side - 1) / 31

    area = share(wide) * share(high)
    assert area.min() > 0.28 and area.max() <= 1.01
    free = (share(wide) < 0.97) & (share(high) < 0.97)  # not cut off at the border
    aspect = (share(wide) / share(high))[free]
    assert aspect.min() > 0.73 and aspect.max() < 1.37
    assert 0.55 < area.mean() < 0.7  # uniform between 0.3 and 1, less what the border cuts off


def test_about_every_other_image_is_mirrored() -> None:
    ramp = torch.linspace(0, 1, 16).expand(500, 3, 16, 16).contiguous()
    seen = views(ramp, flip=True)[:, 0, 8]
    falling = (seen[:, 12] < seen[:, 3]).float().mean()
    assert 0.42 < falling < 0.58


@pytest.mark.parametrize("seed", range(3))
def test_colours_against_a_loop(seed: int) -> None:
    """The mixing of channels as one affine map is brightness, contrast and saturation."""
    pixels = images(count=8)
    plain = views(pixels, seed=seed)
    seen = views(pixels, seed=seed, jitter=0.4, grey=0.5)
    # the same draws in the same order: area, aspect, two places and the mirror come before
    draw = torch.Generator().manual_seed(seed)
    for _ in range(4):
        torch.rand(8, generator=draw)
    gain, shift, colour = ((torch.rand(8, generator=draw) * 0.8 - 0.4).numpy() for _ in range(3))
    grey = (torch.rand(8, generator=draw) < 0.5).numpy()
    assert grey.any() and not grey.all()
    for number, image in enumerate(plain.double().numpy()):
        lum = np.tensordot([0.299, 0.587, 0.114], image, 1)
        keep = 0.0 if grey[number] else 1 + colour[number]
        wanted = (1 + gain[number]) * (lum + keep * (image - lum)) + shift[number]
        assert np.allclose(seen[number].numpy(), wanted, atol=1e-5)


def test_erased_rectangles() -> None:
    pixels = images(count=300, height=20, width=20) + 1
    plain, seen = views(pixels), views(pixels, erase=0.5)
    holes = (seen == 0).all(1)
    hit = holes.flatten(1).any(1)
    assert 0.4 < hit.float().mean() < 0.6
    kept = seen.permute(0, 2, 3, 1)[~holes]
    assert torch.equal(kept, plain.permute(0, 2, 3, 1)[~holes])
    for hole in holes[hit]:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns)  # a rectangle
    assert holes.float().mean((1, 2)).max() <= 0.4


@given(seed=st.integers(0, 2**31))
def test_cutmix_shares_add_up(seed: int) -> None:
    numbers = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 10, 10).contiguous()
    how = Augmentation(**{**NOTHING, "cutmix": 1.0})
    mixed = augment(numbers, torch.arange(6), how, torch.Generator().manual_seed(seed))
    for view, own, other in zip(mixed.pixels, mixed.labels, mixed.others, strict=True):
        of_own = ((view - own).abs() < 1e-4).float().mean().item()
        of_other = ((view - other).abs() < 1e-4).float().mean().item()
        if own == other:
            assert math.isclose(of_own, 1, abs_tol=1e-6)
        else:
            assert math.isclose(of_own, mixed.share, abs_tol=1e-6)
            assert math.isclose(of_other, 1 - mixed.share, abs_tol=1e-6)


def test_a_seed_gives_the_same_views() -> None:
    pixels = images()
    options = {"smallest_area": 0.3, "flip": True, "jitter": 0.3, "erase": 0.5}
    assert torch.equal(views(pixels, 7, **options), views(pixels, 7, **options))
    assert not torch.equal(views(pixels, 7, **options), views(pixels, 8, **options))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"smallest_area": 0.0}, "smallest_area"),
        ({"jitter": 1.0}, "jitter"),
        ({"grey": 1.1}, "grey"),
        ({"erase": -0.1}, "erase"),
        ({"cutmix": 2.0}, "cutmix"),
        ({"size": 0}, "size"),
    ],
)
def test_what_it_refuses(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Augmentation(**options)

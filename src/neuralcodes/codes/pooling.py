"""Pooling: from a layer's output to one vector an image.

| name | vector | source |
| --- | --- | --- |
| `flatten` | all values; what a layer without a map has anyway | |
| `cls` | the class token, of a transformer that has one | Dosovitskiy et al. 2021 |
| `mac` | each channel's maximum | Tolias et al. 2016 |
| `spoc` | each channel's mean (its sum, but for the length) | Babenko & Lempitsky 2015 |
| `gem`, `gemP` | each channel's generalised mean, p = 3 or P | Radenović et al. 2019 |
| `crow` | sums weighted by place and by channel | Kalantidis et al. 2016 |
| `rmac` | sum of the unit-length `mac` of regions at 3 scales | Tolias et al. 2016 |

All but `flatten` and `cls` want a map, N×C×H×W. A transformer's tokens, N×T×C, are laid out as one:
those in front that are not of the image (class token, registers) are left out, and the others form
the network's grid of patches or, at a layer that has another number, a square. So `spoc` is the
mean of the patch tokens, and 257 tokens are a class token and 16×16. `gem` and `crow` are made for
maps behind a ReLU and take negative values for (nearly) 0. The results are not of unit length yet:
the encoder sees to that.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from neuralcodes.common.errors import UserError

_GEM_FLOOR = 1e-6  # the published code's; it keeps the root's gradient and 0 apart
_LEVELS = 3  # of rmac
_OVERLAP = 0.4  # of neighbouring regions of rmac along the longer side
_SPECIAL = 16  # a transformer's tokens in front of those of the image, at most
_SPECIAL_UNSEEN = 5  # where the network does not say what grid its patches form


def pool(
    name: str,
    output: torch.Tensor,
    layer: str,
    patches: tuple[int, int] | None = None,
    frozen: bool = False,
) -> torch.Tensor:
    """Pool a layer's output.

    Args:
        name: canonical.
        output: of the layer, any float type, N×…
        layer: its name, for the message.
        patches: rows and columns of the network's image tokens, where it has any.
        frozen: for gradients: the weights of `crow` and the lengths of `rmac` count as constants,
            so that each pooling is the sum of its gradient times the values (but for the floor of
            `gem`).

    Returns:
        float32 N×d, on the same device.

    Raises:
        UserError: the layer has no map, or no class token.
    """
    if name == "flatten":
        return output.flatten(1).float()
    if name == "cls":
        return _class_token(output, layer, patches)
    maps = _as_map(name, output, layer, patches).float()
    if name == "mac":
        return maps.amax((2, 3))
    if name == "spoc":
        return maps.mean((2, 3))
    if name == "crow":
        return _crow(maps, frozen)
    if name == "rmac":
        return _rmac(maps, frozen)
    power = float(name.removeprefix("gem") or 3)
    return maps.clamp(min=_GEM_FLOOR).pow(power).mean((2, 3)).pow(1 / power)


def rmac_regions(height: int, width: int) -> list[tuple[int, int, int]]:
    """Top, left and side of the square regions of R-MAC (Tolias et al. 2016, section 4.1).

    At scale l = 1, 2, 3 the side is ⌊2 min(H, W) / (l + 1)⌋, with l regions along the shorter side
    and l + m - 1 along the longer, evenly spaced; m is 1 for a square map and otherwise such that
    at scale 1 neighbours overlap as nearly as can be by 40 %. The whole map is not one more
    region, as it is in some published code.
    """
    short, long = min(height, width), max(height, width)
    extra = 0
    if long > short:
        # the published code tries 2 to 7 regions, and of equally good numbers takes the first
        extra = min(range(1, 7), key=lambda gaps: abs(1 - (long - short) / gaps / short - _OVERLAP))
    regions = []
    for scale in range(1, _LEVELS + 1):
        side = 2 * short // (scale + 1)
        if side == 0:
            continue
        rows = _starts(height, side, scale + (extra if height > width else 0))
        columns = _starts(width, side, scale + (extra if width > height else 0))
        regions += [(top, left, side) for top in rows for left in columns]
    return regions


def _starts(length: int, side: int, count: int) -> list[int]:
    """Where `count` evenly spaced pieces of `side` begin, rounded down."""
    if count == 1:
        return [0]
    return [place * (length - side) // (count - 1) for place in range(count)]


def _rmac(maps: torch.Tensor, frozen: bool) -> torch.Tensor:
    regions = rmac_regions(maps.shape[2], maps.shape[3])
    peaks = [
        maps[:, :, top : top + side, left : left + side].amax((2, 3)) for top, left, side in regions
    ]
    if not frozen:
        return torch.stack([F.normalize(peak, dim=1) for peak in peaks]).sum(0)
    lengths = [peak.detach().norm(dim=1, keepdim=True).clamp(min=1e-12) for peak in peaks]
    return torch.stack([p / length for p, length in zip(peaks, lengths, strict=True)]).sum(0)


def _crow(maps: torch.Tensor, frozen: bool) -> torch.Tensor:
    """Cross-dimensional weighting (Kalantidis et al. 2016): places by the root of their share of
    all activation, channels by how rarely they are active."""
    positive = maps.clamp(min=0)
    strength = positive.sum(1, keepdim=True)
    length = strength.square().sum((2, 3), keepdim=True).sqrt()
    places = (strength / length.clamp(min=torch.finfo(torch.float32).tiny)).sqrt()
    active = (positive > 0).float().mean((2, 3))
    rarity = (active.sum(1, keepdim=True) / active).log()
    channels = torch.where(active > 0, rarity, torch.zeros_like(rarity))
    if frozen:
        places, channels = places.detach(), channels.detach()
    return (positive * places).sum((2, 3)) * channels


def _as_map(
    name: str, output: torch.Tensor, layer: str, patches: tuple[int, int] | None
) -> torch.Tensor:
    """N×C×H×W; the tokens of a transformer are laid out as they lie in the image."""
    if output.ndim == 4:
        return output
    if output.ndim == 3:
        grid = token_grid(output.shape[1], patches)
        if grid is None:
            raise UserError(
                f"pooling {name}: the {output.shape[1]} tokens of layer {layer!r} are no square "
                "grid; use flatten"
            )
        special, rows, columns = grid
        tokens = output[:, special:].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], rows, columns)
    raise UserError(
        f"pooling {name}: layer {layer!r} gives {'×'.join(map(str, output.shape[1:]))} values, not "
        "a map; choose a convolutional layer (see `neuralcodes layers`) or leave the pooling out"
    )


def token_grid(tokens: int, patches: tuple[int, int] | None) -> tuple[int, int, int] | None:
    """How many tokens stand in front, and the rows and columns of the others; None: no grid."""
    if patches is not None:
        rows, columns = patches
        if 0 <= tokens - rows * columns <= _SPECIAL:
            return tokens - rows * columns, rows, columns
    for special in range(min(_SPECIAL_UNSEEN, tokens - 1) + 1):
        side = math.isqrt(tokens - special)
        if side * side == tokens - special:
            return special, side, side
    return None


def _class_token(output: torch.Tensor, layer: str, patches: tuple[int, int] | None) -> torch.Tensor:
    grid = token_grid(output.shape[1], patches) if output.ndim == 3 else None
    if grid is None or grid[0] == 0:
        raise UserError(
            f"pooling cls: layer {layer!r} gives {'×'.join(map(str, output.shape[1:]))} values "
            "without a class token; use spoc or gem"
        )
    return output[:, 0].float()

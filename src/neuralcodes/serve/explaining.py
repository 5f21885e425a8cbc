"""Why two pictures match: parts are hidden, and the distance grows where they matter.

Occlusion sensitivity (Zeiler and Fergus, "Visualizing and understanding convolutional networks",
ECCV 2014, section 4.2), with the distance of codes in place of a class score. It needs nothing of
the network but its codes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from neuralcodes.collection.snapshot import Floats
from neuralcodes.images.imageset import Pixels

CELLS = 8  # a side
SPAN = 2  # cells that are hidden together, a side
SHOWN = 384  # pixels of a heat map's longer side


@dataclass(frozen=True)
class Maps:
    """Growth of the distance, float32 CELLS×CELLS each, and the distance itself."""

    distance: float
    query: Floats
    image: Floats


def explain(query: Pixels, image: Pixels, encode: Callable[[Pixels], Floats]) -> Maps:
    """Heat maps of two pictures, uint8 H×W×3 each.

    Args:
        query, image: of the network's input size.
        encode: uint8 n×H×W×3 → float32 n×d.
    """
    whole = encode(np.stack([query, image]))
    distance = float(np.linalg.norm(whole[0] - whole[1]))
    return Maps(
        distance,
        _grown(query, whole[1], distance, encode),
        _grown(image, whole[0], distance, encode),
    )


def _grown(
    pixels: Pixels, other: Floats, distance: float, encode: Callable[[Pixels], Floats]
) -> Floats:
    """By how much the distance to `other` grows, in the mean of all hidden squares over a cell."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height, CELLS + 1).round().astype(int)
    columns = np.linspace(0, width, CELLS + 1).round().astype(int)
    ground = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    places = [(r, c) for r in range(1 - SPAN, CELLS) for c in range(1 - SPAN, CELLS)]
    hidden = np.repeat(pixels[None], len(places), axis=0)
    for number, (r, c) in enumerate(places):
        top, bottom = rows[max(r, 0)], rows[min(r + SPAN, CELLS)]
        left, right = columns[max(c, 0)], columns[min(c + SPAN, CELLS)]
        hidden[number, top:bottom, left:right] = ground
    growth = np.linalg.norm(encode(hidden) - other, axis=1) - distance
    total = np.zeros((CELLS, CELLS), np.float32)
    for (r, c), value in zip(places, growth, strict=True):
        total[max(r, 0) : r + SPAN, max(c, 0) : c + SPAN] += value
    mean: Floats = total / np.float32(SPAN**2)
    return mean


def heat_picture(pixels: Pixels, growth: Floats, most: float) -> bytes:
    """A picture darkened where it does not matter: JPEG.

    Args:
        pixels: uint8 H×W×3.
        growth: of one of `Maps`.
        most: the growth that counts as full light, so that two maps can share a scale.
    """
    height, width = pixels.shape[:2]
    scale = SHOWN / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    light = np.clip(growth / most, 0, 1) if most > 0 else np.zeros_like(growth)
    mask = Image.fromarray((light * 255).round().astype(np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    shown = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), np.float32)
    heat = np.asarray(mask, np.float32)[..., None] / 255
    grey = shown.mean(axis=2, keepdims=True) * 0.35
    warm = np.array([255.0, 120.0, 0.0], np.float32)
    blended = grey * (1 - heat) + (0.65 * shown + 0.35 * warm) * heat
    file = io.BytesIO()
    Image.fromarray(blended.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()

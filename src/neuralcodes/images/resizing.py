"""From an image of any shape to H×W: our ways, and those of pretrained networks."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from PIL import Image, ImageOps

Resize = str
"""How an image of another shape becomes H×W. `crop` scales it until it covers H×W and takes the
middle; `squash` ignores the aspect ratio; both bicubic.

Pretrained networks have their own ways, which are followed to the bit. `shorter256-bilinear` scales
the shorter side to 256 pixels, `squash256x256-bilinear` both, and then the middle H×W is taken
(black where there is nothing). `-round` at the end is torchvision's middle, where half a pixel is
rounded to the even number and not down."""

FILTERS = {kind.name.lower(): kind for kind in Image.Resampling}
"""Pillow's filters by the names that they have in `Resize`."""

_OWN = re.compile(r"(?:shorter(\d+)|squash(\d+)x(\d+))-([a-z]+)(-round)?")


@dataclass(frozen=True)
class _Exact:
    """A pretrained network's way: scale, then take the middle."""

    shorter: int | None
    size: tuple[int, int]
    kind: Image.Resampling
    rounded: bool

    def fit(self, image: Image.Image, height: int, width: int) -> Image.Image:
        scaled = self._scaled(image.width, image.height)
        if image.size != scaled:
            image = image.resize(scaled, self.kind)
        left, top = self._start(scaled[0] - width), self._start(scaled[1] - height)
        return image.crop((left, top, left + width, top + height))

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        if self.shorter is None:
            return self.size[1], self.size[0]
        # as transformers and torchvision do: the longer side is rounded down
        short, long = sorted((width, height))
        longer = self.shorter * long // short
        return (self.shorter, longer) if width <= height else (longer, self.shorter)

    def _start(self, spare: int) -> int:
        return round(spare / 2) if self.rounded else spare // 2


def is_exact(resize: Resize) -> bool:
    """Whether it is a pretrained network's own way, which scales even what has the size already."""
    return resize not in ("crop", "squash")


def fit(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    """Bring an RGB image to height and width `size`.

    Raises:
        ValueError: no such `resize`.
    """
    height, width = size
    if is_exact(resize):
        return _parse(resize).fit(image, height, width)
    if image.size == (width, height):
        return image
    if resize == "squash":
        return image.resize((width, height), Image.Resampling.BICUBIC)
    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


@functools.cache
def _parse(resize: Resize) -> _Exact:
    found = _OWN.fullmatch(resize)
    if found is None or found[4] not in FILTERS:
        raise ValueError(f"resize {resize!r}: no such way to bring an image to size")
    shorter, height, width, kind, rounded = found.groups()
    size = (int(height or 0), int(width or 0))
    return _Exact(int(shorter) if shorter else None, size, FILTERS[kind], bool(rounded))

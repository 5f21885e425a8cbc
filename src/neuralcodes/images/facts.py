"""What an image file says of itself."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from neuralcodes.images.decode import formats


@dataclass(frozen=True)
class Facts:
    """Upright size in pixels and kind ("JPEG")."""

    width: int
    height: int
    kind: str


def image_facts(data: bytes) -> Facts:
    """Facts of an image that has been decoded without trouble."""
    with Image.open(io.BytesIO(data), formats=formats()) as image:
        width, height = image.size
        kind = image.format or "?"
        orientation = 1
        if kind != "JPEG" or b"Exif\0" in data[:65536]:
            # a damaged EXIF block harms no pixel, and raises whatever went wrong in it
            with suppress(Exception):
                orientation = image.getexif().get(0x0112, 1)
    return Facts(height, width, kind) if orientation in (5, 6, 7, 8) else Facts(width, height, kind)

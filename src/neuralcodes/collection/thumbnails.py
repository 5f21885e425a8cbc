"""Small pictures of images, encoded for a page."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from neuralcodes.images.decode import open_picture

SIDE = 160  # pixels of the longer side
QUALITY = 80


def thumbnail(data: bytes, side: int = SIDE) -> bytes:
    """An image file made small: JPEG, at most `side` pixels wide and high.

    Raises:
        ValueError: it cannot be decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd and of large files
        return encode(open_picture(data, side))


def encode(image: Image.Image) -> bytes:
    """A picture as a JPEG file that holds its pixels and nothing else.

    A page or a sheet is passed on: no comment, EXIF (camera, place), profile or XMP of the original
    goes with it.
    """
    shown = image.convert("RGB")
    if shown is image:
        shown = image.copy()
    shown.info.clear()  # Pillow would write the comment that it read
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()

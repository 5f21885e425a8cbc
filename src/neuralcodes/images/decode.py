"""Bytes of an image file → uint8 H×W×3 RGB of the size asked for."""

from __future__ import annotations

import io
import warnings
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from neuralcodes.images.imageset import Pixels

Resize = Literal["crop", "squash"]
"""How an image of another shape becomes H×W: `crop` scales its shorter side and takes the
middle; `squash` ignores the aspect ratio."""

MAX_PIXELS = 178_956_970  # Pillow's own limit for what it calls a decompression bomb


def decode(data: bytes, size: tuple[int, int], resize: Resize = "crop") -> Pixels:
    """Decode an image file to uint8 H×W×3 RGB, upright, on white where it is transparent.

    JPEG files that already have the wanted size take a fast path which gives the same bytes as
    Pillow. Grey images become three equal channels.

    Raises:
        ValueError: not an image, damaged, truncated, or more than 179 million pixels.
    """
    if data[:2] == b"\xff\xd8":
        fast = _decode_plain_jpeg(data, size)
        if fast is not None:
            return fast
    return np.asarray(_fit(_open_upright(data, size), size, resize))


def _decode_plain_jpeg(data: bytes, size: tuple[int, int]) -> Pixels | None:
    """The fast path; None when the file needs more than it does."""
    # Orientation lives in an EXIF block before the picture data; Pillow handles those.
    if b"Exif\x00" in data[:65536]:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if (height, width) != size or colours not in ("YCbCr", "Gray", "RGB"):
            return None
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError:
        return None  # let Pillow judge: it says what is wrong in words


def _open_upright(data: bytes, size: tuple[int, int]) -> Image.Image:
    if not data:
        raise ValueError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"too many pixels ({image.width}×{image.height})")
            if image.format == "JPEG":
                # decode at a reduced scale when the result is much smaller; keep 2× to spare
                image.draft("RGB", (2 * size[1], 2 * size[0]))
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise ValueError("too many pixels") from None
    except Image.UnidentifiedImageError:
        raise ValueError("not an image, or of a kind that is not supported") from None
    except (OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:
        # Pillow's decoders raise all of these on damaged files
        raise ValueError(f"damaged image ({error})") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float32)
        # 16-bit files scale by their full range; others by what they hold
        top = 65535.0 if values.max(initial=0.0) > 255 else 255.0
        return Image.fromarray((values * (255.0 / top)).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _fit(image: Image.Image, size: tuple[int, int], resize: Resize) -> Image.Image:
    height, width = size
    if image.size == (width, height):
        return image
    if resize == "squash":
        return image.resize((width, height), Image.Resampling.BICUBIC)
    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)

"""Bytes of an image file → uint8 H×W×3 RGB of the size asked for."""

from __future__ import annotations

import functools
import importlib
import io
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TypeVar

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from neuralcodes.images.imageset import Pixels
from neuralcodes.images.resizing import Resize, fit, is_exact

MAX_PIXELS = 178_956_970  # twice what Pillow warns of: beyond it, it refuses a file as a bomb
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "HEIF")
"""What may be opened, whatever the file is called. Some of Pillow's other readers start programs
(EPS), and all widen what a hostile file can reach."""

_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})  # of ISO 23008

Result = TypeVar("Result")

_BIG = 2**25  # pixels; from here on one image at a time, or many threads would fill the memory
_one_big_image = threading.Lock()


def decode(data: bytes, size: tuple[int, int], resize: Resize = "crop") -> Pixels:
    """Decode an image file to uint8 H×W×3 RGB, upright, on white where it is transparent.

    JPEG files that already have the wanted size take a fast path which gives the same bytes as
    Pillow. Large ones are decoded at a smaller scale, but not for a pretrained network's own
    `resize`, which is followed to the bit. Grey images become three equal channels; of an
    animation the first picture is taken.

    Args:
        data: the file's bytes.
        size: height and width.
        resize: see `neuralcodes.images.resizing.Resize`.

    Raises:
        ValueError: not an image, damaged, truncated, or more than 179 million pixels.
    """
    if data[:2] == b"\xff\xd8" and not is_exact(resize):
        fast = _decode_plain_jpeg(data, size)
        if fast is not None:
            return fast
    return _decode_any(data, size, resize)


def open_picture(data: bytes, longest: int | None = None) -> Image.Image:
    """An image file as a picture of its own shape: RGB, upright, on white where transparent.

    Args:
        data: the file's bytes.
        longest: scale it down so that no side has more pixels; None for its own size.

    Raises:
        ValueError: as for `decode`.
    """

    def shrink(image: Image.Image) -> Image.Image:
        if longest is not None and max(image.size) > longest:
            image = image.copy()
            image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
        return image

    return _open(data, None if longest is None else (longest, longest), shrink)


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


class _RefusedError(ValueError):
    """A file that we, not Pillow, will not take."""


def _decode_any(data: bytes, size: tuple[int, int], resize: Resize) -> Pixels:
    # JPEG's own reduced scales would be faster for large photographs, and move the code by up to
    # 0.1: a file would no longer have the code of its pixels.
    return _open(data, None, lambda image: np.asarray(fit(image, size, resize)))


def _open(
    data: bytes, size: tuple[int, int] | None, finish: Callable[[Image.Image], Result]
) -> Result:
    """Decode and finish one image; `size` is what will be made of it, None for the whole."""
    if not data:
        raise _RefusedError("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=formats())
        with _one_big_image if _prepare(image, size) > _BIG else nullcontext():
            image.load()
            turn_upright(image)
            return finish(to_rgb(image))
    except (_RefusedError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _RefusedError("too many pixels") from None
    except UnidentifiedImageError:
        raise _RefusedError(_unknown(data)) from None
    except Exception as error:
        # On damaged files Pillow's readers raise whatever went wrong in them, struct.error too.
        raise _RefusedError(f"damaged image ({error or type(error).__name__})") from None


def _unknown(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC and "HEIF" not in formats():
        return 'HEIC needs one more package: pip install "neuralcodes[heic]"'
    return "not an image, or of a kind that is not supported"


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that can be read with the packages installed here."""
    for name in ("Bmp", "Gif", "Jpeg", "Png", "Ppm", "Tiff", "WebP", "Avif"):
        with suppress(ImportError):  # older Pillows know no AVIF; all of Pillow's readers take long
            importlib.import_module(f"PIL.{name}ImagePlugin")
    with suppress(ImportError):  # an extra
        importlib.import_module("pillow_heif").register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _prepare(image: Image.Image, size: tuple[int, int] | None) -> int:
    """Choose the scale of decoding; gives how many pixels will be held at once."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise _RefusedError(f"too many pixels ({image.width}×{image.height})")
    if size is None or image.format not in ("JPEG", "MPO"):
        return pixels
    # JPEG can be decoded at a half, quarter or eighth. Twice the size to spare, and the larger
    # side for both, as the picture may lie on its side.
    image.draft("RGB", (2 * max(size), 2 * max(size)))
    # a progressive one holds the coefficients of every pixel all the same
    return pixels if image.info.get("progressive") else image.width * image.height


def turn_upright(image: Image.Image) -> None:
    """Turn a picture as its EXIF block says, in place."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # a damaged EXIF block harms no pixel
        return


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of a picture of any mode: on white where transparent, deep greys at their full range."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        ground.alpha_composite(rgba)
        return ground.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16 bits scale by their full range; 32 bits and floats by the range they seem to be in."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    most = values.max(initial=0.0)
    if image.mode.startswith("I;16") or most > 255:
        top = 65535.0
    else:
        top = 1.0 if image.mode == "F" and most <= 1 else 255.0
    grey = (values * (255.0 / top)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")

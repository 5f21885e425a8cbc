"""Augmented views of images: what is certainly similar to an image without anybody's labels.

Each view changes framing and colour at once, then one more thing: crop, flip, colour, JPEG, blur,
a small rotation. One mild change alone would be found by any code, and tell nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from neuralcodes.common.files import check_room, explain_os_errors
from neuralcodes.common.progress import progress
from neuralcodes.images.imageset import ImageSet, Pixels, Rows

Generator = np.random.Generator

SMALLEST_CROP, LARGEST_CROP = 0.25, 0.75  # of the area
ASPECT = 4 / 3
COLOUR = 0.5  # brightness, contrast and saturation vary by so much
TURN = 20.0  # degrees at most
JPEG_QUALITY = (5, 20)
BLUR = (0.015, 0.03)  # radius, of the shorter side


def views_of(pixels: Pixels, generator: Generator) -> list[Pixels]:
    """One view of each kind in `KINDS` of an image, uint8 H×W×3 each."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    made = []
    for change in KINDS.values():
        view = change(_colour(_crop(image, generator), generator), generator)
        made.append(np.asarray(view.convert("RGB")))
    return made


def view_images(images: ImageSet, viewed: Rows, folder: Path, seed: int) -> ImageSet:
    """Views as an image set of their own, with their pixels in a file of `folder`.

    Args:
        images: of which to make views.
        viewed: int64 v·k, the image of each view, views of an image one behind the other.
        folder: for the pixels.
        seed: the same seed and image give the same views.

    Returns:
        The views, without labels, in the order of `viewed`.
    """
    kinds = list(KINDS)
    content = view_content(images, viewed, seed)
    path = folder / f"views-{content}.npy"
    if not path.is_file():
        _write_views(path, images, viewed, seed)
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    keys = tuple(
        f"{images.key(int(row))}#{kinds[number % len(kinds)]}" for number, row in enumerate(viewed)
    )
    return ImageSet(
        pixels=pixels,
        rows=np.arange(len(viewed)),
        keys=keys,
        labels=None,
        classes=(),
        source=f"views of {images.source}",
        content=content,
    )


def _write_views(path: Path, images: ImageSet, viewed: Rows, seed: int) -> None:
    height, width = images.size
    size = (len(viewed), height, width, 3)
    check_room(path.parent, int(np.prod(size)), "views", "free some space or choose another --out")
    work = path.with_name(f".{path.name}.{os.getpid()}")
    each = len(KINDS)
    try:
        with explain_os_errors(path), progress(len(viewed), "views") as bar:
            pixels = np.lib.format.open_memmap(work, mode="w+", dtype=np.uint8, shape=size)
            for start in range(0, len(viewed), each):
                row = int(viewed[start])
                generator = np.random.default_rng([seed, row])
                pixels[start : start + each] = views_of(images.read([row])[0], generator)
                bar.update(each)
            pixels.flush()
            work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def view_content(images: ImageSet, viewed: Rows, seed: int) -> str:
    """What the views are made from, as a text that changes with any of it."""
    digest = hashlib.sha256(f"views 1 {seed} {','.join(KINDS)} {images.fingerprint()}".encode())
    digest.update(viewed.tobytes())
    return digest.hexdigest()[:32]


def _crop(image: Image.Image, generator: Generator) -> Image.Image:
    """A part of 25 to 75 % of the area, scaled back to the whole size."""
    width, height = image.size
    area = generator.uniform(SMALLEST_CROP, LARGEST_CROP) * width * height
    aspect = width / height * ASPECT ** generator.uniform(-1, 1)
    across = min(width, max(1, round((area * aspect) ** 0.5)))
    down = min(height, max(1, round((area / aspect) ** 0.5)))
    left = int(generator.integers(width - across + 1))
    top = int(generator.integers(height - down + 1))
    return image.crop((left, top, left + across, top + down)).resize(
        image.size, Image.Resampling.BICUBIC
    )


def _colour(image: Image.Image, generator: Generator) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(1 + COLOUR * generator.uniform(-1, 1))
    return image


def _nothing_more(image: Image.Image, generator: Generator) -> Image.Image:
    return image


def _flip(image: Image.Image, generator: Generator) -> Image.Image:
    return ImageOps.mirror(image)


def _grey(image: Image.Image, generator: Generator) -> Image.Image:
    """Half of the colour gone: a strong change of colour."""
    return ImageEnhance.Color(image).enhance(0.25)


def _jpeg(image: Image.Image, generator: Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(generator.integers(*JPEG_QUALITY)))
    return Image.open(io.BytesIO(file.getvalue()))


def _blur(image: Image.Image, generator: Generator) -> Image.Image:
    radius = generator.uniform(*BLUR) * min(image.size)
    return image.filter(ImageFilter.GaussianBlur(radius))


def _turn(image: Image.Image, generator: Generator) -> Image.Image:
    """Turned by up to 20 degrees; the corners show the picture mirrored at its edges."""
    angle = float(generator.uniform(TURN / 2, TURN) * generator.choice([-1, 1]))
    margin = max(1, min(image.size) // 4)
    wide = Image.fromarray(
        np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    )
    turned = wide.rotate(angle, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


KINDS: dict[str, Callable[[Image.Image, Generator], Image.Image]] = {
    "crop": _nothing_more,
    "flip": _flip,
    "colour": _grey,
    "jpeg": _jpeg,
    "blur": _blur,
    "turn": _turn,
}
"""The views of an image, by name; each on top of a crop and a change of colour."""

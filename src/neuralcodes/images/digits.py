"""scikit-learn's bundled handwritten digits: a labelled set that needs no download."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from neuralcodes.images.imageset import ClassName, ImageSet

SIDE = 16
CLASSES = 10
TRAIN_CLASSES = 7


def digits() -> ImageSet:
    """1,797 handwritten digits of 8×8 with 17 grey levels, as RGB of 16×16, in memory.

    Classes "0" to "9", images of a class in the order of the collection (UCI's "Optical
    Recognition of Handwritten Digits", test part).
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    labels = found.target.astype(np.int64)
    grey = np.round(found.images * (255 / 16)).astype(np.uint8)
    large = np.stack([
        np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for image in grey
    ])  # fmt: skip
    pixels = np.repeat(large[..., None], 3, axis=-1)
    names = [str(digit) for digit in range(CLASSES)]
    return ImageSet(
        pixels=pixels,
        rows=np.argsort(labels, kind="stable").astype(np.int64),
        keys=tuple(f"{label}/{row:04}" for row, label in enumerate(labels)),
        labels=labels,
        classes=tuple(ClassName(name, name) for name in names),
        source="scikit-learn digits",
        content=hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()[:32],
    )

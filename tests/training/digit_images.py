"""scikit-learn's digits as an image set for the small network (this folder's tests only)."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from neuralcodes.images.imageset import ClassName, ImageSet


def digit_images(count: int = 500) -> ImageSet:
    """The first `count` digits, 8×8 grey enlarged to uint8 16×16×3."""
    digits = load_digits()
    grey = (digits.images[:count] * (255 / 16)).astype(np.uint8)
    large = grey.repeat(2, axis=1).repeat(2, axis=2)
    return ImageSet(
        pixels=np.repeat(large[..., None], 3, axis=3),
        rows=np.arange(count),
        keys=tuple(f"{number}.png" for number in range(count)),
        labels=digits.target[:count].astype(np.int64),
        classes=tuple(ClassName(str(digit), str(digit)) for digit in range(10)),
        source="digits",
        content="digits for tests",
    )

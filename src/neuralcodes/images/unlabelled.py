"""All images below a folder or in a zip file, without classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuralcodes.images.cache import decode_all
from neuralcodes.images.classfolders import open_source, short_name
from neuralcodes.images.imageset import ImageSet
from neuralcodes.images.resizing import Resize


def all_images(path: Path, size: tuple[int, int], resize: Resize = "crop") -> ImageSet:
    """Every readable image, in plain string order of relative names; others are in `bad`.

    Raises:
        UserError: no such folder or zip file, or no image in it.
    """
    decoded = decode_all(open_source(path), size, resize)
    return ImageSet(
        pixels=decoded.pixels,
        rows=np.flatnonzero(decoded.good()),
        keys=decoded.keys,
        labels=None,
        classes=(),
        source=short_name(path),
        content=decoded.content,
        bad=decoded.bad,
    )

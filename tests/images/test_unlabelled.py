from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuralcodes.images.decode import decode
from neuralcodes.images.unlabelled import all_images


def test_every_readable_image_in_order(
    cache: Path, lay: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    files = {
        "b/2.jpg": encode(seed=2),
        "1.jpg": encode(seed=1),
        "a/bad.jpg": b"",
        "z.jpg": encode(),
    }
    images = all_images(lay(files), (16, 16))
    keys = ["1.jpg", "b/2.jpg", "z.jpg"]
    assert [images.key(row) for row in range(len(images))] == keys
    expected = np.stack([decode(files[key], (16, 16)) for key in keys])
    np.testing.assert_array_equal(images.read(range(3)), expected)
    assert [image.key for image in images.bad] == ["a/bad.jpg"]
    assert images.source == "pictures (folder)"
    assert images.labels is None

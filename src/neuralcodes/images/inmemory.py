"""Pictures in memory (PIL images, arrays, tensors) as image files.

So they take the way that all pictures take, and get the codes that their files would get.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import to_rgb, turn_upright

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def picture_bytes(given: Any) -> bytes:
    """A picture in memory as a PNG file, so that it takes the way that all pictures take.

    Args:
        given: a PIL image; an array or tensor, H×W, H×W×C or C×H×W with 1, 3 or 4 channels,
            uint8 or floats from 0 to 1; or the bytes of a file.

    Raises:
        UserError: none of these.
    """
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, Image.Image):
        return png_file(_plain(given))
    tensor = type(given).__module__.partition(".")[0] == "torch"
    if tensor:
        given = given.detach().cpu().numpy()
    if not isinstance(given, np.ndarray):
        raise UserError(f"a {type(given).__name__} is no picture; give a path, image or array")
    return png_file(Image.fromarray(_channels_last(_to_bytes(given), tensor)))


def _plain(image: Image.Image) -> Image.Image:
    """A picture that a PNG file can keep: upright, as it would be when read from its own file."""
    image = image.copy()
    turn_upright(image)
    return image if image.mode in _PNG_MODES else to_rgb(image)


def _to_bytes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if np.issubdtype(values.dtype, np.floating) and values.size:
        if np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
            return np.round(values * 255).astype(np.uint8)
        raise UserError("an array of floats must lie between 0 and 1")
    raise UserError(f"an array of {values.dtype} is no picture; give uint8, or floats from 0 to 1")


def _channels_last(values: np.ndarray[Any, Any], first: bool) -> np.ndarray[Any, Any]:
    """H×W or H×W×C of a picture; `first`: where both could be, channels stand first."""
    if values.ndim == 2:
        return values
    if values.ndim == 3:
        ends = [place for place in (0, -1) if values.shape[place] in (1, 3, 4)]
        if ends:
            place = ends[0] if first or len(ends) == 1 else -1
            moved = np.moveaxis(values, place, -1)
            return np.ascontiguousarray(moved[..., 0] if moved.shape[-1] == 1 else moved)
    raise UserError(f"an array of shape {values.shape} is no picture; give H×W×3 or 3×H×W")


def png_file(image: Image.Image) -> bytes:
    """A picture as a PNG file, packed quickly rather than well."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()

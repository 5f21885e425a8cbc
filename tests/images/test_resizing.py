"""Pretrained networks' own ways to bring an image to size, against their definition."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neuralcodes.images.decode import decode
from neuralcodes.images.resizing import fit, is_exact

SIDES = st.integers(1, 90)


def picture(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng(width * 100 + height).integers(0, 256, (height, width, 3))
    return Image.fromarray(noise.astype(np.uint8))


@given(SIDES, SIDES, st.integers(8, 40), st.integers(1, 30), st.booleans())
def test_shorter(width: int, height: int, shorter: int, side: int, rounded: bool) -> None:
    image = picture(width, height)
    name = f"shorter{shorter}-bilinear" + ("-round" if rounded else "")
    found = fit(image, (side, side), name)
    assert found.size == (side, side)
    longer = int(shorter * max(width, height) / min(width, height))
    scaled = (shorter, longer) if width <= height else (longer, shorter)
    whole = np.asarray(image.resize(scaled, Image.Resampling.BILINEAR))
    padded = np.zeros((scaled[1] + 200, scaled[0] + 200, 3), np.uint8)
    padded[100 : 100 + scaled[1], 100 : 100 + scaled[0]] = whole
    start = [(length - side) / 2 for length in scaled]
    left, top = (100 + int(np.rint(at) if rounded else np.floor(at)) for at in start)
    expected = padded[top : top + side, left : left + side]
    np.testing.assert_array_equal(np.asarray(found), expected)


@given(SIDES, SIDES)
def test_squash(width: int, height: int) -> None:
    image = picture(width, height)
    whole = np.asarray(image.resize((30, 20), Image.Resampling.LANCZOS))
    found = np.asarray(fit(image, (16, 24), "squash20x30-lanczos"))
    np.testing.assert_array_equal(found, whole[2:18, 3:27])


def test_a_file_of_the_right_size_is_scaled_all_the_same() -> None:
    """Where our own ways take its pixels as they are."""
    file = io.BytesIO()
    picture(24, 24).save(file, "JPEG", quality=95)
    own = decode(file.getvalue(), (24, 24))
    exact = decode(file.getvalue(), (24, 24), "shorter32-bicubic")
    whole = Image.open(io.BytesIO(file.getvalue())).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(exact, np.asarray(whole)[4:28, 4:28])
    assert (own != exact).any()


def test_large_photographs_are_decoded_whole() -> None:
    """JPEG can be decoded at an eighth, which would not give the library's pixels."""
    file = io.BytesIO()
    picture(90, 70).resize((900, 700)).save(file, "JPEG")
    with Image.open(io.BytesIO(file.getvalue())) as image:
        expected = np.asarray(image.resize((41, 32), Image.Resampling.BICUBIC))[:, 4:36]
    made = decode(file.getvalue(), (32, 32), "shorter32-bicubic")
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("name", ["shorter32", "squash3-bicubic", "shorter9-sharp", "stretch"])
def test_unknown_ways(name: str) -> None:
    assert is_exact(name)
    with pytest.raises(ValueError, match="no such way"):
        fit(picture(8, 8), (4, 4), name)

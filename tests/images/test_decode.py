from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from neuralcodes.images.decode import FORMATS, MAX_PIXELS, _decode_plain_jpeg, decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
Encode = Callable[..., bytes]


def pillow(data: bytes) -> np.ndarray:
    """The reference: Pillow alone."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


KINDS = {
    "colour": {"quality": 90},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True, "quality": 30},
    "rgb inside": {"keep_rgb": True},
    "restarts": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "grey progressive": {"mode": "L", "progressive": True},
}


@pytest.mark.parametrize("height, width", [(64, 64), (61, 47), (8, 100), (1, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_fast_path_gives_pillows_bytes(encode: Encode, kind: str, height: int, width: int) -> None:
    data = encode(height, width, **KINDS[kind])
    fast = _decode_plain_jpeg(data, (height, width))
    assert fast is not None, "this kind is meant for the fast path"
    np.testing.assert_array_equal(fast, pillow(data))
    np.testing.assert_array_equal(decode(data, (height, width)), pillow(data))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 999),
    quality=st.integers(1, 100), subsampling=st.integers(0, 2), progressive=st.booleans(),
    grey=st.booleans(),
)  # fmt: skip
def test_fast_path_gives_pillows_bytes_for_any_picture(
    encode: Encode, height: int, width: int, seed: int, quality: int, subsampling: int,
    progressive: bool, grey: bool,
) -> None:  # fmt: skip
    data = encode(
        height, width, seed, mode="L" if grey else "RGB", quality=quality,
        subsampling=subsampling, progressive=progressive,
    )  # fmt: skip
    np.testing.assert_array_equal(decode(data, (height, width)), pillow(data))


def test_cmyk_jpeg_is_left_to_pillow(encode: Encode) -> None:
    data = encode(40, 30, mode="CMYK")
    assert _decode_plain_jpeg(data, (40, 30)) is None
    np.testing.assert_array_equal(decode(data, (40, 30)), pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(picture: Callable[..., np.ndarray], orientation: int) -> None:
    upright = picture(48, 32)
    turns: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # what a camera held so would store
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1], 5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1), 7: lambda p: np.rot90(p.swapaxes(0, 1), 2),
        8: lambda p: np.rot90(p, -1),
    }  # fmt: skip
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation](upright)))
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=100, subsampling=0, exif=exif(orientation))
    found = decode(file.getvalue(), (48, 32))
    np.testing.assert_array_equal(found, pillow(file.getvalue()))
    assert np.abs(found.astype(int) - upright).mean() < 2


def test_damaged_exif_does_not_cost_the_picture(encode: Encode) -> None:
    data = encode(24, 24, exif=b"Exif\x00\x00" + b"MM\x00*\xff\xff\xff\xff" + bytes(20))
    plain = encode(24, 24)
    np.testing.assert_array_equal(decode(data, (24, 24)), pillow(plain))


def test_grey_becomes_three_equal_channels(encode: Encode) -> None:
    found = decode(encode(24, 24, mode="L"), (24, 24))
    assert found.shape == (24, 24, 3)
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_lies_on_white(kind: str) -> None:
    colours = np.zeros((2, 2, 4), np.uint8)
    colours[..., 0] = 200
    colours[0, :, 3] = (0, 255)
    colours[1, :, 3] = 51
    file = io.BytesIO()
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    Image.fromarray(colours, "RGBA").save(file, kind, **options)
    found = decode(file.getvalue(), (2, 2))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 1].tolist() == [200, 0, 0]
    assert found[1, 0].tolist() == [244, 204, 204]  # 51/255 of the colour on 204/255 of white


@pytest.mark.parametrize("mode", ["P", "1", "L", "LA"])
def test_palette_bilevel_and_grey_png(encode: Encode, mode: str) -> None:
    data = encode(20, 30, kind="PNG", mode=mode)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data, (20, 30)), expected)


def test_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=0)
    assert decode(file.getvalue(), (1, 2)).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_16_bit_and_float_grey_keep_their_range() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(deep).save(file, kind)
        assert decode(file.getvalue(), (1, 4))[0, :, 0].tolist() == [0, 1, 128, 255]
    dark = io.BytesIO()
    Image.fromarray(np.array([[0, 200]], np.uint16)).save(dark, "PNG")
    assert decode(dark.getvalue(), (1, 2)).max() == 0  # 200 of 65,535 is black, not bright
    unit = io.BytesIO()
    Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)).save(unit, "TIFF")
    assert decode(unit.getvalue(), (1, 4))[0, :, 0].tolist() == [0, 127, 255, 0]


def test_first_picture_of_an_animation(picture: Callable[..., np.ndarray]) -> None:
    frames = [Image.fromarray(picture(16, 16, seed)) for seed in range(3)]
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode(file.getvalue(), (16, 16)), np.asarray(frames[0]))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(encode: Encode) -> None:
    data = encode(32, 32, kind="AVIF", quality=95)
    np.testing.assert_array_equal(decode(data, (32, 32)), pillow(data))


def test_wrong_ending_is_no_matter_but_what_may_be_opened_is_fixed(encode: Encode) -> None:
    assert "EPS" not in FORMATS  # Pillow would start Ghostscript on it
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    with pytest.raises(ValueError, match="not an image"):
        decode(file.getvalue(), (8, 8))


def test_crop_takes_the_middle_and_squash_takes_all() -> None:
    thirds = np.zeros((30, 90, 3), np.uint8)
    for third in range(3):
        thirds[:, 30 * third : 30 * third + 30, third] = 255
    file = io.BytesIO()
    Image.fromarray(thirds).save(file, "PNG")
    crop = decode(file.getvalue(), (30, 30), "crop")
    assert (crop == [0, 255, 0]).all()
    squash = decode(file.getvalue(), (30, 30), "squash")
    assert [int(squash[15, column].argmax()) for column in (4, 15, 25)] == [0, 1, 2]


@pytest.mark.parametrize("size", [(64, 64), (20, 160), (160, 20)])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("progressive", [False, True])
def test_large_jpegs_are_scaled_from_all_their_pixels(
    encode: Encode, size: tuple[int, int], orientation: int, progressive: bool
) -> None:
    data = encode(1500, 1100, exif=exif(orientation), progressive=progressive)
    height, width = size
    whole = Image.fromarray(pillow(data))
    expected = np.asarray(ImageOps.fit(whole, (width, height), Image.Resampling.BICUBIC))
    assert (decode(data, size) == expected).all()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + (chunk(b"IEND", b""))
    )


def test_bombs_are_refused_unopened() -> None:
    with pytest.raises(ValueError, match="too many pixels"):
        decode(png_that_claims(30_000, 30_000), (64, 64))
    with pytest.raises(ValueError, match="too many pixels"):
        decode(png_that_claims(MAX_PIXELS + 1, 1), (64, 64))


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty file"),
        (b"hello, I am text called .jpg", "not an image"),
        (b"\xff\xd8\xff\xe0 no", "not an image|damaged"),
        (bytes(5000), "not an image"),
    ],
)
def test_what_is_no_image_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(data, (8, 8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_refused(encode: Encode, kind: str) -> None:
    data = encode(64, 64, kind=kind)
    for size in ((64, 64), (16, 16)):
        with pytest.raises(ValueError, match=r"damaged|not an image"):
            decode(data[: len(data) * 6 // 10], size)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "MPO"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.05, 1),
    large=st.booleans(),
)
def test_damaged_files_never_raise_anything_else(
    encode: Encode, kind: str, edits: list[tuple[float, int]], keep: float, large: bool
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        return
    data = bytearray(encode(20, 30, kind=kind))
    for place, value in edits:
        data[int(place**3 * (len(data) - 1))] = value  # cubed: more hits in headers
    size = (64, 48) if large else (20, 30)
    try:
        found = decode(bytes(data[: max(1, int(keep * len(data)))]), size)
    except ValueError as error:
        assert str(error)
    else:
        assert found.shape == (*size, 3)
        assert found.dtype == np.uint8


def test_big_images_are_decoded_one_at_a_time(
    encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many threads with big files must not hold all of them at once."""
    data = encode(1200, 1200, kind="PNG")
    inside, most = 0, 0
    original = Image.Image.resize
    guard = threading.Lock()

    def counted(self: Image.Image, *arguments: object, **options: object) -> Image.Image:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        try:
            return original(self, *arguments, **options)  # type: ignore[arg-type]
        finally:
            with guard:
                inside -= 1

    monkeypatch.setattr(Image.Image, "resize", counted)

    def run() -> int:
        nonlocal most
        most = 0
        threads = [threading.Thread(target=decode, args=(data, (900, 900))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return most

    monkeypatch.setattr("neuralcodes.images.decode._BIG", 1_000_000)
    assert run() == 1
    monkeypatch.setattr("neuralcodes.images.decode._BIG", 2_000_000)
    assert run() > 1, "small ones do run side by side, so the test can fail"

"""Small pictures for pages and sheets: pixels, and nothing else of the original file."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import pytest
from painted import paint
from PIL import Image, PngImagePlugin

from neuralcodes.collection.thumbnails import encode, thumbnail

SECRET = b"Home of Ada"
NEEDED = {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}  # JFIF, tables, frame, codes, scan: no APPn, no comment


def original(kind: str, size: tuple[int, int] = (400, 300)) -> bytes:
    """A picture with a place (GPS), a camera's owner, a comment, a profile and XMP."""
    exif = Image.Exif()
    exif[0x8298] = SECRET.decode()  # copyright
    exif[0x9C9C] = SECRET.decode().encode("utf-16-le")
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)})
    more: dict[str, object] = {"exif": exif, "icc_profile": SECRET * 20, "xmp": SECRET * 3}
    if kind == "JPEG":
        more["comment"] = SECRET
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("comment", SECRET.decode())
        more["pnginfo"] = text
    file = io.BytesIO()
    paint(5, *size).save(file, kind, **more)
    return file.getvalue()


def segments(data: bytes) -> Iterator[int]:
    """Markers of a JPEG file up to its scan."""
    at = 2
    while True:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        yield marker
        if marker == 0xDA:
            return
        at += 2 + length


@pytest.mark.parametrize("size", [(400, 300), (90, 60)])  # also one that need not be made smaller
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_nothing_of_the_file_but_its_pixels(kind: str, size: tuple[int, int]) -> None:
    data = original(kind, size)
    assert SECRET in data  # else there would be nothing to keep back
    small = thumbnail(data)
    assert SECRET not in small and b"Exif" not in small and b"http" not in small
    assert set(segments(small)) == NEEDED
    with Image.open(io.BytesIO(small)) as image:
        assert max(image.size) == min(160, max(size)) and not image.getexif()
        assert not set(image.info) & {"comment", "exif", "icc_profile", "xmp", "photoshop"}


def test_an_opened_picture_keeps_what_it_knows() -> None:
    with Image.open(io.BytesIO(original("JPEG"))) as image:
        image.load()
        made = encode(image)
        assert image.info["comment"] == SECRET  # the caller's own is left alone
    assert SECRET not in made and set(segments(made)) == NEEDED

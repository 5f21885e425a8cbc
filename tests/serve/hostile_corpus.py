"""Uploads that mean harm, made from a seed: bombs, truncated and fuzzed files, polyglots."""

from __future__ import annotations

import functools
import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

HTML = b"<html><script>alert(document.domain)</script></html>"
Make = Callable[[random.Random], bytes]


def picture(dice: random.Random, kind: str, side: int = 0) -> bytes:
    noise = np.random.default_rng(dice.randrange(2**32))
    size = side or dice.randrange(8, 200)
    image = Image.fromarray(noise.integers(0, 256, (size, size, 3), np.uint8))
    options: dict[str, object] = {}
    if kind == "JPEG":
        options = {"progressive": dice.random() < 0.5, "quality": dice.randrange(1, 95)}
    if kind == "TIFF":
        compression = dice.choice([None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
        options = {"compression": compression} if compression else {}
    if kind == "GIF" and dice.random() < 0.5:
        options = {"save_all": True, "append_images": [image.rotate(90)] * 3}
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")


def truncated(dice: random.Random) -> bytes:
    data = picture(dice, dice.choice(KINDS))
    return data[: dice.randrange(1, len(data))]


def flipped(dice: random.Random) -> bytes:
    data = bytearray(picture(dice, dice.choice(KINDS)))
    for _ in range(dice.randrange(1, 60)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def fuzzed_header(dice: random.Random) -> bytes:
    data = bytearray(picture(dice, dice.choice(KINDS)))
    for _ in range(dice.randrange(1, 12)):
        data[dice.randrange(4, min(96, len(data)))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF])
    return bytes(data)


def spliced(dice: random.Random) -> bytes:
    one, two = picture(dice, dice.choice(KINDS)), picture(dice, dice.choice(KINDS))
    return one[: dice.randrange(len(one))] + two[dice.randrange(len(two)) :]


def noise(dice: random.Random) -> bytes:
    start = dice.choice(
        [
            b"",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF____WEBPVP8 ",
            b"II*\0",
            b"MM\0*",
            b"BM",
            b"\0\0\0 ftypavif",
            b"\0\0\0 ftypheic",
        ]
    )
    return start + dice.randbytes(dice.randrange(0, 4000))


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc


def png(width: int, height: int, body: bytes, extra: bytes = b"", mode: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + extra
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


@functools.cache
def packed(size: int) -> bytes:
    return zlib.compress(b"\0" * size, 9)


def bomb(dice: random.Random) -> bytes:
    """Few bytes that say they are many pixels, or become many bytes."""
    side = dice.choice([6000, 7000, 13_000, 30_000, 65_535, 2**20, 2**31 - 1])
    which = dice.randrange(8)
    if which == 0:
        return png(side, side, zlib.compress(b"\0" * 10**6, 9))
    if which == 1:
        zeros = packed(30_000_000)
        return png(7000, 7000, zeros, mode=dice.choice([2, 6]))
    if which == 2:
        text = b"Comment\0\0" + packed(50_000_000)
        return png(8, 8, zlib.compress(b"\0" * 200), chunk(b"zTXt", text))
    if which == 3:
        return b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + picture(dice, "GIF")[10:]
    if which == 4:
        data = bytearray(picture(dice, "BMP"))
        data[18:26] = struct.pack("<ii", min(side, 2**31 - 1), dice.choice([side, -side]))
        return bytes(data)
    if which == 5:
        data = bytearray(picture(dice, "JPEG"))
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            at = data.find(marker)
            if at > 0:
                data[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
        return bytes(data)
    if which == 6:
        return tiff(dice, min(side, 2**31 - 1))
    return b"P6\n%d %d\n255\n" % (side, side) + bytes(1000)


def tiff(dice: random.Random, side: int) -> bytes:
    """Tags that point anywhere, and directories that lead in a circle."""
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, dice.choice([1, 5, 8, 32773])),
        (262, 3, 1, 2),
        (273, 4, dice.choice([1, 2**31]), 8),
        (277, 3, 1, 3),
        (278, 4, 1, side),
        (279, 4, 1, dice.choice([10, 2**32 - 1])),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", len(entries))
        + body
        + struct.pack("<I", dice.choice([0, 8, 2**32 - 1]))
    )


def polyglot(dice: random.Random) -> bytes:
    """Pictures that are something else as well."""
    data = picture(dice, dice.choice(("JPEG", "PNG", "GIF", "BMP")))
    which = dice.randrange(6)
    if which == 0:
        return data + HTML
    if which == 1:
        archive = io.BytesIO(data)
        archive.seek(0, 2)
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr("../../evil.html", HTML)
        return archive.getvalue()
    if which == 2:
        return b"GIF89a/*" + data[8:] + b"*/=1;alert(1)//"
    if which == 3:
        return png(4, 4, zlib.compress(b"\0" * 52), chunk(b"tEXt", b"Comment\0" + HTML))
    if which == 4:
        return b"\xff\xd8\xff\xfe" + struct.pack(">H", len(HTML) + 2) + HTML + data[2:]
    return b"%PDF-1.7\n" + data


def disguised(dice: random.Random) -> bytes:
    """Files that are no pictures, or of kinds whose readers start programs."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">'
    svg += b'<image href="file:///etc/passwd"/></svg>'
    return dice.choice(
        [
            HTML,
            svg,
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
            b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'\n",
            gzip.compress(bytes(10**6)),
            b"8BPS" + bytes(4000),
            b"SIMPLE  =                    T" + b" " * 3000,
            b"#EXTM3U\nfile:///etc/passwd\n",
            b"\x7fELF" + bytes(500),
            b"\0",
            b"\xff\xd8",
            b"\0\0\1\0\1\0" + bytes(40),
            b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        ]
    )


def bad_exif(dice: random.Random) -> bytes:
    body = b"Exif\0\0" + dice.choice([b"II*\0", b"MM\0*"]) + dice.randbytes(dice.randrange(4, 300))
    if dice.random() < 0.5:
        body = b"Exif\0\0" + tiff(dice, dice.randrange(2**31))
    data = picture(dice, "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


MAKERS: dict[str, tuple[Make, int]] = {
    "truncated": (truncated, 5),
    "flipped": (flipped, 5),
    "fuzzed header": (fuzzed_header, 5),
    "spliced": (spliced, 2),
    "noise": (noise, 2),
    "bomb": (bomb, 4),
    "polyglot": (polyglot, 3),
    "disguised": (disguised, 2),
    "bad exif": (bad_exif, 2),
}
NAMES = (
    "a.jpg",
    "../../../etc/passwd",
    "<img src=x onerror=alert(1)>.png",
    "a\0b.jpg",
    "x" * 5000,
    "con.jpg",
    "a.jpg;filename=b.php",
    "\u202egpj.exe",
    "",
    "..\\..\\boot.ini",
    "${jndi:x}",
)


def corpus(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Kind, file name and bytes; the same for the same seed."""
    dice = random.Random(seed)
    kinds = [kind for kind, (_, share) in MAKERS.items() for _ in range(share)]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield kind, dice.choice(NAMES), MAKERS[kind][0](dice)

"""Pictures as they come: each odd kind made here, with what should become of it."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from painted import paint
from PIL import Image

from neuralcodes.collection.collection import Collection

PLAIN = paint(1, 64, 48)
DEEP = Image.fromarray(np.asarray(PLAIN.convert("L")).astype(np.uint16) * 257)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """The plain picture, stored turned, with the EXIF tag that says how to turn it back."""
    back = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = PLAIN if back is None else PLAIN.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(stored, "JPEG", exif=exif, quality=95)


def with_alpha() -> Image.Image:
    image = PLAIN.convert("RGBA")
    image.putalpha(255)
    return image


def half_transparent() -> Image.Image:
    image = PLAIN.convert("RGBA")
    image.putalpha(128)
    return image


def animated(kind: str) -> bytes:
    return save(PLAIN, kind, save_all=True, append_images=[paint(9, 64, 48)], duration=50)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG of side×side pixels, all zero, whose file is small."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packer, parts = zlib.compressobj(9), []
    row = bytes(1 + 3 * side)
    for _ in range(64):  # what a decoder that tried would begin with
        parts.append(packer.compress(row))
    parts.append(packer.flush())
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", b"".join(parts)) + png_chunk(b"IEND", b"")
    )  # fmt: skip


JPEG = save(PLAIN, "JPEG", quality=95)
PNG = save(PLAIN, "PNG")
GREY = PLAIN.convert("L")
PALETTE = PLAIN.quantize(64)
WHITE = Image.composite(
    PLAIN, Image.new("RGB", PLAIN.size, "white"), Image.new("L", PLAIN.size, 128)
)

# name → bytes and the picture that should be seen, or the reason why there is none
SEEN: dict[str, tuple[bytes, Image.Image]] = {
    **{f"exif{n}.jpg": (turned(n), PLAIN) for n in range(1, 9)},
    "progressive.jpg": (save(PLAIN, "JPEG", quality=95, progressive=True), PLAIN),
    "subsampled.jpg": (save(PLAIN, "JPEG", quality=95, subsampling=2), PLAIN),
    "cmyk.jpg": (save(PLAIN.convert("CMYK"), "JPEG", quality=95), PLAIN),
    "grey.jpg": (save(GREY, "JPEG", quality=95), GREY),
    "damaged exif.jpg": (
        JPEG[:2] + b"\xff\xe1\x00\x12Exif\0\0MM\0*\xff\xff\xff\xff" + b"\0\0" + JPEG[2:],
        PLAIN,
    ),
    "rubbish behind.jpg": (JPEG + os.urandom(100), PLAIN),
    "jpeg called.png": (JPEG, PLAIN),
    "png called.jpg": (PNG, PLAIN),
    "shouting.JPG": (JPEG, PLAIN),
    "palette.png": (save(PALETTE, "PNG"), PALETTE),
    "palette with hole.png": (save(PALETTE, "PNG", transparency=250), PALETTE),
    "one bit.png": (save(GREY.convert("1"), "PNG"), GREY.convert("1")),
    "grey.png": (save(GREY, "PNG"), GREY),
    "sixteen bit.png": (save(DEEP, "PNG"), GREY),
    "sixteen bit.tif": (save(DEEP, "TIFF"), GREY),
    "grey with alpha.png": (save(GREY.convert("LA"), "PNG"), GREY),
    "opaque alpha.png": (save(with_alpha(), "PNG"), PLAIN),
    "half transparent.png": (save(half_transparent(), "PNG"), WHITE),
    "half transparent.webp": (save(half_transparent(), "WEBP", lossless=True), WHITE),
    "all transparent.png": (
        save(Image.new("RGBA", (64, 48), (9, 9, 9, 0)), "PNG"),
        Image.new("RGB", (64, 48), "white"),
    ),
    "animated.gif": (animated("GIF"), PLAIN),
    "animated.webp": (animated("WEBP"), PLAIN),
    "animated.png": (animated("PNG"), PLAIN),
    "lossless.webp": (save(PLAIN, "WEBP", lossless=True), PLAIN),
    "lossy.webp": (save(PLAIN, "WEBP", quality=95), PLAIN),
    "new.avif": (save(PLAIN, "AVIF", quality=95), PLAIN),
    "windows.bmp": (save(PLAIN, "BMP"), PLAIN),
    "packed.tif": (save(PLAIN, "TIFF", compression="tiff_lzw"), PLAIN),
    "several pages.tif": (save(PLAIN, "TIFF", save_all=True, append_images=[paint(9)]), PLAIN),
    "cmyk.tif": (save(PLAIN.convert("CMYK"), "TIFF"), PLAIN),
    "floats.tif": (save(GREY.convert("F"), "TIFF"), GREY),
    "portable.ppm": (save(PLAIN, "PPM"), PLAIN),
    "one pixel.png": (
        save(Image.new("RGB", (1, 1), (10, 200, 30)), "PNG"),
        Image.new("RGB", (1, 1), (10, 200, 30)),
    ),
    "a long strip.png": (
        save(Image.new("RGB", (3000, 1), (200, 20, 30)), "PNG"),
        Image.new("RGB", (3000, 1), (200, 20, 30)),
    ),
    "günther 猫 🐈.jpg": (JPEG, PLAIN),
    "new\nline.jpg": (JPEG, PLAIN),
    "<b>&\"quotes'.jpg": (JPEG, PLAIN),
    "x" * 240 + ".jpg": (JPEG, PLAIN),
}
BAD: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "empty file"),
    "truncated.jpg": (JPEG[: len(JPEG) // 2], "damaged"),
    "truncated.png": (PNG[: len(PNG) // 2], "damaged"),
    "truncated.webp": (save(PLAIN, "WEBP")[:100], "damaged|not an image"),
    "only a header.jpg": (JPEG[:20], "damaged|not an image"),
    "text.jpg": (b"this is no picture", "not an image"),
    "page.png": (b"<!doctype html><title>404</title>", "not an image"),
    "drawing.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "zeros.png": (bytes(5000), "not an image"),
    "bomb.png": (bomb(30_000), "too many pixels"),
    "no size.png": (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", bytes(13)), "damaged|not an image"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd")
    for name, (data, _) in {**SEEN, **BAD}.items():
        (root / name).write_bytes(data)
    (root / os.fsdecode(b"b\xe4r\xff.jpg")).write_bytes(JPEG)  # no text in any encoding
    (root / "loop").symlink_to(root)
    (root / "circle").symlink_to(root / "circle")
    (root / "broken.jpg").symlink_to(root / "nowhere.jpg")
    (root / "linked.jpg").symlink_to(root / "exif1.jpg")
    os.mkfifo(root / "pipe.jpg")
    (root / ".hidden.jpg").write_bytes(JPEG)
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._x.jpg").write_bytes(JPEG)
    (root / "notes.txt").write_bytes(JPEG)
    (root / "folder.jpg").mkdir()
    (root / "folder.jpg" / "inside.jpg").write_bytes(save(paint(3), "JPEG"))
    deep = root / "/".join(["d"] * 60)
    deep.mkdir(parents=True)
    (deep / "deep.jpg").write_bytes(save(paint(4), "JPEG"))
    return root


@pytest.fixture(scope="module")
def indexed(folder: Path, tmp_path_factory: pytest.TempPathFactory, code: str) -> Collection:
    collection = Collection.create(tmp_path_factory.mktemp("made") / "odd", code, device="cpu")
    collection.sync([folder])
    return collection


def test_there_are_at_least_forty_kinds() -> None:
    assert len(SEEN) + len(BAD) >= 40


@pytest.mark.parametrize("name", SEEN)
def test_is_seen_as_it_should_be(name: str, indexed: Collection) -> None:
    """Its code is near that of the picture it shows, nearer than that of another picture."""
    from neuralcodes.collection.pictures import printable

    found = [image for image in indexed.images() if image.path.endswith("/" + printable(name))]
    assert len(found) == 1, dict(indexed.bad()).get(name)
    own = indexed.codes([found[0].id])[0]
    expected = save(SEEN[name][1].convert("RGB"), "PNG")
    code = indexed._asking.code(indexed._asking.look(expected))
    other = indexed._asking.code(indexed._asking.look(save(paint(9, 64, 48), "PNG")))
    assert np.linalg.norm(own - code) < 0.25 * np.linalg.norm(other - code)
    assert (found[0].width, found[0].height) == SEEN[name][1].size


@pytest.mark.parametrize("name", BAD)
def test_is_listed_with_its_reason(name: str, folder: Path, indexed: Collection) -> None:
    import re

    reason = dict(indexed.bad())[str(folder / name)]
    assert re.search(BAD[name][1], reason), reason


def test_names_links_pipes_and_hidden_files(folder: Path, indexed: Collection) -> None:
    paths = {image.path for image in indexed.images()}
    assert str(folder / "b\\xe4r\\xff.jpg") in paths
    assert str(folder / "linked.jpg") in paths
    assert str(folder / "folder.jpg" / "inside.jpg") in paths
    assert any(path.endswith("/d/d/deep.jpg") for path in paths)
    assert not any("/loop/" in path or "hidden" in path or "MACOSX" in path for path in paths)
    bad = dict(indexed.bad())
    for name in ("broken.jpg", "pipe.jpg"):
        assert bad[str(folder / name)] == "a broken link, or not a regular file"
    assert len(paths) == len(SEEN) + 4 and len(bad) == len(BAD) + 2
    assert indexed.verify(images=True).whole


def test_an_undecodable_name_can_be_searched_by(folder: Path, indexed: Collection) -> None:
    query = folder / os.fsdecode(b"b\xe4r\xff.jpg")
    results = indexed.search(query, k=3)
    assert results[0].distance == 0
    results.to_html().encode()
    for image in indexed.images():
        image.path.encode()


def test_nothing_has_changed_the_second_time(folder: Path, indexed: Collection) -> None:
    report = indexed.sync([folder])
    assert report.unchanged == len(SEEN) + len(BAD) + 6
    assert (report.added, report.computed, report.bad) == (0, 0, [])


def test_heic_with_its_extra(tmp_path: Path, make: Callable[..., Collection]) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif (the heic extra)")
    heif.register_heif_opener()
    (tmp_path / "phone.heic").write_bytes(save(PLAIN, "HEIF", quality=95))
    collection = make()
    assert collection.sync([tmp_path / "phone.heic"]).bad == []
    assert next(collection.images()).kind == "HEIF"
    assert collection.search(PLAIN, k=1)[0].distance < 0.1


def test_a_bomb_takes_no_memory(tmp_path: Path, code: str) -> None:
    """30,000×30,000 pixels are 2.7 GB decoded; the process must not grow by a tenth of that."""
    bombs = tmp_path / "bombs"
    bombs.mkdir()
    for number in range(4):
        (bombs / f"{number}.png").write_bytes(bomb(30_000) + bytes([number]))
    (bombs / "plain.jpg").write_bytes(JPEG)
    program = (
        "import resource, sys\n"
        "from neuralcodes.collection.collection import Collection\n"
        "with Collection.create(sys.argv[1], sys.argv[2], device='cpu') as c:\n"
        "    c.add([sys.argv[4]])\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    report = c.sync([sys.argv[3]])\n"
        "    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    print(len(report.bad), len(c), (after - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "c"), code, str(bombs),
         str(bombs / "plain.jpg")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    bad, good, grown = map(int, done.stdout.split())
    assert (bad, good) == (4, 1)
    assert grown < 200, f"{grown} MiB"

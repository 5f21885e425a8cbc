from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from neuralcodes.common.errors import UserError
from neuralcodes.images.cache import Decoded, cache_root, decode_all, find_decoded
from neuralcodes.images.decode import decode
from neuralcodes.images.sources import FolderSource, ZipSource

Lay = Callable[..., Path]
Pack = Callable[..., Path]
Encode = Callable[..., bytes]
SIZE = (20, 24)


class CountingSource(FolderSource):
    """A real folder that counts what is read of it."""

    reads = 0

    def read(self, index: int) -> bytes:
        self.reads += 1
        return super().read(index)


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "pixels").iterdir() if not path.name.startswith("."))


def left_overs(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.partial"))


def check(decoded: Decoded, files: dict[str, bytes], size: tuple[int, int] = SIZE) -> None:
    assert list(decoded.keys) == sorted(files)
    assert decoded.bad == ()
    for row, key in enumerate(decoded.keys):
        np.testing.assert_array_equal(decoded.pixels[row], decode(files[key], size))


def test_pixels_are_those_of_decode(cache: Path, lay: Lay, cat_and_dog: dict[str, bytes]) -> None:
    check(decode_all(FolderSource(lay(cat_and_dog)), SIZE), cat_and_dog)
    assert left_overs(cache) == []


def test_second_opening_reads_no_picture(
    cache: Path, lay: Lay, cat_and_dog: dict[str, bytes]
) -> None:
    root = lay(cat_and_dog)
    first, second = CountingSource(root), CountingSource(root)
    decode_all(first, SIZE)
    check(decode_all(second, SIZE), cat_and_dog)
    assert first.reads >= len(cat_and_dog)
    assert second.reads == 0


def test_second_opening_of_a_zip_does_not_open_it(
    cache: Path, pack: Pack, cat_and_dog: dict[str, bytes]
) -> None:
    path = pack(cat_and_dog)
    source = ZipSource([path])
    stamp = source.stamp()
    decode_all(source, SIZE)
    facts = path.stat()
    path.write_bytes(bytes(facts.st_size))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    found = find_decoded(stamp, SIZE, "crop")
    assert found is not None
    check(found, cat_and_dog)


def test_folder_and_zip_share_one_entry(
    cache: Path, lay: Lay, pack: Pack, cat_and_dog: dict[str, bytes]
) -> None:
    folder = decode_all(FolderSource(lay(cat_and_dog)), SIZE)
    stored = decode_all(ZipSource([pack(cat_and_dog)]), SIZE)
    deflated = decode_all(ZipSource([pack(cat_and_dog, "d.zip", zipfile.ZIP_DEFLATED)]), SIZE)
    assert folder.content == stored.content == deflated.content
    assert len(entries(cache)) == 1


def test_key_differs_with_size_manner_names_and_bytes(
    cache: Path, lay: Lay, encode: Encode
) -> None:
    root = lay({"a/1.jpg": encode(seed=1), "a/2.jpg": encode(seed=2)})
    seen = {decode_all(FolderSource(root), SIZE).content}
    seen.add(decode_all(FolderSource(root), (24, 20)).content)
    seen.add(decode_all(FolderSource(root), SIZE, "squash").content)
    (root / "a/1.jpg").write_bytes(encode(seed=3))
    seen.add(decode_all(FolderSource(root), SIZE).content)
    (root / "a/1.jpg").rename(root / "a/0.jpg")
    seen.add(decode_all(FolderSource(root), SIZE).content)
    assert len(seen) == 5


def test_changed_file_is_decoded_anew(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {"a/1.jpg": encode(seed=1), "a/2.jpg": encode(seed=2)}
    check(decode_all(FolderSource(lay(files)), SIZE), files)
    files["a/2.jpg"] = encode(seed=5)
    check(decode_all(FolderSource(lay(files)), SIZE), files)


@pytest.fixture
def with_bad(encode: Encode) -> dict[str, bytes]:
    return {
        "a/0 truncated.jpg": encode(90, 90)[:1500],
        "a/1 good.jpg": encode(seed=1),
        "a/2 zero.png": b"",
        "a/3 text.jpg": b"this is no picture",
        "b/4 good.png": encode(kind="PNG", seed=4),
    }


def test_bad_images_are_listed_with_reasons(
    cache: Path, lay: Lay, with_bad: dict[str, bytes]
) -> None:
    root = lay(with_bad)
    (root / "b" / "5 link.jpg").symlink_to("nowhere.jpg")
    for _ in range(2):  # the second time from the cache
        decoded = decode_all(FolderSource(root), SIZE)
        reasons = {image.key: image.reason for image in decoded.bad}
        assert list(reasons) == [
            "a/0 truncated.jpg", "a/2 zero.png", "a/3 text.jpg", "b/5 link.jpg"
        ]  # fmt: skip
        assert "truncated" in reasons["a/0 truncated.jpg"]
        assert reasons["a/2 zero.png"] == "empty file"
        assert "not an image" in reasons["a/3 text.jpg"]
        assert "broken link" in reasons["b/5 link.jpg"]
        good = decoded.good()
        assert [key for key, fine in zip(decoded.keys, good, strict=True) if fine] == [
            "a/1 good.jpg", "b/4 good.png"
        ]  # fmt: skip
        for row in np.flatnonzero(good):
            expected = decode(with_bad[decoded.keys[row]], SIZE)
            np.testing.assert_array_equal(decoded.pixels[row], expected)
        assert not decoded.pixels[~good].any()


def test_unreadable_file_is_tried_again_next_time(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {"a/1.jpg": encode(seed=1), "a/2.jpg": encode(seed=2)}
    root = lay(files)
    aside = (root / "a/2.jpg").rename(root / "kept")
    (root / "a/2.jpg").symlink_to(aside.with_name("away"))
    assert len(decode_all(FolderSource(root), SIZE).bad) == 1
    aside.rename(root / "away")  # the link leads somewhere now
    check(decode_all(FolderSource(root), SIZE), files)


def test_image_of_a_kind_that_was_not_supported_is_tried_again(
    cache: Path, lay: Lay, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that reads one more kind of file may have been installed since."""
    files = {"a/1.jpg": encode(seed=1), "a/2.webp": encode(seed=2, kind="WEBP")}
    root = lay(files)
    with monkeypatch.context() as without:
        for module in ("decode", "cache"):
            without.setattr(f"neuralcodes.images.{module}.formats", lambda: ("JPEG", "PNG"))
        assert [image.key for image in decode_all(FolderSource(root), SIZE).bad] == ["a/2.webp"]
        again = CountingSource(root)
        assert len(decode_all(again, SIZE).bad) == 1
        assert again.reads == 0
    check(decode_all(FolderSource(root), SIZE), files)


def test_damaged_zip_does_not_spoil_the_whole_one(cache: Path, pack: Pack, encode: Encode) -> None:
    files = {"a/1.jpg": encode(seed=1), "a/2.jpg": encode(seed=2)}
    path = pack(files)
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[200] ^= 0xFF
    path.write_bytes(broken)
    decoded = decode_all(ZipSource([path]), SIZE)
    assert [image.key for image in decoded.bad] == ["a/1.jpg"]
    assert "damaged zip entry" in decoded.bad[0].reason
    path.write_bytes(whole)  # downloaded again: the archive's own list is the same as before
    check(decode_all(ZipSource([path]), SIZE), files)


class FailingSource(FolderSource):
    """A real folder on a disk that fails to read one file."""

    def _open(self, index: int) -> BinaryIO:
        if index == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super()._open(index)


def test_failure_of_the_disk_is_not_kept(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {f"a/{number}.jpg": encode(seed=number) for number in range(3)}
    root = lay(files)
    decoded = decode_all(FailingSource(root), SIZE)
    assert [(image.key, image.reason) for image in decoded.bad] == [
        ("a/1.jpg", "Input/output error")
    ]
    check(decode_all(FolderSource(root), SIZE), files)  # nothing about the folder has changed


class VanishingSource(FolderSource):
    """A real folder of which a file goes away between checksums and decoding."""

    def checksums(self) -> list[int]:
        sums = super().checksums()
        (self.root / self.keys[1]).unlink(missing_ok=True)
        return sums


def test_file_that_vanishes_meanwhile(cache: Path, lay: Lay, encode: Encode) -> None:
    files = {f"a/{number}.jpg": encode(seed=number) for number in range(4)}
    root = lay(files)
    decoded = decode_all(VanishingSource(root), SIZE)
    assert [(image.key, image.reason) for image in decoded.bad] == [
        ("a/1.jpg", "No such file or directory")
    ]
    check(decode_all(FolderSource(lay(files)), SIZE), files)  # it is back


def test_texts_are_those_of_the_source(cache: Path, lay: Lay, pack: Pack, encode: Encode) -> None:
    pictures = {"a/1.jpg": encode()}
    bare = decode_all(FolderSource(lay(pictures, "bare")), SIZE, texts=("words.txt",))
    assert bare.texts == {}
    told = lay({**pictures, "words.txt": b"a\tant"}, "told")
    assert decode_all(FolderSource(told), SIZE, texts=("words.txt",)).texts == {
        "words.txt": "a\tant"
    }
    (told / "words.txt").write_text("a\tape")
    assert decode_all(FolderSource(told), SIZE, texts=("words.txt",)).texts == {
        "words.txt": "a\tape"
    }
    source = ZipSource([pack({**pictures, "x/words.txt": b"a\tace"})])
    decode_all(source, SIZE, texts=("words.txt",))
    found = find_decoded(source.stamp(), SIZE, "crop")
    assert found is not None
    assert found.texts == {"words.txt": "a\tace"}
    assert len(entries(cache)) == 1


def test_names_that_are_not_utf8(cache: Path, tmp_path: Path, encode: Encode) -> None:
    root = tmp_path / "odd"
    (root / "a").mkdir(parents=True)
    name = os.fsencode(root / "a") + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(encode())
    for _ in range(2):
        assert [os.fsencode(key) for key in decode_all(FolderSource(root), SIZE).keys] == [
            b"a/caf\xe9.jpg"
        ]


# Damage


def cut_pixels(entry: Path) -> None:
    os.truncate(entry / "pixels.npy", 5000)


def empty_pixels(entry: Path) -> None:
    os.truncate(entry / "pixels.npy", 0)


def garbled_header(entry: Path) -> None:
    with open(entry / "pixels.npy", "r+b") as file:
        file.write(b"\x00" * 40)


def other_shape(entry: Path) -> None:
    np.save(entry / "pixels.npy", np.zeros((3, *SIZE, 3), np.uint8))


def no_pixels(entry: Path) -> None:
    (entry / "pixels.npy").unlink()


def broken_manifest(entry: Path) -> None:
    os.truncate(entry / "manifest.json", 50)


def emptied_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text("{}")


def strange_manifest(entry: Path) -> None:
    (entry / "manifest.json").write_text('{"keys": 5, "bad": [3], "content": null, "texts": 1}')


def no_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def manifest_of_another(entry: Path) -> None:
    facts = json.loads((entry / "manifest.json").read_text())
    facts["content"] = "0" * 32
    (entry / "manifest.json").write_text(json.dumps(facts))


def file_in_its_place(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        cut_pixels, empty_pixels, garbled_header, other_shape, no_pixels, broken_manifest,
        emptied_manifest, strange_manifest, no_manifest, manifest_of_another, file_in_its_place,
    ],
)  # fmt: skip
def test_damaged_entry_is_made_anew(
    cache: Path, lay: Lay, cat_and_dog: dict[str, bytes], damage: Callable[[Path], None]
) -> None:
    root = lay(cat_and_dog)
    decode_all(FolderSource(root), SIZE)
    (entry,) = entries(cache)
    damage(entry)
    decoded = decode_all(FolderSource(root), SIZE)
    check(decoded, cat_and_dog)
    assert decoded.content == entry.name
    again = CountingSource(root)
    check(decode_all(again, SIZE), cat_and_dog)
    assert again.reads == 0
    assert left_overs(cache) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"content": 5}', '{"content": "../.."}', "null"])
def test_damaged_pointer_is_made_anew(
    cache: Path, lay: Lay, cat_and_dog: dict[str, bytes], text: str
) -> None:
    root = lay(cat_and_dog)
    decode_all(FolderSource(root), SIZE)
    (pointer,) = (cache / "stamps").iterdir()
    pointer.write_text(text)
    check(decode_all(FolderSource(root), SIZE), cat_and_dog)
    assert json.loads(pointer.read_text())["content"] == entries(cache)[0].name


# Processes

DECODE = """
import sys, hashlib, logging, time
from pathlib import Path
logging.basicConfig(format='%(message)s')
from typing import BinaryIO
from neuralcodes.images.cache import decode_all
from neuralcodes.images.sources import FolderSource
class Slow(FolderSource):
    def read(self, index):
        time.sleep(float(sys.argv[2]))
        return super().read(index)
decoded = decode_all(Slow(Path(sys.argv[1])), (20 * int(sys.argv[3]), 24 * int(sys.argv[3])))
print(hashlib.sha256(decoded.pixels.tobytes()).hexdigest(), len(decoded.keys))
"""


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_processes_that_want_the_same_at_once(
    cache: Path, lay: Lay, cat_and_dog: dict[str, bytes],
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    root = lay(cat_and_dog)
    running = [start(DECODE, root, 0.1, 1) for _ in range(3)]
    answers = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert any("waiting" in err for _, err in answers)
    assert len(entries(cache)) == 1
    assert left_overs(cache) == []
    check(decode_all(FolderSource(root), SIZE), cat_and_dog)


def test_killed_decoding_leaves_nothing_that_counts(
    cache: Path, lay: Lay, cat_and_dog: dict[str, bytes],
    start: Callable[..., subprocess.Popen[str]],
) -> None:  # fmt: skip
    root = lay(cat_and_dog)
    process = start(DECODE, root, 0.2, 1)
    wait_for(lambda: list(cache.glob("pixels/*.partial/pixels.npy")))
    waiting = start(DECODE, root, 0, 1)
    assert waiting.stderr is not None
    while "waiting" not in waiting.stderr.readline():
        assert waiting.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    out, _ = waiting.communicate(timeout=120)  # goes on as soon as the other is dead
    assert out.split()[1] == str(len(cat_and_dog))
    check(decode_all(FolderSource(root), SIZE), cat_and_dog)
    (left,) = left_overs(cache)
    os.utime(left, (1, 1))
    other = lay({"a/1.jpg": cat_and_dog["cat/cat_0.jpg"]}, "other")
    assert start(DECODE, other, 0, 1).wait(timeout=120) == 0
    assert left_overs(cache) == []  # a later process cleared it away


def test_interrupted_decoding_stops_and_clears_up(
    cache: Path, lay: Lay, encode: Encode, start: Callable[..., subprocess.Popen[str]]
) -> None:
    root = lay({f"a/{number:04}.jpg": encode(seed=number % 7) for number in range(400)})
    process = start(DECODE, root, 0.1, 10)  # seven images a block
    wait_for(lambda: list(cache.glob("pixels/*.partial/pixels.npy")))
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    process.communicate(timeout=100)
    assert process.returncode != 0
    assert time.monotonic() - begun < 12, "all of it would take 20 seconds"
    assert left_overs(cache) == []
    assert entries(cache) == []


# Places that cannot be written, memory that is not there


def test_cache_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("NEURALCODES_CACHE", "~/mine")
    assert cache_root() == Path("/home/someone/mine")
    monkeypatch.delenv("NEURALCODES_CACHE")
    assert cache_root() == Path("/x/neuralcodes")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path("/home/someone/.cache/neuralcodes")


@pytest.mark.parametrize("place", ["file/below", "/proc/neuralcodes", "/dev/null"])
def test_no_right_to_write(
    lay: Lay, encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NEURALCODES_CACHE", str(tmp_path / place))
    with pytest.raises(UserError, match="choose another place") as caught:
        decode_all(FolderSource(lay({"a/1.jpg": encode()})), SIZE)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / place) in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no right to mount a small disk ({made.stderr.decode().strip()})")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_disk_too_small_is_refused_before_decoding(
    lay: Lay, encode: Encode, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURALCODES_CACHE", str(small_disk))
    source = CountingSource(lay({f"a/{number}.jpg": encode(seed=number) for number in range(6)}))
    with pytest.raises(UserError, match=r"needs 0\.00 GB and 0\.00 GB are free.*another disk"):
        decode_all(source, (300, 300))
    assert source.reads == 0


class FillingSource(FolderSource):
    """A real folder; while it is decoded, someone else fills the disk."""

    filler = Path()

    def checksums(self) -> list[int]:
        sums = super().checksums()
        self.fill = True
        return sums

    def read(self, index: int) -> bytes:
        if getattr(self, "fill", False) and not self.filler.exists():
            with suppress(OSError):
                self.filler.write_bytes(bytes(2**21))
        return super().read(index)


def test_disk_that_fills_up_while_decoding(
    lay: Lay, encode: Encode, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory map would end the process with SIGBUS here."""
    monkeypatch.setenv("NEURALCODES_CACHE", str(small_disk))
    root = lay({f"a/{number}.jpg": encode(seed=number) for number in range(6)})
    source = FillingSource(root)
    source.filler = small_disk / "filler"
    with pytest.raises(UserError, match="cannot write: the disk is full") as caught:
        decode_all(source, (200, 200))
    assert "\n" not in str(caught.value)
    assert left_overs(small_disk) == []
    source.filler.unlink()
    assert decode_all(FolderSource(root), (200, 200)).bad == ()


def test_read_only_cache_still_serves(
    lay: Lay, cat_and_dog: dict[str, bytes], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that others share: what is in it can be used, what is not gives a clear line."""
    monkeypatch.setenv("NEURALCODES_CACHE", str(small_disk))
    decode_all(FolderSource(lay(cat_and_dog)), SIZE)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    check(decode_all(FolderSource(lay(cat_and_dog)), SIZE), cat_and_dog)
    check(decode_all(FolderSource(lay(cat_and_dog, "copy")), SIZE), cat_and_dog)
    with pytest.raises(UserError, match="read-only"):
        decode_all(FolderSource(lay(cat_and_dog)), (9, 9))


MEMORY = """
import resource, sys
from pathlib import Path
from typing import BinaryIO
from neuralcodes.common.errors import UserError
from neuralcodes.images.cache import decode_all
from neuralcodes.images.sources import FolderSource
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[2]) * 2**20,) * 2)
try:
    decode_all(FolderSource(Path(sys.argv[1])), (int(sys.argv[3]),) * 2)
except UserError as error:
    print(error)
"""


def test_not_enough_memory_to_decode(
    cache: Path, lay: Lay, encode: Encode, start: Callable[..., subprocess.Popen[str]]
) -> None:
    huge = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(huge, "BMP")
    root = lay({"a/1.jpg": encode(), "a/2 huge.bmp": huge.getvalue()})
    out, err = start(MEMORY, root, 190, 32).communicate(timeout=120)
    assert "Traceback" not in err, err
    assert "pictures: not enough memory to decode a/2 huge.bmp; close other" in out
    assert len(out.splitlines()) == 1
    assert entries(cache) == []  # not taken for a bad image for good


def test_not_enough_memory_to_map(
    cache: Path, lay: Lay, encode: Encode, start: Callable[..., subprocess.Popen[str]]
) -> None:
    root = lay({f"a/{number}.png": encode(kind="PNG", seed=number) for number in range(30)})
    decode_all(FolderSource(root), (1200, 1200))  # 130 MB
    out, err = start(MEMORY, root, 90, 1200).communicate(timeout=120)
    assert "Traceback" not in err, err
    assert "not enough memory to map the decoded images; raise the limit" in out
    assert len(out.splitlines()) == 1


PEAK = """
import resource, sys
from pathlib import Path
from typing import BinaryIO
from neuralcodes.images.cache import decode_all
from neuralcodes.images.sources import FolderSource
decode_all(FolderSource(Path(sys.argv[1])), (64, 64))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_all(FolderSource(Path(sys.argv[1])), (800, 800))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_cache(
    cache: Path, lay: Lay, encode: Encode, start: Callable[..., subprocess.Popen[str]]
) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (800, 800), "teal").save(plain, "JPEG")
    files = {f"a/{number}.jpg": plain.getvalue() for number in range(149)}
    files["b/truncated.jpg"] = encode()[:300]  # a bad one must not cost a copy of the rest
    out, err = start(PEAK, lay(files)).communicate(timeout=200)
    assert 150 * 800 * 800 * 3 > 280e6
    assert int(out) * 1024 < 100e6, err


def test_no_images(cache: Path, lay: Lay) -> None:
    with pytest.raises(UserError, match="pictures: no images in it"):
        decode_all(FolderSource(lay({"a/notes.txt": b"no"})), SIZE)
    with pytest.raises(UserError, match=r"none of its 2 images.*a/1\.jpg: empty file"):
        decode_all(FolderSource(lay({"a/1.jpg": b"", "a/2.jpg": b"x"})), SIZE)
    assert entries(cache) == []

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import (
    UNREADABLE,
    FolderSource,
    ZipSource,
    archive_stamp,
    is_image_name,
)

Lay = Callable[..., Path]
Pack = Callable[..., Path]


def contents(source: FolderSource | ZipSource) -> dict[str, bytes]:
    return {key: source.read(index) for index, key in enumerate(source.keys)}


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("a.jpg", True), ("b/A.JPEG", True), ("b/c/d.PnG", True), ("x.webp", True),
        ("a.txt", False), ("jpg", False), (".a.jpg", False), ("b/.a.jpg", False),
        (".git/a.jpg", False), ("b/.thumbs/a.jpg", False), ("__MACOSX/b/a.jpg", False),
        ("b/__MACOSX/a.jpg", False), ("a.jpg.part", False), ("a..jpg", True),
    ],
)  # fmt: skip
def test_is_image_name(name: str, wanted: bool) -> None:
    assert is_image_name(name) is wanted


def test_plain_string_order(lay: Lay, pack: Pack) -> None:
    names = ["n_0", "n_1", "n_10", "n_100", "n_101", "n_11", "n_2", "n_20", "n_3"]
    files = {f"a/{name}.JPEG": name.encode() for name in reversed(names)}
    expected = [f"a/{name}.JPEG" for name in names]
    assert list(FolderSource(lay(files)).keys) == expected
    assert list(ZipSource([pack(files)]).keys) == expected


def test_folder_reads_what_is_there(lay: Lay) -> None:
    files = {"a/1.jpg": b"one", "a/b/2.png": b"two", "3.gif": b"", "a/.hidden/4.jpg": b"no",
             "notes.txt": b"no"}  # fmt: skip
    source = FolderSource(lay(files))
    assert contents(source) == {"3.gif": b"", "a/1.jpg": b"one", "a/b/2.png": b"two"}
    assert list(source.folders) == ["a", "a/b"]
    assert source.checksums() == [0, zlib.crc32(b"one"), zlib.crc32(b"two")]
    assert source.text("notes.txt") == "no"
    assert source.text("words.txt") is None


def test_links_are_followed_but_not_in_circles(lay: Lay, tmp_path: Path) -> None:
    elsewhere = lay({"x/5.jpg": b"five"}, "elsewhere")
    root = lay({"a/1.jpg": b"one"})
    (root / "a" / "up").symlink_to(root)
    (root / "b").symlink_to(elsewhere / "x")
    (root / "a" / "self").symlink_to("self")
    (root / "c").mkdir()
    (root / "c" / "again").symlink_to(root / "a")
    expected = {"a/1.jpg": b"one", "b/5.jpg": b"five", "c/again/1.jpg": b"one"}
    assert contents(FolderSource(root)) == expected


def test_what_cannot_be_read_is_kept_and_never_waited_for(lay: Lay) -> None:
    root = lay({"a/1.jpg": b"one"})
    (root / "a" / "2.jpg").symlink_to(root / "gone.jpg")
    os.mkfifo(root / "a" / "3.jpg")  # reading it would wait for ever
    source = FolderSource(root)
    assert list(source.keys) == ["a/1.jpg", "a/2.jpg", "a/3.jpg"]
    assert source.checksums() == [zlib.crc32(b"one"), UNREADABLE, UNREADABLE]
    for index in (1, 2):
        with pytest.raises(OSError, match="broken link"):
            source.read(index)


def test_a_file_that_changes_after_its_checksum_is_noticed(lay: Lay) -> None:
    root = lay({"a/1.jpg": b"one", "a/2.jpg": b"two"})
    source = FolderSource(root)
    source.checksums()
    (root / "a" / "1.jpg").write_bytes(b"new")
    (root / "a" / "2.jpg").unlink()
    with pytest.raises(OSError, match="changed"):
        source.read(0)
    with pytest.raises(OSError, match="No such file"):
        source.read(1)


def test_folder_stamp_changes_with_whatever_matters(lay: Lay) -> None:
    root = lay({"a/1.jpg": b"one", "a/2.jpg": b"two"})
    first = root / "a" / "1.jpg"
    stamps = [FolderSource(root).stamp()]
    assert FolderSource(root).stamp() == stamps[0]
    facts = first.stat()
    first.write_bytes(b"eno")
    os.utime(first, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # same size, same date
    stamps.append(FolderSource(root).stamp())
    first.rename(root / "a" / "0.jpg")
    stamps.append(FolderSource(root).stamp())
    (root / "a" / "2.jpg").unlink()
    stamps.append(FolderSource(root).stamp())
    assert len(set(stamps)) == 4


def test_archive_stamp_changes_with_place_size_and_date(pack: Pack, tmp_path: Path) -> None:
    path = pack({"a/1.jpg": b"one"})
    stamps = {archive_stamp([path])}
    os.utime(path, (1, 1))
    stamps.add(archive_stamp([path]))
    stamps.add(archive_stamp([path, path]))
    stamps.add(archive_stamp([path.rename(tmp_path / "other.zip")]))
    assert len(stamps) == 4
    with pytest.raises(UserError, match=r"gone\.zip: no such file"):
        archive_stamp([tmp_path / "gone.zip"])


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:\0"),
    min_size=1, max_size=12,
).filter(lambda name: not name.startswith("."))  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    files=st.dictionaries(st.tuples(NAMES, NAMES), st.binary(max_size=300), min_size=1, max_size=8),
    methods=st.lists(
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), min_size=8, max_size=8
    ),
    comment=st.binary(max_size=40),
    extra=st.integers(0, 200),
)
def test_zip_gives_what_zipfile_gives(
    tmp_path: Path, files: dict[tuple[str, str], bytes], methods: list[int], comment: bytes,
    extra: int,
) -> None:  # fmt: skip
    path = tmp_path / "any.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment
        for method, ((folder, name), data) in zip(methods, files.items(), strict=False):
            info = zipfile.ZipInfo(f"{folder}/{name}.jpg")
            info.compress_type = method
            info.extra = struct.pack("<HH", 0xCAFE, extra) + bytes(extra) if extra else b""
            archive.writestr(info, data)
    source = ZipSource([path])
    with zipfile.ZipFile(path) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    expected = {name: data for name, data in expected.items() if "__MACOSX/" not in name}
    assert contents(source) == dict(sorted(expected.items()))
    assert source.checksums() == [zlib.crc32(data) for data in contents(source).values()]


def test_zip_written_as_a_stream(tmp_path: Path) -> None:
    """Sizes stand behind the data then, and the local header has none."""
    path = tmp_path / "stream.zip"
    with (
        open(path, "wb") as file,
        zipfile.ZipFile(_Unseekable(file), "w", zipfile.ZIP_DEFLATED) as archive,  # type: ignore[arg-type]
    ):
        archive.writestr("a/1.jpg", b"one" * 100)
        with archive.open("a/2.jpg", "w", force_zip64=True) as entry:
            entry.write(b"two" * 100)
    assert contents(ZipSource([path])) == {"a/1.jpg": b"one" * 100, "a/2.jpg": b"two" * 100}


class _Unseekable:
    def __init__(self, file: object) -> None:
        self.write, self.flush = file.write, file.flush  # type: ignore[attr-defined]


def test_local_header_longer_than_the_central_one(pack: Pack) -> None:
    """As Info-ZIP and others write: more extra fields in the one than in the other."""
    path = pack({"a/1.jpg": b"payload" * 30})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        (info,) = archive.infolist()
        directory = archive.start_dir
    more = 500
    struct.pack_into("<H", data, info.header_offset + 28, more)
    at = info.header_offset + 30 + len(info.filename)
    data[at:at] = bytes(more)
    struct.pack_into("<I", data, len(data) - 22 + 16, directory + more)
    path.write_bytes(data)
    assert contents(ZipSource([path])) == {"a/1.jpg": b"payload" * 30}


def test_several_zips_are_one_folder(pack: Pack) -> None:
    one = pack({"d/b/1.jpg": b"one", "d/words.txt": b"n1\tcat"}, "one.zip")
    two = pack({"d/a/2.jpg": b"two", "d/c/": b""}, "two.zip")
    source = ZipSource([one, two])
    assert contents(source) == {"d/a/2.jpg": b"two", "d/b/1.jpg": b"one"}
    assert source.text("words.txt") == "n1\tcat"
    assert list(source.folders) == ["d/c"]
    assert list(source.keys) == ["d/a/2.jpg", "d/b/1.jpg"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_entry(pack: Pack, method: int) -> None:
    path = pack({"a/1.jpg": bytes(range(256)) * 8, "a/2.jpg": b"fine"}, method=method)
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(data)
    source = ZipSource([path])
    with pytest.raises(OSError, match="damaged zip entry"):
        source.read(0)
    assert source.read(1) == b"fine"


def test_entries_that_cannot_be_read_say_why(pack: Pack) -> None:
    path = pack({"a/1.jpg": b"one" * 99}, method=zipfile.ZIP_LZMA)
    with pytest.raises(OSError, match="zip method 14 is not supported"):
        ZipSource([path]).read(0)
    locked = pack({"a/1.jpg": b"one"}, "locked.zip")
    data = bytearray(locked.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    locked.write_bytes(data)
    with pytest.raises(OSError, match="encrypted"):
        ZipSource([locked]).read(0)


def test_zip_cut_short_while_open_is_an_error_not_a_crash(pack: Pack) -> None:
    path = pack({"a/1.jpg": bytes(100_000), "a/2.jpg": bytes(100_000)})
    source = ZipSource([path])
    os.truncate(path, 150_000)
    assert source.read(0) == bytes(100_000)
    with pytest.raises(OSError, match="damaged zip entry"):
        source.read(1)


@pytest.mark.parametrize("data", [b"", b"PK no", bytes(1000)])
def test_not_a_zip_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.zip: not a whole zip file"):
        ZipSource([path])
    with pytest.raises(UserError, match=r"gone\.zip: no such file"):
        ZipSource([tmp_path / "gone.zip"])


def test_truncated_zip_is_said(pack: Pack) -> None:
    path = pack({"a/1.jpg": bytes(5000)})
    os.truncate(path, 3000)
    with pytest.raises(UserError, match="not a whole zip file"):
        ZipSource([path])


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone: no such folder"):
        FolderSource(tmp_path / "gone")


def test_no_descriptor_is_left_open(pack: Pack) -> None:
    path = pack({"a/1.jpg": b"one"})
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ZipSource([path]).read(0)
    assert len(os.listdir("/proc/self/fd")) == before

"""Encoded image files where they lie: below a folder, or in one or several zip files.

A source lists its files in plain string order of their names and reads any of them from any
thread. Nothing is unpacked to disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from neuralcodes.common.errors import UserError
from neuralcodes.images.blocks import over_blocks

IMAGE_ENDINGS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif",
    ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm",
})  # fmt: skip

UNREADABLE = -1  # in place of a checksum
MAX_BYTES = 2**30  # of an encoded image: more than any that `decode` would take


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image (by its ending; hidden ones are not)."""
    ending = os.path.splitext(name)[1].lower()
    return ending in IMAGE_ENDINGS and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether the name, or a folder in it, starts with a dot or is the Mac's `__MACOSX`."""
    return name.startswith((".", "__MACOSX/")) or "/." in name or "/__MACOSX/" in name


class Source(Protocol):
    """Files by number.

    Attributes:
        name: the place as the user gave it, for messages.
        keys: relative names with "/", in plain string order.
        folders: relative names of all folders, those without images too.
    """

    name: str
    keys: Sequence[str]
    folders: Sequence[str]

    def read(self, index: int) -> bytes:
        """The bytes of file `index`, just those that `checksums` told of.

        Raises:
            OSError: they cannot be had, or are no longer those.
        """

    def stamp(self) -> str:
        """A cheap fingerprint (names, sizes, times): equal means surely unchanged."""

    def checksums(self) -> list[int]:
        """CRC-32 of each file's bytes; `UNREADABLE` where they cannot be had."""

    def text(self, name: str) -> str | None:
        """The text file of this name (`words.txt`), None when it cannot be had."""


class FolderSource:
    """All files below a folder that `wanted` accepts by relative name.

    Symbolic links are followed, except one that leads back to a folder that holds it.

    Raises:
        UserError: no such folder, or no right to read one in it.
    """

    def __init__(self, root: Path, wanted: Callable[[str], bool] = is_image_name) -> None:
        self.root = Path(root)
        self.name = str(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder")
        self._wanted = wanted
        self._found: list[tuple[str, int, int, int]] = []  # name, bytes (-1: none), two times
        self._sums: list[int] | None = None
        folders: list[str] = []
        self._walk(str(self.root), "", (), folders)
        self._found.sort()
        self.folders: Sequence[str] = sorted(folders)
        self.keys: Sequence[str] = [name for name, *_ in self._found]

    def _walk(
        self, folder: str, prefix: str, above: tuple[tuple[int, int], ...], folders: list[str]
    ) -> None:
        info = os.stat(folder)
        here = (info.st_dev, info.st_ino)
        if here in above:
            return
        try:
            with os.scandir(folder) as entries:
                listed = list(entries)
        except PermissionError:
            raise UserError(f"{folder}: no right to read this folder") from None
        for entry in listed:
            name = prefix + entry.name
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                if not is_hidden(entry.name + "/"):
                    folders.append(name)
                    self._walk(entry.path, name + "/", (*above, here), folders)
            elif self._wanted(name):
                self._found.append((name, *_facts(entry)))

    def read(self, index: int) -> bytes:
        """The bytes of file `index`; see `Source`."""
        with self._open(index) as file:
            data = file.read()
        if self._sums is not None and zlib.crc32(data) != self._sums[index]:
            raise OSError(errno.ESTALE, "the file changed while it was being read")
        return data

    def _open(self, index: int) -> BinaryIO:
        name, size, *_ = self._found[index]
        if size < 0:
            raise OSError(errno.EINVAL, "a broken link, or not a regular file")
        _refuse_huge(size)
        return open(os.path.join(self.root, name), "rb")

    def stamp(self) -> str:
        """A cheap fingerprint; see `Source`."""
        return _digest("folder", str(self.root.resolve()), repr(self._found))

    def checksums(self) -> list[int]:
        """CRC-32 of each file; see `Source`."""
        sums = [UNREADABLE] * len(self.keys)

        def check(rows: range) -> None:
            for row in rows:
                with suppress(OSError), self._open(row) as file:
                    value = 0
                    while data := file.read(2**20):
                        value = zlib.crc32(data, value)
                    sums[row] = value

        over_blocks(len(sums), 512, check, "checking files")
        self._sums = sums
        return list(sums)

    def text(self, name: str) -> str | None:
        """A text file; see `Source`."""
        try:
            return (self.root / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None


class ZipSource:
    """All files in some zip files that `wanted` accepts; several files are read as one folder.

    Raises:
        UserError: one of them is absent, may not be read, or is not a whole zip file.
    """

    def __init__(
        self, paths: Sequence[Path], wanted: Callable[[str], bool] = is_image_name
    ) -> None:
        self.paths = [Path(path) for path in paths]
        self.name = " + ".join(str(path) for path in paths)
        self._files: list[int] = []
        self._others: dict[str, tuple[int, zipfile.ZipInfo]] = {}
        found: dict[str, tuple[int, zipfile.ZipInfo]] = {}
        folders: set[str] = set()
        for path in self.paths:
            for info in self._open(path):
                name = info.filename
                if info.is_dir():
                    if not is_hidden(name):
                        folders.add(name.rstrip("/"))
                elif wanted(name):
                    found[name] = (len(self._files) - 1, info)
                else:
                    self._others[name] = (len(self._files) - 1, info)
        self.keys: Sequence[str] = sorted(found)
        self.folders: Sequence[str] = sorted(folders)
        self._entries = [found[key] for key in self.keys]

    def _open(self, path: Path) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except PermissionError:
            raise UserError(f"{path}: no right to read this file") from None
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise UserError(f"{path}: not a whole zip file; download or copy it again") from None
        weakref.finalize(self, os.close, descriptor)
        self._files.append(descriptor)
        return entries

    def read(self, index: int) -> bytes:
        """The bytes of file `index`; see `Source`."""
        return self._read(*self._entries[index])

    def _read(self, number: int, info: zipfile.ZipInfo) -> bytes:
        """One entry. `zipfile` itself would let only one thread read at a time."""
        if info.flag_bits & 1:
            raise OSError(errno.EINVAL, "encrypted zip entry")
        _refuse_huge(max(info.file_size, info.compress_size))
        # pread, not a memory map: a file cut short meanwhile is an error then, not a SIGBUS.
        # In one call as a rule; the local header may differ from the central one in length.
        file, start, length = self._files[number], info.header_offset, info.compress_size
        data = os.pread(file, 30 + len(info.filename) + len(info.extra) + length + 64, start)
        if len(data) < 30 or data[:4] != b"PK\x03\x04":
            raise OSError(errno.EINVAL, "damaged zip entry")
        begin = 30 + sum(struct.unpack_from("<HH", data, 26))
        raw = data[begin : begin + length]
        if len(raw) < length:
            raw = os.pread(file, length, start + begin)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            try:
                raw = zlib.decompressobj(-15).decompress(raw, info.file_size + 1)
            except zlib.error as error:
                raise OSError(errno.EINVAL, f"damaged zip entry ({error})") from None
        elif info.compress_type != zipfile.ZIP_STORED:
            raise OSError(errno.EINVAL, f"zip method {info.compress_type} is not supported")
        if zlib.crc32(raw) != info.CRC:
            raise OSError(errno.EINVAL, "damaged zip entry (checksum differs)")
        return raw

    def stamp(self) -> str:
        """A cheap fingerprint; see `Source`."""
        return archive_stamp(self.paths)

    def checksums(self) -> list[int]:
        """CRC-32 of each file; see `Source`."""
        # as the archive lists them: `read` finds out where that is not so
        return [info.CRC for _, info in self._entries]

    def text(self, name: str) -> str | None:
        """A text file; see `Source`."""
        for key, entry in self._others.items():
            if key == name or key.endswith("/" + name):
                try:
                    return self._read(*entry).decode("utf-8", errors="replace")
                except OSError:
                    return None
        return None


def archive_stamp(paths: Sequence[Path]) -> str:
    """Fingerprint of archives by place, size and times: known without opening them.

    Raises:
        UserError: one of them is absent.
    """
    facts = []
    for path in paths:
        try:
            info = os.stat(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        facts.append(f"{Path(path).resolve()}:{info.st_size}:{info.st_mtime_ns}")
    return _digest("zip", *facts)


def _facts(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    try:
        info = entry.stat()
    except OSError:
        return (-1, 0, 0)
    if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
        return (-1, 0, 0)
    # the second time also changes when a file is replaced with its old date kept
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def _refuse_huge(size: int) -> None:
    if size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"a file of {size / 2**30:.1f} GB")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

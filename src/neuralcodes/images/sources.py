"""Encoded image files where they lie: below a folder, or in one or several zip files.

A source lists its files in plain string order of their names and reads any of them from any
thread. Nothing is unpacked to disk.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from neuralcodes.common.errors import UserError

IMAGE_ENDINGS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .tif .tiff .webp .ppm .pgm .pbm .pnm".split()
)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image (by its ending; hidden files are not)."""
    base = name.rsplit("/", 1)[-1]
    return not base.startswith(".") and os.path.splitext(base)[1].lower() in IMAGE_ENDINGS


class Source(Protocol):
    """Files by number. `keys` are relative names with "/", in plain string order."""

    name: str
    keys: Sequence[str]

    def read(self, index: int) -> bytes:
        """The bytes of file `index`. Raises OSError or ValueError when they cannot be had."""

    def stamp(self) -> str:
        """A cheap fingerprint (names, sizes, times): equal means surely unchanged."""

    def checksums(self) -> list[int]:
        """CRC-32 of each file's bytes; -1 where it cannot be read."""

    def text(self, name: str) -> str | None:
        """The text file whose name ends so (`words.txt`), None when there is none."""


class FolderSource:
    """All files below a folder that `wanted` accepts by relative name."""

    def __init__(self, root: Path, wanted: Callable[[str], bool] = is_image_name) -> None:
        self.root = Path(root)
        self.name = str(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder")
        found: list[tuple[str, int, int]] = []
        self._walk(self.root, "", wanted, found, set())
        found.sort()
        self._found = found
        self.keys: Sequence[str] = [key for key, _, _ in found]

    def _walk(
        self,
        folder: Path,
        prefix: str,
        wanted: Callable[[str], bool],
        found: list[tuple[str, int, int]],
        seen: set[tuple[int, int]],
    ) -> None:
        info = os.stat(folder)
        if (info.st_dev, info.st_ino) in seen:  # a symbolic link back to where we are
            return
        seen.add((info.st_dev, info.st_ino))
        try:
            entries = list(os.scandir(folder))
        except PermissionError:
            raise UserError(f"{folder}: no right to read this folder") from None
        for entry in entries:
            key = prefix + entry.name
            if entry.is_dir():
                if not entry.name.startswith("."):
                    self._walk(Path(entry.path), key + "/", wanted, found, seen)
            elif wanted(key):
                info = entry.stat()
                found.append((key, info.st_size, info.st_mtime_ns))

    def read(self, index: int) -> bytes:
        with open(os.path.join(self.root, self.keys[index]), "rb") as file:
            return file.read()

    def stamp(self) -> str:
        return _digest("folder", str(self.root.resolve()), repr(self._found))

    def checksums(self) -> list[int]:
        sums = []
        for index in range(len(self.keys)):
            try:
                sums.append(zlib.crc32(self.read(index)))
            except OSError:
                sums.append(-1)
        return sums

    def text(self, name: str) -> str | None:
        path = self.root / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


class ZipSource:
    """All files in some zip files that `wanted` accepts; several files are read as one folder."""

    def __init__(
        self, paths: Sequence[Path], wanted: Callable[[str], bool] = is_image_name
    ) -> None:
        self.paths = [Path(path) for path in paths]
        self.name = " + ".join(str(path) for path in paths)
        self._maps: list[mmap.mmap] = []
        self._others: dict[str, tuple[int, zipfile.ZipInfo]] = {}
        found: dict[str, tuple[int, zipfile.ZipInfo]] = {}
        for number, path in enumerate(self.paths):
            for info in self._open(path):
                if info.is_dir():
                    continue
                (found if wanted(info.filename) else self._others)[info.filename] = (number, info)
        self.keys: Sequence[str] = sorted(found)
        self._entries = [found[key] for key in self.keys]

    def _open(self, path: Path) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
            with open(path, "rb") as file:
                self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except zipfile.BadZipFile:
            raise UserError(
                f"{path}: not a whole zip file; download or copy it again"
            ) from None
        return entries

    def read(self, index: int) -> bytes:
        return self._read(*self._entries[index])

    def _read(self, number: int, info: zipfile.ZipInfo) -> bytes:
        data = self._maps[number]
        start = info.header_offset
        if data[start : start + 4] != b"PK\x03\x04":
            raise ValueError("damaged zip entry")
        name_length, extra_length = struct.unpack_from("<HH", data, start + 26)
        start += 30 + name_length + extra_length
        raw = data[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            try:
                raw = zlib.decompressobj(-15).decompress(raw, info.file_size + 1)
            except zlib.error as error:
                raise ValueError(f"damaged zip entry ({error})") from None
        elif info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"zip compression method {info.compress_type} is not supported")
        if zlib.crc32(raw) != info.CRC:
            raise ValueError("damaged zip entry (checksum differs)")
        return raw

    def stamp(self) -> str:
        return archive_stamp(self.paths)

    def checksums(self) -> list[int]:
        return [info.CRC for _, info in self._entries]

    def text(self, name: str) -> str | None:
        for key, entry in self._others.items():
            if key == name or key.endswith("/" + name):
                return self._read(*entry).decode("utf-8", errors="replace")
        return None


def archive_stamp(paths: Sequence[Path]) -> str:
    """Fingerprint of archives by place, size and time: known without opening them."""
    facts = []
    for path in paths:
        try:
            info = os.stat(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        facts.append(f"{Path(path).resolve()}:{info.st_size}:{info.st_mtime_ns}")
    return _digest("zip", *facts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

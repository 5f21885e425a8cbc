"""Images in zip and tar files, read where they lie."""

from __future__ import annotations

import errno
import os
import tarfile
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import MAX_BYTES, ZipSource, is_image_name

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@dataclass(frozen=True)
class Member:
    """An image in an archive.

    Attributes:
        name: with "/"; bytes that are no text are kept as surrogates.
        stamp: changes when the image does.
    """

    name: str
    stamp: str


class Archive(Protocol):
    """A file that holds images.

    Attributes:
        in_order: whether members should be read one after another, in order.
    """

    in_order: bool

    def members(self) -> Sequence[Member]:
        """The images in it."""

    def read(self, name: str) -> bytes:
        """An image file's bytes.

        Raises:
            OSError: there is none of that name, or it cannot be read.
        """


def archive_kind(path: Path) -> str | None:
    """ "zip" or "tar" by the file's name; None for other files."""
    name = os.fsdecode(path).lower()
    if name.endswith(".zip"):
        return "zip"
    return "tar" if name.endswith(TAR_ENDINGS) else None


def open_archive(path: Path) -> Archive:
    """Open a zip or tar file.

    Raises:
        UserError: absent, may not be read, or damaged.
    """
    return ZipArchive(path) if archive_kind(path) == "zip" else TarArchive(path)


class ZipArchive:
    """A zip file; several threads may read it."""

    in_order = False

    def __init__(self, path: Path, wanted: Callable[[str], bool] = is_image_name) -> None:
        self._source = ZipSource([path], wanted)
        self._rows = {name: row for row, name in enumerate(self._source.keys)}

    def members(self) -> Sequence[Member]:
        """See `Archive`."""
        sums = self._source.checksums()
        return [Member(n, f"{s:08x}") for n, s in zip(self._source.keys, sums, strict=True)]

    def read(self, name: str) -> bytes:
        """See `Archive`."""
        if name not in self._rows:
            raise OSError(errno.ENOENT, "no longer in the archive")
        return self._source.read(self._rows[name])


class TarArchive:
    """A tar file. Of a plain one each image is read where it lies, of a compressed one in order."""

    def __init__(self, path: Path, wanted: Callable[[str], bool] = is_image_name) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        self._lock = threading.Lock()
        try:
            self._tar, self.in_order = _open_tar(path)
            for info in self._tar:
                if info.isreg() and wanted(info.name.removeprefix("./")):
                    self._members[info.name.removeprefix("./")] = info  # the last one counts
            self._file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except PermissionError:
            raise UserError(f"{path}: no right to read this file") from None
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise UserError(
                f"{path}: not a whole tar file ({error}); download or copy it again"
            ) from None
        weakref.finalize(self, os.close, self._file)
        weakref.finalize(self, self._tar.close)

    def members(self) -> Sequence[Member]:
        """See `Archive`."""
        return [Member(name, f"{info.size}:{info.mtime}") for name, info in self._members.items()]

    def read(self, name: str) -> bytes:
        """See `Archive`."""
        info = self._members.get(name)
        if info is None:
            raise OSError(errno.ENOENT, "no longer in the archive")
        if info.size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"a file of {info.size / 2**30:.1f} GB")
        if self.in_order or info.issparse():
            data = self._extract(info)
        else:
            data = os.pread(self._file, info.size, info.offset_data)
        if len(data) != info.size:
            raise OSError(errno.EINVAL, "the archive ends before it does")
        return data

    def _extract(self, info: tarfile.TarInfo) -> bytes:
        with self._lock:
            try:
                file = self._tar.extractfile(info)
                assert file is not None
                return file.read()
            except (tarfile.TarError, EOFError, OSError) as error:
                raise OSError(errno.EINVAL, f"damaged archive ({error})") from None


def _open_tar(path: Path) -> tuple[tarfile.TarFile, bool]:
    """The file, and whether it is compressed."""
    try:
        return tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape"), False
    except tarfile.ReadError:
        return tarfile.open(path, "r:*", encoding="utf-8", errors="surrogateescape"), True

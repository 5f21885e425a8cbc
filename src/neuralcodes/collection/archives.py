"""Images in zip, tar and Parquet files, read where they lie."""

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

from neuralcodes.collection.places import open_remote, read_remote
from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import MAX_BYTES, ZipSource, is_image_name

ARCHIVES = ("zip", "tar", "parquet")
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
    """ "zip", "tar" or "parquet" by the file's name; None for other files."""
    name = os.fsdecode(path).lower()
    for kind in ("zip", "parquet"):
        if name.endswith(f".{kind}"):
            return kind
    return "tar" if name.endswith(TAR_ENDINGS) else None


def open_archive(path: Path) -> Archive:
    """Open a zip or tar file.

    Raises:
        UserError: absent, may not be read, or damaged.
    """
    kind = archive_kind(path)
    if kind == "parquet":
        from neuralcodes.collection.parquet import ParquetArchive

        return ParquetArchive(os.fsencode(path))
    return ZipArchive(path) if kind == "zip" else TarArchive(path)


def open_remote_archive(place: bytes) -> Archive:
    """Open a tar or Parquet file in an object store.

    Raises:
        UserError: absent, damaged, or of a kind that is not read from afar.
    """
    kind = archive_kind(Path(os.fsdecode(place)))
    if kind == "parquet":
        from neuralcodes.collection.parquet import ParquetArchive

        return ParquetArchive(place)
    if kind == "tar" and os.fsdecode(place).lower().endswith(".tar"):
        return RemoteTar(place)
    raise UserError(
        f"{os.fsdecode(place)}: of archives in object stores only plain .tar and .parquet files "
        "are read; unpack it there, or copy it here"
    )


class _TarMembers:
    """Files in a tar file by name."""

    def __init__(self) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}

    def members(self) -> Sequence[Member]:
        """See `Archive`."""
        return [Member(name, f"{info.size}:{info.mtime}") for name, info in self._members.items()]

    def _info(self, name: str) -> tarfile.TarInfo:
        """Raises OSError where it is not there, or too large."""
        info = self._members.get(name)
        if info is None:
            raise OSError(errno.ENOENT, "no longer in the archive")
        if info.size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"a file of {info.size / 2**30:.1f} GB")
        return info


class RemoteTar(_TarMembers):
    """A plain tar file in an object store (a WebDataset shard): members are read by their range."""

    in_order = False

    def __init__(self, place: bytes) -> None:
        super().__init__()
        self._place = place
        try:
            with (
                open_remote(place) as file,
                tarfile.open(
                    fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape"
                ) as tar,
            ):
                for info in tar:
                    name = info.name.removeprefix("./")
                    if info.isreg() and is_image_name(name):
                        self._members[name] = info
        except Exception as error:  # each driver has its own
            raise UserError(
                f"{os.fsdecode(place)}: not a whole tar file ({' '.join(str(error).split())[:200]})"
            ) from error

    def read(self, name: str) -> bytes:
        """See `Archive`."""
        info = self._info(name)
        return read_remote(self._place, info.offset_data, info.offset_data + info.size)


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


class TarArchive(_TarMembers):
    """A tar file. Of a plain one each image is read where it lies, of a compressed one in order."""

    def __init__(self, path: Path, wanted: Callable[[str], bool] = is_image_name) -> None:
        super().__init__()
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

    def read(self, name: str) -> bytes:
        """See `Archive`."""
        info = self._info(name)
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

"""`Pictures`: the bytes of a collection's images, wherever they lie; and facts about images."""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from neuralcodes.collection.archives import Archive, open_archive
from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import MAX_BYTES

OPEN = 8  # archives kept open


class Pictures:
    """Reads images by place and member. Safe to use from several threads.

    Args:
        collection: its folder; a place that is not absolute lies below it.
    """

    def __init__(self, collection: Path) -> None:
        self._collection = os.fsencode(Path(collection).absolute())
        self._archives: OrderedDict[bytes, tuple[str, Archive]] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, place: bytes) -> bytes:
        """The file's absolute path."""
        return os.path.join(self._collection, place)

    def read(self, place: bytes, member: bytes = b"") -> bytes:
        """An image file's bytes.

        Raises:
            OSError: it cannot be had.
        """
        path = self.path(place)
        if member:
            return self._archive(path).read(member.decode("utf-8", "surrogateescape"))
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):  # opening a pipe would wait for ever
            raise OSError(errno.EINVAL, "not a regular file")
        if info.st_size > MAX_BYTES:
            raise OSError(errno.EFBIG, f"a file of {info.st_size / 2**30:.1f} GB")
        with open(path, "rb") as file:
            return file.read()

    def in_order(self, place: bytes, member: bytes) -> bool:
        """Whether images of this archive should be read one after another."""
        return bool(member) and self._archive(self.path(place)).in_order

    def _archive(self, path: bytes) -> Archive:
        with self._lock:
            info = os.stat(path)
            stamp = f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"
            kept = self._archives.get(path)
            if kept is not None and kept[0] == stamp:
                self._archives.move_to_end(path)
                return kept[1]
            try:
                archive = open_archive(Path(os.fsdecode(path)))
            except UserError as error:
                raise OSError(errno.EINVAL, str(error)) from None
            self._archives[path] = (stamp, archive)
            while len(self._archives) > OPEN:
                self._archives.popitem(last=False)
            return archive


@dataclass(frozen=True)
class Facts:
    """What an image file says of itself: upright size in pixels and kind ("JPEG")."""

    width: int
    height: int
    kind: str


def image_facts(data: bytes) -> Facts:
    """Facts of an image that has been decoded without trouble."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        kind = image.format or "?"
        orientation = 1
        if kind != "JPEG" or b"Exif\0" in data[:65536]:
            # a damaged EXIF block harms no pixel, and raises whatever went wrong in it
            with suppress(Exception):
                orientation = image.getexif().get(0x0112, 1)
    return Facts(height, width, kind) if orientation in (5, 6, 7, 8) else Facts(width, height, kind)


def name_of(place: bytes, member: bytes) -> str:
    """An image's path for people: that of the file, or archive/member."""
    path = os.fsdecode(place)
    return f"{path}/{member.decode('utf-8', 'surrogateescape')}" if member else path


def printable(text: str) -> str:
    """Text that any terminal or database takes: bytes that are no text become \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

"""`Pictures`: the bytes of a collection's images, wherever they lie, and how they are decoded."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from neuralcodes.codes.spec import Preprocessing
from neuralcodes.collection.archives import Archive, open_archive, open_remote_archive
from neuralcodes.collection.places import is_remote, read_remote
from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import decode, open_picture
from neuralcodes.images.facts import Facts, image_facts
from neuralcodes.images.imageset import Pixels
from neuralcodes.images.sources import MAX_BYTES

OPEN = 8  # archives kept open


class Decoding:
    """Decodes image files in this process. A service has one that leaves it to other processes.

    Both functions may be called from several threads; what cannot be decoded is a ValueError.
    """

    def pixels(self, data: bytes, pre: Preprocessing) -> tuple[Pixels, Facts]:
        """An image as the network's input, uint8 H×W×3, and what its file says of itself."""
        return decode(data, pre.size, pre.resize), image_facts(data)

    def picture(self, data: bytes, longest: int) -> Image.Image:
        """An image of its own shape, RGB, at most so many pixels wide and high."""
        return open_picture(data, longest)


class Pictures:
    """Reads images by place and member. Safe to use from several threads.

    Args:
        collection: its folder; a place that is not absolute lies below it.

    Attributes:
        decoding: decodes what was read.
    """

    def __init__(self, collection: Path) -> None:
        self.decoding = Decoding()
        self._collection = os.fsencode(Path(collection).absolute())
        self._archives: OrderedDict[bytes, tuple[str, Archive]] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, place: bytes) -> bytes:
        """The file's absolute path, or its address."""
        if is_remote(place):
            return place
        return os.path.join(self._collection, place)

    def read(self, place: bytes, member: bytes = b"") -> bytes:
        """An image file's bytes.

        Raises:
            OSError: it cannot be had.
        """
        path = self.path(place)
        if member:
            return self._archive(path).read(member.decode("utf-8", "surrogateescape"))
        if is_remote(path):
            return read_remote(path)
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
            far = is_remote(path)
            if far:
                stamp = ""  # a look at each image's file would cost more than the image
            else:
                info = os.stat(path)
                stamp = f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}"
            kept = self._archives.get(path)
            if kept is not None and kept[0] == stamp:
                self._archives.move_to_end(path)
                return kept[1]
            try:
                archive = (
                    open_remote_archive(path) if far else open_archive(Path(os.fsdecode(path)))
                )
            except UserError as error:
                raise OSError(errno.EINVAL, str(error)) from None
            self._archives[path] = (stamp, archive)
            while len(self._archives) > OPEN:
                self._archives.popitem(last=False)
            return archive


def name_of(place: bytes, member: bytes) -> str:
    """An image's path for people: that of the file, or archive/member."""
    path = os.fsdecode(place)
    return f"{path}/{member.decode('utf-8', 'surrogateescape')}" if member else path


def printable(text: str) -> str:
    """Text that any terminal or database takes: bytes that are no text become \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

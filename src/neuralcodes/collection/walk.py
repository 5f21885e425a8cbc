"""What images there are below the places a user named. Nothing found on the way stops a walk."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

from neuralcodes.collection.archives import (
    Archive,
    archive_kind,
    open_archive,
    open_remote_archive,
)
from neuralcodes.collection.pictures import printable
from neuralcodes.collection.places import (
    is_own,
    is_remote,
    list_remote,
    remote_facts,
    wanted_image,
)
from neuralcodes.collection.schema import DATABASE
from neuralcodes.common.errors import UserError
from neuralcodes.images.sources import is_hidden, is_image_name

BROKEN = "-"  # stamp of what is not a regular file


class Found(NamedTuple):
    """An image file somewhere.

    Attributes:
        place: the file, or the archive that holds it; absolute, bytes as the system has them.
        member: its name in the archive, else empty.
        stamp: changes when it does.
        below: its name below the root that it was found under, with "/".
        date: when it was last changed, seconds since 1970.
    """

    place: bytes
    member: bytes
    stamp: str
    below: str
    date: float


@dataclass
class Root:
    """A place that is walked.

    Attributes:
        place: absolute, without symbolic links.
        kind: folder, file, zip, tar, parquet, store: a folder in an object store, or own: a file
            that the collection keeps.
        stamp: of the file, "" for a folder.
        unreadable: folders in it that could not be listed, with the reason.
        archives: zip and tar files met in it.
    """

    place: bytes
    kind: str
    stamp: str = ""
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)
    archives: list[bytes] = field(default_factory=list)

    @property
    def path(self) -> str:
        """For messages."""
        return os.fsdecode(self.place)


def open_root(path: str | os.PathLike[str]) -> Root:
    """The place a user named.

    Raises:
        UserError: there is nothing, or neither folder, image nor archive.
    """
    text = os.fsdecode(os.fspath(path))
    if text.startswith("file://"):
        text = url2pathname(urlparse(text).path)
    if "://" in text:
        return _remote_root(os.fsencode(text.rstrip("/")))
    place = os.path.realpath(os.fsencode(text))
    try:
        info = os.stat(place)
    except OSError as error:
        reason = (
            "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        )
        raise UserError(f"{os.fsdecode(os.fspath(path))}: {reason}") from None
    if stat.S_ISDIR(info.st_mode):
        return Root(place, "folder")
    kind = archive_kind(Path(os.fsdecode(place)))
    return Root(place, kind or "file", file_stamp(info))


def walk(root: Root) -> Iterator[Found]:
    """Images below a root, in plain order of names within each folder.

    Hidden files and folders are passed over, and so are collections. Symbolic links are followed,
    except one that leads back to a folder that holds it. What cannot be listed is noted in
    `root.unreadable`, archives in a folder in `root.archives`.

    Raises:
        UserError: an archive cannot be opened.
    """
    if root.kind == "folder":
        yield from _walk_folder(root)
    elif root.kind == "store":
        yield from _walk_store(root)
    elif is_remote(root.place):
        yield from _walk_remote_file(root)
    elif root.kind == "own":
        yield Found(root.place, b"", root.stamp, os.fsdecode(root.place), time.time())
    elif root.kind == "file":
        info = os.stat(root.place)
        name = os.fsdecode(os.path.basename(root.place))
        yield Found(root.place, b"", file_stamp(info), name, info.st_mtime)
    else:
        date = os.stat(root.place).st_mtime
        # rows of a Parquet file have no mark of their own
        mark = f"{root.stamp}:" if root.kind == "parquet" else ""
        yield from _inside(root, open_archive(Path(os.fsdecode(root.place))), mark, date)


def _remote_root(place: bytes) -> Root:
    folder, stamp = remote_facts(place)
    if folder:
        return Root(place, "store")
    return Root(place, archive_kind(Path(os.fsdecode(place))) or "file", stamp)


def _walk_store(root: Root) -> Iterator[Found]:
    begin = len(root.place) + 1
    for place, stamp, date in list_remote(root.place):
        name = os.fsdecode(place[begin:])
        if wanted_image(name):
            yield Found(place, b"", stamp, name, date)
        elif archive_kind(Path(name)):
            root.archives.append(place)


def _walk_remote_file(root: Root) -> Iterator[Found]:
    if root.kind == "file":
        name = os.path.basename(root.path)
        yield Found(root.place, b"", root.stamp, name, time.time())
        return
    yield from _inside(root, open_remote_archive(root.place), f"{root.stamp}:", time.time())


def _inside(root: Root, archive: Archive, mark: str, date: float) -> Iterator[Found]:
    """An archive's images; `mark` comes before the stamps that it gives them."""
    for member in archive.members():
        own = member.name.encode("utf-8", "surrogateescape")
        yield Found(root.place, own, mark + member.stamp, member.name, date)


def file_stamp(info: os.stat_result) -> str:
    """Size and times of a file: equal means unchanged.

    The second time also changes when a file is replaced with its old date kept, or when it gets
    other rights.
    """
    if not stat.S_ISREG(info.st_mode):
        return BROKEN
    return f"{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"


def _walk_folder(root: Root) -> Iterator[Found]:
    def listed(folder: bytes) -> Sequence[os.DirEntry[bytes]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            root.unreadable.append((folder, error.strerror or "cannot be listed"))
            return ()

    begin = len(root.place.rstrip(b"/")) + 1
    stack = [(iter(listed(root.place)), _identity(root.place))]
    while stack:
        entry = next(stack[-1][0], None)
        if entry is None:
            stack.pop()
            continue
        name = os.fsdecode(entry.name)
        if _is_folder(entry):
            identity = _identity(entry.path)
            above = [known for _, known in stack]
            if not is_hidden(name + "/") and identity not in above:
                inside = listed(entry.path)
                if not any(inner.name == DATABASE.encode() for inner in inside):
                    stack.append((iter(inside), identity))
        elif is_image_name(name):
            yield _found(entry, os.fsdecode(entry.path[begin:]))
        elif archive_kind(Path(name)) and not is_hidden(name) and entry.is_file():
            root.archives.append(os.path.realpath(entry.path))


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: bytes) -> tuple[int, int]:
    try:
        info = os.stat(folder)
        return info.st_dev, info.st_ino
    except OSError:
        return -1, -1


def _found(entry: os.DirEntry[bytes], below: str) -> Found:
    try:
        info = entry.stat()
    except OSError:  # a broken link
        return Found(entry.path, b"", BROKEN, below, 0.0)
    return Found(entry.path, b"", file_stamp(info), below, info.st_mtime)


def naming(found: Found) -> tuple[str, str, str]:
    """Name, folder and label of an image, as text for people and filters."""
    folder, _, name = printable(found.below).rpartition("/")
    if is_own(found.place):
        return name, folder, ""
    if not folder and not found.member:
        label = os.fsdecode(os.path.basename(os.path.dirname(found.place)))
        return name, "", printable(label)
    return name, folder, folder.rpartition("/")[2]

"""What people search by, and its code: stored where the collection has it, else computed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from neuralcodes.collection.archives import archive_kind
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.pictures import Pictures, printable
from neuralcodes.collection.places import is_remote
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import Connection, Store
from neuralcodes.collection.walk import file_stamp
from neuralcodes.common.errors import UserError

Crop = tuple[int, int, int, int]


@dataclass(frozen=True)
class Query:
    """A query picture.

    Attributes:
        name: in words.
        image: its id, if it is an image of the collection and whole.
        code: id of its content, if the collection has it and all of it is asked for.
        data: the file's bytes, where there was need to read them; else
        place, member: where they are; else
        text: the words, where it is no picture.
    """

    name: str
    image: int | None = None
    code: int | None = None
    data: bytes | None = field(default=None, repr=False)
    place: bytes = field(default=b"", repr=False)
    member: bytes = field(default=b"", repr=False)
    text: str | None = None

    def read(self, pictures: Pictures) -> bytes:
        """The picture's file.

        Raises:
            OSError: it cannot be read.
        """
        if self.text is not None:
            raise FileNotFoundError(self.name)
        return self.data if self.data is not None else pictures.read(self.place, self.member)


class Asking:
    """Turns what people give into queries of a collection, and queries into codes."""

    def __init__(self, store: Store, coder: Coder, pictures: Pictures) -> None:
        self._store = store
        self._coder = coder
        self._pictures = pictures

    def look(self, given: Any, crop: Crop | None = None) -> Query:
        """What is asked by: an id, a path, a file: address, or a picture in memory.

        Args:
            given: an int or "id:N"; a path or "file:" URL; a PIL image, NumPy array or tensor.
            crop: left, top, width and height in pixels of the upright picture.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
            query = self._by_id(int(given))
        elif isinstance(given, (str, os.PathLike)):
            query = self._by_text(os.fspath(given))
        else:
            from neuralcodes.images.inmemory import picture_bytes

            query = self._known(picture_bytes(given), "a picture in memory")
        return query if crop is None else self._cut(query, crop)

    def code(self, query: Query) -> Floats:
        """The query's code, float32 d.

        Raises:
            UserError: the picture cannot be decoded, or the network is not to be had, or it knows
                no texts.
        """
        if query.code is not None:
            stored: Floats = self._store.snapshot().vectors(np.array([query.code]))[0]
            return stored
        if query.text is not None:
            words: Floats = self._coder.encode_texts([query.text])[0]
            return words
        assert query.data is not None
        try:
            pixels, _ = self._pictures.decoding.pixels(query.data, self._store.spec.preprocessing)
        except ValueError as error:
            raise UserError(f"{query.name}: {error}") from None
        made: Floats = self._coder.encode(np.array(pixels[None]))[0]
        return made

    def _by_id(self, number: int) -> Query:
        rows = self._store.query(
            "SELECT path, code, bad, place, member FROM images WHERE id = ?", (number,)
        )
        if not rows:
            raise UserError(f"id:{number}: no image of that number in {self._store.path}")
        path, code, bad, place, member = rows[0]
        if code is None:
            raise UserError(f"{path}: has no code ({bad})")
        return Query(path, number, code, None, place, member)

    def _by_text(self, text: str | bytes) -> Query:
        name = os.fsdecode(text)
        if name.startswith("id:") and name[3:].isdigit():
            return self._by_id(int(name[3:]))
        if name.startswith("file:"):
            address = urlsplit(name)
            if address.netloc not in ("", "localhost"):
                raise UserError(f"{name}: only files of this machine can be searched by")
            name = unquote(address.path)
        elif "://" in name[:10]:
            # what was indexed is known; anything else is not fetched for whoever asks
            known = self._store.query(
                "SELECT id FROM images WHERE place = ? AND member = ?", split_path(name)
            )
            if known:
                return self._by_id(known[0][0])
            raise UserError(f"{name}: only files can be searched by; download it first")
        place, member = find_place(self._store, name)
        return self._by_place(place, member, name)

    def _by_place(self, place: bytes, member: bytes, name: str) -> Query:
        shown = printable(name)
        rows = self._store.query(
            "SELECT id, code, stamp FROM images WHERE place = ? AND member = ?", (place, member)
        )
        known = rows[0][1] if rows else None
        stored = Query(shown, rows[0][0] if rows else None, known, None, place, member)
        try:
            if known is not None and not member and self._stamp(place) == rows[0][2]:
                return stored
            data = self._pictures.read(place, member)
        except OSError as error:
            if known is not None:  # the file has gone; what it was like is known
                return stored
            reason = (error.strerror or str(error)).lower()
            raise UserError(f"{shown}: {reason}") from None
        found = self._known(data, shown)
        same = known is not None and known == found.code
        return replace(found, image=stored.image if same else None)

    def _stamp(self, place: bytes) -> str:
        return file_stamp(os.stat(self._pictures.path(place)))

    def _known(self, data: bytes, name: str) -> Query:
        digest = hashlib.sha256(data).digest()
        rows = self._store.query("SELECT id FROM codes WHERE hash = ?", (digest,))
        return Query(name, None, rows[0][0] if rows else None, data)

    def _cut(self, query: Query, crop: Crop) -> Query:
        from neuralcodes.images.decode import open_picture
        from neuralcodes.images.inmemory import png_file

        left, top, width, height = crop
        try:
            picture = open_picture(query.read(self._pictures))
        except (OSError, ValueError) as error:
            raise UserError(f"{query.name}: cannot be cut ({error})") from None
        box = (max(0, left), max(0, top), min(picture.width, left + width),
               min(picture.height, top + height))  # fmt: skip
        if width <= 0 or height <= 0 or box[2] <= box[0] or box[3] <= box[1]:
            raise UserError(
                f"--crop {left},{top},{width},{height}: no part of {query.name}, which is "
                f"{picture.width}×{picture.height}"
            )
        name = f"{query.name} [{box[0]},{box[1]} {box[2] - box[0]}×{box[3] - box[1]}]"
        return Query(name, None, None, png_file(picture.crop(box)))


def mean_code(codes: Sequence[Floats]) -> Floats:
    """The mean of several codes, of length 1 again; float32 d."""
    if len(codes) == 1:
        return codes[0]
    mean = np.mean(np.stack(codes).astype(np.float64), axis=0)
    length = np.linalg.norm(mean)
    unit: Floats = (mean / length if length else mean).astype(np.float32)
    return unit


def text_query(text: str) -> Query:
    """Words to search by.

    Raises:
        UserError: there are none.
    """
    words = " ".join(text.split())
    if not words:
        raise UserError("--text: say what to search for, for instance --text 'a red boat'")
    return Query(f"“{words}”", text=words)


def find_place(connection: Connection, name: str) -> tuple[bytes, bytes]:
    """Place and member of a path. A symbolic link that was indexed stands for itself."""
    place, member = split_path(name)
    if is_remote(place):
        return place, member
    folder, base = os.path.split(os.path.abspath(os.fsencode(name)))
    for one in (os.path.join(folder, base), os.path.join(os.path.realpath(folder), base)):
        if one != place and connection.query("SELECT 1 FROM images WHERE place = ?", (one,)):
            return one, b""
    return place, member


def split_path(name: str) -> tuple[bytes, bytes]:
    """Place and member of a path that may lead into an archive: `photos.zip/cat/1.jpg`."""
    if "://" in name:
        for ending in (".parquet/", ".tar/"):
            head, found, tail = name.partition(ending)
            if found:
                return os.fsencode(head + found[:-1]), tail.encode("utf-8", "surrogateescape")
        return os.fsencode(name.rstrip("/")), b""
    path = Path(name)
    for parent in path.parents:
        if archive_kind(parent) and parent.is_file():
            member = os.fsdecode(os.path.relpath(path, parent)).encode("utf-8", "surrogateescape")
            return os.path.realpath(os.fsencode(parent)), member
    return os.path.realpath(os.fsencode(path)), b""

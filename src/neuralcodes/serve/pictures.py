"""`ServedPictures`: thumbnails of images and uploads, their codes; decoded by the decoders."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from neuralcodes.codes.spec import Preprocessing
from neuralcodes.collection.collection import Collection
from neuralcodes.collection.lookup import code_of_content, content_of
from neuralcodes.collection.pictures import Decoding
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.snapshot import Floats
from neuralcodes.common.errors import UserError
from neuralcodes.images.decode import MAX_PIXELS
from neuralcodes.images.facts import Facts
from neuralcodes.images.imageset import Pixels
from neuralcodes.serve.batching import Batcher
from neuralcodes.serve.decoding import Crop, Decoders, Picture
from neuralcodes.serve.errors import (
    BadPictureError,
    BusyError,
    NotFoundError,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from neuralcodes.serve.settings import Settings
from neuralcodes.serve.shared import Shared

CODES = 2000  # of uploads and parts of pictures, remembered
CHECKED = 64  # pictures that are about to be added
Value = TypeVar("Value")


class Recent(Generic[Value]):
    """The values used last, by key; safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[object, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> Value | None:
        """What was put there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: object, value: Value) -> None:
        """Remember it; the one that was not used for longest goes."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def take(self, key: object) -> Value | None:
        """What was put there, which is then forgotten."""
        with self._lock:
            return self._values.pop(key, None)


class WorkerDecoding(Decoding):
    """Decodes for the collection, as when pictures are added or duplicates measured.

    The server's own process opens no image file. Long work waits for a free decoder; the limits of
    memory and time are those of uploads, that of pixels is the one of `neuralcodes index`, so that
    the same files of a folder can be read.

    Args:
        decoders: that do it.
        checked: by hash, what uploads were decoded to a moment ago.
    """

    def __init__(self, decoders: Decoders, checked: Recent[tuple[Picture, Pixels]]) -> None:
        self._decoders = decoders
        self._checked = checked

    def pixels(self, data: bytes, pre: Preprocessing) -> tuple[Pixels, Facts]:
        """An image as the network's input, and what its file says of itself."""
        known = self._checked.take(hashlib.sha256(data).digest())
        facts, pixels = known or self._patiently(
            lambda: self._decoders.pixels(data, pre, None, MAX_PIXELS)
        )
        return pixels, facts.upright

    def picture(self, data: bytes, longest: int) -> Image.Image:
        """An image of its own shape, RGB, at most so many pixels wide and high."""
        pixels = self._patiently(lambda: self._decoders.picture(data, longest, MAX_PIXELS))
        return Image.fromarray(pixels)

    def _patiently(self, work: Callable[[], Value]) -> Value:
        while True:
            try:
                return work()
            except BusyError:
                continue  # it has waited for a decoder already
            except (BadPictureError, TooLargeError) as error:
                raise ValueError(error.message) from None


class ServedPictures:
    """Pictures as the service shows them and as the network takes them."""

    def __init__(
        self, collection: Collection, shared: Shared, batcher: Batcher, settings: Settings
    ) -> None:
        self._collection = collection
        self._decoders = shared.decoders
        self._batcher = batcher
        self._settings = settings
        self._thumbnails = shared.thumbnails
        self._uploads = shared.uploads
        self._codes: Recent[Floats] = Recent(CODES)
        self._checked: Recent[tuple[Picture, Pixels]] = Recent(CHECKED)
        collection.pictures.decoding = WorkerDecoding(self._decoders, self._checked)

    def close(self) -> None:
        """From now on the collection decodes by itself again."""
        self._collection.pictures.decoding = Decoding()

    # Uploads

    def check_size(self, data: bytes) -> None:
        """Refuse an upload that is too large, or empty."""
        if len(data) > self._settings.upload_bytes:
            raise TooLargeError(
                f"{len(data):,} bytes; a picture may have {self._settings.upload_bytes:,}"
            )
        if not data:
            raise BadPictureError("empty file")

    def keep_upload(self, data: bytes) -> tuple[str, Picture]:
        """Look at an upload and keep it for a while; gives its id, the SHA-256 of its bytes."""
        self.check_size(data)
        digest = hashlib.sha256(data).digest()
        facts, pixels = self._decoders.pixels(data, self._collection.spec.preprocessing, None)
        if self._known(digest, None) is None:
            self._codes.put((digest, None), self._encode(pixels))
        self._uploads.put(digest.hex(), data)
        return digest.hex(), facts

    def upload(self, name: str) -> bytes:
        """An upload's bytes.

        Raises:
            NotFoundError: it was never there or has made room for others.
        """
        data = self._uploads.get(name)
        if data is None or hashlib.sha256(data).hexdigest() != name:
            raise NotFoundError(f"upload {name[:12]}… is no longer there; upload it again")
        return data

    def check_picture(self, data: bytes) -> None:
        """Refuse what the decoders cannot decode within their limits.

        What they made of it is kept for the commit that adds it.
        """
        self.check_size(data)
        pre = self._collection.spec.preprocessing
        self._checked.put(hashlib.sha256(data).digest(), self._decoders.pixels(data, pre, None))

    # Codes

    def code_of_text(self, text: str) -> Floats:
        """The code of words.

        Raises:
            RefusedError: the collection's network knows none.
        """
        if not self.has_text:
            raise RefusedError(f"{self._collection.spec.name}: knows no texts; give a picture")
        known = self._codes.get(text)
        if known is None:
            known = self._batcher.call(lambda: self._collection.encode_texts([text])[0])
            self._codes.put(text, known)
        return known

    @functools.cached_property
    def has_text(self) -> bool:
        """Whether the collection can be searched by words; opens the network."""
        return bool(self._batcher.call(lambda: self._collection.has_text))

    def code_of_upload(self, name: str, crop: Crop | None) -> Floats:
        """An upload's code; raises as `upload` and `code_of_data`."""
        known = self._known(bytes.fromhex(name), crop)
        return known if known is not None else self.code_of_data(self.upload(name), crop)

    def code_of_data(self, data: bytes, crop: Crop | None = None) -> Floats:
        """The code of a picture file or of a part of it, float32 d.

        Raises:
            BadPictureError, TooLargeError: it cannot be decoded.
            BusyError: too many wait.
        """
        self.check_size(data)
        digest = hashlib.sha256(data).digest()
        known = self._known(digest, crop)
        if known is not None:
            return known
        code = self._encode(self._pixels(data, crop))
        self._codes.put((digest, crop), code)
        return code

    def code_of_part(self, image: ImageRecord, crop: Crop) -> Floats:
        """The code of a part of an image of the collection."""
        digest = self._digest(image)
        known = self._codes.get((digest, crop))
        if known is None:
            known = self._encode(self._pixels(self.read(image), crop))
            self._codes.put((digest, crop), known)
        return known

    def _encode(self, pixels: Pixels) -> Floats:
        code: Floats = self._batcher.encode(pixels[None])[0]
        return code

    def _known(self, digest: bytes, crop: Crop | None) -> Floats | None:
        if crop is None:
            stored = code_of_content(self._collection.store, digest)
            if stored is not None:
                return stored
        return self._codes.get((digest, crop))

    def _pixels(self, data: bytes, crop: Crop | None = None) -> Pixels:
        return self._decoders.pixels(data, self._collection.spec.preprocessing, crop)[1]

    # Images of the collection

    def read(self, image: ImageRecord) -> bytes:
        """An image's file.

        Raises:
            NotFoundError: it cannot be read now.
        """
        try:
            return self._collection.pictures.read(image.place, image.member)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise NotFoundError(f"image {image.id}: its file cannot be read ({reason})") from None

    def pixels_of(
        self,
        what: ImageRecord | str,
        crop: Crop | None = None,
        size: tuple[int, int] | None = None,
    ) -> Pixels:
        """An image, or an upload by its id, or a part of it, as the network takes it.

        Args:
            size: another one than the network's.
        """
        data = self.upload(what) if isinstance(what, str) else self.read(what)
        pre = self._collection.spec.preprocessing
        wanted = pre if size is None else replace(pre, size=size)
        return self._decoders.pixels(data, wanted, crop)[1]

    def thumbnail(self, image: ImageRecord, side: int) -> tuple[bytes, str]:
        """A JPEG of an image at most `side` pixels wide and high, and its entity tag.

        The tag is empty where the file has changed since it was indexed.
        """
        return self._small(self._digest(image), side, lambda: self.read(image))

    def upload_thumbnail(self, name: str, side: int) -> tuple[bytes, str]:
        """The same of an upload."""
        return self._small(bytes.fromhex(name), side, lambda: self.upload(name))

    def _small(self, digest: bytes, side: int, read: Callable[[], bytes]) -> tuple[bytes, str]:
        tag = f"{digest.hex()}-{side}"
        made = self._thumbnails.get(tag)
        if made is None:
            data = read()
            made = self._decoders.thumbnail(data, side)
            if hashlib.sha256(data).digest() != digest:
                return made, ""
            self._thumbnails.put(tag, made)
        return made, tag

    def _digest(self, image: ImageRecord) -> bytes:
        digest = content_of(self._collection.store, image.id)
        if digest is None:
            raise NotFoundError(f"image {image.id}: could not be read when it was indexed")
        return digest

    def warm_up(self) -> str:
        """Open the network ahead of the first picture; what is wrong, else empty."""
        height, width = self._collection.spec.preprocessing.size
        with suppress(UnavailableError):
            try:
                self._batcher.encode(np.zeros((1, height, width, 3), np.uint8))
            except UserError as error:
                return " ".join(str(error).split())
        return ""

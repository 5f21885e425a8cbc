"""`Finder`: from what was asked to results, by stored codes or those that the network makes."""

from __future__ import annotations

import os.path
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.lookup import count_label
from neuralcodes.collection.query import mean_code
from neuralcodes.collection.results import ImageRecord, Match
from neuralcodes.collection.snapshot import Floats
from neuralcodes.common.errors import UserError
from neuralcodes.serve import models
from neuralcodes.serve.errors import NotFoundError, RefusedError
from neuralcodes.serve.pictures import ServedPictures
from neuralcodes.serve.settings import Settings

API = "/api/v1"
STARS = 8  # in a filter: each may multiply the time of a comparison


class Finder:
    """Searches a collection."""

    def __init__(
        self, collection: Collection, pictures: ServedPictures, settings: Settings, root: str
    ) -> None:
        self._root = root
        self._collection = collection
        self._pictures = pictures
        self._settings = settings
        self._counts: tuple[int, dict[str, int]] = (-1, {})  # by label, at a version of the store

    def search(self, wanted: models.Search, files: Sequence[bytes] = ()) -> models.Answer:
        """Results nearest first; a page of them.

        Args:
            wanted: what is searched by, and how many.
            files: pictures to search by as well, which are not kept.

        Raises:
            NotFoundError: an image or upload of which there is none.
            RefusedError: nothing to search by, a crop of several pictures, a filter that is none.
        """
        start = time.perf_counter()
        pictures = len(wanted.id) + len(wanted.upload) + len(files)
        if not pictures and wanted.text is None:
            raise RefusedError("nothing to search by: give an id, an upload or a text")
        if wanted.crop is not None and (pictures != 1 or wanted.text is not None):
            raise RefusedError("crop goes with one picture, not with several")
        if wanted.page * wanted.k > self._settings.most:
            raise RefusedError(f"page × k: at most {self._settings.most:,} results can be reached")
        images = [self.image(number) for number in wanted.id]
        unwanted = [self.image(number) for number in wanted.exclude]
        code = mean_code(self._codes(wanted, images, files))
        against = self._against(wanted, unwanted)
        matches = self._matches(wanted, code, against, [one.id for one in (*images, *unwanted)])
        first, beyond = (wanted.page - 1) * wanted.k, (wanted.page + 1) * wanted.k
        label = _common_label(images) if not (wanted.upload or wanted.text or files) else None
        return models.Answer(
            asked=[
                *(asked_image(one, self._root) for one in images),
                *(asked_upload(one, self._root) for one in wanted.upload),
                *(models.Asked(kind="upload", name="uploaded picture") for _ in files),
                *([models.Asked(kind="text", name=wanted.text)] if wanted.text else []),
            ],
            excluded=[
                *(asked_image(one, self._root) for one in unwanted),
                *(asked_upload(one, self._root) for one in wanted.exclude_upload),
            ],
            code=self._collection.spec.name,
            k=wanted.k,
            page=wanted.page,
            more=len(matches) > first + wanted.k and beyond <= self._settings.most,
            relevant_total=None if label is None else self._relevant_total(label, images),
            means=self._collection.means,
            warning=self._collection.warning,
            seconds=round(time.perf_counter() - start, 6),
            matches=[
                match_model(one, label, self._root) for one in matches[first : first + wanted.k]
            ],
        )

    def image(self, number: int) -> ImageRecord:
        """An image by its id.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self._collection.image(number)
        except UserError:
            raise NotFoundError(f"no image {number}") from None

    def code_of(self, image: ImageRecord, crop: models.Crop | None = None) -> Floats:
        """The code of an image or of a part of it."""
        if image.code is None:
            raise NotFoundError(f"image {image.id} has no code: it could not be read")
        if crop is not None:
            return self._pictures.code_of_part(image, crop.box)
        stored: Floats = self._collection.store.snapshot().vectors(np.array([image.code]))[0]
        return stored

    def code_of_query(
        self, query: ImageRecord | str, crop: models.Crop | None = None
    ) -> Floats:  # fmt: skip
        """The code of an image, or of an upload by its id, or of a part of it."""
        if isinstance(query, str):
            return self._pictures.code_of_upload(query, None if crop is None else crop.box)
        return self.code_of(query, crop)

    def _codes(
        self, wanted: models.Search, images: Sequence[ImageRecord], files: Sequence[bytes]
    ) -> list[Floats]:
        box = wanted.crop.box if wanted.crop is not None else None
        codes = [self.code_of(one, wanted.crop) for one in images]
        codes += [self._pictures.code_of_upload(name, box) for name in wanted.upload]
        codes += [self._pictures.code_of_data(data, box) for data in files]
        if wanted.text is not None:
            codes.append(self._pictures.code_of_text(wanted.text))
        return codes

    def _against(self, wanted: models.Search, unwanted: Sequence[ImageRecord]) -> Floats | None:
        codes = [self.code_of(one) for one in unwanted]
        codes += [self._pictures.code_of_upload(name, None) for name in wanted.exclude_upload]
        return np.stack(codes) if codes else None

    def _matches(
        self, wanted: models.Search, code: Floats, against: Floats | None, hidden: list[int]
    ) -> list[Match]:
        count = wanted.page * wanted.k + 1  # one more says whether there is another page
        with explained_filter(wanted.filter):
            return self._collection.search_codes(
                code[None], count, hidden=hidden, against=against, filter=wanted.filter,
                exact=wanted.exact, pictured=wanted.text is None,
            )[0]  # fmt: skip

    def _relevant_total(self, label: str, images: Sequence[ImageRecord]) -> int:
        asked = {one.id for one in images if one.label == label}
        version = self._collection.store.version()
        counts = self._counts[1] if self._counts[0] == version else {}
        if label not in counts:  # it looks at every image
            counts[label] = count_label(self._collection.store, label)
        self._counts = version, counts
        return counts[label] - len(asked)


@contextmanager
def explained_filter(filter: str | None) -> Iterator[None]:
    """Turn what is wrong with a filter into a refusal.

    Raises:
        RefusedError: it is none, or one whose patterns could take for ever.
    """
    if filter is not None and filter.count("*") > STARS:
        raise RefusedError(f"filter: at most {STARS} times *")
    try:
        yield
    except UserError as error:
        if not str(error).startswith("--filter"):
            raise
        raise RefusedError(" ".join(str(error).removeprefix("--").split())) from None
    except (OverflowError, ValueError, sqlite3.OperationalError) as error:
        if filter is None:
            raise
        raise RefusedError(f"filter: a value in it cannot be compared ({error})") from None


def _common_label(images: Sequence[ImageRecord]) -> str | None:
    labels = {one.label for one in images}
    return labels.pop() if len(labels) == 1 else None


def asked_image(image: ImageRecord, root: str) -> models.Asked:
    """An image of the collection that was searched by."""
    return models.Asked(
        kind="image",
        name=os.path.basename(image.path),
        id=image.id,
        thumbnail=thumbnail_url(image, root),
        label=image.label,
    )


def asked_upload(name: str, root: str) -> models.Asked:
    """An upload that was searched by."""
    return models.Asked(
        kind="upload",
        name="uploaded picture",
        upload=name,
        thumbnail=upload_url(name, root),
    )


def upload_url(name: str, root: str) -> str:
    """Where an upload's thumbnail is."""
    return f"{root}{API}/uploads/{name}/thumbnail"


def thumbnail_url(image: ImageRecord, root: str) -> str:
    """Where an image's thumbnail is; another address when its content changes."""
    version = f"?v={image.code}" if image.code is not None else ""
    return f"{root}{API}/images/{image.id}/thumbnail{version}"


def image_model(image: ImageRecord, root: str) -> models.Image:
    """An image as it goes over the wire."""
    return models.Image(
        id=image.id,
        path=image.path,
        name=os.path.basename(image.path),
        folder=image.folder,
        label=image.label,
        width=image.width,
        height=image.height,
        size=image.size,
        kind=image.kind,
        date=datetime.fromtimestamp(image.date, UTC).isoformat(),
        content=image.code,
        thumbnail=thumbnail_url(image, root),
        metadata=image.metadata,
    )


def match_model(match: Match, label: str | None, root: str) -> models.Match:
    """A result as it goes over the wire."""
    return models.Match(
        rank=match.rank,
        distance=round(match.distance, 6),
        probability=None if match.probability is None else round(match.probability, 4),
        relevant=None if label is None else match.image.label == label,
        image=image_model(match.image, root),
    )

"""`Wanted`: a search as its address says it, and the addresses of searches near to it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from neuralcodes.serve import models
from neuralcodes.serve.errors import RefusedError

K = 24
MOST_K = 198  # of the slider; an address may ask for up to `models.Search`'s limit
IS = "is."
ORDERS = ("mixed", "path", "newest")

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_UPLOAD = re.compile("[0-9a-f]{64}")
_COLUMN = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Wanted:
    """What an address asks for; immutable, the same address the same value.

    Attributes:
        id, upload: what is searched by: images of the collection, uploads.
        text: words searched by.
        exclude, exclude_upload: what is not wanted.
        crop: left, top, width, height, fractions of the one picture.
        picks: a column and the value that images must have in it.
        filter: an expression, as of `--filter`.
        within: results farther than this are not shown.
        k, page: results a page; from 1.
        order: of images, where nothing is searched by.
    """

    id: tuple[int, ...] = ()
    upload: tuple[str, ...] = ()
    text: str = ""
    exclude: tuple[int, ...] = ()
    exclude_upload: tuple[str, ...] = ()
    crop: tuple[float, float, float, float] | None = None
    picks: tuple[tuple[str, str], ...] = ()
    filter: str = ""
    within: float | None = None
    k: int = K
    page: int = 1
    order: str = ORDERS[0]

    @classmethod
    def read(cls, given: QueryParams) -> Wanted:
        """From an address's parameters.

        Raises:
            RefusedError: one of them is not of its form.
        """
        picks = [
            (name.removeprefix(IS), value)
            for name, value in given.multi_items()
            if name.startswith(IS) and value
        ]
        for column, _ in picks:
            if not _COLUMN.fullmatch(column):
                raise RefusedError(f"{column}: no column has such a name")
        order = given.get("order", ORDERS[0])
        return cls(
            id=_ids(given, "id"),
            upload=_uploads(given, "upload"),
            text=given.get("text", "").strip()[:1000],
            exclude=_ids(given, "exclude"),
            exclude_upload=_uploads(given, "exclude_upload"),
            crop=_crop(given.get("crop", "")),
            picks=tuple(picks),
            filter=given.get("filter", "").strip()[:2000],
            within=_within(given.get("within", "")),
            k=_whole(given, "k", K, 1000),
            page=_whole(given, "page", 1, 10_000),
            order=order if order in ORDERS else ORDERS[0],
        )

    @property
    def asks(self) -> bool:
        """Whether there is anything to search by."""
        return bool(self.id or self.upload or self.text)

    @property
    def one(self) -> bool:
        """Whether it is searched by a single picture, which can be cropped."""
        return len(self.id) + len(self.upload) == 1 and not self.text

    @property
    def condition(self) -> str | None:
        """All filters as one expression; None where there are none."""
        parts = [_among(column, value) for column, value in self.picks]
        if self.filter:
            parts.append(f"({self.filter})" if parts else self.filter)
        return " and ".join(parts) or None

    @property
    def explained(self) -> str:
        """What is searched by, as part of an address that explains a result."""
        crop = [pair for pair in self.pairs() if pair[0] == "crop"]
        pairs = [("by", str(one)) for one in self.id] + [("upload", one) for one in self.upload]
        return urlencode(pairs + crop, safe=",")

    def search(self, k: int | None = None, page: int | None = None) -> models.Search:
        """As the service takes it."""
        left, top, width, height = self.crop or (0.0, 0.0, 1.0, 1.0)
        return models.Search(
            id=list(self.id),
            upload=list(self.upload),
            text=self.text or None,
            exclude=list(self.exclude),
            exclude_upload=list(self.exclude_upload),
            crop=models.Crop(left=left, top=top, width=width, height=height) if self.crop else None,
            filter=self.condition,
            k=k or self.k,
            page=page or self.page,
        )

    # Searches near to this one

    def but(self, **changes: Any) -> Wanted:
        """The same with changes, from its first page on."""
        return replace(self, **{"page": 1, **changes})

    def by(self, *, id: int = 0, upload: str = "") -> Wanted:
        """A search by another picture alone, with the same filters."""
        fresh = Wanted(picks=self.picks, filter=self.filter, within=self.within, k=self.k)
        return replace(fresh, id=(id,) if id else (), upload=(upload,) if upload else ())

    def more(self, *, id: int = 0, upload: str = "") -> Wanted:
        """The same by one more picture."""
        return self.but(
            id=_with(self.id, id), upload=_with(self.upload, upload), crop=None,
            exclude=tuple(one for one in self.exclude if one != id),
        )  # fmt: skip

    def unlike(self, *, id: int = 0, upload: str = "") -> Wanted:
        """The same, but nothing like this picture."""
        return self.but(
            exclude=_with(self.exclude, id), exclude_upload=_with(self.exclude_upload, upload)
        )

    def without(self, *, id: int = 0, upload: str = "", text: bool = False) -> Wanted:
        """The same without a picture (or the text) that it goes by or against."""
        kept = self.but(
            id=tuple(one for one in self.id if one != id),
            upload=tuple(one for one in self.upload if one != upload),
            exclude=tuple(one for one in self.exclude if one != id),
            exclude_upload=tuple(one for one in self.exclude_upload if one != upload),
            text="" if text else self.text,
        )
        return kept if kept.one else replace(kept, crop=None)

    def unfiltered(self) -> Wanted:
        """The same without filters."""
        return self.but(picks=(), filter="", within=None)

    def unpicked(self, column: str) -> Wanted:
        """The same without the pick of a column."""
        return self.but(picks=tuple(one for one in self.picks if one[0] != column))

    # Addresses

    def pairs(self, *leave_out: str) -> list[tuple[str, str]]:
        """The address's parameters, those at their defaults left out."""
        crop = ",".join(f"{part:.4g}" for part in self.crop) if self.crop else ""
        found = [
            *(("id", str(one)) for one in self.id),
            *(("upload", one) for one in self.upload),
            ("text", self.text),
            *(("exclude", str(one)) for one in self.exclude),
            *(("exclude_upload", one) for one in self.exclude_upload),
            ("crop", crop),
            *((f"{IS}{column}", value) for column, value in self.picks),
            ("filter", self.filter),
            ("within", "" if self.within is None else f"{self.within:g}"),
            ("order", self.order if self.order != ORDERS[0] else ""),
            ("k", str(self.k) if self.k != K else ""),
            ("page", str(self.page) if self.page > 1 else ""),
        ]
        return [
            (name, value)
            for name, value in found
            if value and name not in leave_out and not (IS in leave_out and name.startswith(IS))
        ]

    @property
    def query(self) -> str:
        """The address's part after the question mark."""
        return urlencode(self.pairs(), safe=",")

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"/?{self.query}" if self.pairs() else "/"


def _with(known: tuple[Any, ...], new: Any) -> tuple[Any, ...]:
    return known if not new or new in known else (*known, new)


def _among(column: str, value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    # a column of the user's may hold numbers or text that looks like them
    number = f"{value}, " if _NUMBER.fullmatch(value) else ""
    return f'{column} in ({number}"{text}")'


def _ids(given: QueryParams, name: str) -> tuple[int, ...]:
    values = given.getlist(name)
    if any(not value.isascii() or not value.isdigit() or len(value) > 15 for value in values):
        raise RefusedError(f"{name}: an image's id is a number")
    return tuple(dict.fromkeys(int(value) for value in values))[:64]


def _uploads(given: QueryParams, name: str) -> tuple[str, ...]:
    values = given.getlist(name)
    if any(not _UPLOAD.fullmatch(value) for value in values):
        raise RefusedError(f"{name}: an upload's id is 64 hexadecimal digits")
    return tuple(dict.fromkeys(values))[:64]


def _whole(given: Mapping[str, str], name: str, usual: int, most: int) -> int:
    value = given.get(name) or str(usual)
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= most:
        raise RefusedError(f"{name}: give a number from 1 to {most:,}")
    return int(value)


def _within(text: str) -> float | None:
    try:
        return max(0.0, min(float(text), 2.0)) if text.strip() else None
    except ValueError:
        raise RefusedError("within: give a distance from 0 to 2") from None


def _crop(text: str) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise RefusedError("crop: give LEFT,TOP,WIDTH,HEIGHT as fractions") from None
    return crop_of(left, top, width, height)


def crop_of(
    left: float, top: float, width: float, height: float
) -> tuple[float, float, float, float] | None:
    """A part of a picture, kept inside of it; None for the whole picture.

    Raises:
        RefusedError: nothing is left.
    """
    if not all(map(math.isfinite, (left, top, width, height))):
        raise RefusedError("crop: give numbers")
    left, top = min(max(left, 0.0), 1.0), min(max(top, 0.0), 1.0)
    width, height = min(width, 1.0 - left), min(height, 1.0 - top)
    if width < 0.01 or height < 0.01:
        raise RefusedError("crop: the region has no area; draw a larger one")
    whole = width > 0.995 and height > 0.995
    return None if whole else (left, top, width, height)

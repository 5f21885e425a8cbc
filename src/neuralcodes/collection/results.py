"""What a search gives: typed, printable, and a sheet of pictures in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.query import Query
from neuralcodes.collection.sheet import Tile, render_sheet

if TYPE_CHECKING:
    from PIL import Image

SHOWN = 200  # pictures in a notebook's sheet


@dataclass(frozen=True)
class ImageRecord:
    """An image of the collection.

    Attributes:
        id: stays the same when the file is moved or changed.
        path: the file, or archive/name; for people.
        folder: below the place that was indexed.
        label: the folder it lies in.
        width, height: upright, in pixels; 0 for a bad image.
        size: bytes of the file.
        kind: "JPEG" and the like.
        date: of the file, seconds since 1970.
        place, member: the file (bytes, as the system has it) and the name in an archive.
        code: id of its content; None for a bad image.
        metadata: the user's own columns.
    """

    id: int
    path: str
    folder: str
    label: str
    width: int
    height: int
    size: int
    kind: str
    date: float
    place: bytes = field(repr=False)
    member: bytes = field(repr=False)
    code: int | None = field(repr=False)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "id": self.id,
            "path": self.path,
            "folder": self.folder,
            "label": self.label,
            "width": self.width,
            "height": self.height,
            "size": self.size,
            "kind": self.kind,
            "date": datetime.fromtimestamp(self.date, UTC).isoformat(),
            **({"metadata": self.metadata} if self.metadata else {}),
        }


@dataclass(frozen=True)
class Match:
    """One result.

    Attributes:
        rank: from 1.
        distance: Euclidean, between codes of length 1: 0 for the same, √2 for nothing in common.
        image: what was found.
        probability: that it matches, as calibrated; None where it was not.
    """

    rank: int
    distance: float
    image: ImageRecord
    probability: float | None = None

    @property
    def id(self) -> int:
        """The image's id."""
        return self.image.id

    @property
    def path(self) -> str:
        """The image's path."""
        return self.image.path

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "rank": self.rank,
            "distance": round(self.distance, 6),
            **({} if self.probability is None else {"probability": round(self.probability, 4)}),
            **self.image.to_json(),
        }


@dataclass(frozen=True)
class Results:
    """Matches in order of distance.

    Attributes:
        query: what was asked, in words.
        matches: nearest first.
        code: short form of the code that was compared.
        warning: what to know, as that the index could not be used; else empty.
        means: what a probability beside a distance means; empty where there is none.
        asked: the query pictures.
        pictures: where to read pictures from, for sheets.
    """

    query: str
    matches: tuple[Match, ...]
    code: str
    warning: str = ""
    means: str = ""
    asked: tuple[Query, ...] = field(default=(), repr=False, compare=False)
    pictures: Pictures | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __getitem__(self, position: int) -> Match:
        return self.matches[position]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "query": self.query,
            "code": self.code,
            "matches": [match.to_json() for match in self.matches],
            **({"probability_means": self.means} if self.means else {}),
            **({"warning": self.warning} if self.warning else {}),
        }

    def to_html(self, whole: bool = True) -> str:
        """A contact sheet that needs nothing beside it.

        Args:
            whole: a page of its own; else a part of one, as notebooks want it.
        """
        tiles = [
            tile_of(match.image, self.pictures, _caption(match))
            for match in (self.matches if whole else self.matches[:SHOWN])
        ]
        note = f"{len(self.matches)} nearest by {self.code}"
        note = "; ".join(part for part in (note, self.means, self.warning) if part)
        asked = [Tile("query", query.name, "", self._picture(query)) for query in self.asked]
        groups = [("query", asked), ("results", tiles)]
        return render_sheet(f"Search: {self.query}", note, groups, whole)

    def picture(self, match: Match) -> Image.Image | None:
        """A result's picture, RGB, at most 320 pixels wide and high; None if it cannot be read."""
        from neuralcodes.images.decode import open_picture

        with suppress(OSError, ValueError):
            if self.pictures is not None:
                return open_picture(self.pictures.read(match.image.place, match.image.member), 320)
        return None

    def _picture(self, query: Query) -> bytes | None:
        from neuralcodes.collection.thumbnails import thumbnail

        with suppress(OSError, ValueError):
            if self.pictures is not None:
                return thumbnail(query.read(self.pictures))
        return None

    def _repr_html_(self) -> str:
        return self.to_html(whole=False)


def shown_probability(probability: float | None) -> str:
    """0.874 → "87 %"; never more certain than that, and "" for None."""
    if probability is None:
        return ""
    share = 100 * probability
    return "<1 %" if share < 1 else ">99 %" if share > 99 else f"{share:.0f} %"


def _caption(match: Match) -> str:
    parts = (str(match.rank), f"{match.distance:.3f}", shown_probability(match.probability))
    return " · ".join(part for part in parts if part)


def tile_of(image: ImageRecord, pictures: Pictures | None, caption: str, mark: str = "") -> Tile:
    """A picture with its caption; without a picture where the file cannot be read."""
    picture = None
    if pictures is not None:
        from neuralcodes.collection.thumbnails import thumbnail

        with suppress(OSError, ValueError):
            picture = thumbnail(pictures.read(image.place, image.member))
    size = f"{image.width}×{image.height}" if image.width else ""
    note = " · ".join(part for part in (image.label, size) if part)
    return Tile(caption, image.path, note, picture, mark)

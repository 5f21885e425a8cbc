"""The demo's second part: a folder of photographs indexed and searched with the shipped network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.results import ImageRecord, tile_of
from neuralcodes.collection.sheet import Tile, render_sheet
from neuralcodes.common.files import write_text
from neuralcodes.evaluation.class_retrieval import class_ranks
from neuralcodes.evaluation.measures import AVERAGE_PRECISION
from neuralcodes.evaluation.score import Score
from neuralcodes.images.photographs import clothing_photographs
from neuralcodes.networks.names import SHIPPED

SHOWN = 5


@dataclass(frozen=True)
class PhotographDemo:
    """What the demo made.

    Attributes:
        collection: its folder.
        sheet: an HTML page of one query of each kind and what is nearest to it.
        images: how many were indexed.
        score: average precision of each image as the query, by kind of clothing.
    """

    collection: Path
    sheet: Path
    images: int
    score: Score


def search_photographs(out: Path) -> PhotographDemo:
    """Index the package's photographs of clothing into `out` and search by one of each kind.

    Raises:
        UserError: `out` holds something else, or the package carries no weights.
    """
    place = out / "collection"
    if place.exists():
        Collection.open(place).close()  # refuses what is none
        shutil.rmtree(place)
    with Collection.create(place, SHIPPED) as collection:
        collection.sync([clothing_photographs()])
        images = list(collection.images())
        firsts = {image.label: image for image in reversed(images)}
        groups = [
            (f"Nearest to the first of {kind}", _tiles(collection, firsts[kind]))
            for kind in sorted(firsts)
        ]
        score = _score(collection, images)
    low, high = score.interval()
    note = (
        f"{len(images)} photographs, one query of each kind at the left; a frame marks the same "
        f"kind. Mean average precision by kind: {score.mean:.3f} (95 % interval {low:.3f} to "
        f"{high:.3f})."
    )
    sheet = out / "photographs.html"
    write_text(sheet, render_sheet("Search in photographs of clothing", note, groups))
    return PhotographDemo(place, sheet, len(images), score)


def _tiles(collection: Collection, query: ImageRecord) -> list[Tile]:
    found = collection.search(query.id, SHOWN)
    tiles = [tile_of(query, found.pictures, "query")]
    for match in found:
        mark = "keep" if match.image.label == query.label else ""
        tiles.append(tile_of(match.image, found.pictures, f"{match.distance:.3f}", mark))
    return tiles


def _score(collection: Collection, images: list[ImageRecord]) -> Score:
    codes = collection.codes([image.id for image in images])
    _, labels = np.unique([image.label for image in images], return_inverse=True)
    return AVERAGE_PRECISION.score(class_ranks(codes, labels.astype(np.int64)))

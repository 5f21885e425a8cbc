"""Grids of images: neighbours of queries, samples of a split; and thumbnails for the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import IdentityTransform
from PIL import Image

from neuralcodes.evaluation.class_retrieval import SHOWN_NEIGHBOURS, SHOWN_QUERIES
from neuralcodes.images.imageset import ImageSet, Pixels
from neuralcodes.images.splits import Split
from neuralcodes.reports.results import LayerResult
from neuralcodes.reports.style import LIGHT, Style, plain
from neuralcodes.reports.wording import SPLIT_NAMES, plural, short_title

TILE = 64  # pixels that an image takes in a figure, at its longer side
COLUMN = 88  # pixels from one image to the next
ROW = 106
MARGIN = 14
FRAME = 3
CAPTION = 15  # characters that fit below an image
SAMPLES = 8  # images a split
SAMPLE_SEED = 0
PICTURE_DPI = 100

THUMBNAIL = 96  # pixels at most, on the page
PIXEL_ART = 32  # images up to this size are shown enlarged without smoothing


@dataclass(frozen=True)
class Neighbour:
    """One image found for a query.

    Attributes:
        row: of the searched set.
        distance: Euclidean, between codes.
        agrees: whether it has the query's class.
    """

    row: int
    distance: float
    agrees: bool


def neighbours_of(
    result: LayerResult, labels: npt.NDArray[np.int64], query: int
) -> list[Neighbour]:
    """The nearest images of one of the first queries; fewer where there are fewer."""
    found = result.neighbours
    return [
        Neighbour(int(row), float(distance), bool(labels[row] == labels[query]))
        for row, distance in zip(
            found.rows[query][:SHOWN_NEIGHBOURS], found.distances[query], strict=False
        )
        if row >= 0
    ]


def shown_queries(result: LayerResult) -> range:
    """Rows of the searched set that are shown as queries."""
    return range(min(SHOWN_QUERIES, len(result.neighbours.rows)))


def sample_rows(images: ImageSet, count: int = SAMPLES, seed: int = SAMPLE_SEED) -> list[int]:
    """Rows of some random images, the same for the same seed and number of images."""
    generator = np.random.default_rng(seed)
    count = min(count, len(images))
    return [int(row) for row in generator.choice(len(images), size=count, replace=False)]


@plain
def neighbours_figure(result: LayerResult, images: ImageSet, style: Style = LIGHT) -> Figure:
    """First queries of a layer, each beside its nearest images.

    A green frame and ✓ mean the query's class, a red frame and ✗ another.

    Args:
        images: the searched set.
    """
    queries = shown_queries(result)
    labels = images.label_array()
    sheet = _Sheet(style, 1 + SHOWN_NEIGHBOURS, len(queries), gap=18)
    sheet.title(
        f"{result.alias}: queries and their nearest of {plural(len(images), 'image')}",
        _tail(f"code {result.about}", 90),
    )
    for line, query in enumerate(queries):
        sheet.image(images, query, line, 0, "query", style.muted)
        for column, found in enumerate(neighbours_of(result, labels, query), start=1):
            colour = style.good if found.agrees else style.bad
            note = f"{'✓' if found.agrees else '✗'} {found.distance:.3f}"
            sheet.image(images, found.row, line, column, note, colour, framed=True)
    return sheet.figure


@plain
def samples_figure(split: Split, style: Style = LIGHT) -> Figure:
    """Random images of each part of a split with the names of their classes."""
    parts = split.named()
    sheet = _Sheet(style, SAMPLES, len(parts), label=86)
    sheet.title("Random images of each split", "")
    for line, (name, images) in enumerate(parts.items()):
        sheet.label(line, SPLIT_NAMES[name], plural(len(images), "image"))
        for column, row in enumerate(sample_rows(images)):
            sheet.image(images, row, line, column, "", style.ink)
    return sheet.figure


def _tail(text: str, width: int) -> str:
    """The end of a long text: of a code's name with a long path the fingerprint stays."""
    return text if len(text) <= width else "…" + text[1 - width :]


class _Sheet:
    """A figure laid out in whole pixels, so that no image is scaled by a fraction."""

    def __init__(
        self, style: Style, columns: int, lines: int, gap: int = 0, label: int = 0
    ) -> None:
        self.style = style
        self.left = MARGIN + label
        self.gap = gap  # behind the first column
        self.top = 52
        self.width = self.left + gap + columns * COLUMN - (COLUMN - TILE) + MARGIN + 10
        self.height = self.top + lines * ROW
        self.figure = Figure(
            figsize=(self.width / PICTURE_DPI, self.height / PICTURE_DPI),
            dpi=PICTURE_DPI,
            facecolor=style.paper,
        )
        FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, text: str, size: float, colour: str, **more: Any) -> None:
        """Text whose baseline is `y` pixels below the top of the sheet."""
        self.figure.text(
            x, self.height - y, text, transform=IdentityTransform(), fontsize=size, color=colour,
            va="baseline", **more,
        )  # fmt: skip

    def title(self, title: str, below: str) -> None:
        self.text(MARGIN, 20, title, 9, self.style.ink, fontweight="bold")
        self.text(MARGIN, 36, below, 6.5, self.style.muted)

    def label(self, line: int, name: str, below: str) -> None:
        y = self.top + line * ROW
        self.text(MARGIN, y + 28, name, 8, self.style.ink, fontweight="bold")
        self.text(MARGIN, y + 43, below, 7, self.style.muted)

    def fill(self, x: int, y: int, side: int, colour: str, zorder: int) -> None:
        """A square behind the image at x, y."""
        corner = x + (TILE - side) // 2, self.height - y - (TILE + side) // 2
        self.figure.add_artist(
            Rectangle(
                corner, side, side, facecolor=colour, edgecolor="none", antialiased=False,
                zorder=zorder, transform=IdentityTransform(),
            )
        )  # fmt: skip

    def image(
        self,
        images: ImageSet,
        row: int,
        line: int,
        column: int,
        note: str,
        colour: str,
        framed: bool = False,
    ) -> None:
        picture = np.asarray(fit(images.read([row])[0], TILE))
        x = self.left + column * COLUMN + (self.gap if column else 0)
        y = self.top + line * ROW
        height, width = picture.shape[:2]
        across, down = x + (TILE - width) // 2, y + (TILE - height) // 2
        self.figure.figimage(picture, across, self.height - down - height, origin="upper")
        if framed:
            self.fill(x, y, TILE + 2 * FRAME, colour, -2)
            self.fill(x, y, TILE, self.style.paper, -1)
        middle = x + TILE / 2
        name = short_title(images.classes[images.label_array()[row]], CAPTION)
        self.text(middle, y + TILE + 14, name, 6.5, self.style.ink, ha="center")
        self.text(middle, y + TILE + 27, note, 7, colour, ha="center")


def fit(pixels: Pixels, side: int) -> Image.Image:
    """An image (uint8 H×W×3) scaled so that its longer side is `side` pixels, or as near below.

    Small images are enlarged by a whole number, each pixel becoming a square.
    """
    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(height, width) <= side:
        times = side // max(height, width)
        return image.resize((width * times, height * times), Image.Resampling.NEAREST)
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def thumbnail(pixels: Pixels) -> str:
    """An image (uint8 H×W×3) as a data URI of a few kilobytes.

    Tiny ones stay as they are, in PNG; others become JPEG, at most 96 pixels large.
    """
    height, width = pixels.shape[:2]
    file = io.BytesIO()
    if max(height, width) <= PIXEL_ART:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
        return data_uri("image/png", file.getvalue())
    image = (
        fit(pixels, THUMBNAIL)
        if max(height, width) > THUMBNAIL
        else Image.fromarray(np.ascontiguousarray(pixels))
    )
    image.save(file, "JPEG", quality=88, subsampling=0, optimize=True)
    return data_uri("image/jpeg", file.getvalue())


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

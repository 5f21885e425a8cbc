"""Queries that are parts of images, cut out into files of their own, ready to be encoded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL.Image import Image

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_write
from neuralcodes.evaluation.protocols.groundtruth import Box, GroundTruth
from neuralcodes.evaluation.protocols.names import Names, without_ending
from neuralcodes.images.classfolders import open_source
from neuralcodes.images.decode import open_picture


def write_crops(truth: GroundTruth, images: Path, out: Path) -> list[Path]:
    """Write each query's box as a PNG file named like the query; whole images where it has none.

    Boxes are in pixels of the upright image; what lies outside of it is cut off.

    Args:
        images: the folder or zip file of the protocol's images.
        out: the folder to write to.

    Returns:
        The files, in the order of queries.

    Raises:
        UserError: an image is missing or cannot be read, a box holds no pixel of it, or `out`
            cannot be written to.
    """
    source = open_source(images)
    names = Names(source.keys, truth.protocol)
    rows = names.find_all((query.image for query in truth.queries), "queries", "image in there")
    written = []
    for query, row in zip(truth.queries, rows, strict=True):
        key = source.keys[row]
        try:
            picture = open_picture(source.read(int(row)))
        except (OSError, ValueError) as error:
            raise UserError(f"{images}: {key} cannot be read ({error})") from None
        file = out / (without_ending(query.name) + ".png")
        if not file.resolve().is_relative_to(out.resolve()):
            raise UserError(f"{query.name}: a query's name must not lead out of --out")
        part = picture if query.box is None else _cut(picture, query.box)
        if not min(part.size):
            raise UserError(f"{query.name}: its box {query.box} lies outside {key}")
        _write(part, file)
        written.append(file)
    return written


def _cut(picture: Image, box: Box) -> Image:
    left, top, right, bottom = (round(edge) for edge in box)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, picture.width), min(bottom, picture.height)
    return picture.crop((left, top, max(left, right), max(top, bottom)))


def _write(picture: Image, file: Path) -> None:
    data = BytesIO()
    picture.save(data, "PNG")
    with atomic_write(file) as target:
        target.write(data.getvalue())

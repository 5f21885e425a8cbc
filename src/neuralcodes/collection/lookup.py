"""What programs beside the collection ask of it: contents by hash, images by file, counts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuralcodes.collection.filters import sql_columns
from neuralcodes.collection.records import TABLES, among, condition_of, own_columns, select
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import PICTURES, Store

VALUES = 100  # of a column, the most frequent


@dataclass(frozen=True)
class Facet:
    """A column's values and how many images have each, the most frequent first.

    Attributes:
        column: its name in filters.
        values: value and count.
        distinct: how many values there are in all.
    """

    column: str
    values: tuple[tuple[str | int | float, int], ...]
    distinct: int


def facets(store: Store, values: int = VALUES) -> list[Facet]:
    """Counts by label, folder, kind and the user's own columns, of images with a code."""
    own = own_columns(store)
    columns = sql_columns(own)
    found = []
    for name in ("label", "folder", "kind", *own):
        column = columns[name]
        source = f"FROM {TABLES} WHERE images.code IS NOT NULL AND {column} IS NOT NULL"
        rows = store.query(
            f"SELECT {column}, count(*) {source} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?", (values,)
        )
        distinct = len(rows)
        if distinct == values:
            sql = f"SELECT count(DISTINCT {column}) {source}"
            ((distinct,),) = store.query(sql)
        found.append(Facet(name, tuple((value, count) for value, count in rows), distinct))
    return found


def image_page(store: Store, after: int, count: int, filter: str | None) -> list[ImageRecord]:
    """Images with a code that a filter lets through, in order of ids, from an id on.

    Raises:
        UserError: the filter is none.
    """
    condition = condition_of(store, filter)
    where, values = "images.id > ? AND images.code IS NOT NULL", [after]
    sql = f"SELECT images.id FROM {TABLES} WHERE {where}"
    if condition is not None:
        sql, values = f"{sql} AND {condition.sql}", [*values, *condition.values]
    sql = f"images.id IN ({sql} ORDER BY images.id LIMIT ?)"
    return select(store, sql, [*values, count])


def content_of(store: Store, image: int) -> bytes | None:
    """SHA-256 of an image's file; None if there is no such image or it has no code."""
    sql = "SELECT hash FROM codes JOIN images ON images.code = codes.id WHERE images.id = ?"
    rows = store.query(sql, (image,))
    return bytes(rows[0][0]) if rows else None


def images_of_content(store: Store, digest: bytes, most: int = 100) -> list[int]:
    """Images whose file has this SHA-256, in order of ids."""
    rows = store.query(
        "SELECT images.id FROM images JOIN codes ON codes.id = images.code WHERE hash = ? "
        "ORDER BY images.id LIMIT ?",
        (digest, most),
    )
    return [number for (number,) in rows]


def code_of_content(store: Store, digest: bytes) -> Floats | None:
    """The stored code, float32 d, of a file by its SHA-256; None if the collection has it not."""
    rows = store.query("SELECT id FROM codes WHERE hash = ?", (digest,))
    if not rows:
        return None
    code: Floats = store.snapshot().vectors(np.array([rows[0][0]]))[0]
    return code


def kept_image(store: Store, name: str) -> int | None:
    """The image whose file the collection keeps under this name (see `Collection.add`)."""
    place = os.fsencode(Path(PICTURES) / f"{name}.png")
    rows = store.query("SELECT id FROM images WHERE place = ? AND member = x''", (place,))
    return int(rows[0][0]) if rows else None


def image_state(store: Store) -> tuple[float, ...]:
    """Another value when images came, left or changed."""
    sql = "SELECT count(*), total(id), total(code) FROM images WHERE code IS NOT NULL"
    (state,) = store.query(sql)
    return tuple(state)


def image_of_each_content(store: Store) -> dict[int, tuple[int, str]]:
    """Of each content in use, by its id, the first image that has it: id and label."""
    sql = "SELECT min(id), code, label FROM images WHERE code IS NOT NULL GROUP BY code"
    return {code: (image, label) for image, code, label in store.query(sql)}


def every_label(store: Store) -> list[str]:
    """Labels of images with a code, the most frequent first."""
    sql = "SELECT label FROM images WHERE code IS NOT NULL GROUP BY label ORDER BY count(*) DESC, 1"
    return [label for (label,) in store.query(sql)]


def count_label(store: Store, label: str) -> int:
    """Images with a code that lie in a folder of this name."""
    sql = "SELECT count(*) FROM images WHERE label = ? AND code IS NOT NULL"
    ((count,),) = store.query(sql, (label,))
    return int(count)


ORDERS = {
    # a fixed order in which neighbours have nothing in common: a sample of all folders first
    "mixed": "(images.id * 48271) % 65521, images.id",
    "path": "images.path, images.id",
    "newest": "images.date DESC, images.id",
}


def count_images(store: Store, filter: str | None = None) -> int:
    """Images with a code that a filter lets through.

    Raises:
        UserError: the filter is none.
    """
    condition = condition_of(store, filter)
    if condition is None:
        sql, values = "SELECT count(*) FROM images WHERE code IS NOT NULL", ()
    else:
        sql = f"SELECT count(*) FROM {TABLES} WHERE images.code IS NOT NULL AND {condition.sql}"
        values = condition.values
    ((count,),) = store.query(sql, values)
    return int(count)


def images_in_order(
    store: Store, order: str, start: int, count: int, filter: str | None = None
) -> list[ImageRecord]:
    """Some of the images with a code that a filter lets through.

    Args:
        order: one of `ORDERS`.
        start: so many are passed over.
        count: at most.

    Raises:
        UserError: the filter is none.
    """
    where, values = "images.code IS NOT NULL", []
    condition = condition_of(store, filter)
    if condition is not None:
        where, values = f"{where} AND {condition.sql}", [*condition.values]
    sql = f"SELECT images.id FROM {TABLES} WHERE {where} ORDER BY {ORDERS[order]} LIMIT ? OFFSET ?"
    ids = [row[0] for row in store.query(sql, (*values, count, start))]
    found = {
        image.id: image
        for some, part in among("images.id", ids)
        for image in select(store, some, part)
    }
    return [found[number] for number in ids if number in found]

"""Images as the database has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from neuralcodes.collection.filters import Filter, parse_filter, quoted
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.snapshot import Mask
from neuralcodes.collection.store import Connection

LOOK_UP = 900  # values in a query; SQLite takes at least 999
COLUMNS = (
    "images.id, images.path, images.folder, images.label, codes.width, codes.height, codes.size, "
    "codes.kind, images.date, images.place, images.member, images.code"
)
TABLES = (
    "images LEFT JOIN codes ON codes.id = images.code "
    "LEFT JOIN metadata ON metadata.image = images.id"
)


def own_columns(connection: Connection) -> list[str]:
    """Names of the user's columns."""
    rows = connection.query("SELECT name FROM pragma_table_info('metadata') WHERE name <> 'image'")
    return [row[0] for row in rows]


def condition_of(connection: Connection, filter: str | None) -> Filter | None:
    """A filter as people write it, compiled; None for none.

    Raises:
        UserError: it is no filter, or names a column that there is not.
    """
    return None if filter is None else parse_filter(filter, own_columns(connection))


def among(column: str, values: Iterable[int]) -> Iterator[tuple[str, list[int]]]:
    """SQL conditions, and their values, that `column` is one of `values`; so many at a time."""
    every = list(values)
    for start in range(0, len(every), LOOK_UP):
        part = every[start : start + LOOK_UP]
        yield f"{column} IN ({', '.join('?' * len(part))})", part


def records_of(
    connection: Connection, codes: Iterable[int], condition: Filter | None = None
) -> list[ImageRecord]:
    """Images that have one of these contents, and that a filter lets through."""
    return [
        record
        for where, part in among("images.code", codes)
        for record in select(connection, where, part, condition)
    ]


def select(
    connection: Connection, where: str, values: Sequence[Any], condition: Filter | None = None
) -> list[ImageRecord]:
    """Images that meet an SQL condition and a filter, in order of ids."""
    if condition is not None:
        where, values = f"({where}) AND {condition.sql}", (*values, *condition.values)
    own = own_columns(connection)
    extra = "".join(f", metadata.{quoted(name)}" for name in own)
    sql = f"SELECT {COLUMNS}{extra} FROM {TABLES} WHERE {where} ORDER BY images.id"
    return [_record(row, own) for row in connection.query(sql, values)]


def every_image(
    connection: Connection, condition: Filter | None = None, step: int = 1000
) -> Iterator[ImageRecord]:
    """All images with a code that a filter lets through, in order of ids, some at a time."""
    last = 0
    while True:
        rows = connection.query(
            "SELECT id FROM images WHERE id > ? AND code IS NOT NULL ORDER BY id LIMIT ?",
            (last, step),
        )
        if not rows:
            return
        where = "images.id > ? AND images.id <= ? AND images.code IS NOT NULL"
        yield from select(connection, where, (last, rows[-1][0]), condition)
        last = rows[-1][0]


def allowed_codes(connection: Connection, condition: Filter) -> Mask:
    """Contents that some image has which a filter lets through: a bool an id of codes."""
    sql = (
        f"SELECT DISTINCT images.code FROM {TABLES} WHERE images.code IS NOT NULL "
        f"AND {condition.sql}"
    )
    ids = np.array([row[0] for row in connection.query(sql, condition.values)], dtype=np.int64)
    mask = np.zeros(int(ids.max(initial=-1)) + 1, dtype=np.bool_)
    mask[ids] = True
    return mask


def _record(row: Sequence[Any], own: Sequence[str]) -> ImageRecord:
    number, path, folder, label, width, height, size, kind, date, place, member, code, *rest = row
    return ImageRecord(
        id=number,
        path=path,
        folder=folder,
        label=label,
        width=width or 0,
        height=height or 0,
        size=size or 0,
        kind=kind or "",
        date=date,
        place=place,
        member=member,
        code=code,
        metadata={n: value for n, value in zip(own, rest, strict=True) if value is not None},
    )

"""The user's own columns: read from CSV or Parquet, kept beside the images, used in filters."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuralcodes.collection.filters import COLUMNS, quoted
from neuralcodes.collection.parquet import import_pyarrow
from neuralcodes.collection.records import own_columns
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError

KEYS = ("path", "file", "filename", "image", "name", "id")
RESERVED = frozenset(COLUMNS) | {"image", "and", "or", "not", "in", "none", "true", "false"}
_NAME = re.compile(r"[^\W\d]\w*")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})")  # 007 is a name
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?")


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV or Parquet file, each by column.

    Raises:
        UserError: absent, not such a file, or pyarrow is missing for Parquet.
    """
    path = Path(path)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            sample = file.read(4096)
            file.seek(0)
            delimiter = max(",;\t", key=sample.split("\n", 1)[0].count)
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            rows: list[dict[str, Any]] = []
            for row in reader:
                if None in row or None in row.values():
                    raise UserError(
                        f"{path}, line {reader.line_num}: not as many values as columns"
                    )
                rows.append({str(name): _typed(value) for name, value in row.items()})
            return rows
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV file in UTF-8 ({error})") from None


def set_metadata(writer: Writer, rows: Sequence[Mapping[str, Any]], source: str) -> tuple[int, int]:
    """Give images values in the user's columns; columns that are new are added.

    Args:
        writer: of the collection.
        rows: each names an image by one of the columns of `KEYS` (a full path, a path below what
            was indexed, a file name that only one image has, or an id); the others are values.
        source: what to call the rows in messages.

    Returns:
        How many images got values, and how many rows fitted no image.

    Raises:
        UserError: no column names images, or a column's name is taken or cannot be one.
    """
    if not rows:
        return 0, 0
    names = list(rows[0])
    key = next((name for name in KEYS if name in names), None)
    if key is None:
        raise UserError(f"{source}: no column names the images; call one of them path")
    columns = [name for name in names if name != key]
    for name in columns:
        if not _NAME.fullmatch(name) or name.lower() in RESERVED:
            raise UserError(f"{source}: a column cannot be called {name!r}; rename it")
    given, missed = 0, 0
    with writer.transaction():
        known = {name.lower() for name in own_columns(writer)}
        for name in columns:
            if name.lower() not in known:
                writer.change(f"ALTER TABLE metadata ADD COLUMN {quoted(name)}")
        for row in rows:
            images = _find(writer, key, row[key])
            missed += not images
            for image in images:
                given += 1
                _put(writer, image, {name: row.get(name) for name in columns})
    return given, missed


def _put(writer: Writer, image: int, values: Mapping[str, Any]) -> None:
    writer.change("INSERT OR IGNORE INTO metadata (image) VALUES (?)", (image,))
    if values:
        assign = ", ".join(f"{quoted(name)} = ?" for name in values)
        plain = [_plain(value) for value in values.values()]
        writer.change(f"UPDATE metadata SET {assign} WHERE image = ?", (*plain, image))


def _find(writer: Writer, key: str, value: Any) -> list[int]:
    if key == "id":
        rows = writer.query("SELECT id FROM images WHERE id = ?", (value,))
        return [row[0] for row in rows]
    text = str(value)
    folder, _, name = text.rpartition("/")
    for condition, values in (
        ("place = ? AND member = x''", (os.path.realpath(os.fsencode(text)),)),
        ("name = ? AND folder = ?", (name, folder)),
        ("name = ? AND path = ?", (name, text)),
        ("name = ?", (text,)),
    ):
        rows = writer.query(f"SELECT id FROM images WHERE {condition} LIMIT 2", values)
        if len(rows) == 1:
            return [rows[0][0]]
    return []


def _typed(text: str) -> Any:
    text = text.strip()
    if text == "":
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    pyarrow = import_pyarrow()
    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a Parquet file ({' '.join(str(error).split())})") from None
    return rows

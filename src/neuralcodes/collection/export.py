"""A collection's codes and columns as files that other programs read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.codes.store import new_codes
from neuralcodes.collection.filters import Filter
from neuralcodes.collection.records import every_image
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.rowformat import QUANTISER
from neuralcodes.collection.store import Store
from neuralcodes.common.errors import UserError, needs_extra
from neuralcodes.common.files import atomic_write

TABLES = ("parquet", "csv")
BLOCK = 4096


def export(store: Store, folder: Path, condition: Filter | None, table: str) -> list[Path]:
    """Write `codes.npy` with `codes.json` (as `neuralcodes extract` does) and a table of images.

    Row i of the codes is row i of the table. Codes are written as they are searched; those that
    lie in a quantiser's bytes also as they are stored, `stored.npy` with the quantiser's file.

    Args:
        store: the collection.
        folder: where to; files of these names are replaced.
        condition: only images that it lets through.
        table: "parquet" or "csv".

    Returns:
        The files.

    Raises:
        UserError: no image to export, full disk, or pyarrow is missing.
    """
    if table not in TABLES:
        raise UserError(f"--table {table}: choose {' or '.join(TABLES)}")
    if table == "parquet":
        _pyarrow()
    records = list(every_image(store, condition))
    if not records:
        raise UserError(f"{store.path}: no image to export")
    folder = Path(folder)
    write_codes(store, folder / "codes", records)
    path = folder / f"images.{table}"
    rows = [_row(record) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    (_write_parquet if table == "parquet" else _write_csv)(path, names, rows)
    stored = _write_stored(store, folder, records) if store.form.stored else []
    return [folder / "codes.npy", folder / "codes.json", *stored, path]


def write_codes(store: Store, path: Path, records: Sequence[ImageRecord]) -> None:
    """Write codes as they are searched: `path`.npy, float32 n×d, with images' paths as keys.

    Args:
        store: the collection.
        path: without ending.
        records: the images, one a row.

    Raises:
        UserError: full disk or no right to write.
    """
    snapshot = store.snapshot()
    content = f"collection {store.spec.fingerprint()} {len(records)}"
    with new_codes(path, store.spec, tuple(r.path for r in records), content) as values:
        for start in range(0, len(records), BLOCK):
            part = records[start : start + BLOCK]
            ids = np.array([record.code for record in part], dtype=np.int64)
            values[start : start + len(part)] = snapshot.vectors(ids)


def _write_stored(store: Store, folder: Path, records: list[ImageRecord]) -> list[Path]:
    ids = np.array([record.code for record in records], dtype=np.int64)
    files = [folder / "stored.npy"]
    with atomic_write(files[0]) as file:
        np.save(file, store.snapshot().rows(ids))
    if store.form.quantiser_file.is_file():
        files.append(folder / QUANTISER)
        with atomic_write(files[1]) as file:
            file.write(store.form.quantiser_file.read_bytes())
    return files


def _row(record: ImageRecord) -> dict[str, Any]:
    row = record.to_json()
    row |= row.pop("metadata", {})
    row["date"] = datetime.fromtimestamp(record.date, UTC)
    return row


def _write_csv(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    with atomic_write(path) as file:
        import io

        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "date": row["date"].isoformat()})
        text.flush()
        text.detach()


def _write_parquet(path: Path, names: list[str], rows: list[dict[str, Any]]) -> None:
    pyarrow = _pyarrow()
    columns = {name: [row.get(name) for row in rows] for name in names}
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # numbers and texts in one column
            arrays[name] = pyarrow.array([None if v is None else str(v) for v in values])
    with atomic_write(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(arrays), file)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise needs_extra("pyarrow", "parquet") from None
    return pyarrow

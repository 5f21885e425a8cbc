"""A collection's codes and columns as files that other programs read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neuralcodes.codes.store import new_codes
from neuralcodes.collection.filters import Filter
from neuralcodes.collection.parquet import import_pyarrow
from neuralcodes.collection.records import every_image
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.rowformat import QUANTISER
from neuralcodes.collection.store import Store
from neuralcodes.collection.tables import arrow_columns, column_names, image_row
from neuralcodes.common.errors import UserError
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
        import_pyarrow()  # refuses before any work
    records = list(every_image(store, condition))
    if not records:
        raise UserError(f"{store.path}: no image to export")
    folder = Path(folder)
    write_codes(store, folder / "codes", records)
    path = folder / f"images.{table}"
    (_write_parquet if table == "parquet" else _write_csv)(path, records)
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


def _write_csv(path: Path, records: Sequence[ImageRecord]) -> None:
    rows = [image_row(record) for record in records]
    with atomic_write(path) as file:
        import io

        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, column_names(rows))
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "date": row["date"].isoformat()})
        text.flush()
        text.detach()


def _write_parquet(path: Path, records: Sequence[ImageRecord]) -> None:
    pyarrow = import_pyarrow()
    table = pyarrow.table(arrow_columns(records))
    with atomic_write(path) as file:
        pyarrow.parquet.write_table(table, file)

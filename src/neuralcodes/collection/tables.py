"""A collection as a table: one row an image, what is known of it, and its code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from neuralcodes.collection.datasets import import_datasets
from neuralcodes.collection.parquet import import_pyarrow
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.places import is_remote
from neuralcodes.collection.results import ImageRecord
from neuralcodes.collection.snapshot import Floats
from neuralcodes.collection.store import Store
from neuralcodes.common.errors import UserError

CODE = "code"
IMAGE = "image"


def image_row(record: ImageRecord) -> dict[str, Any]:
    """What is known of an image, with the user's own columns beside the others."""
    row = record.to_json()
    row |= row.pop("metadata", {})
    row["date"] = datetime.fromtimestamp(record.date, UTC)
    return row


def column_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All columns that some row has, in the order in which they are met."""
    return list(dict.fromkeys(name for row in rows for name in row))


def codes_of(store: Store, records: Sequence[ImageRecord]) -> Floats:
    """Codes as they are searched, float32 n×d."""
    ids = np.array([record.code for record in records], dtype=np.int64)
    return store.snapshot().vectors(ids)


def arrow_columns(records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Arrow arrays by column, without the codes.

    Raises:
        UserError: pyarrow is missing.
    """
    pyarrow = import_pyarrow()
    rows = [image_row(record) for record in records]
    arrays = {}
    for name in column_names(rows):
        values = [row.get(name) for row in rows]
        try:
            arrays[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # numbers and texts in one column
            arrays[name] = pyarrow.array([None if v is None else str(v) for v in values])
    return arrays


def arrow_table(store: Store, records: Sequence[ImageRecord]) -> Any:
    """A pyarrow.Table; see `OpenCollection.to_arrow`."""
    pyarrow = import_pyarrow()
    columns = arrow_columns(records)
    if CODE in columns:
        raise UserError(f"{store.path}: a column of yours is called {CODE!r}; rename it")
    flat = pyarrow.array(codes_of(store, records).reshape(-1))
    columns[CODE] = pyarrow.FixedSizeListArray.from_arrays(flat, store.spec.dims)
    about = {"neuralcodes": store.spec.name, "fingerprint": store.spec.fingerprint()}
    return pyarrow.table(columns).replace_schema_metadata(about)


def dataset_of(store: Store, records: Sequence[ImageRecord], pictures: Pictures | None) -> Any:
    """A datasets.Dataset; see `OpenCollection.to_dataset`."""
    library = import_datasets()
    table = arrow_table(store, records).replace_schema_metadata(None)
    dataset = library.Dataset(library.table.InMemoryTable(table))
    if pictures is not None:
        if IMAGE in dataset.column_names:
            raise UserError(f"{store.path}: a column of yours is called {IMAGE!r}; rename it")
        files = [_file(record, pictures) for record in records]
        dataset = dataset.add_column(IMAGE, files, feature=library.Image())
    return dataset


def _file(record: ImageRecord, pictures: Pictures) -> dict[str, Any]:
    """An image as an image column keeps it: where it lies, or from an archive its bytes."""
    path = pictures.path(record.place)
    if not record.member and not is_remote(path):
        return {"path": os.fsdecode(path), "bytes": None}
    try:
        return {"path": record.path, "bytes": pictures.read(record.place, record.member)}
    except OSError as error:
        raise UserError(f"{record.path}: cannot be read ({error})") from None

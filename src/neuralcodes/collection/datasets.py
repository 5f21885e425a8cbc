"""Images in from a Hugging Face data set: rows are read in batches, their columns come along."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neuralcodes.collection import adding
from neuralcodes.collection.coding import Coder
from neuralcodes.collection.metadata import KEYS, RESERVED
from neuralcodes.collection.pictures import Pictures
from neuralcodes.collection.syncreport import BadFile, SyncReport
from neuralcodes.collection.writer import Writer
from neuralcodes.common.errors import UserError, import_extra
from neuralcodes.common.progress import progress, watching
from neuralcodes.images.inmemory import picture_bytes

BATCH = 1000  # rows read at a time, with their image files
TAKEN = "dataset_"  # before the name of a column that means something else here

Columns = Sequence[str] | Mapping[str, str] | None


def add_dataset(
    writer: Writer,
    coder: Coder,
    pictures: Pictures,
    dataset: Any,
    image: str,
    columns: Columns,
    row: str | None,
) -> SyncReport:
    """Add the rows of a data set; see `Collection.add_dataset`."""
    library = import_datasets()
    if isinstance(dataset, (library.DatasetDict, library.IterableDatasetDict)):
        raise UserError(f"a data set of several splits ({', '.join(dataset)}); give one of them")
    if not isinstance(dataset, (library.Dataset, library.IterableDataset)):
        raise UserError(f"a {type(dataset).__name__} is no data set of Hugging Face datasets")
    names = dataset.column_names or []
    if names and image not in names:
        raise _no_column(image, names)
    features = dataset.features or {}
    if isinstance(features.get(image), library.Image):
        dataset = dataset.cast_column(image, library.Image(decode=False))
    wanted = _columns(dataset, image, columns, row, library)
    if names:
        dataset = dataset.select_columns([image, *wanted])
    classes = {n: features[n] for n in wanted if isinstance(features.get(n), library.ClassLabel)}
    report, first = SyncReport(), 0
    total = len(dataset) if hasattr(dataset, "__len__") else 0
    quiet = watching(lambda what, done, total: None)  # else a bar a batch, one after another
    with progress(total, "rows", "row") as bar, quiet:
        for batch in _batches(dataset):
            for name in (image, *wanted):  # a stream need not know its columns before
                if name not in batch:
                    raise _no_column(name, list(batch))
            images, values = [], []
            for number, given in enumerate(batch[image]):
                picture = _picture(given, first + number, report)
                if picture is not None:
                    told = {
                        to: _value(batch[name][number], classes.get(name))
                        for name, to in wanted.items()
                    }
                    images.append(picture)
                    values.append(told | ({row: first + number} if row else {}))
            if images:
                report.include(adding.add(writer, coder, pictures, images, None, values))
            first += len(batch[image])
            bar.update(len(batch[image]))
    return report


def import_datasets() -> Any:
    """The library, loaded when it is first needed.

    Raises:
        UserError: it is not installed.
    """
    return import_extra("datasets", "datasets")


def _batches(dataset: Any) -> Iterator[dict[str, list[Any]]]:
    """Rows as they are kept, whatever format the data set gives others."""
    yield from dataset.with_format(None).iter(batch_size=BATCH)


def _columns(
    dataset: Any, image: str, columns: Columns, row: str | None, library: Any
) -> dict[str, str]:
    """Which columns come along, and what they are called here."""
    features, names = dataset.features or {}, dataset.column_names or []
    if isinstance(columns, Mapping):
        chosen = dict(columns)
    elif columns is not None:
        chosen = {name: _free(name) for name in columns}
    else:
        scalar = (library.Value, library.ClassLabel)
        chosen = {
            name: _free(name)
            for name in names
            if name != image and isinstance(features.get(name), scalar)
        }
        chosen = {n: to for n, to in chosen.items() if "binary" not in str(features[n].dtype)}
    absent = [name for name in chosen if names and name not in names]
    if absent:
        raise _no_column(absent[0], names)
    twice = [to for to, count in Counter(map(str.lower, chosen.values())).items() if count > 1]
    if twice:
        raise UserError(f"two columns would be called {twice[0]!r}; give columns={{old: new}}")
    for to in chosen.values():
        if _free(to) != to:
            raise UserError(f"a column cannot be called {to!r} here; {_free(to)!r} can")
    if row is not None and row in chosen.values():
        raise UserError(f"a column is called {row!r} already; give row=… another name, or None")
    return chosen


def _no_column(name: str, names: Sequence[str]) -> UserError:
    return UserError(f"no column {name!r} in the data set; it has {', '.join(names)}")


def _free(name: str) -> str:
    """A name that the collection has no meaning for."""
    plain = "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)
    if plain[:1].isdigit() or plain.lower() in RESERVED or plain.lower() in KEYS or not plain:
        return TAKEN + plain
    return plain


def _picture(value: Any, row: int, report: SyncReport) -> str | bytes | None:
    """A path or the bytes of a file; None for what is neither, which the report then names."""
    if isinstance(value, Mapping):  # of an image column: one of the two, or both
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        if "://" in path or os.path.isfile(path):
            return path
        report.bad.append(BadFile(f"row {row}", f"no file {path}"))
        return None
    if value is None:
        report.bad.append(BadFile(f"row {row}", "no image in it"))
        return None
    try:
        return picture_bytes(np.asarray(value, np.uint8) if isinstance(value, list) else value)
    except (UserError, ValueError) as error:
        report.bad.append(BadFile(f"row {row}", str(error)))
        return None


def _value(value: Any, classes: Any) -> Any:
    """As metadata: the class's name for its number, numbers and text as they are."""
    if classes is not None and value is not None and not isinstance(value, str):
        return classes.int2str(int(value)) if int(value) >= 0 else None  # -1: not known
    return value

"""Images in the rows of a Parquet file, as data sets are handed around."""

from __future__ import annotations

import errno
import importlib
import os
import threading
from collections.abc import Sequence
from typing import Any

from neuralcodes.collection.archives import Member
from neuralcodes.collection.places import is_remote, open_remote
from neuralcodes.common.errors import UserError, import_extra

NAMES = ("image", "bytes", "jpg", "jpeg", "png", "webp", "content", "data")  # of the column
LABELS = ("label", "class", "category")


def import_pyarrow() -> Any:
    """pyarrow with its Parquet files, loaded when it is first needed.

    Raises:
        UserError: it is not installed.
    """
    import_extra("pyarrow.parquet", "parquet")
    return import_extra("pyarrow", "parquet")


class ParquetArchive:
    """A Parquet file with a column of image files: binary, or a struct with `bytes` (Hugging Face).

    Members are called LABEL/ROW, or ROW where there is no column of labels.

    Args:
        place: the file, or its address in an object store.

    Raises:
        UserError: not a Parquet file, or without such a column.
    """

    in_order = True  # rows are kept in groups, which are read whole

    def __init__(self, place: bytes) -> None:
        self._name = os.fsdecode(place)
        pyarrow = import_pyarrow()
        try:
            source = open_remote(place) if is_remote(place) else self._name
            self._file = pyarrow.parquet.ParquetFile(source)
            self._column = _image_column(self._name, self._file.schema_arrow)
            self._starts = [0]
            for group in range(self._file.num_row_groups):
                rows = self._file.metadata.row_group(group).num_rows
                self._starts.append(self._starts[-1] + rows)
            self._labels = self._read_labels()
        except UserError:
            raise
        except Exception as error:  # pyarrow's own, and each driver's
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self._name}: not a whole Parquet file ({reason})") from error
        self._lock = threading.Lock()
        self._group = -1
        self._values: list[Any] = []

    def members(self) -> Sequence[Member]:
        """See `archives.Archive`. A changed file has other members, by its own stamp."""
        return [
            Member(f"{label}/{row:09}" if label else f"{row:09}", f"{len(self._labels)}:{row}")
            for row, label in enumerate(self._labels)
        ]

    def read(self, name: str) -> bytes:
        """See `archives.Archive`."""
        row = int(name.rpartition("/")[2])
        if not 0 <= row < self._starts[-1]:
            raise OSError(errno.ENOENT, "no longer in the file")
        with self._lock:
            group = next(g for g, first in enumerate(self._starts[1:]) if row < first)
            if group != self._group:
                table = self._file.read_row_group(group, columns=[self._column])
                self._values, self._group = table.column(0).to_pylist(), group
            value = self._values[row - self._starts[group]]
        data = value.get("bytes") if isinstance(value, dict) else value
        if not data:
            raise OSError(errno.ENODATA, "no bytes in this row")
        return bytes(data)

    def _read_labels(self) -> list[str]:
        known = [name for name in LABELS if name in self._file.schema_arrow.names]
        if not known:
            return [""] * self._starts[-1]
        values = self._file.read(columns=known[:1]).column(0).to_pylist()
        return ["" if value is None else str(value).replace("/", "_") for value in values]


def _image_column(name: str, schema: Any) -> str:
    types: Any = importlib.import_module("pyarrow.types")

    def holds_files(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == "bytes" and holds_files(field.type) for field in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds_files(field.type)]
    for wanted in NAMES:
        if wanted in found:
            return wanted
    if len(found) == 1:
        return str(found[0])
    raise UserError(
        f"{name}: no column of image files in it (columns: {', '.join(schema.names)}); "
        "call it image"
    )

"""`Snapshot`: all codes of a collection at one moment, mapped, and which of them are in use."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neuralcodes.codes.transforms.rows import StoredRows
from neuralcodes.collection.rowformat import RowFormat
from neuralcodes.collection.schema import transaction
from neuralcodes.collection.segments import Array, Ids, Segment, open_segment
from neuralcodes.common.errors import UserError

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TRIES = 10


class Snapshot:
    """Codes by id. It stays as it is while a writer goes on.

    Args:
        segments: what the database says.
        arrays: their rows as they lie on disk.
        dead: ids of codes that no image has any more.
        form: what a row is.

    Attributes:
        dims: length of a code.
    """

    def __init__(
        self, segments: Sequence[Segment], arrays: Sequence[Array], dead: Ids, form: RowFormat
    ) -> None:
        self.segments = tuple(segments)
        self.dead = dead
        self.dims = form.dims
        self._arrays = tuple(arrays)
        self._form = form
        counts = [len(segment.ids) for segment in segments]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ids = np.concatenate([*(s.ids for s in segments), np.empty(0, np.int64)])
        ordered = bool((np.diff(ids) > 0).all())
        self._order = None if ordered else np.argsort(ids, kind="stable")
        self.ids: Ids = ids if self._order is None else ids[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def alive(self) -> Ids:
        """Ids of codes that some image has, rising."""
        return np.setdiff1d(self.ids, self.dead, assume_unique=True) if len(self.dead) else self.ids

    def mask(self, ids: Ids) -> Mask:
        """A bool an id, from 0 to the highest; true for `ids`."""
        mask = np.zeros(int(self.ids[-1]) + 1 if len(self.ids) else 0, dtype=np.bool_)
        mask[ids] = True
        return mask

    @property
    def readable(self) -> tuple[Array | StoredRows, ...]:
        """The segments' codes, n×d each: arrays, or rows that are decoded as they are read.

        Raises:
            UserError: what decodes them is absent or damaged.
        """
        return tuple(self._form.readable(array) for array in self._arrays)

    def vectors(self, ids: Ids) -> Floats:
        """Codes of these ids as they are searched, float32 m×d; only these are decoded.

        Raises:
            KeyError: one of them is not there.
            UserError: what decodes them is absent or damaged.
        """
        rows = self.rows(ids)
        if not len(rows):
            return np.empty((0, self.dims), dtype=np.float32)
        codes = self._form.readable(rows)
        return codes[:] if isinstance(codes, StoredRows) else codes.astype(np.float32, copy=False)

    def rows(self, ids: Ids) -> Array:
        """Rows of these ids as they lie on disk, m×width.

        Raises:
            KeyError: one of them is not there.
        """
        found = np.empty((len(ids), self._form.width), dtype=self._form.dtype)
        if not len(ids):
            return found
        places = np.searchsorted(self.ids, ids)
        if (places >= len(self.ids)).any() or (self.ids[places] != ids).any():
            raise KeyError("a code that this collection does not hold")
        rows = places if self._order is None else self._order[places]
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(which):
            mine = which == number
            found[mine] = self._arrays[number][rows[mine] - self._starts[number]]
        return found


def read_snapshot(connection: sqlite3.Connection, folder: Path, form: RowFormat) -> Snapshot:
    """The present state.

    Args:
        connection: any, outside a transaction.
        folder: where the segments' files are.
        form: what a row of them is.

    Raises:
        UserError: a file is absent or damaged.
    """
    for last in range(TRIES):
        with transaction(connection, write=False):
            segments = read_segments(connection)
            dead = np.array(
                [row[0] for row in connection.execute("SELECT id FROM codes WHERE dead")],
                dtype=np.int64,
            )
        try:
            arrays = [
                open_segment(folder / s.file, (len(s.ids), form.width), form.dtype)
                for s in segments
            ]
        except FileNotFoundError as error:
            # a compaction may have come between; look again what there is now
            if last < TRIES - 1 and read_files(connection) != [s.file for s in segments]:
                continue
            raise UserError(
                f"{error.filename}: absent; mend it with: neuralcodes verify --repair"
            ) from None
        return Snapshot(segments, arrays, dead, form)
    raise AssertionError


def read_segments(connection: sqlite3.Connection) -> list[Segment]:
    """The segments, in order."""
    rows = connection.execute("SELECT id, file, ids, crcs, checksum FROM segments ORDER BY id")
    return [
        Segment(number, file, np.frombuffer(ids, "<i8"), np.frombuffer(crcs, "<u4"), checksum)
        for number, file, ids, crcs, checksum in rows
    ]


def read_files(connection: sqlite3.Connection) -> list[str]:
    """Names of the segments' files, in order."""
    return [row[0] for row in connection.execute("SELECT file FROM segments ORDER BY id")]

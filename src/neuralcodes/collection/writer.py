"""`Writer`: the one who may change a collection.

A batch's codes are written, synced and renamed before the transaction that names them, so a
process that dies leaves at most a file that nothing refers to. The next writer removes it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.collection.schema import DATABASE, explain_database_errors, transaction
from neuralcodes.collection.segments import (
    Array,
    Ids,
    Segment,
    segment_name,
    write_segment,
)
from neuralcodes.collection.snapshot import Snapshot, read_snapshot
from neuralcodes.collection.store import INDEXES, LOCK, Connection, Store
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import explain_os_errors
from neuralcodes.index.backend import discard_index

MERGE = 8  # so many segments of about one size become one
LARGE = 2**29  # bytes; larger segments are not merged any more
BLOCK_BYTES = 2**26

Written = tuple[str, str, bytes]


@contextmanager
def writing(store: Store) -> Iterator[Writer]:
    """The right to write, for the length of the block.

    Raises:
        UserError: another process has it, or there is no right to write to the folder.
    """
    lock = _take_lock(store.path)
    try:
        writer = Writer(store)
        try:
            writer.clean()
            with explain_database_errors(store.path / DATABASE):
                yield writer
        finally:
            writer.close()
    finally:
        with suppress(OSError):
            os.ftruncate(lock, 0)
        os.close(lock)


class Writer(Connection):
    """A connection that may change the collection; made by `writing`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.path, write=True)
        self.spec = store.spec
        self.form = store.form

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing."""
        with self.lock, transaction(self.db):
            yield

    def snapshot(self) -> Snapshot:
        """The codes as they are now."""
        with self.lock:
            return read_snapshot(self.db, self.codes_folder, self.form)

    def change(self, sql: str, values: Iterable[Any] = ()) -> int:
        """Run a statement within `transaction`; gives how many rows it changed."""
        return self.db.execute(sql, tuple(values)).rowcount

    def change_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each of `values`, within `transaction`."""
        self.db.executemany(sql, values)

    def insert(self, sql: str, values: Iterable[Any]) -> int:
        """Insert one row within `transaction`; gives its id."""
        number = self.db.execute(sql, tuple(values)).lastrowid
        assert number is not None
        return number

    def set(self, name: str, value: Any) -> None:
        """Write a setting, within `transaction`; None removes it."""
        if value is None:
            self.change("DELETE FROM settings WHERE name = ?", (name,))
        else:
            text = json.dumps(value, allow_nan=False)
            self.change("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text))

    def write_codes(self, count: int, blocks: Iterable[Array]) -> Written:
        """Write codes to a new file, which `add_segment` then names.

        Args:
            count: how many.
            blocks: together n rows, as `Coder.encode_rows` gives them.

        Returns:
            The file's name, its checksum and the rows' CRC-32.
        """
        rows = self.query("SELECT seq FROM sqlite_sequence WHERE name = 'segments'")
        number = int(rows[0][0]) + 1 if rows else 1
        name = segment_name(number)
        path = self.codes_folder / name
        path.unlink(missing_ok=True)  # of a transaction that failed
        checksum, crcs = write_segment(path, (count, self.form.width), self.form.dtype, blocks)
        return name, checksum, crcs.astype("<u4").tobytes()

    def add_segment(self, written: Written, ids: Ids) -> int:
        """Name a written file in the database, within `transaction`; gives its number."""
        name, checksum, crcs = written
        return self.insert(
            "INSERT INTO segments (id, file, rows, checksum, ids, crcs) VALUES (?,?,?,?,?,?)",
            (int(name[:-4]), name, len(ids), checksum, ids.astype("<i8").tobytes(), crcs),
        )

    def mark_dead(self, codes: Iterable[int]) -> None:
        """Of these codes mark as dead those that no image has, and only those."""
        self.change_many(
            "UPDATE codes SET dead = NOT EXISTS (SELECT 1 FROM images WHERE code = codes.id) "
            "WHERE id = ?",
            [(code,) for code in codes],
        )

    def merge(self, which: Sequence[Segment], drop: Ids | None = None) -> None:
        """Put several segments into one: new file first, then one transaction, then the old go.

        Args:
            which: segments as they are now.
            drop: int64, ids of codes to leave out for good.
        """
        snapshot = self.snapshot()
        ids = np.sort(np.concatenate([segment.ids for segment in which]))
        gone = np.empty(0, np.int64)
        if drop is not None:
            dropped = np.isin(ids, drop)
            ids, gone = ids[~dropped], ids[dropped]
        written = self.write_codes(len(ids), self._blocks(snapshot, ids)) if len(ids) else None
        with self.transaction():
            self.change_many("DELETE FROM codes WHERE id = ?", [(int(code),) for code in gone])
            self.replace_segments(which, written, ids)
        self.remove_files(which)

    def replace_segments(self, which: Sequence[Segment], written: Written | None, ids: Ids) -> None:
        """Put a written file in the place of some segments, within `transaction`.

        Args:
            which: these go.
            written: holds all of their codes that are still wanted; None where there are none.
            ids: int64, the code of each of its rows.
        """
        if written is not None:
            number = self.add_segment(written, ids)
            places = [(number, row, int(code)) for row, code in enumerate(ids)]
            self.change_many("UPDATE codes SET segment = ?, row = ? WHERE id = ?", places)
        self.change_many("DELETE FROM segments WHERE id = ?", [(one.id,) for one in which])

    def remove_files(self, which: Sequence[Segment]) -> None:
        """Remove the files of segments that the database no longer names."""
        for segment in which:
            (self.codes_folder / segment.file).unlink(missing_ok=True)

    def merge_small(self) -> None:
        """Keep segments few: whenever MERGE are of about one size they become one."""
        while True:
            tiers: dict[int, list[Segment]] = {}
            for segment in self.snapshot().segments:
                if len(segment.ids) * self.form.row_bytes < LARGE:
                    tier = int(np.log(max(1, len(segment.ids))) / np.log(MERGE))
                    tiers.setdefault(tier, []).append(segment)
            full = next((tier for _, tier in sorted(tiers.items()) if len(tier) >= MERGE), None)
            if full is None:
                return
            self.merge(full)

    def _blocks(self, snapshot: Snapshot, ids: Ids) -> Iterator[Array]:
        step = max(1, BLOCK_BYTES // self.form.row_bytes)
        for start in range(0, len(ids), step):
            yield snapshot.rows(ids[start : start + step])

    def shrink(self) -> None:
        """Give back the database's free pages, and what its log holds."""
        with self.lock:
            self.db.execute("VACUUM")
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def clean(self) -> None:
        """Remove what a killed writer left: files that nothing refers to."""
        for path in _orphans(self):
            with suppress(OSError):
                discard_index(path) if path.is_dir() else path.unlink()


def _orphans(connection: Connection) -> list[Path]:
    """Files of codes and folders of indexes that nothing refers to."""
    used = {row[0] for row in connection.query("SELECT file FROM segments")}
    index = (connection.setting("index") or {}).get("folder")
    found = []
    for folder, known in (
        (connection.codes_folder, used),
        (connection.path / INDEXES, {index}),
    ):
        with suppress(FileNotFoundError):
            found += [Path(entry.path) for entry in os.scandir(folder) if entry.name not in known]
    return sorted(found)


def _take_lock(path: Path) -> int:
    with explain_os_errors(path / LOCK):
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            who = f"process {holder}" if holder else "another process"
            raise UserError(
                f"{path}: {who} is writing to it; try again when it has finished "
                "(searching works meanwhile)"
            ) from None
        # a file system without locks: SQLite's own still keep transactions apart
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor

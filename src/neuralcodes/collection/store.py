"""`Store`: a collection's folder as readers see it, and its making.

Readers see what has been committed, also while another process writes (see `writer`).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.collection.schema import (
    DATABASE,
    connect,
    create_database,
    explain_database_errors,
)
from neuralcodes.collection.segments import FOLDER
from neuralcodes.collection.snapshot import Snapshot, read_snapshot
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_folder, make_folder

DTYPES = ("float32", "float16")
LOCK = "collection.lock"
INDEXES = "index"
PICTURES = "pictures"


class Connection:
    """A connection to the collection's database that several threads may use."""

    def __init__(self, path: Path, write: bool) -> None:
        self.path = Path(path)
        self.codes_folder = self.path / FOLDER
        self.lock = threading.RLock()
        self.db = connect(self.path / DATABASE, write)

    def query(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        """Run a statement; gives its rows."""
        with self.lock, explain_database_errors(self.path / DATABASE):
            return self.db.execute(sql, tuple(values)).fetchall()

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting's value; `default` when there is none."""
        rows = self.query("SELECT value FROM settings WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else default

    def close(self) -> None:
        """Let go of the database."""
        with self.lock:
            self.db.close()


class Store(Connection):
    """An open collection folder, for reading.

    Attributes:
        spec: what its codes are.
        dtype: the number type they are stored in.

    Raises:
        UserError: no collection there, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, write=False)
        self.spec = CodeSpec.from_json(self.setting("code"))
        self.dtype = np.dtype(str(self.setting("dtype")))
        self._snapshot: Snapshot | None = None
        self._version = -1

    def version(self) -> int:
        """A number that changes when another connection has committed something."""
        return int(self.query("PRAGMA data_version")[0][0])

    def snapshot(self) -> Snapshot:
        """The codes as they are now; the same object until something changes."""
        with self.lock, explain_database_errors(self.path / DATABASE):
            version = self.version()
            if self._snapshot is None or self._version != version:
                self._snapshot = read_snapshot(self.db, self.codes_folder, self.spec.dims)
                self._version = version
            return self._snapshot


def create_store(path: Path, settings: dict[str, Any]) -> None:
    """Make an empty collection. It is there whole or not at all.

    Args:
        path: a folder that is absent or empty.
        settings: "code" (a CodeSpec's JSON), "dtype" and what else is to be kept.

    Raises:
        UserError: something is there already, or no right to write.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: not empty and not a collection; give another folder")
    with atomic_folder(path) as work:
        create_database(work / DATABASE)
        connection = sqlite3.connect(work / DATABASE)
        with connection:
            connection.executemany(
                "INSERT INTO settings VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in settings.items()],
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        make_folder(work / FOLDER)


def is_collection(path: Path) -> bool:
    """Whether a collection lies there."""
    return (Path(path) / DATABASE).is_file()

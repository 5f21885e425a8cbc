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

from neuralcodes.codes.spec import CodeSpec
from neuralcodes.codes.transforms.fitted import Fitted
from neuralcodes.collection.rowformat import RowFormat
from neuralcodes.collection.schema import (
    DATABASE,
    FLOATS,
    VERSION,
    connect,
    create_database,
    explain_database_errors,
)
from neuralcodes.collection.segments import FOLDER
from neuralcodes.collection.snapshot import Snapshot, read_snapshot
from neuralcodes.common.errors import UserError
from neuralcodes.common.files import atomic_folder, make_folder

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
        form: how they lie on disk.

    Raises:
        UserError: no collection there, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, write=False)
        self.spec = CodeSpec.from_json(self.setting("code"))
        self.form = RowFormat(self.path, self.spec, str(self.setting("dtype")))
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
                self._snapshot = read_snapshot(self.db, self.codes_folder, self.form)
                self._version = version
            return self._snapshot


def create_store(path: Path, settings: dict[str, Any], last: Fitted | None = None) -> None:
    """Make an empty collection. It is there whole or not at all.

    Args:
        path: a folder that is absent or empty.
        settings: "code" (a CodeSpec's JSON), "dtype" (see `RowFormat`) and what else is to be kept.
        last: the code's last transform, of which a copy is kept where it decodes the codes.

    Raises:
        UserError: something is there already, or no right to write.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: not empty and not a collection; give another folder")
    with atomic_folder(path) as work:
        form = RowFormat(work, CodeSpec.from_json(settings["code"]), settings["dtype"])
        create_database(work / DATABASE, VERSION if form.stored else FLOATS)
        if last is not None:
            form.keep_quantiser(last)
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

"""The collection's database: its tables, and connections for the writer and for readers.

Places and member names are bytes, as the file system has them: a name need not be text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuralcodes.common.errors import UserError
from neuralcodes.common.files import explain_os_errors

VERSION = 2  # codes may lie in a quantiser's bytes
FLOATS = 1  # they do not: a version that knows nothing else can read it too
DATABASE = "collection.sqlite"
APPLICATION = 0x4E436F64  # "NCod", in the file's header

TABLES = """
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL                -- JSON
) WITHOUT ROWID;

CREATE TABLE segments (                -- files of codes
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file TEXT NOT NULL UNIQUE,         -- below codes/
    rows INTEGER NOT NULL,
    checksum TEXT NOT NULL,            -- sha256 of the file
    ids BLOB NOT NULL,                 -- int64: codes.id of each row
    crcs BLOB NOT NULL                 -- uint32: CRC-32 of each row's bytes
);

CREATE TABLE codes (                   -- one a distinct content
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,         -- sha256 of the image file
    segment INTEGER NOT NULL REFERENCES segments,
    row INTEGER NOT NULL,
    size INTEGER NOT NULL,             -- bytes of the image file
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    kind TEXT NOT NULL,                -- JPEG, PNG, …
    dead INTEGER NOT NULL DEFAULT 0    -- no image has this content any more
);
CREATE INDEX codes_dead ON codes (id) WHERE dead;
CREATE INDEX codes_segment ON codes (segment);

CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    place BLOB NOT NULL,               -- the file, or the archive that holds it
    member BLOB NOT NULL DEFAULT x'',  -- its name in the archive
    stamp TEXT NOT NULL,               -- size and times when it was read
    code INTEGER REFERENCES codes,     -- NULL: it could not be read
    bad TEXT,                          -- why not
    path TEXT NOT NULL,                -- for people
    name TEXT NOT NULL,
    folder TEXT NOT NULL,              -- below the place that was indexed
    label TEXT NOT NULL,               -- the folder it lies in
    date REAL NOT NULL,                -- of the file, seconds since 1970
    added REAL NOT NULL,
    UNIQUE (place, member)
);
CREATE INDEX images_code ON images (code);
CREATE INDEX images_name ON images (name, folder);
CREATE INDEX images_bad ON images (id) WHERE bad IS NOT NULL;

CREATE TABLE metadata (                -- the user's own columns are added to it
    image INTEGER PRIMARY KEY REFERENCES images ON DELETE CASCADE
);

CREATE TABLE roots (                   -- what was indexed
    place BLOB PRIMARY KEY,
    kind TEXT NOT NULL,                -- folder, zip, tar, file
    stamp TEXT NOT NULL DEFAULT '',    -- of an archive that was read to its end
    scanned REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE ignored (                 -- images taken out by hand, which stay out
    place BLOB NOT NULL,
    member BLOB NOT NULL,
    PRIMARY KEY (place, member)
) WITHOUT ROWID;

CREATE TABLE different (               -- pairs of contents that are no duplicates
    one BLOB NOT NULL,
    other BLOB NOT NULL,
    PRIMARY KEY (one, other)
) WITHOUT ROWID;
"""


def create_database(path: Path, version: int) -> None:
    """Make an empty database, to be read from this version of the format on.

    Raises:
        UserError: full disk or no right to write.
    """
    with explain_os_errors(path), explain_database_errors(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA page_size=8192")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(
                f"BEGIN; {TABLES} PRAGMA user_version={version};"
                f"PRAGMA application_id={APPLICATION}; COMMIT;"
            )
        finally:
            connection.close()


def connect(path: Path, write: bool) -> sqlite3.Connection:
    """Open a database; transactions are begun and ended by hand.

    Args:
        path: the file.
        write: for the writer. A reader's connection cannot change anything.

    Raises:
        UserError: absent, not a collection's, damaged, or of a newer version.
    """
    try:
        absent = not path.is_file()
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be read ({error.strerror})") from None
    if absent:
        raise UserError(
            f"{path.parent}: no collection; make one with: "
            f"neuralcodes index PICTURES --collection {path.parent} --code NETWORK"
        )
    with explain_database_errors(path):
        connection = _open(path, write)
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except BaseException:
            connection.close()
            raise
    if application != APPLICATION:
        connection.close()
        raise UserError(f"{path}: not a collection's database; give another folder")
    if version not in (FLOATS, VERSION):
        connection.close()
        raise UserError(
            f"{path.parent}: a collection of format {version}; this version reads {FLOATS} and "
            f"{VERSION}: "
            "index the pictures anew, or use the version that made it"
        )
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.execute("PRAGMA cache_size=-32000")
    connection.execute("PRAGMA mmap_size=268435456")
    if write:
        connection.execute("PRAGMA synchronous=FULL")  # a committed batch survives a power cut
    else:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _open(path: Path, write: bool) -> sqlite3.Connection:
    def opened(options: str) -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?{options}"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False
        )
        try:
            connection.execute("SELECT count(*) FROM settings").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    try:
        return opened("mode=rw")
    except sqlite3.OperationalError:
        if write:
            raise
    try:
        return opened("mode=ro")
    except sqlite3.OperationalError:
        # on a read-only disk WAL cannot be used, and nothing can change there either
        return opened("mode=ro&immutable=1")


@contextmanager
def explain_database_errors(path: Path) -> Iterator[None]:
    """Turn what a user can mend, or must know, into one line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorname", "")
        remedies = {
            "SQLITE_FULL": "the disk is full; free some space",
            "SQLITE_READONLY": "no right to write there",
            "SQLITE_CANTOPEN": "cannot be opened; is there a right to read and write there?",
            "SQLITE_NOTADB": "damaged, no longer a database; restore it from a copy",
            "SQLITE_CORRUPT": "damaged; restore it from a copy or index the pictures anew",
            "SQLITE_BUSY": "another process keeps it busy; try again",
            "SQLITE_IOERR": "cannot be read or written; is the disk full or failing?",
        }
        for name, remedy in remedies.items():
            if code.startswith(name):
                raise UserError(f"{path}: {remedy}") from error
        raise


@contextmanager
def transaction(connection: sqlite3.Connection, write: bool = True) -> Iterator[None]:
    """All of the block or nothing; for a reader, one state throughout."""
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

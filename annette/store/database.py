"""SQLite for campaign stores: opening, one writer at a time, and its errors as ours in one line."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from annette.errors import StoreError

__all__ = [
    "OLDEST_READ",
    "SCHEMA_VERSION",
    "WriterLock",
    "connect_memory",
    "connect_reader",
    "connect_writer",
    "schema_version",
    "store_errors",
]

SCHEMA_VERSION = 3
"""Version of the tables below, kept in ``PRAGMA user_version``.

1: one measurement a task. 2: several visits, appended tasks. 3: checksums of rows."""
OLDEST_READ = 2
"""Stores from this version on are read as they are, and brought to today's when they are written to; of older
ones `annette.store.salvage.export_store` makes new ones."""

_APPLICATION_ID = 0x414E4E45  # "ANNE": tells a campaign store from any other SQLite file

# Of measurements: `visits` is how many visits the row stands for, more than one where they were combined
# before they came here; `reference_s` and `load_fraction` are copies out of `result`, for a quick look.
# SQLite finds damage of its pages' structure only, so rows have checksums; NULL in those of older versions.
_SCHEMA = """
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    device TEXT NOT NULL,
    plan_name TEXT NOT NULL,
    plan_seed INTEGER NOT NULL,
    plan_text TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    provenance TEXT NOT NULL,
    checksum INTEGER
);
CREATE TABLE tasks (
    ordinal INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    category TEXT NOT NULL,
    group_name TEXT NOT NULL,
    tags TEXT NOT NULL,
    network_id TEXT NOT NULL,
    network BLOB NOT NULL,
    appended INTEGER NOT NULL
);
CREATE TABLE measurements (
    ordinal INTEGER NOT NULL REFERENCES tasks (ordinal),
    visit INTEGER NOT NULL CHECK (visit >= 0),
    visits INTEGER NOT NULL CHECK (visits >= 1),
    result TEXT,
    error TEXT,
    seed INTEGER,
    reference_s REAL,
    load_fraction REAL,
    checksum INTEGER,
    PRIMARY KEY (ordinal, visit),
    CHECK ((result IS NULL) <> (error IS NULL))
);
"""

_ADVICE = {
    "SQLITE_NOTADB": "it is not a campaign store; name another file",
    "SQLITE_CORRUPT": "the file is damaged; restore a copy, or save the rest with `annette store export`",
    "SQLITE_FULL": "the disk is full; free some space and run the same command again to continue",
    "SQLITE_CANTOPEN": "check that the folder exists and may be written",
    "SQLITE_READONLY": "the file or its folder may not be written; choose another place",
    "SQLITE_IOERR": "the disk is full or did not answer; check it and run the same command again to continue",
    "SQLITE_BUSY": "another process is writing to it; wait for it to end, or stop it",
    "SQLITE_LOCKED": "another process is writing to it; wait for it to end, or stop it",
}


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about ``path`` into a `StoreError` of one line that says what to do.

    Raises
    ------
    StoreError
        In place of any `sqlite3.Error`.
    """
    try:
        yield
    except sqlite3.Error as err:
        code = getattr(err, "sqlite_errorname", "") or ""
        advice = next((text for name, text in _ADVICE.items() if code.startswith(name)), None)
        if advice is None:
            advice = (
                "the file is damaged or not a campaign store; restore a copy, or try `annette store export`"
            )
        raise StoreError(f"store {path}: {err}; {advice}") from err


class WriterLock:
    """Exclusive right to write a store; it ends with the process that holds it, however that ends.

    It is a lock of SQLite's own on an empty side file (``NAME-lock``), so it works wherever SQLite does. The
    side file stays: removing it would let two processes hold locks on two files of one name.

    Raises
    ------
    StoreError
        If another process, or another open store in this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-lock")
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as err:
            if connection is not None:
                connection.close()
            if (getattr(err, "sqlite_errorname", "") or "").startswith("SQLITE_BUSY"):
                raise StoreError(
                    f"store {path}: another process is writing to it; wait for it to end, or stop it"
                ) from err
            with store_errors(path):
                raise
        self._connection = connection

    def release(self) -> None:
        """Give the right back; a second call does nothing."""
        self._connection.close()


def connect_reader(path: Path, *, oldest: int = OLDEST_READ) -> sqlite3.Connection:
    """A connection that reads the store at ``path``, also while another process writes it.

    ``oldest`` is the first schema version that the caller can read.

    Raises
    ------
    StoreError
        If the file is missing, damaged, not a campaign store or of another schema version.
    """
    if not os.path.isfile(path):
        raise StoreError(f"store {path}: no such file; make one with `annette benchmark --store {path}`")
    with store_errors(path):
        connection = _open_read_only(path)
        try:
            _check_identity(connection, path, oldest)
        except BaseException:
            connection.close()
            raise
    return connection


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the tables that the connection leads to."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def connect_writer(path: Path) -> tuple[WriterLock, sqlite3.Connection]:
    """The right to write the store at ``path`` and a connection to it; its tables are made if there are none.

    Raises
    ------
    StoreError
        As `connect_reader`, or if another process holds the right, or the place cannot be written.
    """
    _refuse_other_files(path)
    lock = WriterLock(path)
    try:
        with store_errors(path):
            return lock, _open_writable(path)
    except BaseException:
        lock.release()
        raise


def _refuse_other_files(path: Path) -> None:
    """Look at what is at ``path`` before anything is written there or beside it.

    Through SQLite, never by opening the file: closing it would drop the locks of this process's other
    connections to it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    if os.path.isdir(path):  # the functions of `os.path` never raise, whatever the name
        raise StoreError(f"store {path}: it is a folder, expected a file; add a file name such as run.db")
    if not os.path.isdir(path.parent):
        raise StoreError(f"store {path}: folder {path.parent} does not exist; create it first")
    if not os.path.exists(path):
        return
    with store_errors(path), closing(_open_read_only(path)) as connection:
        if not _is_empty(connection):
            _check_identity(connection, path)


def _open_writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None)
    try:
        empty = _is_empty(connection)
        if not empty:
            _check_identity(connection, path)
        # WAL with NORMAL keeps every committed transaction when the process is killed; only a power cut can
        # take the last ones, and those are then planned again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        if empty:
            _create_tables(connection)
        elif schema_version(connection) == 2:
            _add_checksums(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_memory() -> sqlite3.Connection:
    """A connection to a new store that lives in memory, with all tables and nothing in them."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _create_tables(connection)
    return connection


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE; PRAGMA application_id = {_APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; {_SCHEMA} COMMIT;"
    )


def _add_checksums(connection: sqlite3.Connection) -> None:
    """Bring a store of version 2 to 3; the rows that it has keep none."""
    connection.executescript(
        "BEGIN IMMEDIATE; ALTER TABLE campaign ADD COLUMN checksum INTEGER;"
        "ALTER TABLE measurements ADD COLUMN checksum INTEGER; PRAGMA user_version = 3; COMMIT;"
    )


def _open_read_only(path: Path) -> sqlite3.Connection:
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=10.0, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # In a folder that may not be written SQLite cannot make the side files of WAL mode; without a log
        # beside it the file holds everything.
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return (tables, application) == (0, 0)


def _refuse_programs(connection: sqlite3.Connection, path: Path) -> None:
    """A store holds rows alone: views and triggers run what their author wrote, perhaps without end."""
    query = "SELECT type FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"
    found = connection.execute(query).fetchone()
    if found is not None:
        raise StoreError(
            f"store {path}: holds a {found[0]}, expected tables and their indices alone; do not use the file"
        )


def _check_identity(connection: sqlite3.Connection, path: Path, oldest: int = OLDEST_READ) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = schema_version(connection)
    if application != _APPLICATION_ID:
        raise StoreError(f"store {path}: an SQLite file, but not a campaign store; name another file")
    _refuse_programs(connection, path)
    if version < oldest:
        raise StoreError(
            f"store {path}: written by an older annette (schema version {version}, expected "
            f"{SCHEMA_VERSION}); bring it to today's with "
            f"`annette store export {shlex.quote(str(path))} NEW.db`"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"store {path}: schema version {version}, expected {SCHEMA_VERSION}; "
            "read it with the version of annette that wrote it, or start a new store"
        )

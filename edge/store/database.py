"""The SQLite file of a station: opening, schema, migrations.

WAL, so that readers hinder no writer. The connection that writes records has synchronous FULL: a
row that was committed survives a power cut, which NORMAL does not promise in WAL mode
(https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge.store.watched_file import WatchedConnection
from inspection.errors import RecordsError

FILE_NAME = "records.sqlite"

_APPLICATION_ID = 0x4C57_5244  # "LWRD", seen by file(1)
_BUSY_S = 5.0
_OLDEST_SQLITE = (3, 37)

# Each entry leads from one version to the next; `user_version` counts those that were applied.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE identities (      -- what verdicts rest on
            identity INTEGER PRIMARY KEY,
            recipe TEXT NOT NULL,
            threshold REAL NOT NULL,
            threshold_review REAL,
            threshold_pixel REAL,
            artefact_sha256 TEXT NOT NULL,
            calibration_seal TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE records (         -- one row per trigger
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            trigger_id TEXT NOT NULL UNIQUE,
            part_id TEXT,
            triggered_utc TEXT NOT NULL,  -- 2026-11-21T04:14:01.123456Z
            view TEXT NOT NULL,
            source TEXT,
            identity INTEGER NOT NULL REFERENCES identities,
            verdict TEXT NOT NULL,
            cause TEXT,
            message TEXT NOT NULL,
            score REAL,
            preprocess_ms REAL,
            infer_ms REAL,
            decide_ms REAL,
            total_ms REAL NOT NULL,
            deadline_ms REAL NOT NULL,
            details TEXT NOT NULL        -- JSON: what of the record has no column
        ) STRICT
        """,
        "CREATE INDEX records_by_time ON records (triggered_utc)",
        "CREATE INDEX records_by_part ON records (part_id) WHERE part_id IS NOT NULL",
        """
        CREATE TABLE labels (          -- what people said; the last one counts
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            record INTEGER NOT NULL REFERENCES records ON DELETE CASCADE,
            label TEXT NOT NULL,         -- good, or the name of a defect
            author TEXT NOT NULL,
            note TEXT NOT NULL,
            labelled_utc TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX labels_by_record ON labels (record)",
        """
        CREATE TABLE outbox (          -- verdicts that an output has not confirmed yet
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            output TEXT NOT NULL,
            record INTEGER NOT NULL REFERENCES records
        ) STRICT
        """,
        "CREATE INDEX outbox_by_output ON outbox (output, number)",
        "CREATE INDEX outbox_by_record ON outbox (record)",
    ),
    ("ALTER TABLE identities ADD COLUMN recipe_number INTEGER",),
    (
        """
        CREATE TABLE marks (           -- when rows up to a number were there, see edge.store.expiry
            number INTEGER PRIMARY KEY,
            reached TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE checked (         -- how far a check of the rows has come
            what TEXT PRIMARY KEY,
            number INTEGER NOT NULL
        ) STRICT
        """,
    ),
    (
        # A filter by one of these columns looks into the index, and into the rows that fit alone.
        "DROP INDEX records_by_time",
        """
        CREATE INDEX records_by_time
        ON records (triggered_utc, verdict, cause, identity, score)
        """,
    ),
    (
        "ALTER TABLE labels ADD COLUMN mask TEXT",  # a file below the images
        "ALTER TABLE labels ADD COLUMN withdrawn_by TEXT",
        "ALTER TABLE records ADD COLUMN label TEXT",  # the one that holds, see edge.store.labels
        # What older versions showed: the last one. It stays until somebody labels the part again.
        """
        UPDATE records SET label = (
            SELECT label FROM labels WHERE record = records.number ORDER BY number DESC LIMIT 1
        ) WHERE number IN (SELECT record FROM labels)
        """,
        "DROP INDEX records_by_time",
        """
        CREATE INDEX records_by_time
        ON records (triggered_utc, verdict, cause, identity, score, label)
        """,
        """
        CREATE INDEX records_by_label
        ON records (label, triggered_utc) WHERE label IS NOT NULL
        """,
    ),
    (
        """
        CREATE TABLE troubles (        -- what was wrong with the line, see edge.store.troubles
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,          -- of the output, or empty
            message TEXT NOT NULL,
            begun_utc TEXT NOT NULL,
            lasted_s REAL                -- none: nobody saw its end
        ) STRICT
        """,
        "CREATE INDEX troubles_by_begin ON troubles (begun_utc)",
    ),
)


class DamagedDatabaseError(RecordsError):
    """The content of the database is damaged, as by a disk that wrote to a wrong place."""


def connect(folder: Path, *, synchronous: Literal["FULL", "NORMAL"]) -> WatchedConnection:
    """Open the database for writing; make it, or bring it to this version, when needed.

    The connection may be handed from thread to thread. It begins no transaction by itself.

    Raises:
        DamagedDatabaseError: the file is damaged.
        RecordsError: it is something else, or comes from a newer version.
        sqlite3.OperationalError: the disk is full, or the file cannot be opened.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise RecordsError(
            f"records need SQLite 3.37 or newer, and Python has {sqlite3.sqlite_version}"
        )
    path = folder / FILE_NAME
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        factory=WatchedConnection,
    )
    _settle_types(connection)
    try:
        with telling_of_damage(folder):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path)
        connection.watch(path)
    except (sqlite3.Error, RecordsError):
        connection.close()
        raise
    return connection


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """Open an existing database for reading only.

    A user who may not write in the folder reads it too: beside a line through the line's own log
    and shared memory, without a line as a file that nobody changes.

    Raises:
        DamagedDatabaseError: it is damaged.
        RecordsError: there is none, or it cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise RecordsError(f"{folder}: holds no {FILE_NAME}; name the folder of a line's records")
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro{_unchanging(path)}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        _settle_types(connection)
        with telling_of_damage(folder):
            _require_version(connection, path)
    except sqlite3.OperationalError as error:
        raise RecordsError(
            f"{path}: cannot be read: {error}; a database that a line writes to is read by a user "
            "who may write in its folder"
        ) from error
    return connection


def _unchanging(path: Path) -> str:
    """Returns the option to open a database that is closed, for a user who can make no log of it.

    A line that starts meanwhile writes to its log first, and to this file after 1000 pages of it:
    long after a page was read (https://www.sqlite.org/wal.html#read_only_databases).
    """
    log = path.with_name(f"{path.name}-wal")
    return "" if log.exists() or os.access(path.parent, os.W_OK) else "&immutable=1"


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the work of the block, all or nothing.

    Raises:
        sqlite3.Error: nothing of it was written, or it is not known whether all was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yields a connection within a transaction to an existing database, beside its line or not.

    Raises:
        RecordsError: there is none, or it cannot be written.
    """
    connect_to_read(folder).close()  # which tells when there is none
    try:
        with (
            telling_of_damage(folder),
            contextlib.closing(connect(folder, synchronous="FULL")) as connection,
            transaction(connection),
        ):
            yield connection
    except sqlite3.OperationalError as error:
        raise RecordsError(f"{folder}: cannot be written: {error}") from error


@contextlib.contextmanager
def telling_of_damage(folder: Path) -> Iterator[None]:
    """Raise DamagedDatabaseError for what a damaged database in `folder` does in the block."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The class itself is for damage and for a file that is no database; derived ones are for
        # the disk, a lock or a mistake (PEP 249).
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise _damaged(folder, error) from error
    except UnicodeDecodeError as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DamagedDatabaseError:
    return DamagedDatabaseError(
        f"{folder / FILE_NAME}: is damaged ({error}); a line sets it aside and begins a new one. "
        f"Save what can be read: linewarden records recover {folder} --to NEW"
    )


def _settle_types(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    # By itself the module raises OperationalError for damaged text, as it does for a full disk.
    connection.text_factory = bytes.decode


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == len(_MIGRATIONS):
        return
    with transaction(connection):
        for statements in _MIGRATIONS[_version(connection, path) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _require_version(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) < len(_MIGRATIONS):
        raise RecordsError(
            f"{path}: was made by an older version of Linewarden; start the line once to update it"
        )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Returns how many migrations the file has had."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION_ID and tables:
        raise RecordsError(f"{path}: is a database of another program; give another folder")
    if version > len(_MIGRATIONS):
        raise RecordsError(
            f"{path}: has version {version}, and this Linewarden knows {len(_MIGRATIONS)}: "
            "it was written by a newer one; install that, or give another folder"
        )
    return int(version)


def migrations(count: int | None = None) -> Iterator[str]:
    """Yields the statements that make the schema; of the first `count` versions, or of all."""
    for statements in _MIGRATIONS[:count]:
        yield from statements

"""The panel's own SQLite file: accounts, sessions, audit log. The records of a line are elsewhere.

The audit log is append-only: triggers of the database refuse to change or delete an entry.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from inspection.errors import RecordsError

FILE_NAME = "panel.sqlite"

_APPLICATION_ID = 0x4C57_504E  # "LWPN", seen by file(1)
_BUSY_S = 5.0

# Each entry leads from one version to the next; `user_version` counts those that were applied.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE accounts (
            name TEXT PRIMARY KEY,
            role TEXT NOT NULL,
            password_hash TEXT NOT NULL,   -- argon2id, with its parameters
            is_one_time INTEGER NOT NULL,  -- the next login must choose another password
            is_active INTEGER NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE sessions (
            token_sha256 TEXT PRIMARY KEY,
            account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
            csrf_token TEXT NOT NULL,
            ends_utc TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE audit (               -- the changes that people asked for
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            moment_utc TEXT NOT NULL,
            account TEXT NOT NULL,
            role TEXT NOT NULL,
            address TEXT NOT NULL,
            line TEXT NOT NULL,            -- empty for a change of the panel
            action TEXT NOT NULL,
            subject TEXT NOT NULL,
            why TEXT NOT NULL,
            undo TEXT                      -- JSON: the request that takes the change back
        ) STRICT
        """,
        "CREATE INDEX audit_by_line ON audit (line, number)",
        """
        CREATE TABLE audit_outcomes (      -- none: the panel ended before it had one
            number INTEGER PRIMARY KEY REFERENCES audit,
            moment_utc TEXT NOT NULL,
            failure TEXT NOT NULL          -- empty: it was done
        ) STRICT
        """,
        *(
            f"CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
            for table in ("audit", "audit_outcomes")
            for verb in ("UPDATE", "DELETE")
        ),
    ),
)


class PanelDatabase:
    """One connection that the threads of the panel share, one at a time.

    Args:
        folder: made where it is missing.

    Raises:
        RecordsError: the file is of another program, of a newer version, or cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE_NAME
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(path)
        except (sqlite3.Error, OSError) as error:
            raise RecordsError(
                f"{path}: cannot be opened: {error}; the user of the panel must own the folder"
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commits the work of the block, all or nothing.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection for queries."""
        with self._lock:
            yield self._connection

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _migrate(self, path: Path) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != _APPLICATION_ID and tables:
            raise RecordsError(f"{path}: is a database of another program; give another folder")
        if version > len(_MIGRATIONS):
            raise RecordsError(
                f"{path}: was written by a newer Linewarden; install that, or give another folder"
            )
        with self.transaction() as connection:
            for statements in _MIGRATIONS[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

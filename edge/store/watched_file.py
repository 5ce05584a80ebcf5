"""A connection to a SQLite file that somebody may rename, remove or replace meanwhile.

SQLite goes on writing into a file without a name, and rows that are committed there are gone after
the end of the process (https://www.sqlite.org/howtocorrupt.html, section 2.4).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any


class WatchedConnection(sqlite3.Connection):
    """Refuses to begin work when the path no longer names its file; the owner connects anew then.

    A cursor still reaches the file, whatever its name. `close` leaves it whole, with nothing of it
    in the way of the next file.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._path = Path()
        self._seen: dict[Path, os.stat_result] = {}

    def watch(self, path: Path) -> None:
        """Watches the file, which is open and in WAL mode."""
        # No file is opened for this: to close it would end the locks of SQLite, see fcntl(2).
        files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        self._path = path
        self._seen = {file: found for file in files if (found := _found(file)) is not None}

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Executes one statement.

        Raises:
            sqlite3.OperationalError: the file was renamed, removed or replaced.
        """
        if not self.in_transaction and self.has_moved():
            raise sqlite3.OperationalError(
                f"{self._path} was renamed, removed or replaced while it was in use; a new one is "
                "begun, and a renamed one is whole"
            )
        return super().execute(*arguments)

    def close(self) -> None:
        """Closes the connection."""
        if self.has_moved():
            # SQLite would leave rows of a moved file in the write-ahead log, where the next file of
            # this name has its own.
            with contextlib.suppress(sqlite3.Error):
                super().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for file in self._seen.keys() - {self._path}:
                if self._is_as_seen(file):
                    file.unlink(missing_ok=True)
        super().close()

    def has_moved(self) -> bool:
        """Returns whether the path no longer names the file."""
        return self._path in self._seen and not self._is_as_seen(self._path)

    def _is_as_seen(self, file: Path) -> bool:
        found = _found(file)
        return found is not None and os.path.samestat(found, self._seen[file])


def _found(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None

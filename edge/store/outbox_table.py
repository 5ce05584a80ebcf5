"""The verdicts in the database that wait for one output. Safe for threads."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge.part.record import InspectionRecord
from edge.store.database import DamagedDatabaseError, connect, telling_of_damage
from edge.store.rows import FIELDS, record_from_row
from edge.store.watched_file import WatchedConnection

_READ_AT_ONCE = 50
_NEXT = f"""
    SELECT outbox.number AS entry, {FIELDS}
    FROM outbox JOIN records ON records.number = outbox.record JOIN identities USING (identity)
    WHERE output = ? AND outbox.number > ? ORDER BY outbox.number LIMIT {_READ_AT_ONCE}
"""  # noqa: S608 - names of columns


class Waiting(NamedTuple):
    """A verdict that waits.

    Attributes:
        database: counts the databases that were in use; numbers begin anew in each.
    """

    database: int
    number: int
    record: InspectionRecord


class OutboxTable:
    """The entries of one output.

    Args:
        output: its name in the database.
        folder: of the database.
        on_damage: told when the database is damaged, before `read` raises.
    """

    def __init__(self, output: str, folder: Path, on_damage: Callable[[str], None]) -> None:
        self._output = output
        self._folder = folder
        self._on_damage = on_damage
        self._lock = threading.Lock()
        self._connection: WatchedConnection | None = None
        self._database = 0
        self._confirmed = 0  # the last entry that was
        self._stored = 0

    def add(self, count: int) -> None:
        """Count entries that were committed."""
        with self._lock:
            self._stored += count

    def read(self) -> list[Waiting]:
        """Returns the next entries, the oldest first.

        Raises:
            RecordsError, sqlite3.Error: they cannot be read.
        """
        with self._lock, self._telling():
            rows = self._rows(self._connected())
            return [Waiting(self._database, row["entry"], record_from_row(row)) for row in rows]

    def confirm(self, entry: Waiting) -> bool:
        """Delete the entries up to this one; False when their database was set aside.

        A disk that takes nothing has the next call do it.
        """
        with self._lock:
            if entry.database != self._database:
                return False
            self._confirmed = entry.number
            self._stored -= 1
            with contextlib.suppress(sqlite3.OperationalError, DamagedDatabaseError):
                self._delete()
            return True

    def close(self) -> None:
        """Close the database; `read` opens it again."""
        with self._lock:
            self._disconnect()

    @contextlib.contextmanager
    def replaced(self) -> Iterator[int]:
        """Stay away from the database within the block, which replaces it by an empty one.

        Yields:
            how many entries the old one has.
        """
        with self._lock:
            self._disconnect()
            stored = self._stored
            yield stored
            self._database += 1
            self._confirmed = self._stored = 0

    def _rows(self, connection: WatchedConnection) -> list[sqlite3.Row]:
        # A cursor reads a file that was renamed or removed, too: what waits there is sent first.
        rows = connection.cursor().execute(_NEXT, (self._output, self._confirmed)).fetchall()
        if not rows and connection.has_moved():
            self._disconnect()
            self._confirmed = 0  # the next file counts anew
            return self._rows(self._connected())
        return rows

    def _delete(self) -> None:
        with self._telling():
            self._connected().cursor().execute(
                "DELETE FROM outbox WHERE output = ? AND number <= ?",
                (self._output, self._confirmed),
            )

    def _connected(self) -> WatchedConnection:
        if self._connection is None:
            # Without a flush to the disk: after a power cut the last verdicts are sent again.
            self._connection = connect(self._folder, synchronous="NORMAL")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Report damage while the lock is held, so that it is of the present database."""
        try:
            with telling_of_damage(self._folder):
                yield
        except DamagedDatabaseError as error:
            self._disconnect()
            self._on_damage(str(error))
            raise

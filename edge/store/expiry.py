"""Which rows go when they are too old: by their order and the service time, not by their moments.

The moment in a row is the time of day of then, right or wrong. Marks tell which rows were there at
which service time (`edge.store.service_time`); a row is as old as the first mark above it.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime, timedelta

from edge.store.database import transaction
from edge.store.rows import moment_from_text, text_from_moment

_DELETED_AT_ONCE = 2_000
_LONGEST_SPACING = timedelta(hours=1)

_log = logging.getLogger(__name__)


def newest_mark(connection: sqlite3.Connection) -> datetime | None:
    """Returns the service time of the newest mark; None without one."""
    (reached,) = connection.execute("SELECT max(reached) FROM marks").fetchone()
    return moment_from_text(reached) if reached is not None else None


def mark(connection: sqlite3.Connection, now: datetime) -> None:
    """Mark the present rows, as far as they have no mark.

    Args:
        now: a service time at which they were there.
    """
    connection.execute(
        "INSERT INTO marks (number, reached) SELECT number, ? FROM "
        "(SELECT max(number) AS number FROM records) "
        "WHERE number > (SELECT coalesce(max(number), 0) FROM marks)",
        (text_from_moment(now),),
    )


class RowExpiry:
    """Deletes rows that are too old, except those that wait in an outbox.

    Args:
        max_age_days: in service time.
        at_once: rows that one call deletes at most.
    """

    def __init__(self, max_age_days: float, at_once: int = _DELETED_AT_ONCE) -> None:
        self._max_age = timedelta(days=max_age_days)
        self._spacing = min(_LONGEST_SPACING, self._max_age / 100)
        self._at_once = at_once
        self._announced = 0

    def expire(self, connection: sqlite3.Connection, now: datetime) -> bool:
        """Delete some rows; returns whether there may be more.

        Args:
            now: service time.
        """
        with transaction(connection):
            newest = newest_mark(connection)
            if newest is None or now - newest >= self._spacing:
                mark(connection, now)
            last = self._last(connection, now)
            deleted = self._delete(connection, last)
        is_full = deleted == self._at_once
        if is_full and last > self._announced:
            self._announced = last
            _log.warning(
                "the rows up to number %d are older than %g days and are deleted now",
                *(last, self._max_age / timedelta(days=1)),
            )
        return is_full

    def _last(self, connection: sqlite3.Connection, now: datetime) -> int:
        """Returns the number of the last row that is too old; 0 for none."""
        (number,) = connection.execute(
            "SELECT coalesce(max(number), 0) FROM marks WHERE reached <= ?",
            (text_from_moment(now - self._max_age),),
        ).fetchone()
        return int(number)

    def _delete(self, connection: sqlite3.Connection, last: int) -> int:
        deleted = connection.execute(
            "DELETE FROM records WHERE number IN (SELECT number FROM records WHERE number <= ? "
            "AND number NOT IN (SELECT record FROM outbox) ORDER BY number LIMIT ?)",
            (last, self._at_once),
        ).rowcount
        connection.execute("DELETE FROM marks WHERE number < ?", (last,))
        return deleted

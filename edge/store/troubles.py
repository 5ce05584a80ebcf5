"""The troubles that a line had, as rows of the database of its records."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from edge.store.rows import moment_from_text, text_from_moment

KEPT = 5_000  # the newest ones, by their order: no clock is trusted to delete

_COLUMNS = "kind, name, message, begun_utc"


class PastTrouble(NamedTuple):
    """A trouble that a line had, or still has.

    Attributes:
        kind, name, message: see `edge.station.troubles.Trouble`; the message is that of its begin.
        begun_utc: time of day when the line first saw it.
        lasted_s: until the line saw it no more; None while it lasts, and for ever when the line
            ended before that.
    """

    kind: str
    name: str
    message: str
    begun_utc: datetime
    lasted_s: float | None

    @property
    def ended_utc(self) -> datetime | None:
        """When it was over, by the clock of its begin: a clock that was set since moves nothing."""
        if self.lasted_s is None:
            return None
        return self.begun_utc + timedelta(seconds=self.lasted_s)


def write_troubles(connection: sqlite3.Connection, troubles: Sequence[PastTrouble]) -> None:
    """Enters troubles, or the end of those that are there; the oldest go."""
    for one in troubles:
        named = (one.kind, one.name, one.message, text_from_moment(one.begun_utc))
        changed = connection.execute(
            f"UPDATE troubles SET lasted_s = ? WHERE ({_COLUMNS}) = (?, ?, ?, ?)",  # noqa: S608
            (one.lasted_s, *named),
        )
        if not changed.rowcount:
            connection.execute(
                f"INSERT INTO troubles ({_COLUMNS}, lasted_s) VALUES (?, ?, ?, ?, ?)",  # noqa: S608
                (*named, one.lasted_s),
            )
    connection.execute(
        "DELETE FROM troubles WHERE number <= (SELECT max(number) FROM troubles) - ?", (KEPT,)
    )


def newest_troubles(connection: sqlite3.Connection, most: int) -> list[PastTrouble]:
    """Returns the newest troubles, the newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS}, lasted_s FROM troubles ORDER BY number DESC LIMIT ?",  # noqa: S608
        (most,),
    )
    return [
        PastTrouble(
            row["kind"],
            row["name"],
            row["message"],
            moment_from_text(row["begun_utc"]),
            row["lasted_s"],
        )
        for row in rows
    ]

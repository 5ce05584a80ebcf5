"""The audit log: who changed what, when and why, and how it is taken back."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from edge.panel.database import PanelDatabase

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Undo:
    """The request that takes a change back: a form sent to a path of the panel."""

    path: str
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A change that a person asked for.

    Attributes:
        address: from which the person asked.
        line: empty for a change of the panel itself.
        action: key of its text, below "action.".
        subject: what was changed, and to what.
        undo: None where nothing takes it back.
    """

    account: str
    role: str
    address: str
    line: str
    action: str
    subject: str
    why: str
    undo: Undo | None = None


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the log.

    Attributes:
        failure: why it was not done; empty when it was; None when the panel ended in between, or
            the disk was full.
    """

    number: int
    moment: datetime
    change: Change
    failure: str | None


class AuditLog:
    """The log in the panel's database. Safe for threads."""

    def __init__(self, database: PanelDatabase) -> None:
        self._database = database

    @contextlib.contextmanager
    def entering(self, change: Change) -> Iterator[None]:
        """Enters a change before the block does it, and its outcome afterwards.

        Raises:
            sqlite3.Error: the entry cannot be written; the block has not begun.
        """
        number = self._enter(change)
        try:
            yield
        except BaseException as error:
            self._settle(number, str(error) or repr(error))
            raise
        self._settle(number, "")

    def entries(
        self, line: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> list[AuditEntry]:
        """Returns the newest entries, the newest first.

        Args:
            line: entries of this line and of the panel itself; None for all.
            before: number of an entry; only older ones.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT audit.*, audit_outcomes.failure FROM audit "
                "LEFT JOIN audit_outcomes USING (number) "
                "WHERE (?1 IS NULL OR line IN (?1, '')) AND (?2 IS NULL OR number < ?2) "
                "ORDER BY number DESC LIMIT ?3",
                (line, before, limit),
            ).fetchall()
        return [
            AuditEntry(
                row["number"],
                datetime.fromisoformat(row["moment_utc"]),
                Change(**{name: row[name] for name in _COLUMNS}, undo=_undo_from_json(row["undo"])),
                row["failure"],
            )
            for row in rows
        ]

    def _enter(self, change: Change) -> int:
        undo = change.undo
        form = None if undo is None else json.dumps({"path": undo.path, "form": dict(undo.form)})
        with self._database.transaction() as connection:
            cursor = connection.execute(
                f"INSERT INTO audit (moment_utc, {', '.join(_COLUMNS)}, undo) "  # noqa: S608 - names
                f"VALUES (?, {', '.join('?' * len(_COLUMNS))}, ?)",
                (_now(), *(getattr(change, name) for name in _COLUMNS), form),
            )
            return int(cursor.lastrowid or 0)

    def _settle(self, number: int, failure: str) -> None:
        """Enters an outcome; one that finds no room stays unknown, and the change as it is."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO audit_outcomes VALUES (?, ?, ?)", (number, _now(), failure)
                )
        except sqlite3.OperationalError as error:
            # An error here would say of a change that was done that nothing was changed.
            _log.error(
                "the outcome of change %d is not in the log of changes (%s): %s",
                *(number, error, failure or "done"),
            )


_COLUMNS = ("account", "role", "address", "line", "action", "subject", "why")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _undo_from_json(text: str | None) -> Undo | None:
    return None if text is None else Undo(**json.loads(text))

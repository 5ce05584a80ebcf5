"""Sessions: a random token in a cookie, whose hash is in the panel's database.

A session outlives the process, so that a restart of the panel logs nobody out.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge.panel.access.accounts import Account
from edge.panel.access.roles import Role
from edge.panel.database import PanelDatabase

COOKIE = "linewarden_session"


@dataclass(frozen=True)
class Session:
    """A person who is logged in.

    Attributes:
        csrf_token: every form that changes something carries it.
    """

    account: Account
    csrf_token: str


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Sessions:
    """The sessions in the panel's database. Safe for threads."""

    def __init__(
        self, database: PanelDatabase, hours: float, now: Callable[[], datetime] = _now
    ) -> None:
        self._database = database
        self._duration = timedelta(hours=hours)
        self._now = now

    def begin(self, name: str) -> str:
        """Begins a session of an account, and returns its token."""
        token = secrets.token_urlsafe(32)
        now = self._now()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE ends_utc <= ?", (now.isoformat(),))
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?)",
                (
                    _sha256(token),
                    name,
                    secrets.token_urlsafe(32),
                    (now + self._duration).isoformat(),
                ),
            )
        return token

    def find(self, token: str) -> Session | None:
        """Returns the session of a token; None when it has ended, or the account is shut."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT name, role, is_one_time, csrf_token FROM sessions "
                "JOIN accounts ON accounts.name = sessions.account "
                "WHERE token_sha256 = ? AND ends_utc > ? AND is_active",
                (_sha256(token), self._now().isoformat()),
            ).fetchone()
        if row is None:
            return None
        account = Account(row["name"], Role(row["role"]), bool(row["is_one_time"]))
        return Session(account, row["csrf_token"])

    def end(self, token: str) -> None:
        """Ends a session."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE token_sha256 = ?", (_sha256(token),))


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

"""The people who may use the panel, with argon2id hashes of their passwords (RFC 9106)."""

from __future__ import annotations

import logging
import re
import secrets
import sqlite3
import threading
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from edge.panel.access.roles import Role
from edge.panel.database import PanelDatabase
from edge.panel.refusals import Refused

FIRST_ADMIN = "admin"
PASSWORD_MIN = 10
PASSWORD_MAX = 200  # a longer one is hashed for as long as somebody likes
_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}", re.ASCII)
_HASHES_AT_ONCE = 2  # each takes 64 MiB and a core for a moment

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """A person.

    Attributes:
        is_one_time: whether the password must be changed before anything else.
        is_active: False for a person who may no longer log in.
    """

    name: str
    role: Role
    is_one_time: bool = False
    is_active: bool = True


class Accounts:
    """The accounts in the panel's database. Safe for threads.

    Args:
        hasher: None for the parameters that argon2-cffi recommends.
    """

    def __init__(self, database: PanelDatabase, hasher: PasswordHasher | None = None) -> None:
        self._database = database
        self._hasher = hasher or PasswordHasher()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    def make_first(self) -> None:
        """Makes an admin where nobody has an account; the log has the one-time password."""
        if self.all():
            return
        password = secrets.token_urlsafe(12)
        self.add(FIRST_ADMIN, Role.ADMIN, password)
        _log.warning(
            "first start: log in as %s with the one-time password %s", FIRST_ADMIN, password
        )

    def all(self) -> list[Account]:
        """Returns all accounts by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM accounts ORDER BY name").fetchall()
        return [_account(row) for row in rows]

    def find(self, name: str) -> Account | None:
        """Returns the active account of a name; None without one."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT * FROM accounts WHERE name = ? AND is_active", (name,)
            ).fetchone()
        return None if row is None else _account(row)

    def verified(self, name: str, password: str) -> Account | None:
        """Returns the account that a name and a password belong to; None where they do not.

        It takes as long for a name without an account, so that nobody learns the names.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT * FROM accounts WHERE name = ? AND is_active", (name,)
            ).fetchone()
        stored = self._nobody if row is None else row["password_hash"]
        with self._hashing:
            try:
                self._hasher.verify(stored, password[: PASSWORD_MAX + 1])
            except VerificationError:
                return None
        return None if row is None else _account(row)

    def add(self, name: str, role: Role, password: str) -> None:
        """Adds a person, whose password is a one-time one.

        Raises:
            Refused: the name is taken, or cannot be one.
        """
        if _NAME.fullmatch(name) is None:
            raise Refused(400, "problem.account_name")
        hashed = self._hash(password)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM accounts WHERE name = ?", (name,)).fetchone():
                raise Refused(409, "problem.account_taken", name=name)
            connection.execute(
                "INSERT INTO accounts VALUES (?, ?, ?, 1, 1)", (name, role.value, hashed)
            )

    def set_password(self, name: str, password: str, *, is_one_time: bool) -> None:
        """Sets a password, and ends the sessions of the person.

        Raises:
            Refused: it is too short or too long, or there is no such account.
        """
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise Refused(400, "problem.password_length", min=PASSWORD_MIN, max=PASSWORD_MAX)
        hashed = self._hash(password)
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE accounts SET password_hash = ?, is_one_time = ? WHERE name = ?",
                (hashed, is_one_time, name),
            )
            if not changed.rowcount:
                raise Refused(404, "problem.no_account", name=name)
            connection.execute("DELETE FROM sessions WHERE account = ?", (name,))

    def change(self, name: str, role: Role, *, is_active: bool) -> None:
        """Changes the role of a person, or shuts them out; ends their sessions.

        Raises:
            Refused: no admin would be left, or there is no such account.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE accounts SET role = ?, is_active = ? WHERE name = ?",
                (role.value, is_active, name),
            )
            if not changed.rowcount:
                raise Refused(404, "problem.no_account", name=name)
            (admins,) = connection.execute(
                "SELECT count(*) FROM accounts WHERE role = ? AND is_active", (Role.ADMIN.value,)
            ).fetchone()
            if not admins:
                raise Refused(409, "problem.last_admin")
            connection.execute("DELETE FROM sessions WHERE account = ?", (name,))

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)


def one_time_password() -> str:
    """Returns a password to hand to a person."""
    return secrets.token_urlsafe(12)


def _account(row: sqlite3.Row) -> Account:
    return Account(row["name"], Role(row["role"]), bool(row["is_one_time"]), bool(row["is_active"]))

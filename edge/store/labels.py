"""The labels that people give to parts, and the one that holds.

Of each person the newest label counts that nobody took back. Where they differ, the label that more
people gave than any other holds; without one, the part is disputed until somebody looks again.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge.store.database import changing
from edge.store.rows import moment_from_text, text_from_moment
from inspection.errors import ConfigError, RecordsError

GOOD = "good"
UNDECIDED = "undecided"
DISPUTED = "disputed"
UNSETTLED = (UNDECIDED, DISPUTED)  # the part is neither good nor defective
DECISIONS = (GOOD, *UNSETTLED)  # no names of defects

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Label:
    """The judgement of one person on one part.

    Attributes:
        label: "good", the name of a defect, or "undecided".
        mask: file in which the person painted the defect, relative to the images; None for none.
        withdrawn_by: who took it back; None while it counts.
    """

    label: str
    author: str
    note: str
    labelled_utc: datetime
    mask: str | None = None
    withdrawn_by: str | None = None


def held_label(labels: Iterable[Label]) -> str | None:
    """Returns the label that holds: one of them, or "disputed"; None where none counts.

    Args:
        labels: of one part, the oldest first.
    """
    opinions = {one.author: one.label for one in labels if one.withdrawn_by is None}
    decided = Counter(label for label in opinions.values() if label != UNDECIDED)
    if not decided:
        return UNDECIDED if opinions else None
    first, *others = decided.most_common(2)
    return DISPUTED if others and others[0][1] == first[1] else first[0]


def require_label(label: str) -> None:
    """Refuses a label that nobody can give.

    Raises:
        ConfigError: it cannot name a folder, or says that people disagree.
    """
    if _NAME.fullmatch(label) is None or label == DISPUTED:
        raise ConfigError(
            f"label {label!r}: give {GOOD!r}, {UNDECIDED!r} or the name of a defect, which can "
            "name a folder: letters, digits, '_', '-', '.'"
        )


def labels_of(connection: sqlite3.Connection, record: int) -> list[Label]:
    """Returns all labels of a record by its number, the oldest first."""
    rows = connection.execute(
        "SELECT label, author, note, labelled_utc, mask, withdrawn_by FROM labels "
        "WHERE record = ? ORDER BY number",
        (record,),
    )
    return [
        Label(**{**dict(row), "labelled_utc": moment_from_text(row["labelled_utc"])})
        for row in rows
    ]


def enter_label(connection: sqlite3.Connection, trigger_id: str, given: Label) -> None:
    """Adds a label to a part, within a transaction. Earlier labels stay.

    Raises:
        ConfigError: as for `require_label`.
        RecordsError: there is no such record.
    """
    require_label(given.label)
    record = _number(connection, trigger_id)
    connection.execute(
        "INSERT INTO labels (record, label, author, note, labelled_utc, mask) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            *(record, given.label, given.author, given.note),
            *(text_from_moment(given.labelled_utc), given.mask),
        ),
    )
    hold(connection, record)


def newest_of(labels: Iterable[Label], author: str) -> Label | None:
    """Returns the label of a person that counts; None where none does.

    Args:
        labels: of one part, the oldest first.
    """
    own = [one for one in labels if one.author == author and one.withdrawn_by is None]
    return own[-1] if own else None


def withdraw_label(
    connection: sqlite3.Connection, trigger_id: str, author: str, by: str, label: str | None = None
) -> None:
    """Takes back the newest label that a person gave to a part, within a transaction.

    It stays in the history, and the one that the person gave before it counts again.

    Args:
        label: the one that is meant; None for whichever is the newest.

    Raises:
        RecordsError: there is no such record or label, or the newest label is another one.
    """
    record = _number(connection, trigger_id)
    newest = newest_of(labels_of(connection, record), author)
    if newest is None:
        raise RecordsError(f"{trigger_id}: has no label of {author!r} to take back")
    if label not in (None, newest.label):
        raise RecordsError(
            f"{trigger_id}: {author!r} has labelled it again since, as {newest.label!r}; take that "
            f"label back before {label!r}"
        )
    connection.execute(
        "UPDATE labels SET withdrawn_by = ? WHERE number = (SELECT max(number) FROM labels "
        "WHERE record = ? AND author = ? AND withdrawn_by IS NULL)",
        (by, record, author),
    )
    hold(connection, record)


def hold(connection: sqlite3.Connection, record: int) -> None:
    """Writes the label that holds into the row of a record, where filters find it."""
    connection.execute(
        "UPDATE records SET label = ? WHERE number = ?",
        (held_label(labels_of(connection, record)), record),
    )


def add_label(folder: Path, trigger_id: str, label: str, *, author: str, note: str) -> None:
    """Adds a label to a part, beside a running line or without one. Earlier labels stay.

    Raises:
        ConfigError: as for `require_label`.
        RecordsError: there is no such record, or it cannot be written.
    """
    require_label(label)
    with changing(folder) as connection:
        enter_label(connection, trigger_id, Label(label, author, note, datetime.now(timezone.utc)))


def _number(connection: sqlite3.Connection, trigger_id: str) -> int:
    row = connection.execute(
        "SELECT number FROM records WHERE trigger_id = ?", (trigger_id,)
    ).fetchone()
    if row is None:
        raise RecordsError(f"no record {trigger_id!r}; 'linewarden records list' has them")
    return int(row["number"])

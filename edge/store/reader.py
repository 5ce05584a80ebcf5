"""Reading records beside the line that writes them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from edge.part.record import InspectionRecord
from edge.store.database import FILE_NAME, changing, connect_to_read, telling_of_damage
from edge.store.labels import Label, labels_of
from edge.store.rows import FIELDS, moment_from_text, record_from_row, text_from_moment
from edge.store.shifts import Shift, shifts_between
from edge.store.troubles import PastTrouble, newest_troubles
from inspection.errors import RecordsError
from inspection.verdict import Cause, Verdict

_INSTANT = timedelta(microseconds=1)  # the resolution of moments

_FROM = "FROM records JOIN identities USING (identity)"
_FOUND = (
    f"records.number, {FIELDS}, records.label, "  # noqa: S608 - names
    "(SELECT mask FROM labels WHERE record = records.number AND labels.label = records.label "
    "AND mask IS NOT NULL AND withdrawn_by IS NULL ORDER BY labels.number DESC LIMIT 1) AS mask"
)


@dataclass(frozen=True)
class Filter:
    """A choice of records; a field that is None or empty leaves all.

    Attributes:
        since, until: when the part was announced; `until` itself is not in it.
        min_score, max_score: raw scores, both in it.
        recipe_numbers: numbers that a PLC requests.
        calibration_seal: of the calibration that gave the threshold.
        label: the label that holds, see `edge.store.labels`.
        is_labelled: whether it has any.
    """

    since: datetime | None = None
    until: datetime | None = None
    verdicts: tuple[Verdict, ...] = ()
    causes: tuple[Cause, ...] = ()
    recipe: str | None = None
    recipe_numbers: tuple[int, ...] = ()
    calibration_seal: str | None = None
    part_id: str | None = None
    trigger_id: str | None = None
    min_score: float | None = None
    max_score: float | None = None
    label: str | None = None
    is_labelled: bool | None = None

    def condition(self) -> tuple[str, list[object]]:
        """Returns the condition in SQL and its values."""
        labelled = {None: None, True: "IS NOT NULL", False: "IS NULL"}[self.is_labelled]
        terms: list[tuple[str, object]] = [
            ("triggered_utc >= ?", self.since and text_from_moment(self.since)),
            ("triggered_utc < ?", self.until and text_from_moment(self.until)),
            ("recipe = ?", self.recipe),
            ("calibration_seal = ?", self.calibration_seal),
            ("part_id = ?", self.part_id),
            ("trigger_id = ?", self.trigger_id),
            ("score >= ?", self.min_score),
            ("score <= ?", self.max_score),
            ("records.label = ?", self.label),
        ]
        texts = [text for text, value in terms if value is not None]
        values = [value for _, value in terms if value is not None]
        choices: dict[str, tuple[object, ...]] = {
            "verdict": tuple(one.value for one in self.verdicts),
            "cause": tuple(one.value for one in self.causes),
            "recipe_number": self.recipe_numbers,
        }
        for column, choice in choices.items():
            if choice:
                texts.append(f"{column} IN ({', '.join('?' * len(choice))})")
                values += choice
        if labelled:
            texts.append(f"records.label {labelled}")
        return " AND ".join(texts) or "TRUE", values


@dataclass(frozen=True)
class StoredRecord:
    """A record with the label that holds, see `edge.store.labels`.

    Attributes:
        label: "good", the name of a defect, "undecided" or "disputed"; None without labels.
        mask: file of the newest mask that was painted with this label, relative to the images.
        number: of its row; a later record has a higher one.
    """

    record: InspectionRecord
    label: str | None
    number: int
    mask: str | None = None

    @property
    def place(self) -> Place:
        """Its place among all records by time."""
        return Place(self.record.triggered_utc, self.number)


class Place(NamedTuple):
    """The place of a record among all records by time."""

    triggered_utc: datetime
    number: int


@dataclass(frozen=True)
class Count:
    """The parts of one recipe in one shift.

    Attributes:
        verdicts: all verdicts, also those that did not occur.
        causes: of those without a verdict.
    """

    shift: Shift
    recipe: str
    verdicts: dict[Verdict, int]
    causes: dict[Cause, int]


@dataclass(frozen=True)
class Waiting:
    """Verdicts that an output has not confirmed yet, and when the oldest was announced."""

    count: int
    since: datetime


class RecordReader:
    """Reads the records in a folder. Use it as a context manager. For one thread at a time.

    Raises:
        RecordsError: there are none, or they cannot be read; every method raises it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection = connect_to_read(folder)

    def __enter__(self) -> RecordReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def find(
        self,
        which: Filter,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        beyond: Place | None = None,
    ) -> Iterator[StoredRecord]:
        """Yields the records of a filter, by time.

        Args:
            beyond: the place of the last record of the page before, in the same order.
        """
        condition, values = which.condition()
        order, relation = ("DESC", "<") if newest_first else ("ASC", ">")
        if beyond is not None:
            condition += f" AND (triggered_utc, records.number) {relation} (?, ?)"
            values += [text_from_moment(beyond.triggered_utc), beyond.number]
        with self._reading():
            rows = self._connection.execute(
                f"SELECT {_FOUND} {_FROM} WHERE {condition} "
                f"ORDER BY triggered_utc {order}, records.number {order} LIMIT ?",
                (*values, -1 if limit is None else limit),
            )
            for row in rows:
                yield _stored(row)

    def known_labels(self) -> list[str]:
        """Returns the labels that hold for some part, by name."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT DISTINCT label FROM records WHERE label IS NOT NULL ORDER BY label"
            )
            return [str(label) for (label,) in rows]

    def written_after(self, number: int, most: int) -> list[StoredRecord]:
        """Returns the newest `most` of the records with a higher number, the newest last."""
        with self._reading():
            rows = self._connection.execute(
                f"SELECT {_FOUND} {_FROM} "
                "WHERE records.number > ? ORDER BY records.number DESC LIMIT ?",
                (number, most),
            ).fetchall()
            return [_stored(row) for row in reversed(rows)]

    def labels(self, number: int) -> list[Label]:
        """Returns all labels of a record, the oldest first."""
        with self._reading():
            return labels_of(self._connection, number)

    def tally(
        self, since: datetime, *, after: int = 0, upto: int
    ) -> dict[tuple[Verdict, Cause | None], int]:
        """Counts the parts since a moment, of records with a number above `after` up to `upto`."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT verdict, cause, count(*) FROM records "
                "WHERE triggered_utc >= ? AND number > ? AND number <= ? GROUP BY verdict, cause",
                (text_from_moment(since), after, upto),
            )
            return {
                (Verdict(verdict), None if cause is None else Cause(cause)): int(count)
                for verdict, cause, count in rows
            }

    def count(
        self, which: Filter, begins: Mapping[str, time], zone: tzinfo | None
    ) -> Iterator[Count]:
        """Counts for each recipe and shift that has records; for the arguments see `shifts`."""
        condition, values = which.condition()
        after = ""
        with self._reading():
            # From shift to shift with records: a clock that was wrong may lie a century ahead.
            while first := self._first(condition, values, after):
                since = moment_from_text(first)
                (shift,) = shifts_between(since, since + _INSTANT, begins, zone)
                yield from self._count_shift(shift, condition, values)
                after = text_from_moment(shift.end)

    def waiting(self) -> dict[str, Waiting]:
        """Verdicts that wait for each output."""
        with self._reading():
            rows = self._connection.execute(
                "SELECT output, count(*), min(triggered_utc) "
                "FROM outbox JOIN records ON records.number = outbox.record GROUP BY output"
            )
            return {
                str(output): Waiting(int(count), moment_from_text(since))
                for output, count, since in rows
            }

    def troubles(self, most: int) -> list[PastTrouble]:
        """Returns the newest troubles of the line, the newest first."""
        with self._reading():
            return newest_troubles(self._connection, most)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with telling_of_damage(self._folder):
                yield
        except sqlite3.OperationalError as error:  # such as a lock, or the disk
            raise RecordsError(
                f"{self._folder / FILE_NAME}: cannot be read now: {error}; try again"
            ) from error

    def _first(self, condition: str, values: list[object], after: str) -> str | None:
        """Returns the moment of the first record of a condition, `after` or later."""
        (first,) = self._connection.execute(
            f"SELECT min(triggered_utc) {_FROM} WHERE {condition} AND triggered_utc >= ?",
            (*values, after),
        ).fetchone()
        return None if first is None else str(first)

    def _count_shift(self, shift: Shift, condition: str, values: list[object]) -> Iterator[Count]:
        rows = self._connection.execute(
            f"SELECT recipe, verdict, cause, count(*) AS parts {_FROM} "
            f"WHERE {condition} AND triggered_utc >= ? AND triggered_utc < ? "
            "GROUP BY recipe, verdict, cause ORDER BY recipe",
            (*values, text_from_moment(shift.start), text_from_moment(shift.end)),
        )
        counts: dict[str, Count] = {}
        for recipe, verdict, cause, parts in rows:
            count = counts.setdefault(recipe, Count(shift, recipe, dict.fromkeys(Verdict, 0), {}))
            count.verdicts[Verdict(verdict)] += parts
            if cause is not None:
                count.causes[Cause(cause)] = parts
        yield from counts.values()


def _stored(row: sqlite3.Row) -> StoredRecord:
    return StoredRecord(record_from_row(row), row["label"], row["number"], row["mask"])


def empty_outbox(folder: Path, output: str) -> int:
    """Give up the verdicts that wait for an output; how many there were. The records stay.

    For an output that is not configured any more: a line that runs keeps counting them.

    Raises:
        RecordsError: it cannot be written.
    """
    with changing(folder) as connection:
        return connection.execute("DELETE FROM outbox WHERE output = ?", (output,)).rowcount

"""Saves what can be read of damaged databases into a new one.

Pages and log are read by themselves (`edge.store.pages`), without SQLite, which stops at the first
damage. A row that was deleted may come back when its page is still in the file.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.store.database import DamagedDatabaseError, connect, migrations, transaction
from edge.store.labels import hold
from edge.store.log_frames import LogFrame, log_frames
from edge.store.pages import Row, Value, page_size, rows_of_page
from edge.store.rows import FIELDS, record_from_row
from inspection.errors import RecordsError
from inspection.files import new_directory

LOST = "(lost)"

_HEAD_BYTES = 100
_LARGEST = 1 << 48  # far above the number of any row

_TABLES = ("identities", "records", "labels", "outbox", "marks", "troubles")
_CHANGING = frozenset({"outbox"})  # rows of its older pages were deleted since
_REFERENCES = frozenset({"identity", "record", "number"})


@dataclass(frozen=True)
class Recovered:
    """What was saved.

    Attributes:
        missing: numbers between the first and the last record that no record has, by file.
        unreadable: rows that had the form of a record and no sense.
        without_identity: records whose recipe and thresholds are lost.
        waiting: verdicts that were perhaps not sent, by output.
    """

    records: int
    labels: int
    missing: int
    unreadable: int
    without_identity: int
    waiting: dict[str, int]


def recover(sources: Sequence[Path], target: Path, images: Path | None = None) -> Recovered:
    """Save the readable rows of databases into a new one in a new folder.

    Args:
        sources: damaged databases, the oldest first; their logs are beside them.
        target: exists when all is in it.
        images: folder that the records name their images in, for a link to it.

    Raises:
        RecordsError: nothing can be read, or `target` exists or cannot be written.
    """
    try:
        with new_directory(target) as folder:
            recovered = _recover(sources, folder)
            if not recovered.records:
                names = ", ".join(map(str, sources))
                raise RecordsError(f"{names}: no record can be read; the files stay as they are")
            if images is not None and images.is_dir():
                (folder / images.name).symlink_to(images.resolve())
    except FileExistsError as error:
        raise RecordsError(f"{target}: exists already; give another folder") from error
    except (OSError, sqlite3.OperationalError) as error:
        raise RecordsError(
            f"{target}: cannot be written, or its source not read: {error}"
        ) from error
    return recovered


class _Table(NamedTuple):
    """The form of a table.

    Attributes:
        least: columns of a row of the first version.
    """

    name: str
    columns: tuple[sqlite3.Row, ...]
    least: int

    def fits(self, row: Row) -> bool:
        """Returns whether a row can be one of this table."""
        if not self.least <= len(row.values) <= len(self.columns):
            return False
        return row.number < _LARGEST and all(map(_fits, self.columns, row.values))


def _fits(column: sqlite3.Row, value: Value) -> bool:
    if column["pk"]:
        return value is None
    if value is None:
        return not column["notnull"]
    kinds: dict[str, type | tuple[type, ...]] = {
        "TEXT": str,
        "INTEGER": int,
        "REAL": (int, float),  # SQLite stores 2.0 as 2
    }
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return False
    return isinstance(value, kinds[column["type"]])


def _tables() -> list[_Table]:
    with contextlib.closing(_schema(1)) as first, contextlib.closing(_schema(None)) as last:
        return [
            _Table(name, columns, len(_columns(first, name)) or len(columns))
            for name in _TABLES
            for columns in [_columns(last, name)]
        ]


def _schema(version: int | None) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    for statement in migrations(version):
        connection.execute(statement)
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> tuple[sqlite3.Row, ...]:
    return tuple(connection.execute(f"PRAGMA table_info({table})"))


def _recover(sources: Sequence[Path], folder: Path) -> Recovered:
    tables = _tables()
    with contextlib.closing(connect(folder, synchronous="NORMAL")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")  # rows come in the order of their pages
        missing = 0
        for source in sources:
            with transaction(connection):
                base = _highest(connection)
                for table, row in _rows(source, tables):
                    _insert(connection, table, row, base)
                missing += _missing(connection, base)
        with transaction(connection):
            without_identity = _replace_identities(connection)
            unreadable = _remove_unreadable(connection)
            for name in ("labels", "outbox"):
                connection.execute(
                    f"DELETE FROM {name} WHERE record NOT IN (SELECT number FROM records)"  # noqa: S608
                )
        with transaction(connection):
            for (record,) in connection.execute("SELECT DISTINCT record FROM labels").fetchall():
                hold(connection, record)
        waiting = connection.execute("SELECT output, count(*) FROM outbox GROUP BY output")
        return Recovered(
            records=_count(connection, "records"),
            labels=_count(connection, "labels"),
            missing=missing + unreadable,
            unreadable=unreadable,
            without_identity=without_identity,
            waiting={str(output): int(count) for output, count in waiting},
        )


def _rows(source: Path, tables: Iterable[_Table]) -> Iterator[tuple[_Table, Row]]:
    """Yields the rows of a database with their tables; a later one replaces an earlier one."""
    for row, is_present in _all_rows(source):
        for table in tables:
            if table.fits(row) and (is_present or table.name not in _CHANGING):
                yield table, row
                break


def _all_rows(source: Path) -> Iterator[tuple[Row, bool]]:
    """Yields the rows of all pages of file and log, and whether their page is the newest."""
    log_path = source.with_name(f"{source.name}-wal")
    frames = list(log_frames(log_path))
    log = log_path.read_bytes() if frames else b""
    ends = [place for place, frame in enumerate(frames, start=1) if frame.is_commit]
    newest = {frame.number: frame for frame in frames[: max(ends, default=0)]}
    with source.open("rb") if source.exists() else io.BytesIO() as file:
        size = page_size(file.read(_HEAD_BYTES))

        def read_from_file(number: int) -> bytes:
            file.seek((number - 1) * size)
            return file.read(size)

        def read_page(number: int) -> bytes:
            frame = newest.get(number)
            return read_from_file(number) if frame is None else _content(log, frame)

        for number in itertools.count(1):
            if len(page := read_from_file(number)) < size:
                break
            for row in rows_of_page(page, number, read_page):
                yield row, number not in newest
        for frame in frames:
            if len(page := _content(log, frame)) == frame.size:
                for row in rows_of_page(page, frame.number, read_page):
                    yield row, frame is newest.get(frame.number)


def _content(log: bytes, frame: LogFrame) -> bytes:
    return log[frame.start : frame.start + frame.size]


def _insert(connection: sqlite3.Connection, table: _Table, row: Row, base: int) -> None:
    """Enter a row; `base` keeps its numbers apart from those of other files."""
    values = {
        column["name"]: value for column, value in zip(table.columns, row.values, strict=False)
    }
    values |= {column["name"]: row.number for column in table.columns if column["pk"]}
    moved = [
        value + base if name in _REFERENCES and isinstance(value, int) else value
        for name, value in values.items()
    ]
    # An error other than a repeated trigger would be a mistake here: the types are checked.
    connection.execute(
        f"INSERT OR {_conflict(table)} INTO {table.name} ({', '.join(values)}) "  # noqa: S608
        f"VALUES ({', '.join('?' * len(values))})",
        moved,
    )


def _conflict(table: _Table) -> str:
    """Returns what becomes of a row that is there already, from an older page or another file."""
    return "IGNORE" if table.name == "records" else "REPLACE"


def _highest(connection: sqlite3.Connection) -> int:
    numbers = [
        connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]  # noqa: S608
        for table in _TABLES
    ]
    return max(map(int, numbers))


def _missing(connection: sqlite3.Connection, base: int) -> int:
    """Returns how many numbers are missing between the first and the last record above `base`."""
    (missing,) = connection.execute(
        "SELECT coalesce(max(number) - min(number) + 1 - count(*), 0) FROM records "
        "WHERE number > ?",
        (base,),
    ).fetchone()
    return int(missing)


def _replace_identities(connection: sqlite3.Connection) -> int:
    """Enter identities that say so for those that are lost; returns how many records have one."""
    lost = "identity NOT IN (SELECT identity FROM identities)"
    (count,) = connection.execute(f"SELECT count(*) FROM records WHERE {lost}").fetchone()  # noqa: S608
    rows = connection.execute(f"SELECT DISTINCT identity FROM records WHERE {lost}").fetchall()  # noqa: S608
    connection.executemany(
        "INSERT INTO identities (identity, recipe, threshold, artefact_sha256, calibration_seal) "
        "VALUES (?, ?, 0.0, ?, ?)",
        [(row["identity"], LOST, LOST, LOST) for row in rows],
    )
    return int(count)


def _remove_unreadable(connection: sqlite3.Connection) -> int:
    """Delete the records that make no sense; returns how many there were."""
    rows = connection.execute(
        f"SELECT records.number AS row, {FIELDS} FROM records JOIN identities USING (identity)"  # noqa: S608
    )
    unreadable = [(row["row"],) for row in rows if not _is_readable(row)]
    connection.executemany("DELETE FROM records WHERE number = ?", unreadable)
    return len(unreadable)


def _is_readable(row: sqlite3.Row) -> bool:
    try:
        record_from_row(row)
    except DamagedDatabaseError:
        return False
    return True


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)

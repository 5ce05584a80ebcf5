"""Makes the rows of a process that ended name the image files that there are.

A row names its images when it hands them to the archive. A kill, a full disk or a slow one leaves
names without a file, and a kill before the row leaves files that none names.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from edge.part.record import InspectionRecord
from edge.store.database import DamagedDatabaseError, transaction
from edge.store.quota import image_files

_CHECK = "images"
_LIMIT_S = 2.0
_AT_ONCE = 500

_log = logging.getLogger(__name__)


class ImageNames:
    """The image files of triggers. Reads each folder of a day once.

    Args:
        folder: of the archive; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days: dict[str, dict[str, list[str]]] = {}

    def of(self, trigger_id: str, day: str, named: Iterable[str]) -> list[str]:
        """Returns the names of a trigger's files, relative to the folder.

        Args:
            day: on which it was announced, as 2026-11-21.
            named: files that are the trigger's too, as far as they are there.
        """
        if day not in self._days:
            names = self._days[day] = defaultdict(list)
            for image in image_files(self._folder, day):
                if not image.is_painted:
                    names[image.trigger_id].append(image.name)
        found = self._days[day].get(trigger_id, [])
        others = [n for n in named if n not in found and (self._folder / n).is_file()]
        return sorted([*found, *others])

    def correct(self, record: InspectionRecord) -> InspectionRecord:
        """Returns a record that names the files of its trigger."""
        day = f"{record.triggered_utc:%Y-%m-%d}"
        names = self.of(record.trigger_id, day, record.images)
        return record.model_copy(update={"images": tuple(names)})


def reconcile(
    connection: sqlite3.Connection, names: ImageNames, *, limit_s: float = _LIMIT_S
) -> None:
    """Correct the rows since the last call, the newest first. Call it before new rows come.

    Args:
        limit_s: what is not done by then stays as it is, with a warning.
    """
    end = time.monotonic() + limit_s
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()
    found = connection.execute("SELECT number FROM checked WHERE what = ?", (_CHECK,)).fetchone()
    first = int(found["number"]) if found is not None else 0
    upper, corrected = int(last), 0
    while upper > first:
        if time.monotonic() > end:
            _log.warning("%d rows are not compared with their images: too many", upper - first)
            break
        lower = max(first, upper - _AT_ONCE)
        corrected += _correct(connection, names, lower, upper)
        upper = lower
    connection.execute(
        "INSERT INTO checked (what, number) VALUES (?, ?) "
        "ON CONFLICT (what) DO UPDATE SET number = excluded.number",
        (_CHECK, last),
    )
    if corrected:
        _log.warning("%d rows of an earlier process name the images that there are now", corrected)


def _correct(connection: sqlite3.Connection, names: ImageNames, lower: int, upper: int) -> int:
    rows = connection.execute(
        "SELECT number, trigger_id, triggered_utc, details FROM records "
        "WHERE number > ? AND number <= ?",
        (lower, upper),
    ).fetchall()
    changes = []
    for row in rows:
        try:
            details = json.loads(row["details"])
            named = sorted(details["images"])
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedDatabaseError(f"row {row['number']} is damaged ({error})") from error
        there = names.of(row["trigger_id"], row["triggered_utc"][:10], named)
        if there != named:
            changes.append((json.dumps({**details, "images": there}), row["number"]))
    with transaction(connection):
        connection.executemany("UPDATE records SET details = ? WHERE number = ?", changes)
    return len(changes)

"""Records as rows of the database, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from edge.part.record import InspectionRecord, ViewRecord
from edge.store.database import DamagedDatabaseError

IDENTITY = (
    "recipe",
    "recipe_number",
    "threshold",
    "threshold_review",
    "threshold_pixel",
    "artefact_sha256",
    "calibration_seal",
)
_SCALARS = (
    "trigger_id",
    "part_id",
    "triggered_utc",
    "view",
    "source",
    "verdict",
    "cause",
    "message",
    "score",
    "deadline_ms",
)
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
_STAGES = ("preprocess", "infer", "decide", "total")

COLUMNS = (*_SCALARS, *(f"{stage}_ms" for stage in _STAGES))
"""What of a record has a column of its own in `records`; `IDENTITY` stands in `identities`."""

FIELDS = f"{', '.join(f'records.{name}' for name in COLUMNS)}, records.details, " + ", ".join(
    f"identities.{name}" for name in IDENTITY
)
"""What `record_from_row` needs of `records JOIN identities USING (identity)`."""

_INSERT = (
    f"INSERT INTO records ({', '.join(COLUMNS)}, details, identity) "  # noqa: S608 - names
    f"VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?)"
)
_FIND = (
    f"SELECT {FIELDS} FROM records JOIN identities USING (identity) "  # noqa: S608 - names
    "WHERE trigger_id = ?"
)
_NUMBER = "SELECT number FROM records WHERE trigger_id = ?"
_UPDATE = f"UPDATE records SET ({', '.join(COLUMNS)}, details, identity) = ({', '.join('?' * len(COLUMNS))}, ?, ?) WHERE number = ?"  # noqa: S608, E501 - names


def text_from_moment(moment: datetime) -> str:
    """Returns a moment as the database has it: UTC, of one length, so that texts sort by time."""
    return moment.astimezone(timezone.utc).strftime(_MOMENT)


def moment_from_text(text: str) -> datetime:
    """Returns the moment that `text_from_moment` wrote."""
    return datetime.strptime(text, _MOMENT).replace(tzinfo=timezone.utc)


def write_record(connection: sqlite3.Connection, record: InspectionRecord) -> int:
    """Add the row of a trigger, or replace it; returns its number."""
    values = record.model_dump(mode="json")
    values["views"] = [_difference(view, values) for view in values["views"]]
    values["triggered_utc"] = text_from_moment(record.triggered_utc)
    latency = values.pop("latency_ms")
    row = [values.pop(name) for name in _SCALARS] + [latency[stage] for stage in _STAGES]
    identity = _identity(connection, [values.pop(name) for name in IDENTITY])
    fields = (*row, json.dumps(values), identity)
    found = connection.execute(_NUMBER, (record.trigger_id,)).fetchone()
    if found is None:
        return int(connection.execute(_INSERT, fields).lastrowid or 0)
    connection.execute(_UPDATE, (*fields, found["number"]))
    return int(found["number"])


def find_record(connection: sqlite3.Connection, trigger_id: str) -> InspectionRecord | None:
    """Returns the record of a trigger; None without a row."""
    found = connection.execute(_FIND, (trigger_id,)).fetchone()
    return record_from_row(found) if found is not None else None


def record_from_row(row: sqlite3.Row) -> InspectionRecord:
    """Returns the record that was written.

    Raises:
        DamagedDatabaseError: the row has something that nobody wrote.
    """
    try:
        return _record_from_row(row)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedDatabaseError(
            f"the row of trigger {row['trigger_id']!r} is damaged ({error}); 'linewarden records "
            "recover' saves the others"
        ) from error


def _record_from_row(row: sqlite3.Row) -> InspectionRecord:
    values = {name: row[name] for name in (*_SCALARS, *IDENTITY)}
    latency = {stage: row[f"{stage}_ms"] for stage in _STAGES}
    details = json.loads(row["details"])
    judged = {**values, "latency_ms": latency}
    views = [{**_common(judged), **view} for view in details.pop("views")]
    return InspectionRecord.model_validate({**judged, **details, "views": views})


def _difference(view: Mapping[str, object], part: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields of a view that differ from the part's; mostly its latency alone."""
    return {name: value for name, value in view.items() if value != part[name]}


def _common(part: Mapping[str, object]) -> dict[str, object]:
    """Returns the fields of a part that its views have too."""
    return {name: part[name] for name in ViewRecord.model_fields}


def _identity(connection: sqlite3.Connection, values: Sequence[object]) -> int:
    """Returns the number of the recipe, artefact and thresholds; enters new ones."""
    same = " AND ".join(f"{name} IS ?" for name in IDENTITY)
    found = connection.execute(
        f"SELECT identity FROM identities WHERE {same}",  # noqa: S608 - names
        values,
    ).fetchone()
    if found is not None:
        return int(found["identity"])
    cursor = connection.execute(
        f"INSERT INTO identities ({', '.join(IDENTITY)}) "  # noqa: S608 - names
        f"VALUES ({', '.join('?' * len(IDENTITY))})",
        values,
    )
    return int(cursor.lastrowid or 0)

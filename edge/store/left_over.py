"""Records of triggers that a process left in the journal when it died."""

from __future__ import annotations

from datetime import datetime, timezone

from pydantic import ValidationError

from edge.part.record import InspectionRecord, LatencyMs, Told
from inspection.verdict import Cause


def record_left(entry: str, row: InspectionRecord | None) -> InspectionRecord | None:
    """Returns the record of a trigger: that of the note or the row, whichever knows more answers.

    Args:
        entry: the note.
        row: what was committed; None for nothing.

    Returns:
        None when there is no row, and the note is from another version of this program.
    """
    try:
        noted = InspectionRecord.model_validate_json(entry)
    except ValidationError:
        return row
    if row is None:
        return _ended_now(noted)
    known = _known(noted) | _known(row)
    stands = row if len(_known(row)) > len(_known(noted)) or _is_open(noted) else noted
    told = tuple(known.get(one.output, one) for one in stands.told)
    return stands.model_copy(update={"told": told})


def _known(record: InspectionRecord) -> dict[str, Told]:
    return {one.output: one for one in record.told if one.is_known}


def _is_open(record: InspectionRecord) -> bool:
    return record.cause is Cause.INTERRUPTED


def _ended_now(record: InspectionRecord) -> InspectionRecord:
    """Returns the record, with the time until now where its latency was never known."""
    if not _is_open(record):
        return record
    age = datetime.now(timezone.utc) - record.triggered_utc
    total_ms = max(0.0, age.total_seconds() * 1e3)
    latency = LatencyMs(preprocess=None, infer=None, decide=None, total=total_ms)
    return record.model_copy(update={"latency_ms": latency})

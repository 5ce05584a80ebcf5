"""Observes a running line: its word at the control socket, and its newest records."""

from __future__ import annotations

import base64
import contextlib
import math
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from edge.panel.lines import PanelLine
from edge.panel.troubles import SeenTrouble
from edge.store.database import FILE_NAME
from edge.store.reader import RecordReader, StoredRecord
from edge.store.shifts import Shift, shifts_between
from inspection.errors import LinewardenError
from inspection.verdict import Cause, Verdict

STRIP = 12
PICTURES = 24
TREND = 200

_INSTANT = timedelta(microseconds=1)
_ASK_EVERY_S = 0.2
_ANSWER_S = 0.4  # together below a second, so that a page knows within one that the line is gone


@dataclass
class _Told:
    """The line's last word."""

    asked_s: float = float("-inf")
    heard_s: float | None = None
    state: dict[str, Any] = field(default_factory=dict)
    troubles: list[SeenTrouble] = field(default_factory=list)
    silence: str = ""


@dataclass
class _Counted:
    """The verdicts of the present shift, up to a record."""

    shift: Shift
    upto: int = 0
    parts: Counter[tuple[Verdict, Cause | None]] = field(default_factory=Counter)


class Observer:
    """Makes the snapshots of one line. For one thread at a time."""

    def __init__(self, line: PanelLine) -> None:
        self._line = line
        self._told = _Told()
        self._parts: deque[StoredRecord] = deque(maxlen=TREND)
        self._counted: _Counted | None = None
        self._database: int | None = None
        self._pictures: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def picture(self, trigger_id: str, kind: str) -> bytes | None:
        """Returns a picture of one of the latest parts, from the line's memory; from any thread.

        Args:
            kind: "frame", "heat" or "mask"; see `edge.station.newest_part`.
        """
        text = self._pictures.get(trigger_id, {}).get(kind)
        return None if text is None else base64.b64decode(text)

    def snapshot(self) -> dict[str, Any]:
        """Returns what a page shows, as JSON values; a LinewardenError becomes a text in it.

        Keys: "signal", whether the line answers; "silence", why not; "heard_ms", the age of its
        last word, or None; "state", its last answer; "troubles" in it; "parts", the newest first;
        "trend", score and verdict of the latest, the oldest first; "shift", the counts of the
        present shift; "records_problem".
        """
        self._ask()
        problem = self._read()
        self._look()
        told, now = self._told, datetime.now(timezone.utc)
        heard_ms = None if told.heard_s is None else (time.monotonic() - told.heard_s) * 1e3
        return {
            "signal": not told.silence,
            "silence": told.silence,
            "heard_ms": heard_ms,
            "state": told.state,
            "troubles": [_trouble_values(one, now) for one in told.troubles],
            "parts": [self._part(one, now) for one in list(self._parts)[-STRIP:][::-1]],
            "trend": [[one.record.score, one.record.verdict.value] for one in self._parts],
            "shift": _shift_values(self._counted),
            "records_problem": problem,
        }

    def _ask(self) -> None:
        told, now_s = self._told, time.monotonic()
        if now_s - told.asked_s < _ASK_EVERY_S:
            return
        told.asked_s = now_s
        try:
            told.state = self._line.ask("state", within_s=_ANSWER_S)
        except LinewardenError as error:
            told.silence = str(error)
        else:
            told.troubles = self._line.troubles.of(told.state)
            told.silence, told.heard_s = "", time.monotonic()

    def _look(self) -> None:
        """Asks for the picture of the newest part, unless the panel has it."""
        newest = self._parts[-1].record.trigger_id if self._parts else None
        if self._told.silence or newest is None or newest in self._pictures:
            return
        with contextlib.suppress(LinewardenError):  # `_ask` finds out, and says so
            picture = self._line.ask("picture", within_s=_ANSWER_S)
            self._pictures[picture["trigger_id"]] = picture
        while len(self._pictures) > PICTURES:
            self._pictures.popitem(last=False)

    def _part(self, stored: StoredRecord, now: datetime) -> dict[str, Any]:
        picture = self._pictures.get(stored.record.trigger_id)
        kinds = ("frame", "heat", "mask")
        return {
            **part_values(stored, now),
            "pictures": [kind for kind in kinds if picture and picture[kind] is not None],
            "region": picture["region"] if picture and "region" in picture else [0, 0, 1, 1],
        }

    def _read(self) -> str:
        """Reads the new records; returns why it cannot, or nothing."""
        try:
            begins, zone = self._line.records.shifts, self._line.zone
            with self._line.reader() as reader:
                self._begin_anew_after_a_change()
                last = self._parts[-1].number if self._parts else 0
                self._parts += reader.written_after(last, TREND)
                now = datetime.now(timezone.utc)
                shift = next(iter(shifts_between(now, now + _INSTANT, begins, zone)))
                self._count(reader, shift)
        except (LinewardenError, OSError) as error:
            return str(error)
        return ""

    def _begin_anew_after_a_change(self) -> None:
        """Forgets the parts of a database that is no longer the line's: numbers begin again."""
        found = (self._line.records.folder / FILE_NAME).stat().st_ino
        if found != self._database:
            self._parts.clear()
            self._database, self._counted = found, None

    def _count(self, reader: RecordReader, shift: Shift) -> None:
        newest = self._parts[-1].number if self._parts else 0
        if self._counted is None or self._counted.shift != shift:
            self._counted = _Counted(shift)
        counted = self._counted
        if newest > counted.upto:
            counted.parts.update(reader.tally(shift.start, after=counted.upto, upto=newest))
            counted.upto = newest


def part_values(stored: StoredRecord, now: datetime) -> dict[str, Any]:
    """Returns a part as a page shows it, as JSON values; ages and durations in milliseconds.

    "images" has the places of its archived images by kind, see `images_by_kind`.
    """
    record = stored.record
    return {
        "trigger": record.trigger_id,
        "part": record.part_id,
        "recipe": record.recipe,
        "recipe_number": record.recipe_number,
        "verdict": record.verdict.value,
        "cause": None if record.cause is None else record.cause.value,
        "message": record.message,
        "score": record.score,
        "threshold": _finite(record.threshold),
        "threshold_review": record.threshold_review,
        "age_ms": (now - record.triggered_utc).total_seconds() * 1e3,
        "latency_ms": record.latency_ms.total,
        "images": images_by_kind(record.images),
        "label": stored.label,
    }


def _trouble_values(trouble: SeenTrouble, now: datetime) -> dict[str, Any]:
    age_ms = (now - trouble.since).total_seconds() * 1e3
    return {"kind": trouble.kind, "message": trouble.message, "age_ms": age_ms}


def images_by_kind(names: Sequence[str]) -> dict[str, list[int]]:
    """Returns the places of the images of a record by kind: "frame", "mask", "overlay"."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name.rsplit(".", 2)[-2], []).append(place)
    return found


def _shift_values(counted: _Counted | None) -> dict[str, Any] | None:
    if counted is None:
        return None
    verdicts = dict.fromkeys((verdict.value for verdict in Verdict), 0)
    causes: Counter[str] = Counter()
    for (verdict, cause), count in counted.parts.items():
        verdicts[verdict.value] += count
        if cause is not None:
            causes[cause.value] += count
    shift = counted.shift
    return {
        "name": shift.name,
        "start_utc": shift.start.isoformat(),
        "verdicts": verdicts,
        "causes": causes,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

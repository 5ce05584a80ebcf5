"""The observer of a line: its word, its newest parts, the counts of the shift."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge.panel.lines import PanelLine
from edge.panel.snapshot import Observer
from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from inspection.verdict import Cause, Verdict
from tests.doubles.panel import TalkingLine

MakeRecord = Callable[..., InspectionRecord]
Write = Callable[..., None]


@pytest.fixture
def observer(line_file: Path) -> Observer:
    return Observer(PanelLine("line", line_file))


@pytest.fixture
def write(tmp_path: Path, make_record: MakeRecord) -> Write:
    """Writes the record of a part that came `ago_s` seconds ago."""

    def write(number: int, ago_s: float = 0, **changes: Any) -> None:
        station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
        moment = datetime.now(timezone.utc) - timedelta(seconds=ago_s)
        update = {"triggered_utc": moment, **changes}
        with station.open():
            station.on_record(make_record(number).model_copy(update=update))

    return write


def test_a_line_that_answers_has_a_signal(observer: Observer, line: TalkingLine) -> None:
    snapshot = observer.snapshot()
    assert snapshot["signal"]
    assert snapshot["heard_ms"] < 1000
    assert snapshot["state"]["state"] == "ready"
    assert "holds no records.sqlite" in snapshot["records_problem"]


def test_a_line_that_does_not_run_has_none(observer: Observer) -> None:
    snapshot = observer.snapshot()
    assert not snapshot["signal"]
    assert snapshot["heard_ms"] is None
    assert "no answer" in snapshot["silence"]


def test_the_parts_and_counts_grow_with_the_records(
    observer: Observer, line: TalkingLine, write: Write
) -> None:
    write(1, verdict=Verdict.PASS, score=1.0)
    assert [part["verdict"] for part in observer.snapshot()["parts"]] == ["PASS"]
    write(2, verdict=Verdict.NO_VERDICT, cause=Cause.DEADLINE, score=None)
    write(3, verdict=Verdict.REJECT, recipe_number=7)
    snapshot = observer.snapshot()
    newest = snapshot["parts"][0]
    assert [part["trigger"][-1] for part in snapshot["parts"]] == ["3", "2", "1"]
    assert (newest["verdict"], newest["score"], newest["threshold"]) == ("REJECT", 3.25, 2.5)
    assert newest["recipe_number"] == 7
    assert 0 <= newest["age_ms"] < 60_000
    assert snapshot["shift"]["verdicts"] == {"PASS": 1, "REVIEW": 0, "REJECT": 1, "NO_VERDICT": 1}
    assert snapshot["shift"]["causes"] == {"deadline": 1}
    assert snapshot["trend"] == [[1.0, "PASS"], [None, "NO_VERDICT"], [3.25, "REJECT"]]


def test_parts_of_an_earlier_shift_are_shown_and_not_counted(
    observer: Observer, line: TalkingLine, write: Write
) -> None:
    write(1, ago_s=3 * 86_400)
    snapshot = observer.snapshot()
    assert len(snapshot["parts"]) == 1
    assert sum(snapshot["shift"]["verdicts"].values()) == 0


def test_a_new_database_is_read_from_its_beginning(
    observer: Observer, line: TalkingLine, write: Write, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        write(number)
    observer.snapshot()
    for path in (tmp_path / "records").glob("records.sqlite*"):
        path.rename(tmp_path / path.name)
    write(9)
    snapshot = observer.snapshot()
    assert [part["trigger"] for part in snapshot["parts"]] == ["test-000009"]
    assert sum(snapshot["shift"]["verdicts"].values()) == 1


def test_the_picture_of_the_newest_part_comes_from_the_line(
    observer: Observer, line: TalkingLine, write: Write
) -> None:
    write(1)
    encoded = base64.b64encode(b"jpeg").decode()
    line.picture = {
        "trigger_id": "test-000001",
        "region": [0.5, 0, 0.5, 1],
        "frame": encoded,
        "heat": None,
        "mask": None,
    }
    (part,) = observer.snapshot()["parts"]
    assert part["pictures"] == ["frame"]
    assert part["region"] == [0.5, 0, 0.5, 1]
    assert observer.picture("test-000001", "frame") == b"jpeg"
    assert observer.picture("test-000001", "heat") is None
    assert observer.picture("other", "frame") is None

"""The troubles of a line are in its records with begin and end, also those of a full disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge.station import trouble_watch
from edge.station.trouble_watch import TroubleWatch
from edge.store.database import connect, transaction
from edge.store.reader import RecordReader
from edge.store.troubles import KEPT, PastTrouble, write_troubles
from edge.store.writer import Work
from inspection.errors import RecordsError
from tests.doubles.panel import TalkingLine
from tests.doubles.waiting import wait_for

LOST = "view main: the camera is lost, for 3 s now"


class Records:
    """The database, which takes nothing while `is_full`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_full = False
        self._connection = connect(folder, synchronous="NORMAL")

    def change(self, work: Work) -> None:
        if self.is_full:
            raise RecordsError("no space left on device")
        with transaction(self._connection):
            work(self._connection)

    def close(self) -> None:
        self._connection.close()

    def seen(self) -> list[tuple[str, str, float | None]]:
        """Returns kind, message and duration of each trouble, the newest first."""
        with RecordReader(self.folder) as reader:
            return [(one.kind, one.message, one.lasted_s) for one in reader.troubles(10)]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with closing(Records(tmp_path)) as records:
        yield records


@pytest.fixture
def state() -> dict[str, Any]:
    state = TalkingLine().state
    state["pipeline"]["is_running"] = True
    return state


@pytest.fixture
def now() -> list[float]:
    """The clock of the watch, in seconds."""
    return [100.0]


@pytest.fixture
def watch(state: dict[str, Any], records: Records, now: list[float]) -> TroubleWatch:
    return TroubleWatch(lambda: state, records, lambda: now[0])


def test_a_trouble_has_a_begin_and_an_end(
    watch: TroubleWatch, state: dict[str, Any], records: Records, now: list[float]
) -> None:
    before = datetime.now(timezone.utc)
    watch.look()
    assert records.seen() == []
    state["faults"] = [LOST]
    watch.look()
    assert records.seen() == [("fault", LOST, None)]
    now[0], state["faults"] = 160.0, [LOST.replace("3 s", "63 s")]  # the same one
    watch.look()
    state["alarms"] = ["5 parts in a row did not pass"]
    now[0], state["faults"] = 1000.0, []
    watch.look()
    alarm = ("alarm", "5 parts in a row did not pass", None)
    assert records.seen() == [alarm, ("fault", LOST, 900.0)]
    with RecordReader(records.folder) as reader:
        fault = reader.troubles(2)[1]
    assert before <= fault.begun_utc <= datetime.now(timezone.utc)
    assert fault.ended_utc == fault.begun_utc + timedelta(minutes=15)
    now[0], state["faults"] = 1001.0, [LOST]  # it comes again
    watch.look()
    assert records.seen()[0] == ("fault", LOST, None)
    assert len(records.seen()) == 3


def test_troubles_wait_until_the_disk_takes_them(
    watch: TroubleWatch, state: dict[str, Any], records: Records, now: list[float]
) -> None:
    records.is_full, state["faults"] = True, [LOST]
    watch.look()
    now[0], state["faults"] = 130.0, []
    watch.look()
    assert records.seen() == []
    records.is_full = False
    watch.look()
    assert records.seen() == [("fault", LOST, 30.0)]


def test_a_line_that_starts_or_ends_has_none(
    watch: TroubleWatch, state: dict[str, Any], records: Records
) -> None:
    state["pipeline"]["is_running"], state["faults"] = False, ["the line is not running"]
    watch.look()
    assert records.seen() == []


def test_a_defect_is_told_once_and_ends_no_watch(
    state: dict[str, Any],
    records: Records,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(trouble_watch, "_PERIOD_S", 0.01)
    looks = itertools.count()

    def broken_at_first() -> dict[str, Any]:
        if next(looks) < 3:
            raise ZeroDivisionError("a mistake")
        return state

    state["faults"] = [LOST]
    with TroubleWatch(broken_at_first, records).watching():
        wait_for(lambda: records.seen() == [("fault", LOST, None)], 20)
    assert caplog.text.count("ZeroDivisionError: a mistake") == 1


def test_a_trouble_that_no_database_takes_hinders_no_other(
    watch: TroubleWatch, state: dict[str, Any], records: Records
) -> None:
    state["alarms"] = ["no text of SQLite: \ud800"]
    with pytest.raises(UnicodeEncodeError):
        watch.look()
    state["faults"] = [LOST]
    watch.look()
    assert records.seen() == [("fault", LOST, None)]


def test_an_end_in_a_database_that_was_begun_anew_is_a_whole_row(
    watch: TroubleWatch, state: dict[str, Any], records: Records, now: list[float]
) -> None:
    state["faults"] = [LOST]
    watch.look()
    other = PastTrouble("alarm", "", "another", datetime.now(timezone.utc), None)

    def begin_anew(connection: Any) -> None:
        connection.execute("DELETE FROM troubles")
        write_troubles(connection, [other])

    records.change(begin_anew)
    now[0], state["faults"] = 105.0, []
    watch.look()
    assert records.seen() == [("fault", LOST, 5.0), ("alarm", "another", None)]


def test_the_oldest_go(records: Records) -> None:
    moment = datetime(2026, 11, 29, 2, 10, tzinfo=timezone.utc)
    many = [
        PastTrouble("alarm", "", str(number), moment + timedelta(seconds=number), 1.0)
        for number in range(KEPT + 3)
    ]
    records.change(lambda connection: write_troubles(connection, many))
    with RecordReader(records.folder) as reader:
        kept = reader.troubles(KEPT + 3)
    assert [len(kept), kept[0].message, kept[-1].message] == [KEPT, str(KEPT + 2), "3"]

"""Health and audit: figures with and without a line, the log, changes page by page, undo."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge.panel.device import log_of, temperatures
from edge.panel.services import Panel
from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.database import changing
from edge.store.station_records import StationRecords
from edge.store.troubles import PastTrouble, write_troubles
from inspection.errors import LinewardenError
from tests.doubles.panel import Browser, TalkingLine

MakeRecord = Callable[..., InspectionRecord]
PAGE = "/lines/line/health"


def test_the_figures_of_a_running_line(
    panel: Panel, line: TalkingLine, tmp_path: Path, make_record: MakeRecord
) -> None:
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for number in range(1, 4):
            station.on_record(make_record(number))
    line.state["pipeline"]["parts"] = 4711
    line.state["alarms"] = ["5 parts in a row did not pass"]
    text = Browser(panel).log_in("viewer").get(PAGE).text
    assert "12.5 ms" in text
    assert "4711" in text
    assert "5 parts in a row did not pass" in text
    assert "Over the latest 3 parts with a frame." in text


def test_without_line_and_records_the_page_says_so(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get(f"{PAGE}/figures")
    assert answer.status_code == 200
    assert "no answer" in answer.text
    assert "holds no records.sqlite" in answer.text
    assert "The line does not run." in answer.text


def test_changes_are_shown_page_by_page_to_operators(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    for number in range(52):
        assert admin.post("/accounts/password", {"name": f"nobody-{number}"}).status_code == 404
    operator = Browser(panel).log_in("operator")
    first = operator.get(PAGE).text
    assert first.count("One-time password given") == 50
    second = operator.get(f"{PAGE}?before=3").text
    assert second.count("One-time password given") == 2
    assert operator.get(f"{PAGE}?before=x").status_code == 400
    assert "One-time password given" not in Browser(panel).log_in("viewer").get(PAGE).text


def test_a_change_that_can_be_taken_back_has_its_form(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    change = {"name": "operator", "role": "engineer", "is_active": "yes"}
    assert admin.post("/accounts/change", change).status_code == 303
    text = admin.get(PAGE).text
    assert 'action="/accounts/change"' in text
    assert '<input type="hidden" name="role" value="operator">' in text


def test_the_troubles_of_the_night_are_read_in_the_morning(panel: Panel, tmp_path: Path) -> None:
    viewer = Browser(panel).log_in("viewer")
    assert "holds no records.sqlite" in viewer.get(PAGE).text
    path = panel.lines["line"].path
    path.write_text(path.read_text().replace("records: {", "records: {time_zone: Asia/Tokyo, "))
    with StationRecords(RecordsConfig(folder=tmp_path / "records"), {}).open():
        pass  # makes the database
    assert "The line had none." in viewer.get(PAGE).text
    begun = datetime(2026, 11, 28, 17, 10, 13, tzinfo=timezone.utc)
    night = [
        PastTrouble("fault", "", "view main: the <camera> is lost", begun, 912.0),
        PastTrouble("output", "plc", "plc: connection refused", begun, None),
    ]
    with changing(tmp_path / "records") as connection:
        write_troubles(connection, night)
    text = viewer.get(PAGE).text
    table = text.partition('id="troubles"')[2]
    for shown in (
        "2026-11-29 02:10:13",
        "2026-11-29 02:25:25",
        "view main: the &lt;camera&gt; is lost",
        "Check power, cable and network of the camera",
        "plc: connection refused",
        "no end seen",
    ):
        assert shown in table


def test_the_audit_log_only_grows(panel: Panel) -> None:

    Browser(panel).log_in("admin").post("/accounts/add", {"name": "new", "role": "viewer"})
    for statement in (
        "DELETE FROM audit",
        "DELETE FROM audit_outcomes",
        "UPDATE audit SET why = ''",
        "UPDATE audit_outcomes SET failure = ''",
    ):
        with (
            pytest.raises(sqlite3.IntegrityError, match="only grows"),
            panel.database.transaction() as connection,
        ):
            connection.execute(statement)
    assert len(panel.audit.entries()) == 1


def test_a_full_disk_changes_nothing_and_says_so(panel: Panel, line: TalkingLine) -> None:
    with panel.database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    with panel.database.reading() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")
    operator = Browser(panel).log_in("operator")
    answer = None
    for _ in range(400):
        answer = operator.post("/lines/line/recipes/change", {"number": "2", "why": "x" * 500})
        if answer.status_code == 507:
            break
    assert answer is not None
    assert "Nothing was changed. Free some space" in answer.text
    before = list(line.asked)
    operator.post("/lines/line/recipes/change", {"number": "1", "why": "x" * 500})
    assert line.asked == before


def test_a_change_whose_outcome_finds_no_room_is_done_all_the_same(
    panel: Panel,
    line: TalkingLine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    operator = Browser(panel).log_in("operator")
    transaction, is_full = panel.database.transaction, iter((False, True))

    @contextmanager
    def of_a_full_disk() -> Iterator[sqlite3.Connection]:
        if next(is_full):
            raise sqlite3.OperationalError("database or disk is full")
        with transaction() as connection:
            yield connection

    monkeypatch.setattr(panel.database, "transaction", of_a_full_disk)
    answer = operator.post("/lines/line/recipes/change", {"number": "2"})
    assert (answer.status_code, line.asked) == (303, ["recipe 2"])
    assert panel.audit.entries()[0].failure is None
    assert "the outcome of change 1 is not in the log of changes" in caplog.text


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `journalctl` that answers with the text in a file."""
    program = tmp_path / "bin/journalctl"
    program.parent.mkdir()
    answer = tmp_path / "journal.json"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {answer}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return answer


def test_the_log_of_a_line_is_for_engineers(panel: Panel, journal: Path) -> None:
    journal.write_text(
        '{"__REALTIME_TIMESTAMP": "1764400000000000", "PRIORITY": "3", '
        '"MESSAGE": "{\\"message\\": \\"camera rtsp://u:pw@cam/ is lost\\"}"}\n'
        '{"__REALTIME_TIMESTAMP": "1764400000000000", "MESSAGE": "started"}\n'
        '{"__REALTIME_TIMESTAMP": "1764400000000000", "MESSAGE": "{no JSON}"}\n'
        '{"__REALTIME_TIMESTAMP": "1764400000000000", "MESSAGE": [82, 255, 79]}\n'
        '{"__REALTIME_TIMESTAMP": "1764400000000000", "MESSAGE": null}\n'
    )
    text = Browser(panel).log_in("engineer").get(f"{PAGE}/log").text
    assert '<li class="error">' in text
    assert "camera rtsp://cam/ is lost" in text
    assert "pw" not in text
    for shown in ("started", "{no JSON}", "R\ufffdO", "more than 4096 bytes"):
        assert shown in text
    assert "--unit=linewarden@line.service" in (journal.parent / "asked").read_text()
    assert Browser(panel).log_in("operator").get(f"{PAGE}/log").status_code == 403


def test_a_device_without_a_journal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LinewardenError, match="must be in the group systemd-journal"):
        log_of("linewarden@x.service")


def test_sensors_that_answer_are_read(tmp_path: Path) -> None:
    for number, (kind, value) in enumerate([("soc", "41500"), ("gpu", "no")]):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{value}\n")
    assert [(one.name, one.celsius) for one in temperatures(tmp_path)] == [("soc", 41.5)]


def test_a_line_that_is_not_shown_has_no_page(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get("/lines/other/health")
    assert answer.status_code == 404
    assert "The panel does not show a line other." in answer.text

"""Whatever is wrong with a line, its records or its configuration: a page that says so."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

import pytest

from edge.panel.services import Panel
from edge.store import database
from tests.doubles.panel import ORIGIN, Browser, TalkingLine, title_of

PART = "/lines/line/parts/t1/images/0?size=160"


def test_a_line_without_records_has_a_page(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get(PART)
    assert answer.status_code == 503
    assert title_of(answer) == "The records cannot be read"
    assert "holds no records.sqlite; name the folder of a line" in answer.text
    assert "The inspection does not depend on this page." in answer.text


def test_records_of_an_old_schema_have_a_page(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "records").mkdir()
    with monkeypatch.context() as older:
        older.setattr(database, "_MIGRATIONS", database._MIGRATIONS[:1])
        database.connect(tmp_path / "records", synchronous="NORMAL").close()
    answer = Browser(panel).log_in("viewer").get(PART)
    assert answer.status_code == 503
    assert "was made by an older version of Linewarden; start the line once" in answer.text


def test_damaged_records_have_a_page(panel: Panel, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records/records.sqlite").write_bytes(b"no database" * 1000)
    answer = Browser(panel).log_in("viewer").get(PART)
    assert answer.status_code == 503
    assert "is damaged" in answer.text


def test_a_wrong_configuration_of_a_line_has_a_page_until_it_is_mended(
    panel: Panel, line_file: Path, line: TalkingLine
) -> None:
    viewer = Browser(panel).log_in("viewer")
    good = line_file.read_text()
    line_file.write_text(good + "deadline: 3\n")
    answer = viewer.get("/lines/line/recipes")
    assert answer.status_code == 503
    assert title_of(answer) == "The configuration is wrong"
    assert "deadline" in answer.text
    line_file.write_text(good)
    assert viewer.get("/lines/line/recipes").status_code == 200
    line_file.unlink()
    assert "cannot be read" in viewer.get("/lines/line/recipes").text


@pytest.mark.parametrize(
    ("referer", "page"),
    [
        ("http://panel.test/lines/line/recipes?x=1", "/lines/line/recipes?x=1"),
        ("http://elsewhere.test/lines/line/recipes", "/"),
        ("http://panel.test//elsewhere.test", "/"),
        ("", "/"),
    ],
)
def test_a_failed_change_leads_back_to_its_page(panel: Panel, referer: str, page: str) -> None:
    operator = Browser(panel).log_in("operator")
    headers = {"origin": ORIGIN, "referer": referer, "accept": "text/html"}
    form = {"csrf": operator.csrf, "why": "a test", "number": "2"}
    answer = operator.request("POST", "/lines/line/recipes/change", data=form, headers=headers)
    assert f'class="button" href="{page}"' in answer.text


def test_a_page_is_tried_again_with_its_query(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get("/lines/line/review?verdict=PASS&before=x")
    assert 'href="/lines/line/review?verdict=PASS&amp;before=x"' in answer.text


def test_a_line_that_does_not_run_has_a_page(panel: Panel) -> None:
    operator = Browser(panel).log_in("operator")
    answer = operator.post("/lines/line/recipes/change", {"number": "2"})
    assert answer.status_code == 503
    assert title_of(answer) == "The line does not answer"


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "The disk is full"),
        (sqlite3.OperationalError("database or disk is full"), 507, "The disk is full"),
        (PermissionError(errno.EACCES, "denied"), 503, "The disk cannot be read or written"),
        (sqlite3.OperationalError("database is locked"), 503, "The disk cannot be read or written"),
    ],
)
def test_errors_of_the_disk_have_pages(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, title: str
) -> None:
    def fails(_token: str) -> None:
        raise error

    monkeypatch.setattr(panel.sessions, "find", fails)
    answer = Browser(panel).get("/lines/line/live")
    assert answer.status_code == status
    assert title_of(answer) == title


def test_a_script_receives_the_words_as_json(panel: Panel) -> None:
    viewer = Browser(panel).log_in("viewer")
    answer = viewer.get("/lines/no/health", headers={"accept": "application/json"})
    assert answer.json() == {
        "title": "Not possible",
        "message": "The panel does not show a line no. Its configuration lists the lines.",
    }


def test_what_is_not_there_has_a_page(panel: Panel) -> None:
    viewer = Browser(panel).log_in("viewer")
    assert "There is no such page." in viewer.get("/lines/line/nothing").text
    assert viewer.get("/login/", headers={"accept": "text/html"}).status_code in {307, 404}
    assert viewer.get("/static/../config.py").status_code == 404
    assert viewer.get("/static/%2e%2e/config.py").status_code == 404
    assert viewer.get("/logout").status_code == 405


def test_the_folder_of_the_panel_is_its_own(panel: Panel, tmp_path: Path) -> None:
    mode = (tmp_path / "panel/panel.sqlite").stat().st_mode
    assert mode & 0o077 == 0
    shutil.rmtree(tmp_path / "panel")

"""Review: the choice of parts, the data sets, and what the page says without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree

import pytest

from edge.panel.services import Panel
from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.labels import add_label
from edge.store.station_records import StationRecords
from tests.doubles.panel import Browser, TalkingLine, config_of, opened
from tests.doubles.waiting import wait_for

MakeRecord = Callable[..., InspectionRecord]
Parts = list[InspectionRecord]
PAGE = "/lines/line/review"


@pytest.fixture
def panel(tmp_path: Path, line_file: Path) -> Iterator[Panel]:
    with opened(config_of(tmp_path, line_file, data_sets=tmp_path / "sets")) as panel:
        yield panel


def shown(panel: Panel, query: str = "") -> str:
    """The last digits of the parts on the page."""
    answer = Browser(panel).log_in("viewer").get(f"{PAGE}{query}")
    assert answer.status_code == 200
    return "".join(re.findall(r'data-trigger="test-00000(\d)"', answer.text))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "41"),
        ("?verdict=all", "4321"),
        ("?verdict=PASS", "32"),
        ("?verdict=REVIEW", ""),
        ("?label=-", "4"),
        ("?label=%2B", "1"),
        ("?label=dent", "1"),
        ("?label=good", ""),
        ("?verdict=all&min_score=0.1", "321"),
        ("?verdict=all&max_score=0.1", ""),
        ("?verdict=all&recipe=other", ""),
        ("?verdict=all&since=2026-11-22T00:00", ""),
        ("?verdict=all&until=2026-11-22T00:00", "4321"),
    ],
)
def test_the_choice_of_parts(
    panel: Panel, parts: Parts, tmp_path: Path, query: str, expected: str
) -> None:
    add_label(tmp_path / "records", "test-000001", "dent", author="ann", note="")
    assert shown(panel, query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "?verdict=BAD",
        "?since=yesterday",
        "?min_score=x",
        "?before=x",
        "?before=2026_1",
        "?before=2026-11-21T04:00:00.000000Z_x",
    ],
)
def test_a_choice_that_is_none_is_refused(panel: Panel, parts: Parts, query: str) -> None:
    answer = Browser(panel).log_in("viewer").get(f"{PAGE}{query}")
    assert answer.status_code == 400
    assert "is missing or wrong." in answer.text


def test_older_parts_follow_page_by_page(
    panel: Panel, tmp_path: Path, make_record: MakeRecord
) -> None:
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for number in range(1, 31):
            station.on_record(make_record(number))
    viewer, path, found = Browser(panel).log_in("viewer"), f"{PAGE}?verdict=REJECT", []
    while path:
        text = viewer.get(path).text
        found += re.findall(r'data-trigger="test-0000(\d\d)"', text)
        link = re.search(r'class="button" href="([^"]+)">Older', text)
        path = link[1].replace("&amp;", "&") if link else ""
    assert found == [f"{number:02}" for number in range(30, 0, -1)]


def test_present_alarms_are_shown_or_why_not(panel: Panel, parts: Parts, line: TalkingLine) -> None:
    line.state["alarms"] = ["5 parts in a row did not pass"]
    viewer = Browser(panel).log_in("viewer")
    assert "5 parts in a row did not pass" in viewer.get(PAGE).text
    line.state["alarms"] = []
    assert "problem" not in viewer.get(PAGE).text


def test_a_line_that_does_not_run_still_has_its_parts(panel: Panel, parts: Parts) -> None:
    assert shown(panel) == "41"
    assert "Present alarms are not known." in Browser(panel).log_in("viewer").get(PAGE).text


def test_without_records_the_page_says_so(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get(PAGE)
    assert answer.status_code == 503
    assert "holds no records.sqlite" in answer.text


def make(panel: Panel, person: str = "engineer", **form: str) -> int:
    values = {"purpose": "calibration", "recipe": "r", **form}
    answer = Browser(panel).log_in(person).post(f"{PAGE}/data-sets/make", values)
    return int(answer.status_code)


def data_sets(panel: Panel) -> str:
    return str(Browser(panel).log_in("engineer").get(f"{PAGE}/data-sets").text)


def test_a_data_set_is_made_and_its_command_named(
    panel: Panel, parts: Parts, tmp_path: Path
) -> None:
    recipe = parts[0].recipe
    assert make(panel, recipe=recipe) == 303
    wait_for(lambda: "no part labelled good" in data_sets(panel), 20)
    add_label(tmp_path / "records", "test-000001", "good", author="ann", note="dust")
    assert make(panel, recipe=recipe) == 303
    wait_for(lambda: "1 images" in data_sets(panel), 20)
    (folder,) = (tmp_path / "sets").iterdir()
    text = data_sets(panel)
    assert f"--recipe {recipe} --good GOOD --more-good {folder}" in text
    assert [path.name for path in folder.glob("*.png")] == ["test-000001.png"]
    of_line_2 = folder.with_name(folder.name.replace("line-", "line-2-"))
    copytree(folder, of_line_2)
    assert of_line_2.name not in data_sets(panel)
    assert make(panel, recipe=recipe, purpose="training", take_passes="on") == 303
    wait_for(lambda: "3 images" in data_sets(panel), 20)
    assert "linewarden teach --good" in data_sets(panel)


def test_who_may_make_a_data_set_and_of_what(panel: Panel, parts: Parts) -> None:
    assert make(panel, "operator") == 403
    assert make(panel, purpose="../x") == 400
    assert make(panel, view="../x") == 400
    assert not (panel.data_sets.folder or Path()).exists()


def test_without_a_folder_for_them_no_data_set_is_made(
    tmp_path: Path, line_file: Path, parts: Parts
) -> None:
    with opened(config_of(tmp_path, line_file)) as panel:
        assert "names no folder for data sets" in Browser(panel).log_in("engineer").get(PAGE).text
        assert make(panel, recipe="r") == 409

"""Review: the choice of parts, the data sets, and what the page says without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from edge.panel.inspected import inspected_of
from edge.panel.services import Panel
from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.labels import add_label
from edge.store.station_records import StationRecords
from inspection.images import encode_png
from tests.doubles.line_folder import RECORDS, write_line
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
        ("?verdict=all&number=1", "4321"),
        ("?verdict=all&number=2", ""),
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
        "?number=x",
        "?before=x",
        "?before=2026_1",
        "?before=2026-11-21T04:00:00.000000Z_x",
    ],
)
def test_a_choice_that_is_none_is_refused(panel: Panel, parts: Parts, query: str) -> None:
    answer = Browser(panel).log_in("viewer").get(f"{PAGE}{query}")
    assert answer.status_code == 400
    assert "is missing or wrong." in answer.text


def test_times_are_those_of_the_line_as_in_the_filter(panel: Panel, parts: Parts) -> None:
    path = panel.lines["line"].path
    path.write_text(path.read_text().replace("records: {", "records: {time_zone: Asia/Tokyo, "))
    local = parts[0].triggered_utc + timedelta(hours=9)
    text = Browser(panel).log_in("viewer").get(f"{PAGE}/parts/test-000001").text
    assert f"{local:%Y-%m-%d %H:%M:%S}" in text
    since = local.replace(tzinfo=None, microsecond=0).isoformat()
    assert shown(panel, f"?since={since}") == "41"


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
    product = inspected_of(panel.lines["line"])[0].key
    values = {"purpose": "calibration", "product": product, **form}
    answer = Browser(panel).log_in(person).post(f"{PAGE}/data-sets/make", values)
    return int(answer.status_code)


def data_sets(panel: Panel) -> str:
    return str(Browser(panel).log_in("engineer").get(f"{PAGE}/data-sets").text)


def test_a_data_set_is_made_and_its_command_named(
    panel: Panel, parts: Parts, tmp_path: Path
) -> None:
    assert make(panel) == 303
    wait_for(lambda: "no part labelled good" in data_sets(panel), 20)
    add_label(tmp_path / "records", "test-000001", "good", author="ann", note="dust")
    assert make(panel) == 303
    wait_for(lambda: "1 images" in data_sets(panel), 20)
    (folder,) = (tmp_path / "sets").iterdir()
    text = data_sets(panel)
    assert f"--recipe default --good GOOD --more-good {folder}" in text
    assert [path.name for path in folder.glob("*.png")] == ["test-000001.png"]
    of_line_2 = folder.with_name(folder.name.replace("line-", "line-2-"))
    copytree(folder, of_line_2)
    assert of_line_2.name not in data_sets(panel)
    assert make(panel, purpose="training", take_passes="on") == 303
    wait_for(lambda: "3 images" in data_sets(panel), 20)
    assert "linewarden teach --good" in data_sets(panel)


def test_who_may_make_a_data_set_and_of_what(panel: Panel, parts: Parts) -> None:
    assert make(panel, "operator") == 403
    assert make(panel, purpose="../x") == 400
    assert make(panel, product="../x") == 400
    assert not (panel.data_sets.folder or Path()).exists()


def test_without_a_folder_for_them_no_data_set_is_made(
    tmp_path: Path, line_file: Path, parts: Parts
) -> None:
    with opened(config_of(tmp_path, line_file)) as panel:
        assert "names no folder for data sets" in Browser(panel).log_in("engineer").get(PAGE).text
        assert make(panel) == 409


def test_a_data_set_has_the_parts_of_one_product(
    panel: Panel, parts: Parts, tmp_path: Path, line_file: Path
) -> None:
    other = (
        "recipes: {1: {recipe: default}, 2: {recipe: default, bundle: other}}\nstart_recipe: 1\n"
    )
    write_line(tmp_path, "camera: {kind: replay, path: parts}\n", other, RECORDS)
    first, second = inspected_of(panel.lines["line"])
    assert (first.label, second.label) == ("1: default", "2: default")
    assert make(panel, product=second.key, take_passes="on") == 303
    wait_for(lambda: "no record fits the filter" in data_sets(panel), 20)
    assert make(panel, product=first.key, take_passes="on") == 303
    wait_for(lambda: "1: default · 2 images" in data_sets(panel), 20)


def test_parts_that_a_data_set_leaves_out_are_counted(
    panel: Panel, parts: Parts, tmp_path: Path
) -> None:
    images = tmp_path / "records/images"
    (images / parts[1].images[0]).unlink()
    (images / parts[2].images[0]).write_bytes(b"torn")
    add_label(tmp_path / "records", "test-000001", "good", author="ann", note="dust")
    assert make(panel, take_passes="on") == 303
    wait_for(lambda: "1 images" in data_sets(panel), 20)
    text = data_sets(panel)
    assert "1 parts are left out, because the line did not keep their image" in text
    assert "1 parts are left out, because their image is damaged:" in text
    assert parts[2].images[0] in text


def test_a_data_set_of_a_view_names_the_bundle_of_that_view(
    panel: Panel, tmp_path: Path, make_record: MakeRecord
) -> None:
    views = (
        "views: {top: {camera: {kind: replay, path: parts}},"
        " side: {camera: {kind: replay, path: parts}, recipe: edge, bundle: other}}\n"
    )
    write_line(tmp_path, views, RECORDS)
    record = make_record(1)
    top = record.views[0].model_copy(update={"view": "top"})
    side = top.model_copy(update={"view": "side", "recipe": "edge"})
    name = "2026-11-21/test-000001.side.frame.png"
    image = tmp_path / "records/images" / name
    image.parent.mkdir(parents=True)
    image.write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    decided = {"view": "top", "views": (top, side), "images": (name,), "recipe_number": None}
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        station.on_record(record.model_copy(update=decided))
    add_label(tmp_path / "records", "test-000001", "good", author="ann", note="")
    assert make(panel, product=inspected_of(panel.lines["line"])[1].key) == 303
    wait_for(lambda: "1 images" in data_sets(panel), 20)
    assert f"linewarden calibrate {tmp_path}/other --recipe edge" in data_sets(panel)


def test_a_data_set_leaves_room_for_the_line(
    panel: Panel, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panel.data_sets, "_min_free_bytes", 1 << 60)
    assert make(panel, take_passes="on") == 303
    wait_for(lambda: "MB left, which" in data_sets(panel), 20)
    assert list((tmp_path / "sets").iterdir()) == []

"""Zones: who may draw, what is refused and in which words, versions, trial and taking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.panel.inspected import Inspected, PartFrame, frames_of, inspected_of
from edge.panel.jobs import BEGUN, ENDED, LOG, RUNNER_LOCK, Asked, Begun, Ended
from edge.panel.pages import layout_trial, zones
from edge.panel.services import Panel
from edge.panel.zones.layouts import Layouts
from edge.panel.zones.preview import preview
from edge.part.record import InspectionRecord
from inspection.bundle import Bundle
from inspection.errors import BundleError
from inspection.files import locked
from inspection.images import decode_image, encode_png
from inspection.layout import Layout
from tests.doubles.line_folder import part, write_line
from tests.doubles.panel import Browser, TalkingLine, config_of, opened

PAGE = "/lines/line/zones"
CHANGES = ("preview", "save", "restore", "try", "cancel", "take", "back")
IGNORE = {"ignore": [[[16, 8], [28, 8], [28, 18], [16, 18]]]}
TRIGGER = "84c65123-000001"


@pytest.fixture
def panel(tmp_path: Path, line_file: Path) -> Iterator[Panel]:
    """A panel beside which nothing runs its jobs."""
    with opened(config_of(tmp_path, line_file, jobs="service")) as panel:
        yield panel


@pytest.fixture(autouse=True)
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle) -> PartFrame:
    """The archived frame of the only part, and the bundle beside the line."""
    path = tmp_path / "part.frame.png"
    path.write_bytes(encode_png(part(50, spot=True)))
    one = PartFrame(TRIGGER, 0, path)
    for page in (zones, layout_trial):
        monkeypatch.setattr(page, "frames_of", lambda *_: [one])
    monkeypatch.setattr(zones, "frame_of", lambda *_: one)
    return one


@pytest.fixture
def key(panel: Panel) -> str:
    return inspected_of(panel.lines["line"])[0].key


@pytest.fixture
def engineer(panel: Panel) -> Browser:
    return Browser(panel).log_in("engineer")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The commands that were run; none of them does anything."""
    ran: list[tuple[Any, ...]] = []
    monkeypatch.setattr(layout_trial, "linewarden", lambda *words: ran.append(words))
    return ran


def drawing(key: str, drawn: object = IGNORE, **more: str) -> dict[str, str]:
    form = {"recipe": key, "reference": f"part:{TRIGGER}", "layout": json.dumps(drawn)}
    return {**form, "newest": "0", **more}


def store(panel: Panel, key: str) -> Layouts:
    return Layouts(panel.config.folder / "layouts/line" / key)


def finished_trial(panel: Panel, key: str, image: Path | None = None) -> None:
    """Writes the outcome of a trial of version 1, in which the part passes."""
    version = store(panel, key).find("1")
    judged = [
        {"verdict": "REJECT", "score": 0.98, "zone": "", "message": ""},
        {"verdict": "PASS", "score": 0.2, "zone": "frame", "message": ""},
    ]
    tried = {"image": str(image or "a.png"), "before": judged[0], "after": judged[1]}
    content = {"replaces": "ab" * 32, "parts": [tried], "missing": [], "statements": ["<b>"]}
    version.trial.write_text(json.dumps({**content, "calibration": {"layout": None}}))


def test_only_an_engineer_comes_here_and_only_from_the_page(panel: Panel, key: str) -> None:
    for role in ("viewer", "operator"):
        browser = Browser(panel).log_in(role)
        assert browser.get(PAGE).status_code == 403
        assert [browser.post(f"{PAGE}/{one}").status_code for one in CHANGES] == [403] * 7
    engineer = Browser(panel).log_in("engineer")
    for one in CHANGES:
        path, form = f"{PAGE}/{one}", drawing(key)
        assert engineer.post(path, form, origin="http://elsewhere").status_code == 403
        assert engineer.post(path, {**form, "csrf": "x"}).status_code == 403
        if one != "preview":
            assert engineer.post(path, {**form, "why": " "}).status_code == 400
    assert store(panel, key).versions() == []
    assert panel.audit.entries() == []


def test_the_page_shows_the_frame_and_its_size(engineer: Browser, key: str) -> None:
    page = engineer.get(PAGE).text
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert (data["width"], data["height"], data["newest"], data["drawn"]) == (32, 32, 0, {})
    assert engineer.get(data["picture"].replace("&amp;", "&")).status_code == 200
    assert engineer.get(f"{PAGE}?recipe=unknown").status_code == 404
    assert engineer.get(f"{PAGE}?recipe={key}&version=7").status_code == 404


REFUSED = [
    ({"ignore": [[[0, 0], [9, 9], [9, 0], [0, 9]]]}, "crosses or touches itself"),
    ({"ignore": [[[0, 0], [9, 9]]]}, "at least 3"),
    ({"ignore": [[[0, 0], [33, 0], [9, 9]]]}, "the corner (33, 0) lies outside the frame of 32x32"),
    ({"zones": [{"name": "", "polygons": [[[0, 0], [9, 0], [9, 9]]]}]}, "at least 1 character"),
    ({"zones": [{"name": "n" * 65, "polygons": [[[0, 0], [9, 0], [9, 9]]]}]}, "at most 64"),
    (
        {"zones": [{"name": "a", "polygons": [[[0, 0], [9, 0], [9, 9]]]}] * 2},
        "the name 'a' occurs twice",
    ),
    ({"zones": [{"name": "a", "polygons": [[[1, 1], [1.1, 1], [1, 1.1]]]}]}, "has no pixel"),
    ({"alignment": {"mark": {"left": 0, "top": 0, "width": 8, "height": 8}}}, "is too small"),
    ({}, "has neither zones, nor ignore, nor alignment"),
]


@pytest.mark.parametrize(("drawn", "words"), REFUSED)
def test_what_the_product_refuses_is_refused_in_its_words(
    engineer: Browser, panel: Panel, key: str, drawn: object, words: str
) -> None:
    for one in ("preview", "save"):
        answer = engineer.post(f"{PAGE}/{one}", drawing(key, drawn))
        assert answer.status_code == 409
        message = answer.text.replace("&#39;", "'")
        assert words in message
        assert str(panel.config.folder) not in message
    assert list(store(panel, key).folder.glob("*.yaml")) == []
    assert words in (panel.audit.entries()[0].failure or "")


@pytest.mark.parametrize(
    "layout",
    [
        "{",
        "[]",
        '{"reference": "/etc/passwd"}',
        '{"ignore": [[[NaN, 0], [9, 0], [9, 9]]]}',
        "[" * 60_000,
    ],
)
def test_what_is_no_drawing_is_refused(engineer: Browser, key: str, layout: str) -> None:
    for one in ("preview", "save"):
        answer = engineer.post(f"{PAGE}/{one}", drawing(key, layout=layout))
        assert answer.status_code == 400


def test_the_form_is_bounded_and_names_no_file(engineer: Browser, key: str) -> None:
    assert engineer.post(f"{PAGE}/save", drawing(key, "x" * 2_000_000)).status_code == 413
    for reference in ("/etc/passwd", "file:/etc/passwd", "version:../../x"):
        answer = engineer.post(f"{PAGE}/preview", drawing(key, reference=reference))
        assert answer.status_code in {400, 404}
        query = {"recipe": key, "reference": reference}
        assert engineer.get(f"{PAGE}/picture", params=query).status_code in {400, 404}


def test_every_save_is_a_version_and_stays(engineer: Browser, panel: Panel, key: str) -> None:
    rim = {"zones": [{"name": "Rand\n# 1", "polygons": [[[0, 0], [9, 0], [9, 9]]]}]}
    first = engineer.post(f"{PAGE}/save", drawing(key, why='a "label"\nbelow'))
    assert first.headers["location"] == f"{PAGE}?recipe={key}&version=1"
    assert engineer.post(f"{PAGE}/save", drawing(key, rim)).status_code == 409  # of somebody else
    on_it = drawing(key, rim, newest="1", reference="version:1")
    assert engineer.post(f"{PAGE}/save", on_it).status_code == 303
    newest, oldest = store(panel, key).versions()
    assert (oldest.saved.account, oldest.saved.why) == ("engineer", 'a "label"\nbelow')
    assert newest.drawn()["zones"][0]["name"] == "Rand\n# 1"
    assert oldest.drawn()["ignore"] == IGNORE["ignore"]
    undo = panel.audit.entries()[0].change.undo
    assert undo is not None
    assert engineer.post(undo.path, dict(undo.form)).status_code == 303
    newest = store(panel, key).versions()[0]
    assert (newest.number, newest.drawn()) == (3, oldest.drawn())
    assert "a &#34;label&#34;" in engineer.get(PAGE).text


def test_a_trial_needs_good_parts(engineer: Browser, panel: Panel, key: str) -> None:
    engineer.post(f"{PAGE}/save", drawing(key))
    answer = engineer.post(f"{PAGE}/try", {"recipe": key, "version": "1", "parts": "50"})
    assert answer.status_code == 409
    assert "good_parts" in answer.text
    assert "linewarden layout try" in engineer.get(PAGE).text


def test_a_trial_is_a_bounded_command(
    engineer: Browser, panel: Panel, key: str, frame: PartFrame
) -> None:
    good = panel.config.folder / "good"
    (good / "default").mkdir(parents=True)
    panel.config.good_parts["line"] = good
    engineer.post(f"{PAGE}/save", drawing(key))
    form = {"recipe": key, "version": "1", "parts": "50"}
    assert engineer.post(f"{PAGE}/try", {**form, "parts": "9999"}).status_code == 400
    assert engineer.post(f"{PAGE}/try", form).status_code == 303
    (job,) = panel.jobs.of(f"line/zones/{key}")
    words = job.asked.words
    assert words[words.index("--good") + 1] == str(good / "default")
    assert words[words.index("--threads") + 1] == "1"
    assert words[-2:] == ["--parts", str(frame.path)]


def test_the_outcome_lists_the_parts_with_another_verdict(
    engineer: Browser, panel: Panel, key: str, parts: list[InspectionRecord], tmp_path: Path
) -> None:
    engineer.post(f"{PAGE}/save", drawing(key))
    trial = f"{PAGE}/trial?recipe={key}&version=1"
    assert "was not tried" in engineer.get(trial).text
    finished_trial(panel, key, tmp_path / "records/images" / parts[0].images[0])
    shown = engineer.get(trial).text
    assert "1 of 1 parts get another verdict" in shown
    assert "/lines/line/parts/test-000001/images/0?size=160" in shown
    assert "&lt;b&gt;" in shown


def test_a_trial_waits_for_its_turn_is_cancelled_and_says_why_it_failed(
    engineer: Browser, panel: Panel, key: str
) -> None:
    trial, form = f"{PAGE}/trial?recipe={key}&version=1", {"recipe": key, "version": "1"}
    panel.config.good_parts["line"] = panel.config.folder
    engineer.post(f"{PAGE}/save", drawing(key))
    finished_trial(panel, key)
    assert engineer.post(f"{PAGE}/try", {**form, "parts": "10"}).status_code == 303
    assert not store(panel, key).find("1").trial.exists()
    assert "Trial of a layout: waits for its turn" in engineer.get(trial).text
    assert "It begins when" not in engineer.get(trial).text
    teaching = Asked(subject="line/flange", kind="teach", words=["teach"], limit_s=1.0, by="ann")
    before = panel.jobs.start(teaching)
    begun = Begun(moment=datetime(2026, 11, 29, 2, 10, tzinfo=timezone.utc))
    (before.folder / BEGUN).write_text(begun.model_dump_json())
    with locked(panel.config.folder / "jobs" / RUNNER_LOCK, "jobs"):
        shown = engineer.get(trial).text
    assert "It begins when this one ends: Teach, line/flange, which ann asked for." in shown
    assert 'data-shown="2' in engineer.get(f"{PAGE}?recipe={key}").text
    again = engineer.post(f"{PAGE}/try", {**form, "parts": "10"})
    assert "Such a job waits or runs already" in again.text
    finished_trial(panel, key)  # an outcome that it has written, but not ended
    assert engineer.post(f"{PAGE}/take", form).status_code == 409
    assert engineer.post(f"{PAGE}/cancel", form).status_code == 303
    assert engineer.post(f"{PAGE}/cancel", form).status_code == 409
    store(panel, key).find("1").trial.unlink()
    (job,) = panel.jobs.of(f"line/zones/{key}")
    failed = Ended(moment=job.asked.moment, exit_code=4)
    (job.folder / ENDED).write_text(failed.model_dump_json())
    (job.folder / LOG).write_text("linewarden: too few <good> parts\n")
    shown = engineer.get(trial).text
    assert "Trial of a layout: failed" in shown
    assert "too few &lt;good&gt; parts" in shown


@pytest.mark.usefixtures("parts")
def test_a_trial_of_other_images_is_shown_without_pictures(
    engineer: Browser, panel: Panel, key: str
) -> None:
    engineer.post(f"{PAGE}/save", drawing(key))
    finished_trial(panel, key)
    shown = engineer.get(f"{PAGE}/trial?recipe={key}&version=1")
    assert shown.status_code == 200
    assert "a.png" in shown.text
    assert "<img" not in shown.text


def test_only_what_was_tried_is_taken_and_taken_back(
    engineer: Browser, panel: Panel, key: str, line: TalkingLine, ran: list[tuple[Any, ...]]
) -> None:
    line.state["recipe"]["active"] = 1
    engineer.post(f"{PAGE}/save", drawing(key))
    form = {"recipe": key, "version": "1", "why": "--a label"}
    assert engineer.post(f"{PAGE}/take", form).status_code == 409
    assert ran == []
    finished_trial(panel, key)
    assert engineer.post(f"{PAGE}/take", form).status_code == 303
    assert ran[0][:2] == ("layout", "take")
    assert ran[0][-2:] == ("--author=engineer", "--reason=--a label")
    assert line.asked == ["recipe again"]
    undo = panel.audit.entries()[0].change.undo
    assert undo is not None
    assert engineer.post(undo.path, dict(undo.form)).status_code == 303
    assert ran[1][:2] == ("calibrations", "rollback")
    assert "ab" * 32 in ran[1]
    back = {"recipe": key, "seal": "--help"}
    assert engineer.post(f"{PAGE}/back", back).status_code == 400
    assert len(ran) == 2


def test_a_line_that_refuses_to_load_what_was_taken_is_told(
    engineer: Browser, panel: Panel, key: str, line: TalkingLine, ran: list[tuple[Any, ...]]
) -> None:
    line.state["recipe"]["active"] = 1
    line.refusal = "recipe 2 is being loaded; ask again"
    engineer.post(f"{PAGE}/save", drawing(key))
    finished_trial(panel, key)
    answer = engineer.post(f"{PAGE}/take", {"recipe": key, "version": "1"})
    assert answer.status_code == 409
    assert "The change is done, but the line has not loaded it" in answer.text
    assert line.refusal in answer.text
    assert len(ran) == 1
    assert panel.audit.entries()[0].failure == ""


def test_a_line_with_another_recipe_in_force_is_left_alone(
    engineer: Browser, panel: Panel, key: str, line: TalkingLine, ran: list[tuple[Any, ...]]
) -> None:
    line.state["recipe"]["active"] = 2
    engineer.post(f"{PAGE}/save", drawing(key))
    finished_trial(panel, key)
    assert engineer.post(f"{PAGE}/take", {"recipe": key, "version": "1"}).status_code == 303
    assert line.asked == []


def test_a_refusal_of_the_command_is_told(
    engineer: Browser, panel: Panel, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object) -> None:
        raise BundleError("cannot be written to: run this as the owner of that folder")

    monkeypatch.setattr(layout_trial, "linewarden", refuse)
    engineer.post(f"{PAGE}/save", drawing(key))
    finished_trial(panel, key)
    answer = engineer.post(f"{PAGE}/take", {"recipe": key, "version": "1"})
    assert answer.status_code == 409
    assert "run this as the owner" in answer.text
    assert "run this as the owner" in (panel.audit.entries()[0].failure or "")


def test_without_frames_and_records_the_page_says_so(
    engineer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zones, "frames_of", frames_of)
    page = engineer.get(PAGE)
    assert page.status_code == 200
    assert "There is no frame to draw on" in page.text
    assert "records" in page.text.partition('class="problem"')[2].partition("</p>")[0]


def test_each_view_of_each_recipe_is_inspected(tmp_path: Path, panel: Panel) -> None:
    assert [one.label for one in inspected_of(panel.lines["line"])] == [
        "1: default",
        "2: tolerant",
    ]
    twice = (
        "recipes: {1: {recipe: default}, 2: {recipe: default}, 3: {recipe: x}}\nstart_recipe: 1\n"
    )
    write_line(tmp_path, "camera: {kind: replay, path: parts}\n", twice)
    assert [one.label for one in inspected_of(panel.lines["line"])] == ["1, 2: default", "3: x"]
    panel.lines["line"].path.write_text(
        "bundle: bundle\noutputs: [{kind: jsonlines, path: parts.jsonl}]\n"
        "views: {top: {camera: {kind: replay, path: parts}},"
        " side: {camera: {kind: replay, path: parts}, recipe: other}}\n"
    )
    found = inspected_of(panel.lines["line"])
    assert [one.label for one in found] == ["default · top", "other · side"]
    odd = Inspected("../../x", tmp_path)
    assert "/" not in odd.key


def test_the_preview_is_dim_where_nothing_is_inspected(tiny_bundle: Bundle) -> None:
    frame = np.full((32, 32), 200, np.uint8)
    layout = Layout(frame_height=32, frame_width=32, ignore=(((0, 0), (32, 0), (32, 16), (0, 16)),))
    picture = preview(frame, layout, tiny_bundle.manifest.preprocessing)
    shown = decode_image(picture, "the preview")
    assert shown[2:10].mean() == pytest.approx(50, abs=12)
    assert shown[22:28, 6:26].mean() == pytest.approx(200, abs=12)

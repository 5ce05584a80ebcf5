"""Sensitivity: a place is taken and taken back; everything that is not the line's is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from calibration.calibrate import calibrate
from calibration.thresholds import CalibrationTargets
from edge.panel.sensitivity.calibrations import Calibrated, calibrated_of, missing_right
from edge.panel.services import Panel
from edge.part.record import InspectionRecord
from edge.station.config import LineConfig
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from inspection.bundle import Bundle, open_bundle
from inspection.config.loading import load_config
from inspection.images import encode_png
from tests.doubles.line_folder import part, write_line
from tests.doubles.panel import Browser, TalkingLine, title_of

MakeRecord = Callable[..., InspectionRecord]
PAGE = "/lines/line/sensitivity"
ARTEFACT = "model.onnx"


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Bundle) -> Bundle:
    """A bundle whose recipe has a slider."""
    good = tmp_path / "good"
    good.mkdir()
    for level in range(60, 90):
        image = part(20)
        image[3, 4] = level
        (good / f"{level}.png").write_bytes(encode_png(image))
    calibrate(tiny_bundle, sorted(good.iterdir()), CalibrationTargets(0.1))
    return tiny_bundle


def shown(answer: Any) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', answer.text)
    assert found is not None
    return json.loads(found[1])


def form(of: Bundle, /, **values: str) -> dict[str, str]:
    seal = of.calibration("default", ARTEFACT).seal
    named = {"bundle": str(of.folder), "recipe": "default", "seal": seal}
    return {**named, "position": "0.0", "why": "escapes", **values}


def judging(line: TalkingLine, bundle: Bundle) -> None:
    """The line inspects with the calibration that is active now."""
    active = bundle.calibration("default", ARTEFACT)
    identity = {"recipe": "default", "calibration_seal": active.seal}
    thresholds = {"reject": active.thresholds.reject}
    line.state["recipe"]["active"] = 1
    line.state["identities"] = {"main": {**identity, "thresholds": thresholds}}


def test_a_place_is_taken_and_taken_back(panel: Panel, line: TalkingLine, bundle: Bundle) -> None:
    before = bundle.calibration("default", ARTEFACT)
    judging(line, bundle)
    engineer = Browser(panel).log_in("engineer")
    page = engineer.get(PAGE)
    assert "✔ The line inspects with this calibration, threshold 0.34902." in page.text
    point = shown(page)["points"][-1]
    given = form(bundle, position=point["position_text"])
    assert engineer.post(f"{PAGE}/take", given).status_code == 303
    taken = bundle.calibration("default", ARTEFACT)
    assert taken.thresholds.reject == point["reject"] < before.thresholds.reject
    assert (taken.author, taken.reason) == (
        "engineer",
        f"sensitivity {point['position']:g}: escapes",
    )
    assert line.asked == ["recipe again"]
    status = engineer.get(f"{PAGE}/line?bundle={bundle.folder}&recipe=default").text
    assert "The line inspects with an earlier calibration, threshold 0.34902." in status
    assert engineer.post(f"{PAGE}/again", form(bundle)).status_code == 303
    assert line.asked == ["recipe again"] * 2
    entry = panel.audit.entries()[1]
    assert (entry.change.action, entry.change.why) == ("sensitivity_take", "escapes")
    assert entry.change.subject == f"{bundle.folder} default: 0.34902 → {point['reject']:.6g}"
    undo = entry.change.undo
    assert undo is not None
    assert engineer.post(undo.path, dict(undo.form)).status_code == 303
    back = bundle.calibration("default", ARTEFACT)
    assert back.thresholds == before.thresholds
    assert back.author == "engineer"


def test_another_bundle_with_a_recipe_of_that_name_is_another_product(
    panel: Panel, line: TalkingLine, bundle: Bundle, tmp_path: Path, make_record: MakeRecord
) -> None:
    copytree(bundle.folder, tmp_path / "other")
    other = open_bundle(tmp_path / "other")
    panel.lines["line"].path.write_text(
        "bundle: bundle\ncamera: {kind: replay, path: parts}\ncontrol_socket: line.sock\n"
        "recipes: {1: {}, 2: {bundle: other}, 3: {bundle: other}}\nstart_recipe: 1\n"
        "records: {folder: records}\noutputs: [{kind: jsonlines, path: parts.jsonl}]\n"
    )
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for number in (1, 2, 3):
            of = {"recipe": "default", "recipe_number": number}
            station.on_record(make_record(number).model_copy(update=of))
    judging(line, bundle)
    engineer = Browser(panel).log_in("engineer")
    page = f"{PAGE}?bundle={other.folder}&recipe=default"
    point = shown(engineer.get(page))["points"][-1]["position_text"]
    assert engineer.post(f"{PAGE}/take", form(other, position=point)).status_code == 303
    assert line.asked == []
    text = engineer.get(page).text
    assert "The line inspects with another recipe." in text
    assert "of the latest 2 parts" in text
    line.state["recipe"]["active"] = 3
    assert engineer.post(f"{PAGE}/take", form(other)).status_code == 303
    assert line.asked == ["recipe again"]


def test_what_was_not_shown_is_not_taken(panel: Panel, bundle: Bundle) -> None:
    before = bundle.calibration("default", ARTEFACT)
    engineer = Browser(panel).log_in("engineer")
    for wrong in (
        {"position": "0.123456"},
        {"position": "nan"},
        {"position": "--to=1"},
        {"recipe": "other"},
        {"recipe": "../default"},
        {"bundle": "/etc"},
    ):
        assert engineer.post(f"{PAGE}/take", form(bundle, **wrong)).status_code == 400, wrong
    stale = engineer.post(f"{PAGE}/take", form(bundle, seal="0" * 64))
    assert stale.status_code == 409
    assert "Somebody has calibrated this recipe since" in stale.text
    for seal, status in (("--help", 400), ("0" * 64, 503)):
        assert engineer.post(f"{PAGE}/back", form(bundle, seal=seal)).status_code == status
    assert engineer.get(f"{PAGE}?bundle=/etc&recipe=default").status_code == 400
    assert bundle.calibration("default", ARTEFACT) == before


def test_a_viewer_sees_the_curve_and_no_form(panel: Panel, bundle: Bundle) -> None:
    answer = Browser(panel).log_in("viewer").get(PAGE)
    assert answer.status_code == 200
    assert "Good parts of the calibration: 30" in answer.text
    assert "take" not in re.findall(r'action="([^"]*)"', answer.text)
    assert "no answer" in answer.text  # the line does not run
    assert "holds no records.sqlite" in answer.text


def test_a_recipe_without_a_slider_says_why(panel: Panel, tiny_bundle: Bundle) -> None:
    answer = Browser(panel).log_in("viewer").get(PAGE)
    assert title_of(answer) == "Sensitivity: default"
    assert "it keeps no scores of good parts: calibrate again" in answer.text


def test_every_recipe_of_the_line_has_a_slider(tmp_path: Path, tiny_bundle: Bundle) -> None:
    cameras = (
        "views: {a: {camera: {kind: replay, path: a}}, b: {camera: {kind: replay, path: b}}}\n"
    )
    recipes = """\
recipes:
  1: {views: {b: {recipe: top}}}
  2: {recipe: tolerant}
  4: {views: {a: {recipe: side}, b: {recipe: top}}}
start_recipe: 1
"""
    config = load_config(write_line(tmp_path, cameras, recipes), LineConfig)
    assert [(one.recipe, one.numbers) for one in calibrated_of(config)] == [
        ("default", (1,)),
        ("top", (1, 4)),
        ("tolerant", (2,)),
        ("side", (4,)),
    ]


def test_the_page_names_the_right_that_is_missing(
    panel: Panel, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing_right(Calibrated(bundle.folder, "default")) is None
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path).name != "calibration")
    engineer = Browser(panel).log_in("engineer")
    text = engineer.get(PAGE).text
    assert f"who may not write here: {bundle.folder}/calibration." in text
    assert f"ReadWritePaths={bundle.folder}" in text
    assert f'action="{PAGE}/take"' not in text

"""A recipe with zones, from its file to verdicts: the commands, on a bundle of known scores."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.bundle import Bundle
from linewarden.command_line import main

LAYOUT = """\
reference: reference.png
zones:
  - name: rim
    polygons: [[[0, 0], [16, 0], [16, 24], [0, 24]]]
  - name: bore
    polygons:
      - [[16, 0], [32, 0], [32, 24], [16, 24]]
ignore:
  - [[20, 20], [32, 20], [32, 24], [20, 24]]
"""
CROSSES = "crosses or touches itself: the edges after corners 2 and 4 meet"
OUTSIDE = "the corner (33, 0) lies outside the frame of 32x32"


def image(path: Path, rim: int, bore: int) -> Path:
    frame = np.full((32, 32), 5, np.uint8)
    frame[3, 4], frame[3, 20], frame[22, 25], frame[28, 9] = rim, bore, 255, 255
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), frame)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(30):
        image(tmp_path / f"good/{number}.png", 20 + number, 100 + 2 * number)
    image(tmp_path / "reference.png", 20, 100)
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main([*map(str, words)])
    printed = capsys.readouterr()
    return code, (printed.out if code == 0 else printed.err).splitlines()


def test_zones_from_file_to_verdict(
    tiny_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, good = tiny_bundle.folder, folder / "good"
    calibrate = ["calibrate", bundle, "--good", good, "--false-reject-rate", 0.2]
    code, lines = said(
        capsys, *calibrate, "--layout", folder / "layout.yaml", "--report", folder / "page.html"
    )
    assert code == 0
    assert lines[:4] == [
        (
            "threshold 0.611765 from 30 good parts: false reject rate at most 19.53% with 95% "
            "confidence"
        ),
        "zone rim: threshold 0.184314; mask above 0.188235, regions of 2 px or more",
        "zone bore: threshold 0.611765; mask above 0.619608, regions of 1 px or more",
        "masks of all zones: at most 23.14% of good parts show one",
    ]
    page = (folder / "page.html").read_text()
    assert "exceed the threshold of some zone" in page
    assert "<th>bore</th>" in page

    tests = [
        image(folder / "test/good.png", 30, 120),
        image(folder / "test/rim.png", 60, 120),
        image(folder / "test/bore.png", 30, 200),
    ]
    saved = ["--save", folder / "saved"]
    _, lines = said(capsys, "inspect", "--bundle", bundle, "--json", *saved, *tests)
    records = [json.loads(line) for line in lines]
    assert [(one["verdict"], one["zone"]) for one in records] == [
        ("PASS", "rim"),
        ("REJECT", "rim"),
        ("REJECT", "bore"),
    ]
    _, lines = said(capsys, "inspect", "--bundle", bundle, tests[1])
    assert lines[0].endswith(" in rim")
    assert len(list((folder / "saved").glob("*.overlay.jpg"))) == 3

    _, lines = said(capsys, *calibrate)
    assert lines[0].endswith(": rim, bore, 1 ignored")
    assert lines[1].startswith("threshold 0.611765")
    _, lines = said(capsys, *calibrate, "--whole-frame")
    assert lines[0].startswith("threshold 1 from 30 good parts")


def test_the_slider_is_shown_and_moved(
    tiny_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny_bundle.folder
    said(
        capsys,
        *("calibrate", bundle, "--good", folder / "good", "--false-reject-rate", 0.2),
        *("--layout", folder / "layout.yaml"),
    )
    _, lines = said(capsys, "calibrations", "sensitivity", bundle)
    assert lines[0].split() == ["position", "rim", "bore", "expected", "bound"]
    (now,) = [line.split() for line in lines if line.startswith("*")][:1]
    assert now[2:] == ["0.184314", "0.611765", "9.68%", "19.53%"]
    move = ["calibrations", "sensitivity", bundle, "--to", 1]
    code, lines = said(capsys, *move)
    assert (code, lines) == (
        3,
        ["linewarden: moving the slider needs a reason: give it with --reason TEXT"],
    )
    _, lines = said(capsys, *move, "--reason", "escapes in May")
    (now,) = [line.split() for line in lines if line.startswith("*")][:1]
    assert now[1] == "0.984"  # the place nearest to the middle score
    assert now[4] == "48.39%"
    _, lines = said(capsys, "calibrations", "list", bundle)
    assert lines[2].endswith("sensitivity 1: escapes in May")


def test_what_does_not_fit_is_refused_before_anything_is_measured(
    tiny_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = folder / "layout.yaml"
    words = ["calibrate", tiny_bundle.folder, "--good", folder / "good", "--layout", layout]
    layout.write_text(LAYOUT.replace("[32, 24], [16, 24]", "[16, 24], [32, 24]"))
    assert said(capsys, *words) == (
        3,
        [f"linewarden: {layout}:7: zones.1.polygons.0: {CROSSES}"],
    )
    layout.write_text(LAYOUT.replace("[32, 0]", "[33, 0]"))
    assert said(capsys, *words) == (
        3,
        [f"linewarden: {layout}: zone 'bore', polygons.0: {OUTSIDE}"],
    )
    active = tiny_bundle.calibration_path("default")
    active.write_text("{}")
    code, lines = said(capsys, *words[:4])
    assert code == 3
    assert lines[-1].endswith(
        "give --layout FILE.yaml or --whole-frame: the zones of the recipe are not known"
    )
    assert active.read_text() == "{}"


def test_a_layout_is_tried_on_parts_and_then_taken(
    tiny_bundle: Bundle, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, layout, trial = tiny_bundle.folder, folder / "layout.yaml", folder / "trial.json"
    layout.write_text(
        "reference: reference.png\nignore: [[[16, 16], [32, 16], [32, 24], [16, 24]]]\n"
    )
    for number in range(30):  # the pixel of `image` outside of what is ignored stays dark
        frame = np.full((32, 32), 5, np.uint8)
        frame[3, 4] = 20 + number
        cv2.imwrite(str(folder / f"good/{number}.png"), frame)
    said(capsys, "calibrate", bundle, "--good", folder / "good", "--false-reject-rate", 0.2)
    before = tiny_bundle.calibration("default", "model.onnx")
    frame[3, 4], frame[22, 25] = 20, 255
    cv2.imwrite(str(folder / "spot.png"), frame)
    tried = ["layout", "try", bundle, layout, "--good", folder / "good", "--save", trial]
    parts = ["--parts", folder / "spot.png", folder / "good/0.png", folder / "gone.png"]
    code, lines = said(capsys, *tried, *parts)
    assert code == 0
    assert lines[-3:] == [
        f"{folder}/gone.png: is no longer there",
        "1 of 2 parts get another verdict",
        f"{folder}/spot.png: REJECT 1 -> PASS 0.0784314 in frame",
    ]
    assert tiny_bundle.calibration("default", "model.onnx") == before
    take = ["layout", "take", bundle, trial, "--author", "A. Inspector", "--reason", "a label"]
    assert said(capsys, *take)[0] == 0
    taken = tiny_bundle.calibration("default", "model.onnx")
    assert (taken.author, taken.reason, taken.previous_seal) == (
        "A. Inspector",
        "a label",
        before.seal,
    )
    assert taken.false_reject_rate_target == before.false_reject_rate_target
    assert taken.layout is not None
    code, lines = said(capsys, *take)  # the calibration that it compared with is no longer active
    assert code == 4
    assert "was calibrated again in between" in lines[0]
    trial.write_text("{}")
    assert said(capsys, *take)[0] == 4

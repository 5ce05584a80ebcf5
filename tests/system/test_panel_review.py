"""The page Review in Chromium beside a real line: labels, masks, disagreement, data sets."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.station.control import ask
from edge.store.reader import Filter, RecordReader
from inspection.bundle import Bundle
from inspection.images import read_image
from linewarden.command_line import main
from tests.doubles.fitting_page import OVERFLOW, violations, wait_for_text
from tests.doubles.line_folder import SOFTWARE_TRIGGER, part, running, write_line, write_parts
from tests.doubles.served_panel import DESK, PHONE, ServedPanel, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.slow
LIMIT_MS = 20_000
RECORDS = """\
records:
  folder: records
  images: {keep: [PASS, REJECT], max_bytes: 1000000, min_free_bytes: 0}
"""


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A line that passes brightness up to 100: one good part, one too bright, one with a spot."""
    good = write_parts(tmp_path / "good", *(part(level) for level in (20, 40, 60, 100)))
    assert main(["calibrate", str(tiny_bundle.folder), "--good", str(good)]) == 0
    write_parts(tmp_path / "parts", part(50), part(150), part(50, spot=True))
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECORDS)


def stored(line: Path, trigger_id: str) -> Any:
    with RecordReader(line.parent / "records") as reader:
        return next(reader.find(Filter(trigger_id=trigger_id)), None)


def trigger(line: Path) -> str:
    trigger_id = str(ask(line.parent / "line.sock", "trigger")["trigger_id"])
    wait_for(lambda: stored(line, trigger_id) is not None, 20)
    return trigger_id


def open_part(page: Any, panel: ServedPanel, trigger_id: str) -> None:
    page.goto(f"{panel.address}/lines/line/review/parts/{trigger_id}")
    page.wait_for_selector("#canvas[data-trigger]", timeout=LIMIT_MS)


def place_of(page: Any, pixel: tuple[int, int]) -> tuple[float, float]:
    """Returns the place of a pixel of the 32x32 frame on the page."""
    box = page.locator("#layer").bounding_box()
    x, y = pixel
    return (box["x"] + box["width"] * (x + 0.5) / 32, box["y"] + box["height"] * (y + 0.5) / 32)


def stroke(page: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    """Paints from one pixel to another, with the mouse."""
    page.mouse.move(*place_of(page, start))
    page.mouse.down()
    page.mouse.move(*place_of(page, end), steps=4)
    page.mouse.up()


def decide(page: Any, key: str, why: str, defect: str = "") -> None:
    """Fills the form and presses a key, as a person does; the next page is then there."""
    here = page.url
    page.fill("#decide [name=why]", why)
    page.fill("#decide [name=defect]", defect)
    page.locator("h1").click()  # a key within a field is a letter
    page.keyboard.press(key)
    page.wait_for_url(lambda url: url != here, timeout=LIMIT_MS)


def look(page: Any, panel: ServedPanel, *paths: str) -> None:
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        for path in paths:
            page.goto(f"{panel.address}/lines/line/review{path}")
            page.wait_for_load_state("networkidle")
            assert violations(page) == [], path
            assert page.evaluate(OVERFLOW) <= 0, path
    page.set_viewport_size(DESK)


def label_and_paint(page: Any, panel: ServedPanel, line: Path, spot: str, bright: str) -> None:
    """An operator finds the defect, paints it, and tells it from a false reject."""
    page.goto(f"{panel.address}/lines/line/review")
    cards = page.locator(".parts a")
    assert [cards.nth(n).get_attribute("data-trigger") for n in range(2)] == [spot, bright]
    assert cards.count() == 2
    open_part(page, panel, spot)
    assert page.locator("#undo").is_disabled()
    stroke(page, (20, 11), (23, 11))
    stroke(page, (2, 2), (2, 30))
    page.keyboard.press("Control+z")
    stroke(page, (20, 13), (23, 13))
    page.touchscreen.tap(*place_of(page, (28, 28)))
    decide(page, "1", "seen by eye", "spot")
    assert page.url.endswith(bright)
    wait_for_text(page, "This part would pass.")
    decide(page, "2", "only bright")
    assert page.url.endswith("/review")

    labelled = stored(line, spot)
    assert labelled.label == "spot"
    mask = read_image(line.parent / "records/images" / labelled.mask)
    assert mask.shape == (32, 32)
    assert (mask[[11, 13], 20:24] == 255).all()
    assert mask[28, 28] == 255
    assert not mask[:, :10].any()  # the stroke that was taken back
    assert stored(line, bright).label == "good"


def disagree_and_settle(page: Any, panel: ServedPanel, line: Path, spot: str) -> None:
    log_in(page, panel.address, "engineer")
    open_part(page, panel, spot)
    wait_for_text(page, "seen by eye")
    decide(page, "2", "within limits")
    assert stored(line, spot).label == "disputed"
    page.goto(f"{panel.address}/lines/line/review")
    page.get_by_role("link", name="Second opinion").click()
    wait_for_text(page, "people disagree")
    page.locator(f".parts a[data-trigger='{spot}']").click()
    page.wait_for_selector("#disputed")
    log_in(page, panel.address, "admin")
    open_part(page, panel, spot)
    decide(page, "1", "a third look", "spot")
    assert stored(line, spot).label == "spot"
    # Whoever thinks again takes the label back; it stays in the history.
    log_in(page, panel.address, "engineer")
    open_part(page, panel, spot)
    page.locator("summary", has_text="Take back").click()
    page.locator("details [name=why]").fill("I was wrong")
    page.locator("details button").click()
    wait_for_text(page, "taken back by engineer")
    with RecordReader(line.parent / "records") as reader:
        (found,) = reader.find(Filter(trigger_id=spot))
        labels = reader.labels(found.number)
    assert [(one.author, one.label, one.note, one.withdrawn_by) for one in labels] == [
        ("operator", "spot", "seen by eye", None),
        ("engineer", "good", "within limits", "engineer"),
        ("admin", "spot", "a third look", None),
    ]


def make(page: Any, panel: ServedPanel, line: Path, purpose: str) -> Path:
    """Makes a data set as an engineer does; returns its folder."""
    page.goto(f"{panel.address}/lines/line/review")
    page.locator("summary", has_text=f"Use for {purpose}").click()
    form = page.locator("details[open] form")
    form.locator("[name=why]").fill("two weeks of May")
    form.locator("button").click()
    pattern = f"line-*-{purpose}/origin.jsonl"
    wait_for(lambda: list((line.parent / "sets").glob(pattern)) != [], 20)
    (origin,) = (line.parent / "sets").glob(pattern)
    wait_for_text(page, origin.parent.name)
    return origin.parent


def test_labels_of_people_change_the_next_calibration(line: Path, tiny_bundle: Bundle) -> None:
    errors: list[str] = []
    with served(line, data_sets="sets") as panel, chromium(has_touch=True) as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda got: errors.append(got.url) if got.status >= 400 else None)
        with running(line) as process:
            _, bright, spot = (trigger(line) for _ in range(3))
            log_in(page, panel.address)
            label_and_paint(page, panel, line, spot, bright)
            disagree_and_settle(page, panel, line, spot)
            training = make(page, panel, line, "training")
            calibration = make(page, panel, line, "calibration")
            look(page, panel, "", f"/parts/{spot}", f"/parts/{bright}")
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.goto(f"{panel.address}/lines/line/review/parts/{spot}")
            wait_for_text(page, f"linewarden records label {line} {spot}")
            assert page.locator("#decide").count() == 0
    assert errors == []

    found = sorted(path.relative_to(training).as_posix() for path in training.rglob("*.png"))
    assert found == [
        f"ground_truth/spot/{spot}_mask.png",
        f"test/spot/{spot}.png",
        f"train/good/{bright}.png",
    ]
    assert set(np.unique(read_image(training / found[0]))) == {0, 255}
    origin = [json.loads(text) for text in (calibration / "origin.jsonl").read_text().splitlines()]
    assert [one["record"]["trigger_id"] for one in origin] == [bright]
    before = tiny_bundle.calibration("default", "model.onnx").thresholds.reject
    words = ["calibrate", tiny_bundle.folder, "--good", line.parent / "good"]
    assert main([*map(str, words), "--more-good", str(calibration)]) == 0
    after = tiny_bundle.calibration("default", "model.onnx").thresholds.reject
    assert before == pytest.approx(100 / 255)
    assert after == pytest.approx(150 / 255)

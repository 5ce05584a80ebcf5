"""Zones in Chromium: a zone drawn with the mouse changes the verdict of a running line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.station.control import ask
from edge.store.reader import Filter, RecordReader
from inspection.bundle import Bundle
from inspection.images import encode_png
from tests.doubles.fitting_page import OVERFLOW, violations
from tests.doubles.line_folder import (
    RECORDS,
    SOFTWARE_TRIGGER,
    linewarden,
    part,
    running,
    told,
    write_line,
    write_parts,
)
from tests.doubles.served_panel import DESK, PHONE, ServedPanel, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.slow
WAIT_MS = 60_000
GOOD = 60  # enough for the promise of the calibration


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A line whose parts all have a spot, which it rejects; beside good parts without one."""
    write_parts(tmp_path / "parts", part(50, spot=True))
    (tmp_path / "good").mkdir()
    for number in range(GOOD):
        image = part(50)
        image[2, 3] = 60 + number
        (tmp_path / f"good/{number}.png").write_bytes(encode_png(image))
    calibrated = linewarden(
        *("calibrate", tiny_bundle.folder, "--good", tmp_path / "good"),
        *("--false-reject-rate", "0.1"),
    )
    assert calibrated.returncode == 0, calibrated.stderr
    recipes = "recipes: {1: {recipe: default}}\nstart_recipe: 1\n"
    return write_line(tmp_path, SOFTWARE_TRIGGER, recipes, RECORDS)


class Stage:
    """The drawing on the page, by pixels of the frame of 32x32."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Returns the place of a pixel of the frame in the window."""
        self.page.locator("#stage").scroll_into_view_if_needed()
        matrix = self.page.evaluate(
            "() => { const m = document.querySelector('#stage').getScreenCTM();"
            " return [m.a, m.e, m.d, m.f]; }"
        )
        return matrix[0] * x + matrix[1], matrix[2] * y + matrix[3]

    def draw(self, *corners: tuple[float, float]) -> None:
        """Draws a polygon with the mouse; a click on the first corner closes it."""
        self.page.click("#draw")
        for x, y in (*corners, corners[0]):
            self.page.mouse.click(*self.at(x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drags with the mouse."""
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*end), steps=4)
        self.page.mouse.up()

    def touch(self, x: float, y: float) -> None:
        """Touches a place with a finger."""
        self.page.touchscreen.tap(*self.at(x, y))

    def corners(self) -> list[list[float]]:
        """Returns the corners in the table, which are those of the selected shape."""
        rows = self.page.locator("#corners div").all()
        return [[float(box.input_value()) for box in row.locator("input").all()] for row in rows]


@pytest.fixture
def page() -> Iterator[Any]:
    with chromium(has_touch=True) as page:
        yield page


def assert_near(found: npt.ArrayLike, expected: npt.ArrayLike) -> None:
    """Compares corners, to a third of a pixel of the frame."""
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=0.34)


def expect_text(page: Any, selector: str, pattern: str) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = page.locator(selector)
    api.expect(found).to_contain_text(re.compile(pattern), timeout=WAIT_MS)


def judged(line: Path) -> dict[str, Any]:
    """Has the line judge its next part, and returns its verdict."""
    before = len(told(line))
    ask(line.parent / "line.sock", "trigger")
    wait_for(lambda: len(told(line)) > before, 60)
    return told(line)[-1]


def open_page(page: Any, panel: ServedPanel) -> Stage:
    page.goto(f"{panel.address}/lines/line/zones")
    page.wait_for_selector("#stage polygon, #stage image")
    return Stage(page)


def edited(page: Any, stage: Stage) -> None:
    """Draws what is ignored by mouse, and mends it by finger, keys and numbers."""
    stage.draw((12, 8), (26, 8), (26, 18), (12, 18))
    expect_text(page, "#state", "fits")
    assert_near(stage.corners(), [[12, 8], [26, 8], [26, 18], [12, 18]])
    stage.drag((12, 8), (18, 9))
    assert_near(stage.corners()[0], [18, 9])
    page.click("#undo")
    assert_near(stage.corners()[0], [12, 8])
    page.click("#redo")
    assert_near(stage.corners()[0], [18, 9])
    page.locator("#stage [data-corner='1']").focus()
    for key in ("ArrowRight", "Shift+ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert_near(stage.corners()[1], [17, 7])
    page.locator("#corners div").nth(1).locator("input").last.fill("30")
    page.keyboard.press("Tab")
    expect_text(page, "#state", "crosses or touches itself: the edges after corners 1 and 3 meet")
    page.locator("#corners div").nth(1).locator("input").last.fill("8")
    page.keyboard.press("Tab")
    page.locator("#corners div").nth(1).locator("input").first.fill("26")
    page.keyboard.press("Tab")
    page.locator("#stage [data-corner='0']").focus()
    page.keyboard.press("Delete")
    assert len(stage.corners()) == 3
    page.click("#undo")
    page.select_option("#kind", "ignore")
    expect_text(page, "#state", "fits")


def touched(page: Any, stage: Stage) -> None:
    """Draws a fixture mark by finger, mends it, and takes it away again."""
    page.tap("#draw")
    for x, y in ((2, 22), (12, 22), (12, 30)):
        stage.touch(x, y)
    page.tap("#finish")
    assert_near(stage.corners(), [[2, 22], [12, 22], [12, 30]])
    page.select_option("#kind", "mark")  # the rectangle around it, which stays one
    assert_near(stage.corners(), [[2, 22], [12, 22], [12, 30], [2, 30]])
    stage.drag((12, 30), (14, 31))
    assert_near(stage.corners(), [[2, 22], [14, 22], [14, 31], [2, 31]])
    stage.drag((2, 31), (3, 29))
    assert_near(stage.corners(), [[3, 22], [14, 22], [14, 29], [3, 29]])
    expect_text(page, "#state", r"the mark 11x7 at \(3, 22\) is too small")
    page.tap("#delete")


def changed_by_form(page: Any, button: str, why: str) -> None:
    form = page.locator("form.change", has=page.locator(f"button:text-is('{button}')"))
    form.locator("[name=why]").fill(why)
    form.locator("button").click()


def save(page: Any, why: str, version: int) -> None:
    changed_by_form(page, "Save as new version", why)
    page.wait_for_url(f"**version={version}", timeout=WAIT_MS)


def try_it(page: Any) -> None:
    changed_by_form(page, "Try it", "as before")
    expect_text(page, "[data-refresh]", r"\d of \d parts get another verdict|problem|refuse")


def looked_at(page: Any, pictures: Path) -> None:
    """Checks the page at a desk and on a phone."""
    for name, size in (("desk", DESK), ("phone", PHONE)):
        page.set_viewport_size(size)
        page.wait_for_timeout(300)
        assert violations(page) == [], name
        assert page.evaluate(OVERFLOW) <= 0, name
        page.screenshot(path=pictures / f"{name}.png", full_page=True)
    page.set_viewport_size(DESK)


def test_a_zone_drawn_with_the_mouse_changes_a_verdict(line: Path, page: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    good = f"{{line: {line.parent / 'good'}}}"
    with running(line), served(line, good_parts=good) as panel:
        before = judged(line)
        assert before["verdict"] == "REJECT"
        log_in(page, panel.address, "engineer")
        stage = open_page(page, panel)
        touched(page, stage)
        edited(page, stage)
        save(page, "a label lies there", 1)
        assert judged(line)["verdict"] == "REJECT"  # what is saved changes nothing yet
        try_it(page)
        expect_text(page, "[data-refresh]", "[12] of 2 parts get another verdict")
        expect_text(page, "[data-refresh] tbody", r"REJECT[\s\S]*PASS")
        looked_at(page, line.parent)

        panel.kill()  # in the middle: after the trial, before it is taken
        assert judged(line)["verdict"] == "REJECT"
        panel.start()
        log_in(page, panel.address, "engineer")
        open_page(page, panel)
        expect_text(page, "[data-refresh]", "parts get another verdict")
        changed_by_form(page, "Take it", "label on the part")
        expect_text(page, "main", r"1\s+✔ active")
        wait_for(lambda: judged(line)["verdict"] == "PASS", 60)
        assert recorded_layout(line) == [4]

        page.goto(f"{panel.address}/lines/line/health")
        row = page.locator("tr", has_text="label on the part")
        row.locator("summary").click()
        row.locator("[name=why]").fill("it was a defect")
        row.locator("button").click()
        wait_for(lambda: judged(line)["verdict"] == "REJECT", 60)
    assert errors == []


def recorded_layout(line: Path) -> list[int]:
    """Returns the corners of each ignored polygon in the calibration that the last record names."""
    active = json.loads((line.parent / "bundle/calibration/default.json").read_text())
    assert (active["author"], active["reason"]) == ("engineer", "label on the part")
    wait_for(lambda: last_seal(line) == active["seal"], 60)
    return [len(polygon) for polygon in active["layout"]["ignore"]]


def last_seal(line: Path) -> str:
    """Returns the seal of the calibration in the newest record."""
    with RecordReader(line.parent / "records") as reader:
        (last,) = reader.find(Filter(), limit=1, newest_first=True)
    return last.record.calibration_seal

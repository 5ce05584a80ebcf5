"""The sensitivity page in Chromium: a place on the slider judges the next part of a real line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.calibrate import calibrate
from calibration.thresholds import CalibrationTargets
from edge.part.record import InspectionRecord
from edge.station.control import ask
from edge.store.labels import add_label
from edge.store.reader import Filter, RecordReader
from inspection.bundle import Bundle
from inspection.images import encode_png
from tests.doubles.fitting_page import OVERFLOW, violations, wait_for_text
from tests.doubles.line_folder import SOFTWARE_TRIGGER, part, running, write_line, write_parts
from tests.doubles.served_panel import DESK, PHONE, ServedPanel, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.slow
PAGE = "lines/line/sensitivity"
RECORDS = """\
records:
  folder: records
  images: {max_bytes: 1000000, min_free_bytes: 0, keep: [PASS, REJECT]}
"""


def write_good(folder: Path) -> list[Path]:
    """Writes 80 good parts, each with another brightest pixel from 60 to 139."""
    folder.mkdir()
    for level in range(60, 140):
        image = part(20)
        image[3, 4] = level
        (folder / f"{level}.png").write_bytes(encode_png(image))
    return sorted(folder.iterdir())


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """A line that rejects a brightness above 139, and sees 150, 120, 136 and 70 in turn."""
    calibrate(tiny_bundle, write_good(tmp_path / "good"), CalibrationTargets(0.01))
    write_parts(tmp_path / "parts", *(part(level) for level in (150, 120, 136, 70)))
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECORDS)


def inspected(line: Path) -> InspectionRecord:
    """Lets a part come, and returns its record."""
    trigger = ask(line.parent / "line.sock", "trigger")["trigger_id"]

    def found() -> InspectionRecord | None:
        with RecordReader(line.parent / "records") as reader:
            return next((one.record for one in reader.find(Filter(trigger_id=trigger))), None)

    wait_for(lambda: found() is not None, 20)
    record = found()
    assert record is not None
    return record


def threshold_on(page: Any) -> float:
    return float(page.inner_text("#threshold"))


def test_a_place_on_the_slider_judges_the_next_part_and_is_taken_back(line: Path) -> None:
    with running(line), served(line) as panel, chromium() as page:
        first, second, *_ = [inspected(line) for _ in range(4)]
        for one, label in ((first, "dent"), (second, "good")):
            add_label(line.parent / "records", one.trigger_id, label, author="anna", note="")
        log_in(page, panel.address, "engineer")
        page.goto(f"{panel.address}/{PAGE}")
        assert threshold_on(page) == pytest.approx(first.threshold, abs=1e-6)
        wait_for_text(page, "The line inspects with this calibration")
        wait_for_text(page, "Labelled defective: 1. Rejected here: 1, passed: 0")
        wait_for_text(page, "Labelled good: 1. Rejected here: 0, passed: 1")
        wait_for_text(page, r"4 of the latest 4 parts[\s\S]*Rejected in addition: 0\.")
        page.focus("#slider")
        page.keyboard.press("End")
        wait_for_text(page, r"Rejected in addition: 2\.")
        assert page.locator("#more-parts img").count() == 2
        wanted = threshold_on(page)
        assert wanted < first.threshold
        assert wanted == pytest.approx(float(np.float32(100 / 255)), abs=0.05)
        fits(page)
        page.fill("#take [name=why]", "escapes in May")
        page.click("#take button")
        wait_for_text(page, "The line inspects with this calibration, threshold")
        wait_for_text(page, "by engineer. Reason: sensitivity 1: escapes in May")
        taken = inspected(line)
        assert taken.threshold == pytest.approx(wanted, abs=1e-6)
        take_back(page, panel)
        assert inspected(line).threshold == first.threshold


def take_back(page: Any, panel: ServedPanel) -> None:
    """Takes the change back from the log of changes."""
    page.goto(f"{panel.address}/lines/line/health")
    row = page.locator("tr", has_text="escapes in May")
    row.locator("summary").click()
    row.locator("[name=why]").fill("too many rejects")
    row.locator("button").click()
    wait_for_text(page, "Reason: rollback to .*: too many rejects")
    wait_for_text(page, "The line inspects with this calibration, threshold")


def fits(page: Any) -> None:
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        assert violations(page) == []
        assert page.evaluate(OVERFLOW) <= 0

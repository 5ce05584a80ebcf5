"""Teach in Chromium: collect from a real line, teach in a job that outlives the panel, try it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.station.control import ask
from inspection.bundle import Bundle
from inspection.images import read_image
from tests.doubles.fitting_page import OVERFLOW, violations, wait_for_text
from tests.doubles.line_folder import (
    GENEROUS_S,
    RECORDS,
    SOFTWARE_TRIGGER,
    running,
    write_line,
    write_parts,
)
from tests.doubles.served_panel import DESK, PHONE, ServedPanel, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.slow
PARTS = 6
JOB_MS = 400_000  # at the lowest priority, on a machine that runs other tests
WIDTH = "picture => picture.naturalWidth"
PAGE = "lines/line/teach/flange"


def image(number: int, *, spot: bool = False) -> Any:
    """Returns a part that differs from the others, in grey of the tiny bundle's size."""
    rng = np.random.default_rng(number)
    part = np.kron(rng.integers(70, 110, (8, 8)), np.ones((4, 4)))
    part = np.clip(part + rng.normal(0, 4, part.shape), 0, 250).astype(np.uint8)
    if spot:
        part[10:18, 10:18] = 250
    return part


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    pytest.importorskip("timm", reason="needs the extra export")
    write_parts(tmp_path / "parts", *(image(number) for number in range(PARTS)))
    write_parts(tmp_path / "stills", image(7), image(8, spot=True))
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECORDS)


def begin(page: Any, panel: ServedPanel) -> None:
    page.goto(f"{panel.address}/lines/line/teach")
    page.fill("[name=name]", "flange")
    page.fill("[name=why]", "a new part")
    page.click("main button")
    page.wait_for_url(f"**/{PAGE}")


def collect(page: Any, line: Path) -> None:
    """Collects the first part by hand, and the others by themselves."""
    ask(line.parent / "line.sock", "trigger")
    page.wait_for_selector("#live-picture:not([hidden])")
    form = page.locator("form[action$='/collect']")
    form.locator("[name=why]").fill("shift 1")
    form.locator("button").click()
    wait_for_text(page, rf"1 of {PARTS}")
    page.check("#each")
    for number in range(2, PARTS + 1):
        ask(line.parent / "line.sock", "trigger")
        wait_for_text(page, rf"{number} of {PARTS}")
    page.uncheck("#each")
    ask(line.parent / "line.sock", "trigger")  # the recording begins again
    wait_for_text(page, "Nearly the same")


def start(page: Any, why: str) -> None:
    form = page.locator("form[action$='/start']", has=page.locator("[value=teach]"))
    form.locator("[name=why]").fill(why)
    form.locator("button").click()


def teach(page: Any, panel: ServedPanel) -> None:
    """Teaches, with a panel that is killed in between and comes back."""
    start(page, "first model")
    wait_for_text(page, "Teach: (waits for its turn|runs)")
    panel.kill()
    panel.start()
    page.goto(f"{panel.address}/{PAGE}")
    wait_for_text(page, "Teach: (waits for its turn|runs|done)")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    done = page.locator("#job .light.done")
    api.expect(done).to_be_attached(timeout=JOB_MS)
    wait_for_text(page, "bundle is there")


def try_it_on(page: Any, line: Path) -> None:
    page.click("main a:has-text('Teach 20')")
    judged = f"from {PARTS} good parts, each judged by a model of the others"
    wait_for_text(page, rf"threshold .* {judged}: false reject rate at most 14\.29% on average")
    form = page.locator("form[action$='/try']")
    form.locator("[name=images]").set_input_files(
        [line.parent / "stills/0.png", line.parent / "stills/1.png"]
    )
    form.locator("[name=why]").fill("does it see the spot")
    form.locator("button").click()
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    rejected = page.locator(".teach-stills li", has_text="REJECT").locator("p", has_text="1.png")
    api.expect(rejected).to_be_attached(timeout=JOB_MS)
    for picture in page.locator(".teach-pair img").all():
        picture.scroll_into_view_if_needed()
        wait_for(lambda: picture.evaluate(WIDTH) > 0, GENEROUS_S)  # noqa: B023 - at once
    report = page.frame_locator("iframe").locator("body")
    report.locator("img").first.wait_for(state="attached")


def cancel(page: Any, panel: ServedPanel) -> None:
    page.goto(f"{panel.address}/{PAGE}")
    start(page, "once more")
    page.click("summary:has-text('Cancel the job')")
    form = page.locator("form[action$='/cancel']")
    form.locator("[name=why]").fill("a mistake")
    form.locator("button").click()
    wait_for_text(page, "Teach: cancelled")


def look(page: Any, *addresses: str) -> None:
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        for address in addresses:
            page.goto(address)
            page.wait_for_load_state("networkidle")
            assert violations(page) == [], address
            assert page.evaluate(OVERFLOW) <= 0, address
    page.set_viewport_size(DESK)


def test_a_part_is_taught_from_the_line(line: Path, tmp_path: Path) -> None:
    teach_settings = f"{{goal: {PARTS}, import_root: ., min_free_bytes: 0}}"
    errors: list[str] = []
    with running(line), served(line, teach=teach_settings) as panel, chromium() as page:
        log_in(page, panel.address, "engineer")
        begin(page, panel)
        page.on("pageerror", lambda error: errors.append(str(error)))
        collect(page, line)
        good = sorted((tmp_path / "panel/teach/line/flange/good").iterdir())
        assert all(
            np.array_equal(read_image(path), image(number)) for number, path in enumerate(good)
        )
        teach(page, panel)
        try_it_on(page, line)
        result = page.url
        cancel(page, panel)
        look(page, f"{panel.address}/lines/line/teach", f"{panel.address}/{PAGE}", result)
        assert ask(line.parent / "line.sock", "state")["state"] == "ready"
    wait_for(lambda: not list((tmp_path / "panel/jobs/queue").iterdir()), GENEROUS_S)
    assert errors == []

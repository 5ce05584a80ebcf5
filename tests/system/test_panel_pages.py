"""Every page of the panel in Chromium: nothing cut, at a desk or a phone, and accessible."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from edge.station.control import ask
from edge.store.database import changing
from edge.store.troubles import PastTrouble, write_troubles
from inspection.bundle import Bundle
from tests.doubles.fitting_page import OVERFLOW, violations, wait_for_text
from tests.doubles.line_folder import (
    RECORDS,
    SOFTWARE_TRIGGER,
    add_tolerant_recipe,
    part,
    running,
    write_line,
    write_parts,
)
from tests.doubles.served_panel import DESK, PHONE, ServedPanel, chromium, log_in, served

pytestmark = pytest.mark.slow
# Whether each of two events lets the browser send a form: a double click sends it once.
SENDS_TWICE = """form => [1, 2].map(() => form.dispatchEvent(
    new SubmitEvent("submit", {bubbles: true, cancelable: true})))"""
PAGES = ("lines/line/live", "lines/line/recipes", "lines/line/health", "accounts", "password")


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    add_tolerant_recipe(tiny_bundle)
    write_parts(tmp_path / "parts", part(50), part(150, spot=True))
    recipes = "recipes: {1: {recipe: default}, 2: {recipe: tolerant}}\nstart_recipe: 1\n"
    return write_line(tmp_path, SOFTWARE_TRIGGER, recipes, RECORDS)


def change_over(page: Any, panel: ServedPanel, line: Path) -> None:
    """Changes to recipe 2 as a person does, and takes it back from the log of changes."""
    page.goto(f"{panel.address}/lines/line/recipes")
    row = page.locator("tr", has_text="tolerant")
    row.locator("summary").click()
    row.locator("[name=why]").fill("lot 4711")
    row.locator("button").click()
    wait_for_text(page, r"Changeovers\s+1")
    assert ask(line.parent / "line.sock", "recipe")["active"] == 2
    page.goto(f"{panel.address}/lines/line/health")
    row = page.locator("tr", has_text="lot 4711")
    assert "operator" in row.inner_text()
    row.locator("summary").click()
    row.locator("[name=why]").fill("a mistake")
    row.locator("button").click()
    wait_for_text(page, r"Changeovers\s+2")
    assert ask(line.parent / "line.sock", "recipe")["active"] == 1


def be_troubled(folder: Path) -> None:
    """Enters troubles with long messages, as a line does that had them."""
    why = "opcua: connection refused by opc.tcp://controller-of-the-second-press.plant.example:4840"
    now = datetime.now(timezone.utc)
    night = [PastTrouble("output", "opcua", why + "!" * n, now, 912.0) for n in range(9)]
    with changing(folder) as connection:
        write_troubles(connection, night)


def test_every_page_fits_and_is_accessible(line: Path) -> None:
    errors: list[str] = []
    with running(line), served(line) as panel, chromium() as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "response", lambda got: errors.append(got.url) if got.status >= 400 else None
        )  # a picture, a style or a script that is not there
        ask(line.parent / "line.sock", "trigger")
        log_in(page, panel.address)
        be_troubled(line.parent / "records")
        change_over(page, panel, line)
        log_in(page, panel.address, "admin")
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            for path in PAGES:
                page.goto(f"{panel.address}/{path}")
                page.wait_for_load_state("load")
                # Without a signal the last values are faint on purpose: they are not to be read.
                page.wait_for_selector("body:not(.no-signal)")
                assert violations(page) == [], path
                assert page.evaluate(OVERFLOW) <= 0, path
        assert page.locator("main form").evaluate(SENDS_TWICE) == [True, False]
    assert errors == []

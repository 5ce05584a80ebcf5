"""Checks of a page in a browser: accessible, not wider than the screen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

OVERFLOW = "document.documentElement.scrollWidth - innerWidth"

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def violations(page: Any) -> list[str]:
    """Returns what axe-core finds."""
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", _RULES)["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def wait_for_text(page: Any, pattern: str) -> None:
    """Waits by the driver, because the pages allow no script that comes as text."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    body = api.expect(page.locator("body"))
    body.to_contain_text(re.compile(pattern), use_inner_text=True, timeout=20_000)

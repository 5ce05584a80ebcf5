"""`linewarden panel` as a process beside a line, and a person in a headless Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.line_folder import GENEROUS_S, ROOT, command
from tests.doubles.panel import PASSWORD, config_of, opened
from tests.doubles.waiting import wait_for

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


_ADDRESS = re.compile(r"the panel is at (\S+)")


class ServedPanel:
    """A running panel.

    Attributes:
        address: such as http://127.0.0.1:41234.
    """

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._config = config

    def start(self, *settings: str) -> None:
        """Starts it, and waits for its address."""
        options = [word for setting in settings for word in ("--set", setting)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command("panel", "--config", self._config, *options), cwd=ROOT, stderr=log
            )
        wait_for(lambda: self._found() or self.process.poll() is not None, GENEROUS_S)  # type: ignore[union-attr]
        found = self._found()
        assert found is not None, self._log.read_text()
        self.address = found[1]

    def kill(self) -> None:
        """Ends it as a kill -9 does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _found(self) -> re.Match[str] | None:
        return _ADDRESS.search(self._log.read_text())


@contextmanager
def served(line: Path, **settings: str) -> Iterator[ServedPanel]:
    """Serves a panel beside the configuration of a line within the block.

    It has one person of each role, named as the role, with `PASSWORD`.
    """
    folder = line.parent
    with opened(config_of(folder, line)):
        pass
    config = folder / "panel.yaml"
    extra = "".join(f"{name}: {value}\n" for name, value in settings.items())
    config.write_text(f"port: 0\nlines: {{line: {line.name}}}\nfolder: panel\n{extra}")
    panel = ServedPanel(config)
    panel.start()
    try:
        yield panel
    finally:
        panel.kill()


@contextmanager
def chromium(**context: Any) -> Iterator[Any]:
    """Opens a page of the system's Chromium; skips the test where it or its driver is absent.

    Args:
        context: of Playwright's `Browser.new_context`, such as `viewport`.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs the browser chromium (Debian: apt install chromium)")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        page = browser.new_context(**{"viewport": DESK, "locale": "en", **context}).new_page()
        try:
            yield page
        finally:
            browser.close()


def log_in(page: Any, address: str, name: str = "operator") -> None:
    """Logs a person in; the page is then the first one."""
    page.goto(f"{address}/login")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/lines/**")

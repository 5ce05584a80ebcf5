"""The live page in Chromium, beside a real line on the replay camera."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

import pytest

from edge.station.control import ask
from edge.store.reader import Filter, RecordReader
from tests.doubles.line_folder import (
    RECORDS,
    SOFTWARE_TRIGGER,
    part,
    running,
    told,
    write_line,
    write_parts,
)
from tests.doubles.panel import PASSWORD
from tests.doubles.served_panel import PHONE, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytestmark = pytest.mark.slow
LIMIT_MS = 20_000


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: object) -> Path:
    """A line whose second part of three is a reject."""
    write_parts(tmp_path / "parts", part(50), part(50, spot=True), part(60))
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECORDS)


def trigger(line: Path) -> str:
    return str(ask(line.parent / "line.sock", "trigger")["trigger_id"])


def wait_for_record(line: Path, trigger_id: str) -> None:
    def is_there() -> bool:
        with RecordReader(line.parent / "records") as reader:
            return any(reader.find(Filter(trigger_id=trigger_id)))

    wait_for(is_there, 20)


def wait_for_kind(page: Any, kind: str) -> None:
    page.wait_for_selector(f"#verdict[data-kind={kind}]", timeout=LIMIT_MS)


def wait_for_part(page: Any, trigger_id: str) -> None:
    page.wait_for_function(
        "id => document.querySelector('#part').textContent === id", arg=trigger_id, timeout=LIMIT_MS
    )


def painted_colour(page: Any, trigger_id: str) -> list[int]:
    """The colour of the part on the canvas, from the line's memory: the archive keeps no pass."""
    page.wait_for_selector(f"#canvas[data-trigger='{trigger_id}']", timeout=LIMIT_MS)
    found: list[int] = page.evaluate(
        "[...document.querySelector('#canvas').getContext('2d').getImageData(16, 24, 1, 1).data]"
    )
    return found


def test_the_page_shows_the_record_and_never_a_stale_verdict(line: Path) -> None:
    errors: list[str] = []
    with served(line) as panel, chromium() as page:
        page.on("pageerror", lambda error: errors.append(str(error)))
        with running(line) as process:
            log_in(page, panel.address)
            for _ in range(3):
                trigger_id = trigger(line)
                wait_for_part(page, trigger_id)
                with RecordReader(line.parent / "records") as reader:
                    (stored,) = reader.find(Filter(trigger_id=trigger_id))
                wait_for_kind(page, stored.record.verdict.value)
                assert page.inner_text("#word") == stored.record.verdict.value
                assert page.inner_text("#score") == f"{stored.record.score:.4g} / 0.5"
            assert page.inner_text("#count-PASS") == "2"
            assert page.inner_text("#count-REJECT") == "1"
            assert painted_colour(page, trigger_id)[:3] == pytest.approx([60, 60, 60], abs=3)

            page.check("#freeze")
            for _ in range(3):
                wait_for_record(line, trigger(line))
            wait_for_kind(page, "REJECT")
            assert page.inner_text("#why") == "Frozen"
            page.click("#back")
            wait_for_kind(page, "PASS")

            process.send_signal(signal.SIGKILL)
            wait_for_kind(page, "NO_SIGNAL")
            assert page.inner_text("#word") == "NO SIGNAL"
        with running(line):
            wait_for_kind(page, "PASS")  # the line is back, with the part before
            page.set_viewport_size(PHONE)
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
            assert errors == []
            panel.kill()
            wait_for_kind(page, "NO_SIGNAL")
            assert page.inner_text("#why") == "The panel does not answer."


def test_a_killed_panel_loses_no_record(tmp_path: Path, tiny_bundle: object) -> None:
    """Fifty parts a second, a page that follows them, a panel that is killed and comes back."""
    write_parts(tmp_path / "parts", part(50), part(50, spot=True))
    camera = "camera: {kind: replay, path: parts, loop: true, rate_hz: 50}\n"
    line = write_line(tmp_path, camera, "control_socket: line.sock\n", RECORDS)
    with served(line) as panel, running(line) as process:
        for _ in range(2):
            with follower(panel.address):
                wait_for_parts(line, 50)
                panel.kill()
            wait_for_parts(line, 25)
            panel.start()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    with RecordReader(tmp_path / "records") as reader:
        stored = [one.record for one in reader.find(Filter())]
    assert [one.trigger_id for one in stored] == [one["trigger_id"] for one in told(line)]
    numbers = [int(one.trigger_id.rpartition("-")[2]) for one in stored]
    assert all(after == before + 1 for before, after in itertools.pairwise(numbers))


def wait_for_parts(line: Path, count: int) -> None:
    before = len(told(line))
    wait_for(lambda: len(told(line)) >= before + count, 60)


def follower(address: str) -> Any:
    """Returns a page that follows the line, without a browser."""
    httpx = pytest.importorskip("httpx", reason="needs the package httpx")
    client = httpx.Client(base_url=address, timeout=20, headers={"origin": address})
    client.post("/login", data={"name": "viewer", "password": PASSWORD})
    return client.stream("GET", "/lines/line/live/events")

"""The web pages at the end of the demonstration."""

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from inspection.bundle import Bundle
from inspection.errors import ConfigError
from linewarden import demo_panel
from tests.doubles.line_folder import GENEROUS_S, ROOT, part, told, write_parts
from tests.doubles.waiting import wait_for

ADDRESS = "the panel is at "
SERVE = """
import sys
from pathlib import Path
from linewarden import demo_panel
demo_panel.serve(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture
def configs(tiny_bundle: Bundle, tmp_path: Path) -> tuple[Path, Path]:
    write_parts(tmp_path / "line", part(), part(spot=True))
    station = {
        "bundle": str(tiny_bundle.folder),
        "engine": {"threads": 1},
        "deadline_ms": 30000,
        "camera": {"kind": "replay", "path": "line", "rate_hz": 8.0},
        "outputs": [{"kind": "jsonlines", "path": "verdicts.jsonl"}],
        "records": {"folder": "records"},
    }
    live, panel = demo_panel.write_configs(tmp_path, station)
    live.write_text(live.read_text().replace("live.jsonl", "parts.jsonl"))
    return live, panel


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_line_and_panel_run_until_a_signal(configs: tuple[Path, Path], number: int) -> None:
    live, _ = configs
    log = live.with_name("told.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *map(str, configs)], cwd=ROOT, stderr=stream
        )
    try:
        wait_for(lambda: ADDRESS in log.read_text(), GENEROUS_S)
        address = log.read_text().partition(ADDRESS)[2].split()[0]
        wait_for(lambda: len(told(live)) >= 3, GENEROUS_S)
        with urlopen(f"{address}/lines/demo/live") as answer:  # noqa: S310 - nobody has logged in
            assert answer.status == 200
        process.send_signal(number)
        assert process.wait(GENEROUS_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "parts: " in live.with_name("live.log").read_text()  # its summary: an orderly end


def test_a_panel_that_cannot_serve_is_an_error_and_ends_the_line(
    configs: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    live, panel = configs
    panel.write_text(panel.read_text().replace("port: 0", "port: no-number"))
    with pytest.raises(ConfigError, match=r"^the panel ended with exit code 3; its message"):
        demo_panel.serve(live, panel)
    assert "port: should be a valid integer" in capfd.readouterr().err

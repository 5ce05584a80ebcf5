"""`linewarden recipe` and `linewarden check` on a running line, as processes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.station.control import ask
from inspection.bundle import Bundle
from inspection.errors import LineError
from inspection.images import encode_png
from inspection.verdict import Thresholds

ROOT = Path(__file__).parents[2]
GENEROUS_S = 60.0


def linewarden(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linewarden", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS_S, check=False
    )


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Path]:
    """The configuration of a line that runs: grey parts, bright and dark by turns."""
    (tmp_path / "parts").mkdir()
    for number, grey in enumerate([90, 200]):
        image = np.full((32, 32), grey, np.uint8)
        (tmp_path / "parts" / f"{number}.png").write_bytes(encode_png(image))
    calibration = tiny_bundle.calibration("default", "model.onnx")
    tiny_bundle.add_calibration(
        calibration.model_copy(update={"recipe": "tolerant", "thresholds": Thresholds(0.9, 0.5)})
    )
    path = tmp_path / "line.yaml"
    path.write_text(
        "bundle: bundle\n"
        "engine: {threads: 1}\n"
        "camera: {kind: replay, path: parts, loop: true}\n"
        "trigger: {kind: software, frame_limit_ms: 20000}\n"
        "control_socket: line.sock\n"
        "deadline_ms: 30000\n"
        "outputs: [{kind: jsonlines, path: parts.jsonl}]\n"
        "recipes: {1: {}, 2: {recipe: tolerant}, 3: {recipe: absent}}\n"
        "start_recipe: 1\n"
        "checks:\n"
        "  parts: [{name: golden, expect: PASS}, {name: limit, expect: REJECT}]\n"
        "  at_start: false\n"
    )
    command = [sys.executable, "-m", "linewarden", "run", "--config", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: is_ready(path))
        yield path
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM


def is_ready(config: Path) -> bool:
    try:
        return bool(ask(config.parent / "line.sock", "state")["state"] == "ready")
    except LineError:
        return False


def test_a_changeover_by_command(config: Path) -> None:
    listed = linewarden("recipe", "--config", config)
    assert listed.returncode == 0
    assert [line[:7] for line in listed.stdout.splitlines()] == ["*     1", "      2", "      3"]

    changed = linewarden("recipe", "--config", config, "2")
    assert (changed.returncode, changed.stdout) == (0, "recipe 2 is in force\n")

    failed = linewarden("recipe", "--config", config, "3")
    assert failed.returncode == 7
    assert "recipe 3 was not loaded, recipe 2 runs on: " in failed.stderr
    assert "recipe 'absent' is not calibrated" in failed.stderr

    unknown = linewarden("recipe", "--config", config, "9")
    assert "the line refuses: no recipe 9: known are 1, 2, 3" in unknown.stderr

    told = json.loads(linewarden("recipe", "--config", config, "--json").stdout)
    assert (told["active"], told["changed"], told["failed"]) == (2, 1, 1)
    with pytest.raises(LineError, match='"number" should be a whole number'):
        ask(config.parent / "line.sock", "recipe", number="2")


@pytest.mark.parametrize(
    ("recipe", "code", "shown"),
    [
        (1, 0, "all reference parts are right"),
        (2, 7, "not passed: limit got PASS instead of REJECT: show golden"),
    ],
)
def test_a_check_by_command(config: Path, recipe: int, code: int, shown: str) -> None:
    socket = config.parent / "line.sock"
    if recipe != 1:
        assert linewarden("recipe", "--config", config, str(recipe)).returncode == 0
    command = [sys.executable, "-m", "linewarden", "check", "--config", str(config)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as check:
        assert check.stderr is not None
        assert check.stderr.readline() == "the check that was asked for is due: show golden\n"
        ask(socket, "trigger")
        assert check.stderr.readline() == "golden is right: show limit\n"
        ask(socket, "trigger")
        out, errors = check.communicate(timeout=GENEROUS_S)
    assert check.returncode == code
    assert shown in out + errors
    assert is_ready(config) is (code == 0)

"""A folder with a line of the tiny bundle, and the command `linewarden` as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.station.control import ask
from inspection.bundle import Bundle
from inspection.errors import LineError
from inspection.images import encode_png
from tests.doubles.waiting import wait_for

ROOT = Path(__file__).parents[2]
GENEROUS_S = 60.0

SOFTWARE_TRIGGER = """\
camera: {kind: replay, path: parts, loop: true}
trigger: {kind: software, frame_limit_ms: 20000}
control_socket: line.sock
"""
RECORDS = "records: {folder: records, images: {max_bytes: 1000000, min_free_bytes: 0}}\n"
# The outputs come last, so that a test can add one at the end of the file.
_LINE = """\
bundle: bundle
engine: {threads: 1}
deadline_ms: 30000
outputs:
  - {kind: jsonlines, path: parts.jsonl}
"""


def part(grey: int = 50, *, spot: bool = False) -> npt.NDArray[np.uint8]:
    """Returns the image of a part; the tiny bundle rejects the spot."""
    image = np.full((32, 32), grey, np.uint8)
    if spot:
        image[10:14, 20:24] = 250
    return image


def write_parts(folder: Path, *parts: npt.NDArray[np.uint8]) -> Path:
    """Writes a recording: `0.png` and so on."""
    folder.mkdir()
    for number, image in enumerate(parts):
        (folder / f"{number}.png").write_bytes(encode_png(image))
    return folder


def write_line(folder: Path, *settings: str) -> Path:
    """Writes the configuration of a line with `bundle` beside it, and verdicts in `parts.jsonl`.

    Args:
        settings: lines of YAML, with the camera.
    """
    path = folder / "line.yaml"
    path.write_text("".join(settings) + _LINE)
    return path


def add_tolerant_recipe(bundle: Bundle) -> None:
    """Calibrate "tolerant", which passes parts of brightness 128 to 229."""
    calibration = bundle.calibration("default", "model.onnx")
    thresholds = replace(calibration.thresholds, reject=0.9)
    bundle.add_calibration(
        calibration.model_copy(update={"recipe": "tolerant", "thresholds": thresholds})
    )


def command(*words: object) -> list[str]:
    """Returns the words that start `linewarden`."""
    return [sys.executable, "-m", "linewarden", *map(str, words)]


def linewarden(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs `linewarden` to its end."""
    return subprocess.run(
        command(*words), cwd=ROOT, capture_output=True, text=True, timeout=GENEROUS_S, check=False
    )


def told(config: Path) -> list[dict[str, Any]]:
    """Returns the verdicts in `parts.jsonl`, which is absent before the line starts.

    A line that is being written has no end yet, and is left out.
    """
    path = config.parent / "parts.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def is_ready(config: Path) -> bool:
    """Whether a line with SOFTWARE_TRIGGER answers and inspects."""
    try:
        return bool(ask(config.parent / "line.sock", "state")["state"] == "ready")
    except LineError:
        return False


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs a line with a control socket within the block; kills it at the end."""
    process = subprocess.Popen(
        command("run", "--config", config),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: is_ready(config) or process.poll() is not None, GENEROUS_S)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=GENEROUS_S)

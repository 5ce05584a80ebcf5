"""Run whole lines on cameras that need no hardware, break them, and measure their memory.

    python -m studies.cameras --work FOLDER --out docs/measured/cameras.md [--only NAME ...]

Each part of the study keeps its result in the work folder, for the next call.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.camera import ReplayConfig
from edge.camera.genicam import TriggerSettings
from inspection.files import write_text
from linewarden.parser import Parser
from studies.pages.sections import write_page
from tests.doubles.camera_faults import BACK_WITHIN_S, FAULTS, SOURCES, break_line, lossy_gige
from tests.doubles.camera_line import Account, CameraLine
from tests.doubles.picture_gige import LEVELS
from tests.doubles.soak import FRAME, growth_bytes, require_flat, soak

TRIGGERS = 10_000
SOAK_FRAMES = 100_000
SOAK_LIMIT_BYTES = 100.0  # a frame: 10 MB in 100,000
LEAK_BYTES = 1024
LIMIT_S = 1800.0
FIRED_EVERY_S = 0.025

HEAD = """\
# Cameras: every trigger accounted for, faults, memory

Made by `make camera-study` on {date} ({host}). Whole lines as `linewarden run` builds them: the
camera in its own process, a small ONNX model in ONNX Runtime, JSON lines, records in SQLite, one
camera a line. After each run the study compares the records, the JSON lines and the number of
triggers: each trigger has exactly one record and one line, with the same verdict and cause, or the
study ends with an error.

- **pylon**: the emulator of Basler's SDK, 128x64 Mono8.
- **gige**: real GigE Vision over loopback to a fake camera of Aravis, 128x64 Mono8, 100 frames a
  second. It streams known pictures, one grey level each; with packet loss its own test picture.
- **rtsp**, **mjpeg**: servers on loopback through PyAV. **file**: a video file through PyAV.

## Triggers

| source | triggers | records | verdicts | NO_VERDICT by cause | parts a second |
|---|---|---|---|---|---|
"""
FAULTS_HEAD = """
"gige" judged {levels} grey levels, and each score belongs to one of them.

## Faults

"Noticed" is the time from the fault to the first NO_VERDICT with its cause. "Verdicts again" is the
time to the first of five verdicts in a row; for a lasting fault (camera or server killed or hung,
slow consumer) it counts from the end of the fault, which the study ends when the line has noticed
it. A line that needs more than {back_s:g} s ends the study with an error. The line ends a call
into a hung SDK after `hung_limit_s` (2 s here, on GigE the default of 5 s), and one second later,
for its stack. A killed program holds a GigE camera until its heartbeat ends.

| source | fault | noticed | verdicts again | triggers | records | verdicts | NO_VERDICT by cause |
|---|---|---|---|---|---|---|---|
"""
SOAK_HEAD = """
## Memory

Resident memory of the line and the process of its camera together, in a hundred samples or more. A
straight line fits all but the first fifth of the frames; a slope above {limit:g} bytes a frame
fails the check. The controls leak {leak} bytes for each frame in one of the two processes, and the
study ends with an error unless the check fails on them. The frames of {frame} come from a camera
that takes no time.

| run | judged | triggers | MB at 20 % | MB at the end | bytes a frame | last fifth | check |
|---|---|---|---|---|---|---|---|
"""
FOOT = """ Memory that returns to the system in between hides growth from the straight line: the
last fifth shows more. The line keeps the latencies of the latest 100,000 parts, about 32 bytes for
each. Speed around the engine and after idle gaps: [performance.md](performance.md).

Not in this study: packet resend, jumbo frames and a real network card, USB3 Vision, hardware
trigger timing, unplugging a Basler camera. They need hardware.
"""


def main() -> None:
    """Runs the parts without a result, and writes the page when all have one."""
    parser = Parser(
        prog="python -m studies.cameras",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for results")
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=list(PARTS),
        default=list(PARTS),
        help=f"the parts to run (default: all): {', '.join(PARTS)}",
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        path = args.work / f"{name}.json"
        if not path.exists():
            write_text(path, json.dumps(_rows(PARTS[name]), indent=1))
    kept = {name: args.work / f"{name}.json" for name in PARTS}
    if all(path.exists() for path in kept.values()):
        write_page(args.out, _page({name: json.loads(p.read_text()) for name, p in kept.items()}))


def _rows(part: Callable[[], list[str]]) -> list[str]:
    try:
        return part()
    except pytest.skip.Exception as missing:
        raise SystemExit(f"cannot run here: {missing}") from missing


def _page(rows: dict[str, list[str]]) -> str:
    host = f"{os.cpu_count()} shared CPU cores, {platform.machine()}, no GPU"
    soaked = ["soak", *(name for name in PARTS if name.startswith("leak"))]
    broken = [name for name in PARTS if name.startswith("faults")]
    run = [name for name in PARTS if name not in (*soaked, *broken)]
    texts = [
        HEAD.format(date=f"{datetime.now(timezone.utc):%Y-%m-%d}", host=host),
        *_lines(rows, run),
        FAULTS_HEAD.format(levels=len(LEVELS), back_s=BACK_WITHIN_S),
        *_lines(rows, broken),
        SOAK_HEAD.format(limit=SOAK_LIMIT_BYTES, leak=LEAK_BYTES, frame=f"{FRAME[1]}x{FRAME[0]}"),
        *_lines(rows, soaked),
        FOOT,
    ]
    return "".join(texts)


def _lines(rows: dict[str, list[str]], names: list[str]) -> list[str]:
    return [f"| {row} |\n" for name in names for row in rows[name]]


def _running_free(source: str) -> list[str]:
    with SOURCES[source]() as camera, tempfile.TemporaryDirectory() as folder:
        return [
            _run(
                f"{source}, runs free",
                CameraLine(
                    Path(folder), camera.config, frame=camera.frame, channels=camera.channels
                ),
            )
        ]


def _gige() -> list[str]:
    with SOURCES["gige"]() as camera, tempfile.TemporaryDirectory() as folder:
        line = CameraLine(Path(folder), camera.config, frame=camera.frame)
        row = _run("gige, runs free", line)
        judged = {round(255 * score) for score in line.account().scores}
        if judged != set(LEVELS):
            raise SystemExit(f"other pictures were judged than were streamed: {sorted(judged)}")
        return [row]


def _lossy() -> list[str]:
    rows = []
    for lost in (1, 10, 100):
        with lossy_gige(lost) as camera, tempfile.TemporaryDirectory() as folder:
            line = CameraLine(Path(folder), camera.config, frame=camera.frame)
            rows.append(_run(f"gige, {lost} of 1000 packets lost", line, 1000))
    return rows


def _fired() -> list[str]:
    """Triggers each part with its id, at a steady pace."""
    with SOURCES["pylon"]() as camera, tempfile.TemporaryDirectory() as folder:
        assert camera.config.kind == "pylon"
        settings = camera.config.settings.model_copy(
            update={"trigger": TriggerSettings(source="Software"), "exposure_us": 2000.0}
        )
        line = CameraLine(
            Path(folder),
            camera.config.model_copy(update={"settings": settings}),
            frame=camera.frame,
            trigger={"kind": "software"},
            control_socket=Path(folder) / "control",
        )
        with line.running():
            _wait_until_open(line)
            started_s = time.monotonic()
            for number in range(TRIGGERS):
                time.sleep(max(0.0, started_s + number * FIRED_EVERY_S - time.monotonic()))
                line.pipeline.fire(f"part {number}")
            seconds = time.monotonic() - started_s
            time.sleep(2.0)  # the deadline of the last one
        account = line.account()
        if account.part_ids != {f"part {number}" for number in range(TRIGGERS)}:
            raise SystemExit("not every part that was announced has its record")
        return [_row("pylon, software trigger", account, seconds)]


def _wait_until_open(line: CameraLine) -> None:
    while line.pipeline.faults:
        time.sleep(0.05)


def _file() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "parts.avi"
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
        for number in range(1000):
            writer.write(np.full((64, 96, 3), number % 256, np.uint8))
        writer.release()
        line = CameraLine(
            Path(folder), ReplayConfig(kind="replay", path=video), frame=(64, 96), channels=3
        )
        started_s = time.monotonic()
        with line.running():
            line.wait_for_end(LIMIT_S)
        account = line.account()
        if account.triggers != 1000:
            raise SystemExit(f"{account.triggers} of 1000 frames in the file were triggers")
        return [_row("file", account, time.monotonic() - started_s)]


def _run(name: str, line: CameraLine, triggers: int = TRIGGERS) -> str:
    started_s = time.monotonic()
    with line.running():
        line.wait_for_parts(triggers, LIMIT_S)
        seconds = time.monotonic() - started_s
    return _row(name, line.account(), seconds)


def _row(name: str, account: Account, seconds: float) -> str:
    return f"{name} | {_account(account)} | {account.triggers / seconds:.0f}"


def _account(account: Account) -> str:
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(account.causes.items()))
    return f"{account.triggers} | {account.records} | {account.verdicts} | {causes or '-'}"


def _faults(source: str) -> list[str]:
    rows = []
    for fault in FAULTS[source]:
        with SOURCES[source]() as camera, tempfile.TemporaryDirectory() as folder:
            outcome = break_line(Path(folder), camera, fault)
        rows.append(
            f"{source} | {fault} | {outcome.noticed_s:.1f} s | {outcome.back_s:.1f} s | "
            f"{_account(outcome.account)}"
        )
        print(rows[-1], flush=True)
        if outcome.back_s > BACK_WITHIN_S:
            raise SystemExit(f"{source}, {fault}: verdicts again only after {outcome.back_s:.1f} s")
    return rows


def _soak() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), SOAK_FRAMES)
    growth = require_flat(result["samples"], SOAK_LIMIT_BYTES)
    return [_memory("line", result, growth, "passes")]


def _leak(process: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        result = soak(Path(folder), SOAK_FRAMES // 10, process, LEAK_BYTES)
    growth = require_flat(result["samples"], float("inf"))
    if growth <= SOAK_LIMIT_BYTES:
        raise SystemExit(f"the check does not catch a leak of {LEAK_BYTES} bytes a frame")
    return [_memory(f"control: the {process} leaks", result, growth, "fails, as it must")]


def _memory(name: str, result: dict[str, Any], growth: float, check: str) -> str:
    samples = result["samples"]
    late = growth_bytes(samples, 0.8)
    early = next(resident for frames, resident in samples if frames >= 0.2 * samples[-1][0])
    return (
        f"{name} | {result['judged']} | {result['triggers']} | {early / 1e6:.1f} | "
        f"{samples[-1][1] / 1e6:.1f} | {round(growth)} | {round(late)} | {check}"
    )


PARTS: dict[str, Callable[[], list[str]]] = {
    "pylon": lambda: _running_free("pylon"),
    "fired": _fired,
    "gige": _gige,
    "lossy": _lossy,
    "file": _file,
    **{f"faults-{source}": partial(_faults, source) for source in FAULTS},
    "soak": _soak,
    "leak-line": lambda: _leak("line"),
    "leak-camera": lambda: _leak("camera"),
}


if __name__ == "__main__":
    main()

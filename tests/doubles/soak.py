"""Runs a line for a long time, and measures the memory of all of its processes together.

python -m tests.doubles.soak FOLDER FRAMES [line|camera LEAK_BYTES]

The command runs a line with a simulated camera at `RATE_HZ`, and prints one JSON line with the
samples. The last two arguments make one of the processes leak for each frame: the control that the
check must catch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.camera import child
from edge.camera.isolated import IsolatedCamera
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.station.assembly import open_station
from edge.station.config import LineConfig
from edge.store.reader import Filter, RecordReader

RATE_HZ = 400.0
FRAME = (256, 256)
# A line first fills its figures of the latest parts: the growth leaves out the first fifth.
_WARM_UP = 0.2


class PacedCamera:
    """Gives a new picture at a fixed rate, and leaks some bytes for each."""

    waits = False
    runs_free = True

    def __init__(self, leak_bytes: int) -> None:
        self._leak_bytes = leak_bytes
        self._leaked: list[bytes] = []
        self._count = 0

    def open(self) -> None:
        """Does nothing."""

    def read(self, timeout_s: float) -> Frame:
        """Returns a frame of a changing grey level."""
        time.sleep(min(timeout_s, 1 / RATE_HZ))
        self._leaked.append(os.urandom(self._leak_bytes))
        self._leaked = self._leaked if self._leak_bytes else []
        self._count += 1
        image = np.full(FRAME, self._count % 256, np.uint8)
        return Frame(image, time.monotonic_ns(), self._count - 1, "paced")

    def describe(self) -> Mapping[str, object]:
        """Returns no settings."""
        return {}

    def close(self) -> None:
        """Does nothing."""


def soak(folder: Path, frames: int, leaks: str = "", leak_bytes: int = 0) -> dict[str, Any]:
    """Runs a line in separate processes until it has judged `frames`.

    Returns:
        samples, each [frames judged, bytes resident in all processes]; triggers; seconds.
    """
    words = [str(folder), str(frames), *([leaks, str(leak_bytes)] if leaks else [])]
    command = [sys.executable, "-m", "tests.doubles.soak", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def growth_bytes(samples: list[list[int]], after: float = _WARM_UP) -> float:
    """Returns bytes for each frame: the slope of a line through the samples after this share."""
    frames, resident = np.array(samples, float).T
    is_warm = frames >= after * frames[-1]
    return float(np.polyfit(frames[is_warm], resident[is_warm], 1)[0])


def require_flat(samples: list[list[int]], limit_bytes: float) -> float:
    """Returns the growth for each frame.

    Raises:
        AssertionError: the growth is above the limit.
    """
    growth = growth_bytes(samples)
    if growth > limit_bytes:
        raise AssertionError(f"memory grows by {growth:.0f} bytes a frame, above {limit_bytes:g}")
    return growth


def _run(folder: Path, frames: int, leaks: str, leak_bytes: int) -> dict[str, Any]:
    from tests.tiny_bundle import build

    build(folder / "bundle", frame=FRAME)
    config = LineConfig.model_validate(
        {
            "bundle": folder / "bundle",
            "engine": {"threads": 1},
            "camera": {"kind": "opencv"},  # the process below replaces it
            "outputs": [{"kind": "jsonlines", "path": folder / "parts.jsonl"}],
            "records": {"folder": folder / "records"},
        }
    )
    judged, leaked = 0, []

    def note(record: InspectionRecord) -> None:
        nonlocal judged
        judged += record.cause is None
        if leaks == "line":
            leaked.append(os.urandom(leak_bytes))
        if judged >= frames:
            station.pipeline.stop()

    samples: list[list[int]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(frames / RATE_HZ / 100):
            samples.append([judged, _resident()])

    with open_station(config, note) as station:
        camera = station.pipeline._views[0].camera
        assert isinstance(camera, IsolatedCamera)
        camera._module = "tests.doubles.soak"
        camera._config = str(leak_bytes if leaks == "camera" else 0)
        watcher = threading.Thread(target=watch)
        watcher.start()
        started_s = time.monotonic()
        summary = station.pipeline.run()
        seconds = time.monotonic() - started_s
        ended.set()
        watcher.join()
    with RecordReader(folder / "records") as reader:
        stored = sum(1 for _ in reader.find(Filter()))
    told = sum(1 for _ in (folder / "parts.jsonl").open())
    assert summary.triggers == stored == told, (summary, stored, told)
    return {"samples": samples, "triggers": summary.triggers, "seconds": seconds, "judged": judged}


def _resident() -> int:
    """Returns the resident bytes of this process and its children."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    for task in Path(f"/proc/{own}/task").iterdir():  # any thread may have started them
        children += (task / "children").read_text().split()
    pages = 0
    for process in {str(own), *children}:
        pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Runs the line, or its camera when `edge.camera.isolated` starts it."""
    if sys.argv[2].isdigit() and Path(sys.argv[1]).is_dir():
        leaks, leak_bytes = (sys.argv[3], int(sys.argv[4])) if len(sys.argv) > 3 else ("", 0)
        print(json.dumps(_run(Path(sys.argv[1]), int(sys.argv[2]), leaks, leak_bytes)))
    else:
        child.main(lambda leak_bytes: PacedCamera(int(leak_bytes)))


if __name__ == "__main__":
    main()

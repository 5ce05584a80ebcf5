"""Measures the way of a frame from the camera's driver to the process of the pipeline.

    python tests/bench/bench_grabber.py [rounds]

A camera gives a frame every 20 ms, copied once as the drivers do. The benchmark reads it in this
process, in another process, and there with one more copy: the pipeline saves that copy, because it
gets the shared memory itself. Runs are interleaved, so that load on the machine hits all alike.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from edge.camera import child
from edge.camera.isolated import IsolatedCamera
from edge.part.frame import Frame

PERIOD_S = 0.02
SHAPES = ((1024, 1024), (1024, 1024, 3), (2048, 2048), (2048, 2048, 3))


class PacedCamera:
    """Gives the same picture, a while after each call."""

    waits = False
    runs_free = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._buffer = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def open(self) -> None:
        """Does nothing."""

    def read(self, timeout_s: float) -> Frame:
        """Returns a frame with the time before its copy."""
        time.sleep(PERIOD_S)
        ready_ns = time.monotonic_ns()
        return Frame(self._buffer.copy(), ready_ns, 0, "paced")

    def describe(self) -> Mapping[str, object]:
        """Returns no properties."""
        return {}

    def close(self) -> None:
        """Does nothing."""


def main(rounds: int) -> None:
    print(f"{'':<24}{'in process':>20}{'own process':>20}{'and a copy':>20}")
    print(f"{'p50 / p99 ms':<24}")
    for shape in SHAPES:
        times = measured(shape, rounds)
        columns = (f"{p50:.2f} / {p99:.2f}" for p50, p99 in np.percentile(times, (50, 99), 1).T)
        print(f"{'x'.join(map(str, shape)):<24}" + "".join(f"{text:>20}" for text in columns))


def measured(shape: tuple[int, ...], rounds: int) -> list[list[float]]:
    """Returns the milliseconds of each side, in the order of the table."""
    beside = PacedCamera(shape)
    isolated = IsolatedCamera(
        json.dumps(shape),
        name="paced",
        open_limit_s=10,
        hung_limit_s=10,
        silent_limit_s=None,
        module="tests.bench.bench_grabber",
    )
    isolated.open()
    sides: list[Callable[[], object]] = [
        lambda: beside.read(1.0),
        lambda: isolated.read(1.0),
        lambda: copied(isolated.read(1.0)),
    ]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, run in zip(times, sides, strict=True):
            frame = run()
            assert isinstance(frame, Frame)
            side.append((time.monotonic_ns() - frame.captured_ns) / 1e6)
    isolated.close()
    return [side[10:] for side in times]


def copied(frame: Frame | None) -> Frame | None:
    return frame and Frame(frame.image.copy(), frame.captured_ns, frame.sequence, frame.source)


if __name__ == "__main__":
    if len(sys.argv) > 3:  # this is the process of the camera
        child.main(lambda config: PacedCamera(tuple(json.loads(config))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)

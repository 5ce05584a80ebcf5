"""Timing of inference, of one engine alone and of several against each other; no torch, no onnx."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from inspection.engine import Engine
from inspection.engine.sidecar import Latency

Image = npt.NDArray[np.uint8]  # (1, H, W, 3) BGR

WARM_UP, RUNS = 10, 100
WORTHWHILE = 0.95  # of the other's time; a smaller gain is within the noise of a busy device


def measure(engine: Engine, image: Image) -> Latency:
    """Times `infer` on one prepared frame."""
    for _ in range(WARM_UP):
        engine.infer(image)
    times_ns = []
    for _ in range(RUNS):
        started = time.monotonic_ns()
        engine.infer(image)
        times_ns.append(time.monotonic_ns() - started)
    p50, p99 = (float(value) / 1e6 for value in np.percentile(times_ns, [50, 99]))
    return Latency(runs=RUNS, p50_ms=p50, p99_ms=p99)


def interleaved_medians(
    runs: Mapping[str, Callable[[Image], object]],
    images: Sequence[Image],
    rounds: int,
    *,
    gap_s: float = 0.0,
) -> dict[str, float]:
    """Returns the median seconds of each.

    Each round runs all of them in turn, so that load hits them alike.

    Args:
        gap_s: idle time before each run: between parts, a processor sleeps and its caches go cold.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 2):  # the first two warm up
        for name, run in runs.items():
            time.sleep(gap_s)
            started = time.monotonic_ns()
            run(images[number % len(images)])
            times[name].append((time.monotonic_ns() - started) / 1e9)
    return {name: float(np.median(values[2:])) for name, values in times.items()}

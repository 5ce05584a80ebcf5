"""Compares the speed of the CPU engines on one graph, in interleaved runs.

    python tests/bench/bench_engines.py BUNDLE [threads] [rounds]

Prints times and the ratio to ONNX Runtime, without and with a pause before each run (a line waits
for its next part), and the largest difference between the results of the engines.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.bundle import REFERENCE_ARTEFACT, open_bundle
from inspection.engine import Engine
from inspection.opening import open_engine

ENGINES = ("onnxruntime", "openvino")
WARM_UP, PAUSE_S = 5, 0.02


def main(folder: Path, threads: int, rounds: int) -> None:
    bundle = open_bundle(folder)
    size = bundle.manifest.graph
    image = np.random.default_rng(0).integers(
        0, 256, (1, size.height, size.width, 3), dtype=np.uint8
    )
    with ExitStack() as stack:
        engines = {
            name: stack.enter_context(
                closing(
                    open_engine(bundle, engine=name, artefact=REFERENCE_ARTEFACT, threads=threads)
                )
            )
            for name in ENGINES
        }
        gmac = bundle.manifest.macs / 1e9
        print(f"{folder}: {gmac:.2f} GMAC, {threads} threads, {rounds} interleaved rounds")
        report("back to back", interleaved(engines, image, rounds, 0.0))
        report(f"after {1e3 * PAUSE_S:.0f} ms", interleaved(engines, image, rounds, PAUSE_S))
        maps = [engine.infer(image).maps.copy() for engine in engines.values()]
    print(f"maps differ by {np.abs(maps[0] - maps[1]).max() / np.abs(maps[0]).max():.1e} at most")


def interleaved(
    engines: dict[str, Engine], image: npt.NDArray[np.uint8], rounds: int, pause_s: float
) -> dict[str, list[float]]:
    """Times each run in milliseconds; every round starts with another engine."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    order = list(engines)
    for number in range(rounds + WARM_UP):
        order.append(order.pop(0))
        for name in order:
            time.sleep(pause_s)
            started = time.perf_counter()
            engines[name].infer(image)
            if number >= WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - started))
    return times


def report(title: str, times: dict[str, list[float]]) -> None:
    """Prints one line per engine; the ratio is the median of the ratios within a round."""
    print(title)
    first = np.array(next(iter(times.values())))
    for name, values in times.items():
        low, p50, p99 = np.percentile(values, [0, 50, 99])
        ratio = np.median(np.array(values) / first)
        print(f"  {name:<12} min {low:7.2f}  p50 {p50:7.2f}  p99 {p99:7.2f} ms   {ratio:.2f} x")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), int(given.get(2, "1")), int(given.get(3, "60")))

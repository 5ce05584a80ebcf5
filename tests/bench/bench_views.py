"""Compares ways to run several cameras on one machine: views of a line, and several lines.

    python tests/bench/bench_views.py BUNDLE [threads] [seconds]

For views it prints the median time of a part, its views run one after the other on one engine (as
the pipeline does), each on an engine of its own with one thread, and as one batch. The batch needs
a bundle of `linewarden export --dynamic-batch`. For lines it prints the parts per second of all
processes together, and the latency and memory of one. Ways run in turn.

CPU ms is the time that all cores spend on a part: on a loaded machine it varies less than the
others, and the cores divided by it are the parts per second that a full machine can give.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

from export.bundle import DYNAMIC_ARTEFACT
from export.cpu.candidates import Candidate, candidates_for
from export.timing import Image
from inspection.bundle import Bundle, Chosen, open_bundle
from inspection.engine import Engine, GraphShape, engine_class
from inspection.engine.processor import processor_here
from inspection.errors import EngineError
from inspection.opening import open_chosen
from linewarden.text_table import aligned

COUNTS, ROUNDS, WARM_UP = (1, 2, 4), 15, 2
Run = Callable[[Image], object]


def main(folder: Path, threads: int, seconds: float) -> None:
    bundle = open_bundle(folder)
    graph = bundle.manifest.graph
    image = np.random.default_rng(0).integers(
        0, 256, (1, graph.height, graph.width, 3), dtype=np.uint8
    )
    print(f"{folder}: {bundle.manifest.macs / 1e9:.2f} GMAC, {threads} threads")
    for candidate in candidates_for(bundle, processor_here()):
        try:
            open_one(bundle, candidate, threads).close()
        except EngineError as error:
            print(f"\n{candidate.title}: {str(error)[:100]}")
            continue
        print(f"\n{candidate.title}: views of one line")
        print("\n".join(aligned([*view_rows(bundle, candidate, threads, image)], numbers_from=2)))
        print(f"\n{candidate.title}: lines beside each other")
        rows = line_rows(folder, candidate, threads, seconds)
        print("\n".join(aligned([*rows], numbers_from=2)))


def open_one(bundle: Bundle, candidate: Candidate, threads: int) -> Engine:
    chosen = Chosen(candidate.engine, candidate.artefact, candidate.compute)
    return open_chosen(bundle, chosen, threads=threads)


def view_rows(
    bundle: Bundle, candidate: Candidate, threads: int, image: Image
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each number of views and each way: time and CPU time of a part."""
    yield "views", "way", "ms", "CPU ms", "ratio of CPU ms"
    for count in COUNTS:
        with ExitStack() as stack:
            found = medians(ways_of_views(bundle, candidate, threads, count, stack), image)
        first = found["in turn"][1]
        for way, (wall, cpu) in found.items():
            yield str(count), way, f"{wall:.1f}", f"{cpu:.1f}", f"{cpu / first:.2f}"


def medians(runs: Mapping[str, Run], image: Image) -> dict[str, tuple[float, float]]:
    """Returns the median milliseconds and CPU milliseconds of each, run in turn."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(WARM_UP + ROUNDS):
        for name, run in runs.items():
            wall, cpu = time.monotonic(), time.process_time()
            run(image)
            times[name].append((time.monotonic() - wall, time.process_time() - cpu))
    found = {name: np.median(values[WARM_UP:], axis=0) for name, values in times.items()}
    return {name: (1e3 * float(wall), 1e3 * float(cpu)) for name, (wall, cpu) in found.items()}


def ways_of_views(
    bundle: Bundle, candidate: Candidate, threads: int, count: int, stack: ExitStack
) -> dict[str, Run]:
    shared = stack.enter_context(closing(open_one(bundle, candidate, threads)))
    own = [stack.enter_context(closing(open_one(bundle, candidate, 1))) for _ in range(count)]
    pool = stack.enter_context(ThreadPoolExecutor(count))
    runs: dict[str, Run] = {
        "in turn": lambda image: [shared.infer(image) for _ in range(count)],
        "together, 1 thread each": lambda image: list(
            pool.map(lambda engine: engine.infer(image), own)
        ),
    }
    if DYNAMIC_ARTEFACT in bundle.manifest.files and not candidate.is_int8:
        batched = stack.enter_context(closing(open_batched(bundle, candidate, threads, count)))
        runs["one batch"] = lambda image: batched.infer(np.repeat(image, count, axis=0))
    return runs


def open_batched(bundle: Bundle, candidate: Candidate, threads: int, count: int) -> Engine:
    """Opens the graph with an open batch for exactly `count` frames."""
    model = onnx.load(bundle.file(DYNAMIC_ARTEFACT))
    name = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    make_dim_param_fixed(model.graph, name, count)
    graph = bundle.manifest.graph
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        factory = engine_class(candidate.engine, candidate.compute)
        return factory(path, GraphShape(graph.height, graph.width, count), threads=threads)


def line_rows(
    folder: Path, candidate: Candidate, threads: int, seconds: float
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each number of lines and of threads that each has."""
    yield "lines", "threads of each", "parts per second", "p50 ms", "p99 ms", "CPU ms", "MB of each"
    for count in COUNTS:
        for of_each in sorted({1, threads}):
            lines = run_lines(folder, candidate, of_each, count, seconds)
            times = np.concatenate([line.times_ms for line in lines])
            p50, p99 = np.percentile(times, [50, 99])
            cpu = sum(line.cpu_ms for line in lines) / len(times)
            memory = max(line.memory_mb for line in lines)
            shown = [len(times) / seconds, p50, p99, cpu]
            yield str(count), str(of_each), *(f"{value:.1f}" for value in shown), str(memory)


class Line(NamedTuple):
    """Figures of one process."""

    times_ms: list[float]
    cpu_ms: float
    memory_mb: int


def run_lines(
    folder: Path, candidate: Candidate, threads: int, count: int, seconds: float
) -> list[Line]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    with ThreadPoolExecutor(count) as pool, ExitStack() as stack:
        pools = [stack.enter_context(context.Pool(1, hold, (barrier,))) for _ in range(count)]
        work = (folder, candidate, threads, seconds)
        return list(pool.map(lambda one: one.apply(inspect_alone, work), pools))


_held: list[Barrier] = []  # a process has one; a pool hands it over at its start alone


def hold(barrier: Barrier) -> None:
    _held.append(barrier)


def inspect_alone(folder: Path, candidate: Candidate, threads: int, seconds: float) -> Line:
    """Runs an engine for some time, together with the other processes."""
    bundle = open_bundle(folder)
    graph = bundle.manifest.graph
    image = np.zeros((1, graph.height, graph.width, 3), np.uint8)
    times = []
    with closing(open_one(bundle, candidate, threads)) as engine:
        _held[0].wait()
        cpu, end = time.process_time(), time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            engine.infer(image)
            times.append(1e3 * (time.monotonic() - started))
        cpu = time.process_time() - cpu
    status = Path("/proc/self/status").read_text()  # getrusage counts the parent's memory too
    peak = next(entry for entry in status.splitlines() if entry.startswith("VmHWM:"))
    return Line(times, 1e3 * cpu, int(peak.split()[1]) >> 10)


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(Path(given[1]), int(given.get(2, "2")), float(given.get(3, "5")))

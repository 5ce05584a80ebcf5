"""Measures a bundle on an NVIDIA device, for a section of docs/measured/performance.md.

    python tests/bench/bench_gpu.py BUNDLE --out docs/measured/performance.md [--images FOLDER]

Times every plan that `linewarden build` made here, in each way to run it, and by how many lines at
once; then compares the verdicts of every plan, and of every ONNX artefact on ONNX Runtime's CUDA
provider, with those of the FP32 artefact on the CPU. Without a device it writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime as ort

from export.tensorrt.examine import graph_shape, ways_to_run
from export.timing import Image
from inspection.bundle import Bundle, open_bundle
from inspection.engine import Engine
from inspection.engine.cuda import Cuda, Device, open_cuda
from inspection.engine.tensorrt import RunningPlan
from inspection.engine.tensorrt_bindings import load_bindings, platform_here
from inspection.errors import EngineError, LinewardenError
from inspection.files import write_text
from inspection.golden import golden_frames
from inspection.images import list_images, read_image
from inspection.opening import open_engine
from inspection.preprocess import preprocess
from linewarden.parser import Parser
from studies.pages.sections import with_section
from tests.bench.cuda_provider import CUDA, ProviderEngine

TITLE = "## On a GPU"
ROUNDS, WARM_UP, PAUSE_S = 300, 20, 0.02
LINES = (1, 2, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("bundle", type=Path, help="bundle with engines built on this machine")
    parser.add_argument("--out", required=True, type=Path, help="Markdown file for the section")
    parser.add_argument("--images", type=Path, help="folder of native images for more verdicts")
    args = parser.parse_args(arguments)
    try:
        body = "\n".join(section(open_bundle(args.bundle), args.images))
    except LinewardenError as error:
        sys.stderr.write(f"not measured, {args.out} is unchanged: {error}\n")
        return error.exit_code
    write_text(args.out, with_section(args.out.read_text(), TITLE, body))
    print(body)
    return 0


def section(bundle: Bundle, folder: Path | None) -> Iterator[str]:
    """Writes the lines of the section; raises EngineError without a device, or a plan for it."""
    cuda = open_cuda()
    try:
        images = [*prepared(bundle, folder)]
        yield from introduction(bundle, cuda.device(), len(images))
        plans, remark = built_here(bundle, cuda.device())
        if plans:
            yield from timed_ways(cuda, bundle, plans, images)
            yield from lines_at_once(bundle, plans, images)
        elif CUDA not in ort.get_available_providers():
            raise EngineError(f"{remark}; and ONNX Runtime {ort.__version__} has no CUDA either")
        else:
            yield f"\nTensorRT was not measured: {remark}."
        yield from verdicts(bundle, plans, images)
    finally:
        cuda.release()


def built_here(bundle: Bundle, device: Device) -> tuple[list[str], str]:
    """Returns the plans for this kind of device, and the reason when there are none."""
    try:
        folder = platform_here(load_bindings(), device).folder
    except EngineError as error:
        return [], str(error)
    plans = [name for name in bundle.plans() if PurePosixPath(name).parts[1] == folder]
    return plans, f"no engine was built here (linewarden build {bundle.folder})"


def introduction(bundle: Bundle, device: Device, images: int) -> Iterator[str]:
    """Names the bundle, the device and the versions."""
    yield f"{TITLE}\n"
    yield (
        f"`make gpu-bench BUNDLE=folder` ({bundle.manifest.model}, "
        f"{bundle.manifest.macs / 1e9:.2f} GMAC; {device.name}, compute capability "
        f"{device.compute_capability}, CUDA driver {device.driver}, ONNX Runtime "
        f"{ort.__version__}; {datetime.now(timezone.utc):%Y-%m-%d}; {images} images, {ROUNDS} "
        "runs). From the prepared frame in memory to score and map there."
    )


def prepared(bundle: Bundle, folder: Path | None) -> Iterator[Image]:
    """Prepares the golden frames and the images of a folder for the graph."""
    for frame in golden_frames(bundle):
        yield frame.image
    for path in list_images(folder, print) if folder is not None else []:
        yield preprocess(read_image(path), bundle.manifest.preprocessing)[np.newaxis]


def timed_ways(
    cuda: Cuda, bundle: Bundle, plans: Sequence[str], images: Sequence[Image]
) -> Iterator[str]:
    """Writes a table of every plan, in every way to run it."""
    trt = load_bindings()
    yield f"\nTensorRT {trt.__version__}, one line:\n"
    yield f"| engine | memory | launch | p50 ms | p99 ms | p99 ms after {1e3 * PAUSE_S:.0f} ms |"
    yield "|---|---|---|---|---|---|"
    for name in plans:
        plan = bundle.file(name).read_bytes()
        for memory, graph in ways_to_run(cuda):
            running = RunningPlan(trt, cuda, plan, graph_shape(bundle), memory=memory, graph=graph)
            with closing(running):
                p50, p99 = times_ms(running, images, pause_s=0.0)
                _, after_pause = times_ms(running, images, pause_s=PAUSE_S)
            cells = (precision(name), memory, running.launch)
            yield f"| {' | '.join(cells)} | {p50:.3f} | {p99:.3f} | {after_pause:.3f} |"


def times_ms(engine: Engine, images: Sequence[Image], *, pause_s: float) -> tuple[float, float]:
    """Returns the median and the 99th percentile of `infer`."""
    times = []
    for number in range(WARM_UP + ROUNDS):
        time.sleep(pause_s)
        started = time.perf_counter()
        engine.infer(images[number % len(images)])
        times.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times[WARM_UP:], [50, 99])
    return float(p50), float(p99)


def lines_at_once(bundle: Bundle, plans: Sequence[str], images: Sequence[Image]) -> Iterator[str]:
    """Writes a table of the frames per second of several engines, each with its thread."""
    yield "\nFrames per second of several lines, each with its engine and its thread:\n"
    yield "| engine | " + " | ".join(f"{count} at once" for count in LINES) + " |"
    yield "|---" * (1 + len(LINES)) + "|"
    for name in plans:
        rates = [rate(partial(open_tensorrt, bundle, name), count, images) for count in LINES]
        yield f"| {precision(name)} | " + " | ".join(f"{value:.0f}" for value in rates) + " |"


def rate(open_one: Callable[[], Engine], count: int, images: Sequence[Image]) -> float:
    """Returns the frames per second of `count` engines together."""

    def drive(engine: Engine) -> None:
        for number in range(ROUNDS):
            engine.infer(images[number % len(images)])

    with ExitStack() as stack:
        engines = [stack.enter_context(closing(open_one())) for _ in range(count)]
        with ThreadPoolExecutor(count) as pool:
            started = time.perf_counter()
            list(pool.map(drive, engines))
            return count * ROUNDS / (time.perf_counter() - started)


def verdicts(bundle: Bundle, plans: Sequence[str], images: Sequence[Image]) -> Iterator[str]:
    """Writes a table of the verdicts of each artefact on the device against FP32 on the CPU."""
    threshold, spread = bundle.manifest.parity.threshold, bundle.manifest.parity.score_range
    with closing(open_engine(bundle)) as engine:
        expected = scores(engine, images)
    yield "\n| artefact | on | verdict flips against FP32 on the CPU | score difference | p50 ms |"
    yield "|---|---|---|---|---|"
    for name, where, open_one in on_device(bundle, plans):
        try:
            with closing(open_one()) as engine:
                got = scores(engine, images)
                p50, _ = times_ms(engine, images, pause_s=0.0)
        except EngineError as error:
            yield f"| {name} | {where} | not measured: {error} | - | - |"
            continue
        flips = int(((got > threshold) != (expected > threshold)).sum())
        difference = np.abs(got - expected).max() / max(spread, 1e-12)
        yield f"| {name} | {where} | {flips} of {len(images)} | {difference:.2%} | {p50:.3f} |"


def on_device(
    bundle: Bundle, plans: Sequence[str]
) -> Iterator[tuple[str, str, Callable[[], Engine]]]:
    """Returns a function that opens it, for everything that computes on the device."""
    for name in plans:
        yield precision(name), "TensorRT", partial(open_tensorrt, bundle, name)
    for name in bundle.graphs():
        yield name, "ONNX Runtime, CUDA", partial(ProviderEngine, bundle.file(name), CUDA)


def scores(engine: Engine, images: Sequence[Image]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns the scores (N,) of the images."""
    return np.array([float(engine.infer(image).scores[0]) for image in images])


def open_tensorrt(bundle: Bundle, name: str) -> Engine:
    """Opens a plan, in the way that is the fastest by its sidecar."""
    return open_engine(bundle, engine="tensorrt", artefact=name)


def precision(plan: str) -> str:
    """Returns the precision of a plan by its name."""
    return PurePosixPath(plan).parts[2]


if __name__ == "__main__":
    sys.exit(main())

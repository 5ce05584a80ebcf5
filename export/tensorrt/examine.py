"""Tests of a plan before it is kept: the checkpoint's results, and the fastest way to run it.

No torch and no onnx: this runs on the device. The tests use the golden frames of the bundle: native
frames with the scores and maps of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from export.tensorrt.build import BuildCancelledError, Progress
from export.timing import RUNS, WORTHWHILE, Image, interleaved_medians, measure
from inspection.bundle import Bundle
from inspection.engine import Engine, GraphShape, engine_class
from inspection.engine.cuda import Cuda
from inspection.engine.sidecar import (
    ENGINES_FOLDER,
    PLAN,
    AccuracyGate,
    Latency,
    Launch,
    Memory,
    Platform,
    Tensor,
)
from inspection.engine.tensorrt import RunningPlan, plain_context
from inspection.engine.tensorrt_rtx import KernelCache
from inspection.errors import BundleError, EngineError
from inspection.golden import GoldenFrame, golden_frames, golden_results

Precision = Literal["fp32", "fp16", "int8"]
# Largest difference from the checkpoint, as a share of the spread of its scores and of its maps,
# the most precise first. FP16 may use twice what export allows it, because a device rounds at other
# places. INT8 clips values that good parts never show, so that only verdicts count there.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.5}
_WAYS: tuple[tuple[Memory, bool], ...] = (
    ("copied", True),
    ("copied", False),
    ("mapped", True),
    ("mapped", False),
)


class EngineNotKeptError(EngineError):
    """The engine is not worth keeping: it gives other results, or is not faster."""


@dataclass(frozen=True)
class Findings:
    """A comparison of all ways to run a plan; `memory` and `launch` are the fastest.

    Attributes:
        layers: JSON of TensorRT's engine inspector.
        timings: by "<memory>, <launch>".
        compared: median time over that of each more precise engine here, by precision.
        kernels: compiled here at the first load; None when the plan contains its kernels.
    """

    io: tuple[Tensor, ...]
    layers: str
    gate: AccuracyGate
    timings: dict[str, Latency]
    memory: Memory
    launch: Launch
    compared: dict[str, float]
    kernels: bytes | None


@dataclass(frozen=True)
class BuiltPlan:
    """A new plan of an artefact, for this machine."""

    bundle: Bundle
    artefact: str
    precision: Precision
    plan: bytes
    platform: Platform

    @property
    def shape(self) -> GraphShape:
        """Returns the input shape of the bundle's graphs."""
        return graph_shape(self.bundle)

    @cached_property
    def kernels(self) -> KernelCache | None:
        """Returns the kernels of all ways to run; None when the plan contains its kernels."""
        return KernelCache() if self.platform.runtime == "tensorrt-rtx" else None

    def running(self, trt: Any, cuda: Cuda, memory: Memory, *, graph: bool) -> RunningPlan:
        """Opens the plan with this memory, and as a CUDA graph or not."""
        opener = plain_context if self.kernels is None else self.kernels.open_context
        return RunningPlan(
            trt, cuda, self.plan, self.shape, memory=memory, graph=graph, open_context=opener
        )


def examine(
    trt: Any,
    cuda: Cuda,
    built: BuiltPlan,
    progress: Progress,
    report: Callable[[str], None],
) -> Findings:
    """Checks and times a plan in every way to run it, then against the more precise engines here.

    Raises:
        EngineNotKeptError: its results are not the checkpoint's, or it is not faster.
        BuildCancelledError: `progress` cancelled the build.
    """
    frames = golden_frames(built.bundle)
    timings: dict[tuple[Memory, Launch], Latency] = {}
    gates: list[AccuracyGate] = []
    for memory, graph in _with_progress(ways_to_run(cuda), progress):
        with closing(built.running(trt, cuda, memory, graph=graph)) as running:
            gates.append(check_accuracy(built.bundle, running, built.precision, frames))
            timings[memory, running.launch] = measure(running, _blank_image(built.shape))
            io, layers = running.tensors, _layers(trt, running)
    memory, launch = min(timings, key=lambda way: timings[way].p50_ms)
    with closing(built.running(trt, cuda, memory, graph=launch == "graph")) as running:
        compared = compare_speed(built, running, report)
        kernels = None if built.kernels is None else built.kernels.content()
    return Findings(
        io=io,
        layers=layers,
        gate=max(gates, key=lambda outcome: outcome.relative),
        timings={", ".join(way): latency for way, latency in timings.items()},
        memory=memory,
        launch=launch,
        compared=compared,
        kernels=kernels,
    )


def check_accuracy(
    bundle: Bundle, engine: Engine, precision: Precision, frames: Sequence[GoldenFrame]
) -> AccuracyGate:
    """Compares the results of an engine for the golden frames with the checkpoint's.

    Raises:
        EngineNotKeptError: a verdict flips, or a result is farther away than rounding explains;
            the message names every such frame.
    """
    parity, tolerance = bundle.manifest.parity, TOLERANCES[precision]
    score_range = max(parity.score_range, 1e-12)
    differences, relatives, flips, far = [], [], [], []
    for result in golden_results(bundle, engine, frames):
        frame, difference = result.frame, result.difference
        spread = max(float(frame.map.max() - frame.map.min()), score_range)
        relative = max(difference.score / score_range, difference.map / spread)
        if result.flipped:
            flips.append(frame.name)
        if not relative <= tolerance:  # also true for NaN
            far.append(f"{frame.name} ({relative:.1e})")
        differences.append(difference)
        relatives.append(relative)
    if flips or far:
        raise EngineNotKeptError(
            f"the engine does not give the checkpoint's results and was not kept: {len(flips)} of "
            f"{len(differences)} verdicts flip ({', '.join(flips) or 'none'}); farther away than "
            f"{tolerance:.0e} of their spread: {', '.join(far) or 'none'}"
        )
    return AccuracyGate(
        frames=len(differences),
        score=max(d.score for d in differences),
        map=max(d.map for d in differences),
        relative=max(relatives),
        tolerance=tolerance,
        verdict_flips=len(flips),
        threshold=parity.threshold,
    )


def compare_speed(
    built: BuiltPlan, running: Engine, report: Callable[[str], None]
) -> dict[str, float]:
    """Returns the median time over that of each more precise engine here, by precision.

    Raises:
        EngineNotKeptError: it is not faster than one of them.
    """
    ratios: dict[str, float] = {}
    for precision in _more_precise(built.precision):
        name = f"{ENGINES_FOLDER}/{built.platform.folder}/{precision}/{PLAN}"
        if not (built.bundle.folder / name).exists():
            continue
        try:
            standing = engine_class(built.platform.runtime)(
                built.bundle.file(name), built.shape, threads=None
            )
        except (BundleError, EngineError) as error:
            report(f"not compared with the {precision} engine here: {error}")
            continue
        with closing(standing):
            runs = {"standing": standing.infer, "new": running.infer}
            medians = interleaved_medians(runs, [_blank_image(built.shape)], RUNS)
        ratios[precision] = medians["new"] / medians["standing"]
    slow = [f"{ratio:.2f} times as long as {name}" for name, ratio in ratios.items()]
    if any(ratio > WORTHWHILE for ratio in ratios.values()):
        raise EngineNotKeptError(
            f"the {built.precision} engine is not worth it on this device and was not kept: it "
            f"takes {', '.join(slow)}"
        )
    return ratios


def ways_to_run(cuda: Cuda) -> list[tuple[Memory, bool]]:
    """Returns the ways that this binding offers: memory, and True to run as a CUDA graph."""
    return [way for way in _WAYS if cuda.graphs is not None or not way[1]]


def graph_shape(bundle: Bundle) -> GraphShape:
    """Returns the input shape of the bundle's graphs."""
    return GraphShape(bundle.manifest.graph.height, bundle.manifest.graph.width)


def _more_precise(precision: Precision) -> list[Precision]:
    order = list(TOLERANCES)
    return order[: order.index(precision)]


def _with_progress(
    ways: Sequence[tuple[Memory, bool]], progress: Progress
) -> Iterator[tuple[Memory, bool]]:
    phase = "Comparing and measuring"
    progress.start(phase, len(ways))
    try:
        for way in ways:
            yield way
            if not progress.step(phase):
                raise BuildCancelledError("the build was cancelled; nothing was written")
    finally:
        progress.finish(phase)


def _layers(trt: Any, running: RunningPlan) -> str:
    inspector = running.engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def _blank_image(shape: GraphShape) -> Image:
    return np.zeros((shape.batch, shape.height, shape.width, 3), dtype=np.uint8)

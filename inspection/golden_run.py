"""Runs the golden frames through every artefact of a bundle, on the engines of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice
from pathlib import PurePosixPath

from inspection.bundle import Artefact, Bundle, chosen_here, engine_of, obstacle_on
from inspection.engine import Engine, engine_class
from inspection.engine.cpu_record import FirstStage
from inspection.engine.cuda import open_cuda
from inspection.engine.graph_file import GRAPH_SUFFIX
from inspection.engine.processor import Processor, processor_here
from inspection.engine.sidecar import Runtime, runtime_of
from inspection.engine.tensorrt_bindings import load_bindings, platform_here
from inspection.errors import EngineError
from inspection.golden import (
    Difference,
    GoldenFrame,
    allowance,
    first_allowance,
    golden_frames,
    golden_results,
)
from inspection.opening import open_chosen, open_early, open_engine

_TIMED_RUNS = 30


@dataclass(frozen=True)
class GoldenRun:
    """Results of one artefact on one engine, over all golden frames.

    Attributes:
        flips: names of the frames with another verdict.
        iou: intersection over union of all masks and the checkpoint's; 1 without any mask.
        times_ms: durations of single inferences.
        wrong: names of the frames that differ by more than allowed.
    """

    artefact: str
    engine: str
    differences: tuple[Difference, ...]
    flips: tuple[str, ...]
    iou: float
    times_ms: tuple[float, ...]
    wrong: tuple[str, ...]


def engine_for(bundle: Bundle, artefact: str, onnx_engine: str | None) -> str:
    """Returns the engine of an artefact.

    Args:
        onnx_engine: of all ONNX files; None for those that they are made for.
    """
    is_graph = artefact.endswith(GRAPH_SUFFIX)
    return onnx_engine if onnx_engine and is_graph else engine_of(bundle, artefact)


def artefacts_here(bundle: Bundle, onnx_engine: str | None) -> tuple[dict[str, str], list[str]]:
    """Returns the artefacts that this machine can run, each with its engine.

    Args:
        onnx_engine: see `engine_for`.

    Returns:
        The engine by artefact, and a remark on each one that is not for this machine.
    """
    graphs = bundle.graphs()
    chosen: dict[str, str] = {}
    remarks = [
        f"{name}: not run before 'linewarden build --verify' has taken it into use"
        for name in bundle.manifest.artefacts
        if name not in graphs
    ]
    processor = processor_here()
    for name in graphs:
        listed, engine = bundle.manifest.artefacts.get(name), engine_for(bundle, name, onnx_engine)
        obstacle = _obstacle(listed, engine, processor)
        if obstacle:
            remarks.append(f"{name}: not run, {obstacle}")
        else:
            chosen[name] = engine
    remarks += [
        f"{name}: not run, this machine is {processor.folder}"
        for name in bundle.cpu_records()
        if PurePosixPath(name).parts[1] != processor.folder
    ]
    by_runtime: dict[Runtime, list[str]] = {}
    for plan in bundle.plans():
        by_runtime.setdefault(runtime_of(plan), []).append(plan)
    for runtime, plans in by_runtime.items():
        try:
            here = _device_folder(runtime)
        except EngineError as error:
            remarks.append(f"{len(plans)} plans are not run: {error}")
            continue
        for plan in plans:
            if PurePosixPath(plan).parts[1] == here:
                chosen[plan] = runtime
            else:
                remarks.append(f"{plan}: not run, this machine is {here}")
    return chosen, remarks


def runs_of_choice(bundle: Bundle, frames: Sequence[GoldenFrame]) -> Iterator[GoldenRun]:
    """Runs golden frames through each stage that a build chose for this processor, if one did.

    Raises:
        BundleError, EngineError: see `chosen_here`; a stage does not run.
    """
    records = bundle.cpu_records(processor_here().folder)
    if not records:
        return
    name, chosen = records[0], chosen_here(bundle)
    early = open_early(bundle, chosen)
    if early is not None and chosen.first is not None:
        with closing(early.engine) as engine:
            where = f"{chosen.first.engine}, first stage"
            yield run_golden(bundle, name, where, engine, frames, first=chosen.first)
    with closing(open_chosen(bundle, chosen)) as engine:
        run = run_golden(bundle, chosen.artefact, chosen.engine, engine, frames)
        yield replace(run, artefact=name)


def require_golden_of_recipes(bundle: Bundle, onnx_engine: str | None = None) -> None:
    """Runs the golden frames through every artefact that a recipe names or a build chose here.

    Args:
        onnx_engine: see `engine_for`; the line does then not run what a build chose.

    Raises:
        EngineError: a frame gives another result than the checkpoint.
    """
    frames = golden_frames(bundle)
    chosen = runs_of_choice(bundle, frames) if onnx_engine is None else ()
    for run in chain(_runs_of_recipes(bundle, onnx_engine, frames), chosen):
        if run.wrong:
            raise EngineError(
                f"{bundle.folder}: {run.engine} gives other results than the checkpoint with "
                f"{run.artefact}: {', '.join(run.wrong)}; nothing was changed"
            )


def _runs_of_recipes(
    bundle: Bundle, onnx_engine: str | None, frames: Sequence[GoldenFrame]
) -> Iterator[GoldenRun]:
    for artefact in sorted(set(bundle.recipes().values())):
        name = engine_for(bundle, artefact, onnx_engine)
        with closing(open_engine(bundle, engine=name, artefact=artefact)) as engine:
            yield run_golden(bundle, artefact, name, engine, frames)


def run_golden(
    bundle: Bundle,
    artefact: str,
    engine_name: str,
    engine: Engine,
    frames: Sequence[GoldenFrame],
    *,
    first: FirstStage | None = None,
) -> GoldenRun:
    """Runs the golden frames through an engine with `artefact` open, and times it.

    Args:
        first: set when the engine is this first stage of a cascade.
    """
    allowed = allowance(bundle, artefact) if first is None else first_allowance(bundle, first)
    pixel = _pixel_threshold(frames, bundle.manifest.parity.threshold)
    differences, flips, wrong = [], [], []
    both, either = 0, 0  # pixels in masks
    for result in golden_results(bundle, engine, frames, first):
        name = result.frame.name
        differences.append(result.difference)
        expected_mask, mask = result.frame.map > pixel, result.prediction.maps[0] > pixel
        both += int((expected_mask & mask).sum())
        either += int((expected_mask | mask).sum())
        if result.flipped:
            flips.append(name)
        if not allowed.covers(result):
            wrong.append(name)
    iou = both / either if either else 1.0
    times = _times_ms(engine, frames)
    return GoldenRun(
        artefact, engine_name, tuple(differences), tuple(flips), iou, times, tuple(wrong)
    )


def _obstacle(artefact: Artefact | None, engine: str, processor: Processor) -> str:
    """Returns why a listed graph does not run alone on an engine here; empty when it does."""
    if artefact is None:
        return ""
    if not artefact.decides:
        return "it is for linewarden build alone, which proves it before the FP32 graph"
    if artefact.engine != engine:
        return ""
    try:
        engine_class(engine)
    except EngineError as error:
        return str(error)
    return obstacle_on(processor, artefact)


def _device_folder(runtime: Runtime) -> str:
    """Returns the name of this kind of device under `engines/`."""
    bindings, cuda = load_bindings(runtime), open_cuda()
    try:
        return platform_here(bindings, cuda.device(), runtime).folder
    finally:
        cuda.release()


def _pixel_threshold(frames: Sequence[GoldenFrame], threshold: float) -> float:
    """Returns the highest expected value of the maps of frames that the checkpoint passes."""
    passed = [frame for frame in frames if frame.score <= threshold] or frames
    return max((float(frame.map.max()) for frame in passed), default=0.0)


def _times_ms(engine: Engine, frames: Sequence[GoldenFrame]) -> tuple[float, ...]:
    times = []
    for frame in islice(cycle(frames), _TIMED_RUNS):
        started = time.monotonic_ns()
        engine.infer(frame.image)
        times.append((time.monotonic_ns() - started) / 1e6)
    return tuple(times)

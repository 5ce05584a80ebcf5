"""An engine in a bundle: built on the device, compared with the checkpoint, measured, kept or not.

No torch and no onnx: this runs on the device. The golden frames of the bundle, native frames with
the scores and maps of the checkpoint, are the judge.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge.bundle import REFERENCE_ARTEFACT, Bundle
from edge.engine import Engine, GraphShape
from edge.engine.cuda import Cuda, open_cuda
from edge.engine.sidecar import (
    BUILD_LOCK,
    ENGINES_FOLDER,
    LAYERS,
    PLAN,
    AccuracyGate,
    BuildSettings,
    Latency,
    Launch,
    Memory,
    Sidecar,
    Tensor,
    write_sidecar,
)
from edge.engine.tensorrt import TensorRtEngine
from edge.engine.tensorrt_bindings import load_bindings, platform_here
from edge.engine.tensorrt_plan import RunningPlan
from edge.errors import BundleError, EngineError
from edge.files import new_directory, write_bytes, write_text
from edge.golden import compare, golden_frames
from export.tensorrt_build import BuildCancelledError, BuildOptions, Progress, build_plan

Precision = Literal["fp32", "fp16", "int8"]
# Largest difference to the checkpoint, as a share of the spread of the checkpoint's scores and of
# its maps. INT8 clips what good parts never show, so that only verdicts count there.
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 5e-3, "int8": 0.5}
_WARM_UP, _RUNS = 10, 100
_WAYS: tuple[tuple[Memory, bool], ...] = (
    ("copied", True),
    ("copied", False),
    ("mapped", True),
    ("mapped", False),
)


@dataclass(frozen=True)
class Built:
    """An engine that was written.

    Attributes:
        name: the plan's path in the bundle, what `Inspector.open` takes as artefact.
    """

    name: str
    sidecar: Sidecar


def build_engine(
    bundle: Bundle,
    artefact: str = REFERENCE_ARTEFACT,
    *,
    options: BuildOptions,
    progress: Progress,
    bound_to: Literal["model", "device"] = "model",
    report: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build an engine of an artefact of the bundle and put it into the bundle.

    It stands there only when it passed: an engine of an earlier build is replaced then, and not
    touched otherwise.

    Args:
        bound_to: "device" for an engine that no other device of the same kind may run.
        report: called with what is being done.

    Raises:
        BundleError: the bundle has no such artefact, or no golden frames to judge by; it belongs to
            another user, or another build is writing into it.
        ConfigError: this machine has trusted keys and none of its own to vouch with.
        BuildCancelledError: `progress` asked for it.
        EngineError: TensorRT cannot build it, or its results are not the checkpoint's.
        DeviceLostError: the device failed.
    """
    precision = precision_of(bundle, artefact)
    if not bundle.manifest.golden:
        raise BundleError(
            f"{bundle.folder}: has no golden frames to judge an engine by; export it again"
        )
    trt = load_bindings()
    _require_owner(bundle)
    bundle.keys.require_for_records()
    with bundle.locked(BUILD_LOCK), _bound() as cuda:
        here = platform_here(trt, cuda.device())
        home = bundle.folder / ENGINES_FOLDER / here.folder
        cache = options.timing_cache or home / f"timings-{here.tensorrt}.cache"
        options = replace(options, tf32=precision != "fp32", timing_cache=cache)
        report(f"building {precision} for {here.device} with TensorRT {here.tensorrt}")
        started = time.monotonic_ns()
        plan = build_plan(trt, bundle.file(artefact), options, progress)
        seconds = (time.monotonic_ns() - started) / 1e9
        report("comparing with the checkpoint on the golden frames, and measuring")
        findings = _examine(trt, cuda, plan, bundle, precision=precision, progress=progress)
        sidecar = Sidecar(
            linewarden_version=version("linewarden"),
            built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            artefact=artefact,
            artefact_sha256=bundle.manifest.files[artefact],
            precision=precision,
            bound_to=bound_to,
            platform=here,
            settings=BuildSettings(
                workspace_mib=options.workspace_mib,
                optimisation_level=options.optimisation_level,
                tf32=options.tf32,
                seconds=seconds,
            ),
            io=findings.io,
            memory=findings.memory,
            launch=findings.launch,
            timings=findings.timings,
            gate=findings.gate,
        ).sealed()
        _private(home.parent)
        with new_directory(home / precision, replace=True, private=True) as folder:
            write_bytes(folder / PLAN, plan, private=True)
            write_text(folder / LAYERS, findings.layers, private=True)
            write_sidecar(folder / PLAN, sidecar, bundle.keys)
            # Opened once as the line will open it.
            TensorRtEngine(folder / PLAN, _shape(bundle)).close()
    return Built(f"{ENGINES_FOLDER}/{here.folder}/{precision}/{PLAN}", sidecar)


def _require_owner(bundle: Bundle) -> None:
    """Engines are for the eyes of their owner alone, so that the line must be the owner."""
    owner = bundle.folder.stat().st_uid
    if owner != os.geteuid():
        raise BundleError(
            f"{bundle.folder}: belongs to the user with number {owner}, and this is "
            f"{os.geteuid()}: build as the user whom the line runs as: sudo -u '#{owner}' "
            f"linewarden build {bundle.folder}"
        )


def _private(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)  # also a folder of an earlier version


def precision_of(bundle: Bundle, artefact: str) -> Precision:
    """The precision of an artefact that TensorRT may run.

    Raises:
        BundleError: the bundle has no such artefact, or it is made for another engine.
    """
    if artefact == REFERENCE_ARTEFACT:
        return "fp32"
    listed = bundle.manifest.artefacts.get(artefact)
    if listed is None:
        known = [REFERENCE_ARTEFACT, *sorted(bundle.manifest.artefacts)]
        raise BundleError(
            f"{bundle.folder}: has no artefact {artefact!r} to build of; it has {', '.join(known)}"
        )
    if listed.engine != "tensorrt":
        raise BundleError(
            f"{bundle.folder}: {artefact} is made for the engine {listed.engine!r}, and TensorRT "
            "wants another form"
        )
    return listed.precision


def gate(bundle: Bundle, engine: Engine, precision: Precision) -> AccuracyGate:
    """Run the golden frames through an engine; the checkpoint's results are the measure.

    Raises:
        EngineError: a verdict flips, or a result is farther away than rounding explains; every
            frame concerned is named.
    """
    parity, tolerance = bundle.manifest.parity, TOLERANCES[precision]
    threshold, score_range = parity.threshold, max(parity.score_range, 1e-12)
    differences, relatives, flips, far = [], [], [], []
    for frame in golden_frames(bundle):
        got = engine.infer(frame.image)
        difference = compare(frame.name, frame.score, frame.map, got)
        spread = max(float(frame.map.max() - frame.map.min()), score_range)
        relative = max(difference.score / score_range, difference.map / spread)
        if (frame.score > threshold) != (float(got.scores[0]) > threshold):
            flips.append(frame.name)
        if not relative <= tolerance:  # also when it is not a number
            far.append(f"{frame.name} ({relative:.1e})")
        differences.append(difference)
        relatives.append(relative)
    if flips or far:
        raise EngineError(
            f"the engine does not give the checkpoint's results and is not kept: {len(flips)} of "
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
        threshold=threshold,
    )


def measure(engine: Engine, image: npt.NDArray[np.uint8]) -> Latency:
    """Time `infer` on one prepared frame, uint8 (1, H, W, 3)."""
    for _ in range(_WARM_UP):
        engine.infer(image)
    times_ns = []
    for _ in range(_RUNS):
        started = time.monotonic_ns()
        engine.infer(image)
        times_ns.append(time.monotonic_ns() - started)
    p50, p99 = (float(value) / 1e6 for value in np.percentile(times_ns, [50, 99]))
    return Latency(runs=_RUNS, p50_ms=p50, p99_ms=p99)


@dataclass(frozen=True)
class _Findings:
    """Every way to run a plan, compared; `memory` and `launch` are the fastest."""

    io: tuple[Tensor, ...]
    layers: str
    gate: AccuracyGate
    timings: dict[str, Latency]
    memory: Memory
    launch: Launch


def _examine(
    trt: Any, cuda: Cuda, plan: bytes, bundle: Bundle, *, precision: Precision, progress: Progress
) -> _Findings:
    shape = _shape(bundle)
    image = np.zeros((shape.batch, shape.height, shape.width, 3), dtype=np.uint8)
    timings: dict[tuple[Memory, Launch], Latency] = {}
    gates: list[AccuracyGate] = []
    ways = [way for way in _WAYS if cuda.graphs is not None or not way[1]]
    for memory, graph in _followed(ways, progress):
        running = RunningPlan(trt, cuda, plan, shape, memory=memory, graph=graph)
        with closing(running):
            gates.append(gate(bundle, running, precision))
            timings[memory, running.launch] = measure(running, image)
            io, layers = running.tensors, _layers(trt, running)
    memory, launch = min(timings, key=lambda way: timings[way].p50_ms)
    return _Findings(
        io=io,
        layers=layers,
        gate=max(gates, key=lambda outcome: outcome.relative),
        timings={", ".join(way): latency for way, latency in timings.items()},
        memory=memory,
        launch=launch,
    )


def _followed(
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


def _shape(bundle: Bundle) -> GraphShape:
    return GraphShape(bundle.manifest.graph.height, bundle.manifest.graph.width)


@contextmanager
def _bound() -> Iterator[Cuda]:
    cuda = open_cuda()
    try:
        yield cuda
    finally:
        cuda.release()

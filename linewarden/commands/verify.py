"""Check that a bundle is whole, and that its artefacts give the golden results here.

Every file is compared with the SHA-256 in the manifest. Then the golden frames,
which are stored at native resolution with the scores and maps of the checkpoint,
run through preprocessing and engine of this machine: every ONNX artefact on --engine,
and every TensorRT plan that was built for this kind of device. A plan that does not
belong to its sidecar, to the bundle or to this machine is refused before TensorRT sees
it, and the rest is still run. The calibrations of all recipes are read, and must be
vouched for where this machine has keys (see 'linewarden bundle'). The FP32 artefact may
differ from the checkpoint by rounding only; one of lower precision by what export
measured, a plan by what its build did, and each with the same verdicts. (ONNX Runtime's
CPU computes FP16 in FP32 and rounds nothing: the figures of an artefact for TensorRT are
not those that a device gives.)

examples:
  linewarden verify bundles/flange
  linewarden verify bundles/flange --artefact model.fp16.onnx

columns:
  score, map     largest difference from the checkpoint, raw
  flips          frames that get another verdict at the threshold of the export
  mask IoU       overlap with the checkpoint's masks, over all frames: the pixels above
                 every one of the frames that it passes
  p50, p99       milliseconds of one inference
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path, PurePosixPath

import numpy as np

from inspection.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from inspection.engine import Engine
from inspection.engine.cuda import open_cuda
from inspection.engine.sidecar import PLAN
from inspection.engine.tensorrt_bindings import load_bindings, platform_here
from inspection.errors import BundleError, EngineError
from inspection.golden import Difference, GoldenFrame, allowance, golden_frames, golden_results
from inspection.inspector import open_engine

_TIMED_RUNS = 30
_COLUMNS = ("artefact", "engine", "score", "map", "flips", "mask IoU", "p50 ms", "p99 ms")


@dataclass(frozen=True)
class Row:
    """One artefact on one engine, over all golden frames.

    Attributes:
        flips: frames that get another verdict.
        iou: overlap of all masks with the checkpoint's; 1 when none has a mask.
        times_ms: of single inferences.
        wrong: frames that differ by more than they may.
    """

    artefact: str
    engine: str
    differences: tuple[Difference, ...]
    flips: tuple[str, ...]
    iou: float
    times_ms: tuple[float, ...]
    wrong: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to check")
    parser.add_argument("--engine", default="onnxruntime", help="engine of ONNX artefacts")
    parser.add_argument("--artefact", help="the only file of the bundle to run (default: all)")


def run(args: argparse.Namespace) -> int:
    """Verify and report; EngineError when a golden frame gives another result."""
    bundle = open_bundle(args.bundle)
    print(f"{args.bundle}: {len(bundle.manifest.files)} files as exported")
    for recipe, artefact in bundle.recipes().items():
        print(f"recipe {recipe}: calibrated through {artefact}")
    print(f"this machine {bundle.keys.describe()}")
    frames = golden_frames(bundle)
    rows: list[Row] = []
    refused: list[BundleError | EngineError] = []
    for name, engine_name in _chosen(bundle, args.artefact, args.engine):
        try:
            with closing(open_engine(bundle, engine=engine_name, artefact=name)) as engine:
                rows.append(measure(bundle, name, engine_name, engine, frames))
        except (BundleError, EngineError) as error:
            if args.artefact is not None:
                raise
            print(f"{name}: refused: {error}")
            refused.append(error)
    if rows:
        print(table(rows))
    _require_all(args.bundle, rows, refused)
    print(f"{len(frames)} golden frames agree")
    return 0


def engine_for(artefact: str, onnx_engine: str) -> str:
    """The engine of an artefact: plans have one of their own."""
    return "tensorrt" if artefact.endswith(PLAN) else onnx_engine


def _require_all(
    folder: Path, rows: Sequence[Row], refused: Sequence[BundleError | EngineError]
) -> None:
    wrong = {row.artefact: ", ".join(row.wrong) for row in rows if row.wrong}
    if wrong:
        raise EngineError(
            f"{folder}: gives other results than the checkpoint: "
            + "; ".join(f"{name} on {on}" for name, on in wrong.items())
            + ": this machine must not inspect with it"
        )
    if refused:
        raise refused[0]


def _chosen(bundle: Bundle, artefact: str | None, engine: str) -> list[tuple[str, str]]:
    """What is to run, each with its engine; tells the plans that cannot run here."""
    if artefact is not None:
        return [(artefact, engine_for(artefact, engine))]
    chosen = [(name, engine) for name in (REFERENCE_ARTEFACT, *bundle.manifest.artefacts)]
    plans = bundle.plans()
    if not plans:
        return chosen
    try:
        here = _device_folder()
    except EngineError as error:
        print(f"{len(plans)} TensorRT plans are not run: {error}")
        return chosen
    for plan in plans:
        built_for = PurePosixPath(plan).parts[1]
        if built_for == here:
            chosen.append((plan, "tensorrt"))
        else:
            print(f"{plan}: not run, this machine is {here}")
    return chosen


def _device_folder() -> str:
    """Name of this kind of device under `engines/`."""
    bindings, cuda = load_bindings(), open_cuda()
    try:
        return platform_here(bindings, cuda.device()).folder
    finally:
        cuda.release()


def measure(
    bundle: Bundle, artefact: str, engine_name: str, engine: Engine, frames: Sequence[GoldenFrame]
) -> Row:
    """Run the golden frames through an engine with `artefact` open, and time it."""
    allowed = allowance(bundle, artefact)
    pixel = _pixel_threshold(frames, bundle.manifest.parity.threshold)
    differences, flips, wrong = [], [], []
    both, either = 0, 0  # pixels in masks
    for result in golden_results(bundle, engine, frames):
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
    return Row(artefact, engine_name, tuple(differences), tuple(flips), iou, times, tuple(wrong))


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    cells = [_COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    def percentile(share: float) -> str:
        return f"{np.percentile(row.times_ms, share):.1f}" if row.times_ms else "-"

    return (
        row.artefact,
        row.engine,
        f"{max((d.score for d in row.differences), default=0.0):.1e}",
        f"{max((d.map for d in row.differences), default=0.0):.1e}",
        str(len(row.flips)),
        f"{row.iou:.3f}",
        percentile(50),
        percentile(99),
    )


def _pixel_threshold(frames: Sequence[GoldenFrame], threshold: float) -> float:
    """The highest expected value of the maps of frames that the checkpoint passes."""
    passed = [frame for frame in frames if frame.score <= threshold] or frames
    return max((float(frame.map.max()) for frame in passed), default=0.0)


def _times_ms(engine: Engine, frames: Sequence[GoldenFrame]) -> tuple[float, ...]:
    times = []
    for frame in islice(cycle(frames), _TIMED_RUNS):
        started = time.monotonic_ns()
        engine.infer(frame.image)
        times.append((time.monotonic_ns() - started) / 1e6)
    return tuple(times)

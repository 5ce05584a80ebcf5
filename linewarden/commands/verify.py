"""Check that a bundle is complete, and that its artefacts give the golden results here.

The command compares every file with its SHA-256 in the manifest. Then it runs the golden
frames, which are stored at native resolution with the scores and maps of the checkpoint,
through preprocessing and engine of this machine: every ONNX artefact on the engine that
it is made for, or on --engine, every TensorRT plan for this kind of device, and the
stages that 'linewarden build' chose for this processor. It
refuses a plan that does not belong to its sidecar, to the bundle or to this machine
before TensorRT sees it, and runs the others. It reads the calibrations of all recipes;
where this machine has keys, these must vouch for them (see 'linewarden bundle').

Every artefact must give the verdicts of the checkpoint; a first stage must not pass what
the checkpoint rejects, nor differ by more than its margin on what that passes. The FP32
artefact may differ from it by rounding only, an artefact of lower precision by the
difference of its export, a plan or a first stage by that of its build. (ONNX Runtime on a
CPU computes FP16 in FP32 and rounds nothing: a device gives other figures for an artefact
for TensorRT.)

examples:
  linewarden verify bundles/flange
  linewarden verify bundles/flange --artefact model.fp16.onnx
  linewarden verify bundles/flange --json | jq .artefacts

columns:
  score, map     largest difference from the checkpoint, raw
  flips          frames that get another verdict at the threshold of the export; of a first
                 stage, those that it passes wrongly or that differ by more than its margin
  mask IoU       overlap with the masks of the checkpoint over all frames; a mask has the
                 pixels above every pixel of the frames that the checkpoint passes
  p50, p99       milliseconds of one inference
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inspection.bundle import Bundle, open_bundle
from inspection.errors import BundleError, EngineError
from inspection.golden import GoldenFrame, golden_frames
from inspection.golden_run import (
    GoldenRun,
    artefacts_here,
    engine_for,
    run_golden,
    runs_of_choice,
)
from inspection.opening import open_engine
from linewarden.options import add_server_argument, server_of
from linewarden.text_table import aligned

_COLUMNS = ("artefact", "engine", "score", "map", "flips", "mask IoU", "p50 ms", "p99 ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to check")
    parser.add_argument(
        "--engine", help="engine of ONNX artefacts (default: that which each is made for)"
    )
    add_server_argument(parser)
    parser.add_argument("--artefact", help="the only file of the bundle to run (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Verifies and reports; raises EngineError when a golden frame gives another result."""
    say = partial(print, file=sys.stderr if args.json else sys.stdout)
    bundle = open_bundle(args.bundle)
    say(f"{args.bundle}: {len(bundle.manifest.files)} files as exported")
    for recipe, artefact in bundle.recipes().items():
        say(f"recipe {recipe}: calibrated through {artefact}")
    say(f"this machine {bundle.keys.describe()}")
    server = server_of(args, bundle)
    frames = golden_frames(bundle)
    rows: list[GoldenRun] = []
    refused: list[BundleError | EngineError] = []
    if args.artefact is not None:
        chosen = {args.artefact: engine_for(bundle, args.artefact, args.engine)}
    else:
        chosen, remarks = artefacts_here(bundle, args.engine)
        for remark in remarks:
            say(remark)
    for name, engine_name in chosen.items():
        at = server if engine_name == "triton" else None
        try:
            with closing(
                open_engine(bundle, engine=engine_name, artefact=name, server=at)
            ) as engine:
                rows.append(run_golden(bundle, name, engine_name, engine, frames))
        except (BundleError, EngineError) as error:
            if args.artefact is not None:
                raise
            say(f"{name}: refused: {error}")
            refused.append(error)
    if args.artefact is None and args.engine is None:
        rows += _rows_of_choice(bundle, frames, say, refused)
    if rows:
        say("\n".join(aligned([_COLUMNS, *map(_cells, rows)])))
    if args.json:
        print(json.dumps(_as_json(bundle, rows, refused), indent=2))
    _require_all(args.bundle, rows, refused)
    say(f"{len(frames)} golden frames agree")
    return 0


def _rows_of_choice(
    bundle: Bundle,
    frames: Sequence[GoldenFrame],
    say: Callable[[str], None],
    refused: list[BundleError | EngineError],
) -> list[GoldenRun]:
    """Runs what a build chose for this processor; appends why it does not run to `refused`."""
    try:
        return list(runs_of_choice(bundle, frames))
    except (BundleError, EngineError) as error:
        say(f"refused: {error}")
        refused.append(error)
        return []


def _as_json(
    bundle: Bundle, rows: Sequence[GoldenRun], refused: Sequence[BundleError | EngineError]
) -> dict[str, Any]:
    return {
        "files": len(bundle.manifest.files),
        "recipes": bundle.recipes(),
        "artefacts": [
            {
                "artefact": row.artefact,
                "engine": row.engine,
                "agrees": not row.wrong,
                "score_difference": max((d.score for d in row.differences), default=0.0),
                "map_difference": max((d.map for d in row.differences), default=0.0),
                "verdict_flips": len(row.flips),
                "times_ms": list(row.times_ms),
            }
            for row in rows
        ],
        "refused": [str(error) for error in refused],
    }


def _require_all(
    folder: Path, rows: Sequence[GoldenRun], refused: Sequence[BundleError | EngineError]
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


def _cells(row: GoldenRun) -> tuple[str, ...]:
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

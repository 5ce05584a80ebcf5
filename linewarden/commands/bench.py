"""Measure what this machine makes of a bundle: every engine, artefact and precision it has.

The command proves and times what 'linewarden build' tries on a processor, in turn and at
the same number of threads, and writes nothing into the bundle. It also times those that a
build refuses. It takes about a minute. The line
should not run meanwhile. A device of NVIDIA is measured by 'linewarden build' itself.

The last lines add the steps around the engine, with the layout, zones and thresholds of the
recipe: preparing a native frame, and deciding on its map. The frames are those of --good,
else the golden frames of the bundle.

columns:
  ms             median of one inference, one after the other
  after a gap    the same, each 50 ms after the one before, as between parts
  looks twice    share of the frames of good parts that it leaves to the FP32 graph
  flips alone    frames that would get another verdict from it alone
  score          largest score difference, as a share of the spread of all scores
  (last)         the reason for which a build keeps it or not

examples:
  linewarden bench bundles/flange
  linewarden bench bundles/flange --threads 2 --good parts/flange/train/good
  linewarden bench bundles/flange --json --picture bench.png

files:
  FILE.png    the picture of --picture; it needs linewarden[train]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from export.cpu.build import Comparison, CpuBuildSettings, compare_on_processor
from export.cpu.stages import Stages, stages_around_engine
from inspection.bundle import Bundle, open_bundle
from inspection.config.plugins import Plugin, load_plugin
from inspection.engine.cpu_record import CpuRecord, Trial
from inspection.errors import ConfigError
from inspection.files import write_bytes
from inspection.images import list_images, read_frame
from linewarden.cpu_build import cascade, named, table, threads_of
from linewarden.options import thread_count
from linewarden.warning import warn

_MAX_FRAMES = 16
_PICTURES = {"bench": Plugin("reports.plots", "times_plot", "pip install 'linewarden[train]'")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to measure")
    parser.add_argument(
        "--artefact",
        nargs="+",
        default=[],
        metavar="FILE",
        help="ONNX files of the bundle (default: all that a processor runs)",
    )
    parser.add_argument("--good", type=Path, metavar="FOLDER", help="images of good parts")
    parser.add_argument("--recipe", default="default", help="name (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help="threads of an engine (default: all cores)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="write a picture")


def run(args: argparse.Namespace) -> int:
    """Measures and reports."""
    bundle = open_bundle(args.bundle)
    draw = None if args.picture is None else _drawing(args.picture)
    good = [] if args.good is None else list_images(args.good, warn)
    settings = CpuBuildSettings(good, args.artefact, args.threads, times_all=True)
    found = compare_on_processor(bundle, settings, report=_say)
    native = good or [bundle.file(golden.frame) for golden in bundle.manifest.golden]
    window = bundle.manifest.preprocessing.window
    frames = [read_frame(path, window) for path in native[:_MAX_FRAMES]]
    stages = stages_around_engine(bundle, args.recipe, frames)
    if args.json:
        print(json.dumps(_as_json(found, stages)))
    else:
        print("\n".join([*table(found.record), *_whole(bundle, args.recipe, found, stages)]))
    if draw is not None:
        _write(args.picture, draw(_title(found.record), _bars(found), *_around(stages)))
    return 0


def _whole(bundle: Bundle, recipe: str, found: Comparison, stages: Stages | None) -> list[str]:
    """Returns the lines from the frame to the verdict, and the next step."""
    record, exact_ms = found.record, found.exact.median_ms
    has_first = record.first is not None and not (stages is not None and stages.has_zones)
    time_ms = found.first.median_ms if has_first else exact_ms
    lines = [f"best here: {named(record.exact)}", *cascade(record)]
    if record.first is not None and not has_first:
        lines.append(f"recipe {recipe!r} has zones, which it does not see: FP32 decides alone")
    if stages is None or time_ms is None or exact_ms is None:
        lines.append(
            f"recipe {recipe!r} is not calibrated, or finds no part on these frames: the steps "
            "around the engine were not measured"
        )
    else:
        whole, size = stages.both_ms + time_ms, f"{stages.height}x{stages.width}"
        prepare, decide = f"{stages.preprocess_ms:.2f} ms", f"{stages.decide_ms:.2f} ms"
        lines += [
            f"around it: preparing a frame of {size} takes {prepare}, deciding {decide}",
            f"frame to verdict {whole:.1f} ms: {1e3 / whole:.0f} frames in a second",
        ]
        if has_first:
            lines.append(f"with a second look {whole + exact_ms:.1f} ms")
    if not bundle.cpu_records(record.processor.folder):
        lines.append(f"next: linewarden build {bundle.folder}")
    return lines


def _as_json(found: Comparison, stages: Stages | None) -> dict[str, object]:
    record = found.record
    measured = {"linewarden_version", "processor", "threads", "trials"}
    best = {"precision", "exact", "first"}
    return {
        **record.model_dump(mode="json", include=measured),
        "best": record.model_dump(mode="json", include=best),
        "stages": None if stages is None else asdict(stages),
    }


def _title(record: CpuRecord) -> str:
    return f"{record.processor.model}, {threads_of(record)}"


def _bars(found: Comparison) -> list[tuple[str, float, float, str]]:
    """Returns name, times and state of each candidate that was timed."""

    def state(trial: Trial) -> str:
        if trial is found.first:
            return "best"
        if trial is found.exact:
            return "second look"
        return "refused" if trial in found.refused else "slower"

    return [
        (f"{t.artefact}\n{t.engine}, {t.compute}", t.median_ms, t.after_gap_ms, state(t))
        for t in found.record.trials
        if t.median_ms is not None and t.after_gap_ms is not None
    ]


def _around(stages: Stages | None) -> tuple[float, float]:
    return (0.0, 0.0) if stages is None else (stages.preprocess_ms, stages.decide_ms)


def _drawing(path: Path) -> Callable[..., bytes]:
    """Returns the function that draws; raises ConfigError now, and not after the measurement."""
    if not path.parent.is_dir():
        raise ConfigError(f"--picture {path}: the folder {path.parent} does not exist: make it")
    draw: Callable[..., bytes] = load_plugin("picture", "bench", _PICTURES, ConfigError)
    return draw


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ConfigError(f"--picture {path}: cannot be written ({error.strerror})") from error


def _say(text: str) -> None:
    sys.stderr.write(f"linewarden: {text}\n")

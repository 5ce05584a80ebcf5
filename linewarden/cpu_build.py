"""`linewarden build` for a processor: its options, its table, and the next step."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from export.cpu.build import CpuBuildSettings, CpuBuilt, build_for_processor, has_choice
from inspection.bundle import Bundle, chosen_here
from inspection.engine.cpu_record import CpuRecord, Stage, Trial
from inspection.engine.preflight import Machine
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.errors import EngineError
from inspection.images import list_images
from linewarden.options import thread_count
from linewarden.text_table import aligned
from linewarden.warning import warn

_COLUMNS = (
    "engine",
    "artefact",
    "precision",
    "ms",
    "after a gap",
    "looks twice",
    "flips alone",
    "score",
    "",
)


def add_cpu_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of a build for a processor."""
    parser.add_argument(
        "--cpu", action="store_true", help="build for the processor, in spite of an NVIDIA device"
    )
    parser.add_argument(
        "--good",
        type=Path,
        metavar="FOLDER",
        help="processor: images of good parts, which show how often a part needs a second look",
    )
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help="processor: threads that the line will have (default: all cores)",
    )


def is_for_processor(args: argparse.Namespace) -> bool:
    """Returns True with --cpu, and on a machine without NVIDIA device and TensorRT."""
    return bool(args.cpu) or not (Machine().has_nvidia or _has_tensorrt())


def build_with_options(
    args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]
) -> CpuRecord:
    """Builds for the processor."""
    good = [] if args.good is None else list_images(args.good, warn)
    settings = CpuBuildSettings(good, args.artefact or (), args.threads)
    return build_for_processor(bundle, settings, report=say).record


def build_if_it_pays(
    bundle: Bundle, good: Sequence[Path], say: Callable[[str], None]
) -> CpuBuilt | None:
    """Builds for the processor of this machine; None when it has one way to run the bundle."""
    if not has_choice(bundle):
        return None
    built = build_for_processor(bundle, CpuBuildSettings(good))
    for line in describe(built.record):
        say(line)
    return built


def describe(record: CpuRecord) -> list[str]:
    """Returns the candidates as a table, and what was kept."""
    return [*table(record), f"this machine runs {named(record.exact)}", *cascade(record)]


def named(stage: Stage) -> str:
    """Returns the artefact, engine and precision of a stage in words."""
    return f"{stage.artefact} on {stage.engine} in {stage.compute}"


def cascade(record: CpuRecord) -> list[str]:
    """Returns the line about the stage that passes clearly good parts, if there is one."""
    first = record.first
    if first is None:
        return []
    share = f"{1 - first.second_look:.0%} of the good parts here"
    return [f"before it, {named(first)} passes what is clearly good, {share}; it rejects nothing"]


def table(record: CpuRecord) -> list[str]:
    """Returns the processor, and the candidates as a table."""
    return [
        f"{record.processor.model}, {threads_of(record)}",
        *aligned([_COLUMNS, *map(_cells, record.trials)]),
    ]


def threads_of(record: CpuRecord) -> str:
    """Returns the threads that the times hold for."""
    return "all cores" if record.threads is None else f"threads: {record.threads}"


def _cells(trial: Trial) -> tuple[str, ...]:
    return (
        trial.engine,
        trial.artefact,
        trial.compute,
        *("-" if time is None else f"{time:.1f}" for time in (trial.median_ms, trial.after_gap_ms)),
        "-" if trial.second_look is None else f"{trial.second_look:.0%}",
        "-" if trial.verdict_flips is None else str(trial.verdict_flips),
        "-" if trial.score is None else f"{trial.score:.2%}",
        trial.remark,
    )


def next_step(bundle: Bundle) -> list[str]:
    """Returns the command that renews thresholds which the new choice does not keep."""
    fitting = bundle.same_as(chosen_here(bundle).artefact)
    lines = []
    for recipe in bundle.recipes():
        path = bundle.calibration_path(recipe)
        if bundle.read_calibration(path, "calibrate again").artefact_sha256 not in fitting:
            lines.append(
                f"next: linewarden calibrate {bundle.folder} --recipe {recipe} --good FOLDER"
            )
    return lines


def _has_tensorrt() -> bool:
    try:
        load_bindings()
    except EngineError:
        return False
    return True

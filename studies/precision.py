"""Measure the verdicts that FP16 and INT8 flip, and the time that they save, on finished runs.

    python -m studies.precision --work build/precision --out docs/measured/precision.md RUN ...

The study exports each run with all precisions. Each artefact takes its threshold from the held-out
good images of the run and scores the test images of its data set on a CPU: those for OpenVINO
through OpenVINO, the others through ONNX Runtime with all FP16 values rounded. --work keeps each
finished run as one JSON file, so that a stopped study continues.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from export.bundle import Contents, export_bundle
from export.graph import save_graph
from export.precision.margins import first_look
from export.precision.outcome import Expected
from export.precision.rounding import rounded_twin
from export.precision.select import PRECISIONS
from export.timing import Image, interleaved_medians
from inspection.bundle import Artefact, Bundle, Chosen
from inspection.config.loading import StrictModel
from inspection.engine import GraphShape, Prediction, engine_class
from inspection.engine.processor import processor_here
from inspection.files import write_text
from inspection.golden import golden_frames
from inspection.images import read_image
from inspection.opening import open_chosen
from inspection.preprocess import preprocess
from linewarden.parser import Parser
from studies.pages.sections import write_page
from training.checkpoint import RunRecord, load_run
from training.data.layout import read_data_set
from training.metrics import auroc

ROUNDS, TIMED_IMAGES = 20, 8
METHOD = """\
# Precision

Made by `make precision`. Every artefact scores the test images of its data set on a CPU: what is
for OpenVINO through OpenVINO, in FP32 and in BF16 where the processor has it, and all else through
ONNX Runtime. That computes FP16 in FP32 and rounds nothing, so the twin of an FP16 graph, which
rounds every FP16 value, takes its place. Flips are test images with another verdict than the FP32
artefact. Alone, each artefact has its own threshold: the highest score of the held-out good images.
In a cascade, as `linewarden build` makes it on a processor, the threshold is that of FP32: the
artefact passes what keeps a margin to it, twice its largest difference on held-out good images and
passed golden frames (`export/precision/margins.py`), and FP32 looks at all others. The second looks
are the shares of the good and of the defective test images that it leaves to FP32. The score
difference is the largest over the spread of the FP32 scores. The time is the median of interleaved
runs over that of FP32, on the machine of the study. The files for TensorRT are slow there by
design: `linewarden build` times their engines on the device, and keeps an engine only where it is
faster than the more precise ones and gives the verdicts of the golden frames. No test image chooses
anything: the frames of the export decide which nodes stay in FP32, and how INT8 is calibrated.

"""
COLUMNS = (
    "model",
    "data set",
    "artefact",
    "runs",
    "offered",
    "kept in FP32",
    "flips alone",
    "flips in a cascade",
    "second looks: good, defective",
    "image AUROC (change)",
    "score difference",
    "time over FP32",
    "MB",
)


class Scored(NamedTuple):
    """What an artefact makes of all images.

    Attributes:
        scores: of the test images (N,).
        threshold: the highest score of a held-out good image.
        shown: predictions for the held-out good images, and then for the golden frames.
    """

    scores: npt.NDArray[np.float64]
    threshold: float
    shown: dict[int, Prediction]


class Frames(NamedTuple):
    """Prepared images: held-out good ones, golden frames, and test images with their labels."""

    good: list[Image]
    golden: list[Image]
    test: list[Image]
    is_defective: npt.NDArray[np.bool_]


class Measured(StrictModel):
    """One artefact of one run.

    Attributes:
        refusal: reason why the bundle lacks it, and all figures are None; empty when it has it.
        flips: test images, of `images`, with another verdict than FP32.
        cascade_flips: the same where it only passes clearly good parts before FP32; None for FP32
            and for what no processor runs.
        second_looks: shares of the good and of the defective test images that it then leaves to
            FP32.
        score_difference: largest on a test image, over the spread of the scores of FP32.
        time: median time over that of FP32.
    """

    artefact: str
    refusal: str = ""
    kept: str = "-"
    images: int = 0
    flips: int | None = None
    cascade_flips: int | None = None
    second_looks: tuple[float, float] | None = None
    auroc: float | None = None
    auroc_change: float | None = None
    score_difference: float | None = None
    time: float | None = None
    megabytes: float | None = None


class StudiedRun(StrictModel):
    """All artefacts of one run, FP32 first."""

    model: str
    data_set: str
    artefacts: tuple[Measured, ...]


def main() -> None:
    parser = Parser(
        prog="python -m studies.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    parser.add_argument("--work", required=True, type=Path, help="folder for bundles and results")
    parser.add_argument("--out", required=True, type=Path, help="Markdown to write")
    args = parser.parse_args()
    studied = []
    for run in args.runs:
        record, _ = load_run(run)
        folder = args.work / f"{record.config.model.name}-{record.name}-{record.weights_sha256[:8]}"
        done = folder / "study.json"
        if not done.exists():
            print(f"{run}: {folder}", flush=True)
            write_text(done, study(run, record, folder).model_dump_json(indent=1) + "\n")
        studied.append(StudiedRun.model_validate_json(done.read_bytes()))
    write_page(args.out, METHOD + table(studied))
    print(table(studied))


def study(run: Path, record: RunRecord, folder: Path) -> StudiedRun:
    """Exports a run with all precisions, then scores and times every artefact of its bundle."""
    shutil.rmtree(folder, ignore_errors=True)
    bundle = export_bundle(run, folder / "bundle", Contents(PRECISIONS))
    ways = list(ways_of(bundle))
    samples = read_data_set(record.config.data.folder).test
    frames = Frames(
        good=prepared([held.path for held in record.held_out], bundle),
        golden=[frame.image for frame in golden_frames(bundle)],
        test=prepared([sample.path for sample in samples], bundle),
        is_defective=np.array([not sample.is_good for sample in samples]),
    )
    scored = {way: score(bundle, way, folder, frames) for way in ways}
    times = relative_times(bundle, ways, frames.test[:TIMED_IMAGES])
    rows = [
        measure(bundle, way, scored[way], scored[ways[0]], frames, time=times[way]) for way in ways
    ]
    rows += [
        Measured(artefact=name, refusal=artefact.remark)
        for name, artefact in bundle.manifest.refused.items()
    ]
    model = record.config.model.name
    return StudiedRun(model=model, data_set=record.name, artefacts=tuple(rows))


def prepared(paths: Sequence[Path], bundle: Bundle) -> list[Image]:
    """Returns images as the graph takes them, (1, H, W, 3)."""
    spec = bundle.manifest.preprocessing
    return [preprocess(read_image(path), spec)[np.newaxis] for path in paths]


def ways_of(bundle: Bundle) -> Iterator[Chosen]:
    """Yields every artefact with its engine and precision on this processor, FP32 first."""
    has_bf16 = processor_here().has_bf16
    for name in bundle.graphs():
        artefact = bundle.manifest.artefacts.get(name)
        if artefact is None or artefact.engine != "openvino":
            yield Chosen("onnxruntime", name)
        else:
            yield Chosen("openvino", name)
        if has_bf16 and (artefact is None or artefact.engine == "openvino"):
            yield Chosen("openvino", name, "bf16")


def score(bundle: Bundle, way: Chosen, folder: Path, frames: Frames) -> Scored:
    """Runs all images through an artefact, FP16 rounded as on a device."""
    twin = folder / f"rounded-{way.artefact}"
    save_graph(rounded_twin(onnx.load(bundle.file(way.artefact))), twin)
    shape = GraphShape(bundle.manifest.graph.height, bundle.manifest.graph.width)
    with closing(engine_class(way.engine, way.compute)(twin, shape, threads=None)) as engine:
        shown = dict(enumerate(map(engine.infer, [*frames.good, *frames.golden])))
        scores = np.array([float(engine.infer(image).scores[0]) for image in frames.test])
    twin.unlink()
    threshold = max(float(shown[number].scores[0]) for number in range(len(frames.good)))
    return Scored(scores, threshold, shown)


def relative_times(
    bundle: Bundle, ways: Sequence[Chosen], images: Sequence[Image]
) -> dict[Chosen, float]:
    """Returns the median time of each artefact over that of the first."""
    with ExitStack() as stack:
        engines = {way: stack.enter_context(closing(open_chosen(bundle, way))) for way in ways}
        runs = {title(way): engine.infer for way, engine in engines.items()}
        medians = interleaved_medians(runs, images, ROUNDS)
    return {way: medians[title(way)] / medians[title(ways[0])] for way in ways}


def title(way: Chosen) -> str:
    """Returns the name of an artefact in the table, with its engine where that is OpenVINO."""
    if way.engine == "onnxruntime":
        return way.artefact
    return f"{way.artefact} on OpenVINO, {way.compute}"


def measure(
    bundle: Bundle,
    way: Chosen,
    got: Scored,
    expected: Scored,
    frames: Frames,
    *,
    time: float,
) -> Measured:
    """Returns the figures of one artefact against the FP32 one."""
    labels = frames.is_defective
    flips = (got.scores > got.threshold) != (expected.scores > expected.threshold)
    area = auroc(got.scores, labels)
    cascade_flips, second_looks = in_a_cascade(bundle, way, got, expected, frames)
    return Measured(
        artefact=title(way),
        kept=_kept(bundle.manifest.artefacts.get(way.artefact)),
        images=len(labels),
        flips=int(flips.sum()),
        cascade_flips=cascade_flips,
        second_looks=second_looks,
        auroc=area,
        auroc_change=area - auroc(expected.scores, labels),
        score_difference=float(
            np.abs(got.scores - expected.scores).max() / np.ptp(expected.scores)
        ),
        time=time,
        megabytes=bundle.file(way.artefact).stat().st_size / 1e6,
    )


def in_a_cascade(
    bundle: Bundle, way: Chosen, got: Scored, expected: Scored, frames: Frames
) -> tuple[int | None, tuple[float, float] | None]:
    """Returns the flips and the second looks of an artefact that only passes, before FP32."""
    artefact = bundle.manifest.artefacts.get(way.artefact)
    is_exact = way.compute == "fp32" and (artefact is None or artefact.precision == "fp32")
    if is_exact or (artefact is not None and artefact.engine not in {"onnxruntime", "openvino"}):
        return None, None
    images = [*frames.good, *frames.golden]
    seen = [
        Expected(str(number), images[number], float(found.scores[0]), found.maps[0])
        for number, found in expected.shown.items()
    ]
    margin = first_look(seen, got.shown, expected.threshold, good=len(frames.good)).margin
    leaves = ~(got.scores <= margin.limit(expected.threshold))
    flips = (leaves & (expected.scores > expected.threshold)) != (
        expected.scores > expected.threshold
    )
    labels = frames.is_defective
    return int(flips.sum()), (float(leaves[~labels].mean()), float(leaves[labels].mean()))


def table(studied: Sequence[StudiedRun]) -> str:
    """Returns one line for each model, data set and artefact, over all runs."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for run in studied:
        for row in run.artefacts:
            groups.setdefault((run.model, run.data_set, row.artefact), []).append(row)
    for key, rows in sorted(groups.items(), key=lambda group: group[0][:2]):
        lines.append(f"| {' | '.join((*key, *cells(rows)))} |")
    return "\n".join([*lines, *refusals(groups)]) + "\n"


def refusals(groups: Mapping[tuple[str, str, str], Sequence[Measured]]) -> list[str]:
    """Returns the reason of each artefact that is not offered."""
    lines = [
        f"- {' '.join(key)}: {row.refusal}."
        for key, rows in sorted(groups.items())
        for row in rows
        if row.refusal
    ]
    return ["\nNot offered:\n", *lines] if lines else []


def cells(rows: Sequence[Measured]) -> tuple[str, ...]:
    """Returns the figures of one artefact over several runs."""
    offered = [row for row in rows if not row.refusal]
    images = sum(row.images for row in offered)
    worst = max((row.score_difference or 0.0 for row in offered), default=None)
    return (
        str(len(rows)),
        str(len(offered)),
        ", ".join(dict.fromkeys(row.kept for row in offered)) or "-",
        _sum((row.flips for row in offered), images),
        _sum((row.cascade_flips for row in offered), images),
        _shares([row.second_looks for row in offered if row.second_looks is not None]),
        f"{_mean(r.auroc for r in offered)} ({_mean(r.auroc_change for r in offered)})",
        "-" if worst is None else f"{worst:.2%}",
        _mean((r.time for r in offered), 2),
        _mean((r.megabytes for r in offered), 1),
    )


def _sum(values: Iterable[int | None], images: int) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known)} of {images}" if known else "-"


def _shares(values: Sequence[tuple[float, float]]) -> str:
    if not values:
        return "-"
    good, defective = np.mean(values, axis=0)
    return f"{good:.1%}, {defective:.0%}"


def _kept(artefact: Artefact | None) -> str:
    if artefact is None:
        return "-"
    return f"{artefact.fp32_nodes} of {artefact.lowered_nodes + artefact.fp32_nodes}"


def _mean(values: Iterable[float | None], digits: int = 3) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.{digits}f}" if known else "-"


if __name__ == "__main__":
    main()

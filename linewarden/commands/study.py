"""Measure the whole chain: train, export, calibrate and evaluate, several times.

'accuracy' runs every DATA folder with every seed. The figures come from the
exported artefact at its calibrated threshold; the last epoch is used, and no test
image chooses an epoch, a threshold or a setting. Each finished training is kept as
one JSON file in --work, so that a study that was stopped goes on where it was.

examples:
  linewarden study accuracy --config configs/train/supersimplenet-cpu.yaml \\
      --seeds 1 2 3 --work study --out docs/accuracy.md data/cookies data/hazelnut
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from calibration.calibrate import calibrate
from edge.bundle import open_bundle
from edge.config import StrictModel
from edge.files import write_text
from edge.inspector import Inspector
from edge.preprocess import preprocess
from export.bundle import export_bundle
from linewarden.commands.train import fit_with_progress, load_train_config
from training.checkpoint import RunRecord, load_run
from training.data.layout import read_data_set
from training.evaluation import evaluate
from training.inspected import InspectedSample, inspect_samples


class StudyRow(StrictModel):
    """One training, exported, calibrated and measured through its artefact.

    Attributes:
        verdict_flips: test images that checkpoint and artefact judge differently.
        score_difference: largest difference of their scores over the spread of the scores.
    """

    data_set: str
    seed: int
    model: str
    fitted: int
    held_out: int
    good: int
    defective: int
    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None
    promised_false_reject_rate: float
    false_reject_rate: float
    escape_rate: float
    verdict_flips: int
    score_difference: float
    training_s: float
    latency_p50_ms: float
    doubts: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("study", choices=["accuracy"], help="which study")
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets with test/")
    parser.add_argument("--config", required=True, type=Path, help="training configuration")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--work", required=True, type=Path, metavar="FOLDER", help="runs and rows")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="Markdown to write")


def run(args: argparse.Namespace) -> int:
    """Run what is not done yet, then write the table."""
    rows = []
    for data in args.data:
        for seed in args.seeds:
            done = args.work / f"{data.name}-{seed}.json"
            if not done.exists():
                settings = [*args.set, f"data.folder={data.resolve()}", f"fit.seed={seed}"]
                row = measure(args.config, settings, args.work / f"{data.name}-{seed}")
                write_text(done, row.model_dump_json(indent=2) + "\n")
            rows.append(StudyRow.model_validate_json(done.read_bytes()))
    config = args.config.name
    title = f"# Accuracy\n\nMade by `make accuracy` with `{config}`. {_METHOD}\n"
    write_text(args.out, title + table(rows))
    print(table(rows))
    return 0


_METHOD = """\
Every figure comes from the exported artefact on ONNX Runtime's
CPU, at the threshold calibrated on held-out good images, after the last epoch; no test image
chooses anything. Mean ± standard deviation over the seeds; each seed also draws another hold-out.
A promised rate of 0.39 means that so few good images were held out that no lower one can be
promised at 95 % confidence.

"""


_COLUMNS = (
    "data set",
    "fit / held out",
    "test good / defective",
    "image AUROC",
    "pixel AUROC",
    "AUPRO",
    "false reject rate (promised)",
    "escape rate",
    "verdict flips",
    "training s",
    "ms a part",
)


def measure(config_path: Path, settings: list[str], folder: Path) -> StudyRow:
    """The whole chain once, in `folder`."""
    config = load_train_config(config_path, settings, default_weights=True)
    if not (folder / "run" / "run.json").exists():
        fit_with_progress(config, folder / "run")
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    export_bundle(folder / "run", folder / "bundle")
    record, _ = load_run(folder / "run")
    bundle = open_bundle(folder / "bundle")
    calibrate(bundle, [held.path for held in record.held_out], false_reject_rate=0.01)
    data_set = read_data_set(config.data.folder)
    with Inspector.open(bundle) as inspector:
        inspected = inspect_samples(inspector, data_set.test)
        figures = evaluate(inspector, data_set.name, inspected)
    flips, difference = compare_with_checkpoint(folder / "run", record, inspected)
    assert figures.false_reject_rate is not None  # noqa: S101 - a study needs both classes
    assert figures.escape_rate is not None  # noqa: S101
    return StudyRow(
        data_set=data_set.name,
        seed=config.fit.seed,
        model=config.model.name,
        fitted=len(record.fitted_sha256),
        held_out=len(record.held_out),
        good=figures.good,
        defective=figures.defective,
        image_auroc=figures.image_auroc,
        pixel_auroc=figures.pixel_auroc,
        aupro=figures.aupro,
        promised_false_reject_rate=figures.promised_false_reject_rate,
        false_reject_rate=figures.false_reject_rate.rate,
        escape_rate=figures.escape_rate.rate,
        verdict_flips=flips,
        score_difference=difference,
        training_s=record.seconds,
        latency_p50_ms=figures.latency_p50_ms,
        doubts=record.doubts,
    )


def compare_with_checkpoint(
    run_folder: Path, record: RunRecord, inspected: Sequence[InspectedSample]
) -> tuple[int, float]:
    """Verdict flips, and the largest score difference over the spread of the scores."""
    _, model = load_run(run_folder)
    expected = []
    for sample in inspected:
        image = preprocess(sample.frame, record.preprocessing)[np.newaxis]
        with torch.no_grad():
            expected.append(float(model(torch.from_numpy(image)).scores[0]))
    scores = np.array([sample.inspection.score for sample in inspected])
    threshold = inspected[0].inspection.threshold
    flips = (scores > threshold) != (np.array(expected) > threshold)
    difference = np.abs(scores - expected).max() / max(np.ptp(scores), 1e-12)
    return int(flips.sum()), float(difference)


def table(rows: Sequence[StudyRow]) -> str:
    """Markdown table with mean and spread over the seeds of each data set."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for name in dict.fromkeys(row.data_set for row in rows):
        of = [row for row in rows if row.data_set == name]
        promised = mean(row.promised_false_reject_rate for row in of)
        cells = [
            name,
            f"{of[0].fitted} / {of[0].held_out}",
            f"{of[0].good} / {of[0].defective}",
            _spread([row.image_auroc for row in of]),
            _spread([row.pixel_auroc for row in of]),
            _spread([row.aupro for row in of]),
            f"{_spread([row.false_reject_rate for row in of])} ({promised:.2f})",
            _spread([row.escape_rate for row in of]),
            f"{sum(r.verdict_flips for r in of)} of {sum(r.good + r.defective for r in of)}",
            f"{mean(row.training_s for row in of):.0f}",
            f"{mean(row.latency_p50_ms for row in of):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "-"
    return f"{mean(numbers):.3f}" + (f" ± {stdev(numbers):.3f}" if len(numbers) > 1 else "")

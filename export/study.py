"""Measures the whole chain for models x data sets x seeds: train, export, calibrate, evaluate."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from calibration.calibrate import calibrate
from calibration.thresholds import CalibrationTargets
from export.bundle import export_bundle
from export.study_inputs import claim, inputs_of, refuse_different
from inspection.bundle import open_bundle
from inspection.config.loading import StrictModel
from inspection.files import write_bytes, write_text
from inspection.images import encode_jpeg, read_image
from inspection.inspector import Inspector
from inspection.preprocess import preprocess
from training.checkpoint import RunRecord, load_run
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.evaluation import Evaluation, evaluate
from training.figures import figure_sheet
from training.inspected import InspectedSample, inspect_samples
from training.models.base import AnomalyModel, blank_image

Fit = Callable[[TrainConfig, Path], RunRecord]

FALSE_REJECT_RATE = 0.01
ROW = "row.json"
_PANELS = 8
_ROUNDS = 30


class StudyRow(StrictModel):
    """One trained model, exported, calibrated and measured through its artefact.

    Attributes:
        variant: name of the training configuration.
        data_set: name of the test data; a model of several categories gives a row for each.
        measured_on: ISO date, UTC; other versions of Linewarden may have made older rows.
        trained_parameters: number of learnt parameters; the backbone is frozen.
        literal_macs: multiply-accumulates of an image before folding; `macs` of the graph.
        verdict_flips: test images that checkpoint and artefact judge differently.
        score_difference: largest difference of their scores over the spread of the scores.
    """

    variant: str
    data_set: str
    measured_on: str
    seed: int
    fitted: int
    held_out: int
    training_s: float
    trained_parameters: int
    literal_macs: int
    macs: int
    verdict_flips: int
    score_difference: float
    evaluation: Evaluation
    doubts: tuple[str, ...]


def measure(variant: str, config: TrainConfig, folder: Path, fit: Fit) -> StudyRow:
    """Runs the whole chain once in `folder`, without the training if the folder holds it already.

    The caller has claimed the folder for these inputs, or it is empty. The chain leaves
    `sheet.jpg` with chosen parts in it.
    """
    if not (folder / "run" / "run.json").exists():
        fit(config, folder / "run")
    record, model = load_run(folder / "run")
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    bundle = export_bundle(folder / "run", folder / "bundle")
    held_out, part_of = [held.path for held in record.held_out], config.data.part_of
    calibrate(bundle, held_out, CalibrationTargets(FALSE_REJECT_RATE, part_of=part_of))
    data_set = read_data_set(config.data.folder)
    with Inspector.open(open_bundle(folder / "bundle")) as inspector:
        inspected = inspect_samples(inspector, data_set.test)
        figures = evaluate(inspector, data_set.name, inspected, part_of=part_of)
    write_bytes(folder / "sheet.jpg", encode_jpeg(figure_sheet(inspected, figures, _PANELS), 80))
    flips, difference = compare_with_checkpoint(model, record, inspected)
    trained = (p.numel() for p in model.parameters() if p.requires_grad)
    return StudyRow(
        variant=variant,
        data_set=data_set.name,
        measured_on=datetime.now(timezone.utc).date().isoformat(),
        seed=config.fit.seed,
        fitted=len(record.fitted_sha256),
        held_out=len(record.held_out),
        training_s=record.seconds,
        trained_parameters=sum(trained),
        literal_macs=count_literal_macs(model),
        macs=bundle.manifest.macs,
        verdict_flips=flips,
        score_difference=difference,
        evaluation=figures,
        doubts=record.doubts,
    )


def measure_once(variant: str, config: TrainConfig, data: Path, work: Path, fit: Fit) -> None:
    """Runs `measure` in a folder of `work`, unless an earlier call has done it.

    Raises:
        ConfigError: the folder holds the results of another configuration or other data.
    """
    folder = work / f"{variant}-{data.name}-{config.fit.seed}"
    claim(folder, inputs_of(config))
    if not (folder / ROW).exists():
        row = measure(variant, config, folder, fit)
        write_text(folder / ROW, row.model_dump_json(indent=1) + "\n")


def finished(
    work: Path, variants: Sequence[str], data_sets: Sequence[str]
) -> list[tuple[StudyRow, Path]]:
    """Reads the finished rows of these variants and data sets in order, with their folders.

    Raises:
        ConfigError: the rows of a variant and a data set differ in more than the seed.
    """
    found = []
    for data_set in data_sets:
        for variant in variants:
            folders = [
                row.parent
                for row in sorted(work.glob(f"*/{ROW}"))
                if row.parent.name.rpartition("-")[0] == f"{variant}-{data_set}"
            ]
            refuse_different(folders)
            found += [(StudyRow.model_validate_json((f / ROW).read_bytes()), f) for f in folders]
    return found


def latencies_ms(done: Sequence[tuple[StudyRow, Path]]) -> dict[str, float]:
    """Measures the median time of each variant from a native frame in memory to its verdict.

    One thread runs the variants in turn, each on its first data set, so that the load of the
    machine is the same for all.
    """
    first = {row.variant: folder for row, folder in reversed(done)}
    with contextlib.ExitStack() as stack:
        inspectors = {}
        for variant, folder in first.items():
            bundle = open_bundle(folder / "bundle")
            inspector = stack.enter_context(Inspector.open(bundle, threads=1))
            inspectors[variant] = (
                inspector,
                read_image(bundle.file(bundle.manifest.golden[0].frame)),
            )
        taken: dict[str, list[int]] = {variant: [] for variant in first}
        for _ in range(_ROUNDS):
            for variant, (inspector, frame) in inspectors.items():
                started = time.perf_counter_ns()
                inspector.inspect(frame)
                taken[variant].append(time.perf_counter_ns() - started)
    return {variant: float(np.median(times)) / 1e6 for variant, times in taken.items()}


def compare_with_checkpoint(
    model: AnomalyModel, record: RunRecord, inspected: Sequence[InspectedSample]
) -> tuple[int, float]:
    """Counts verdict flips, and finds the largest score difference over the spread of scores."""
    expected = []
    for sample in inspected:
        image = preprocess(sample.frame, record.preprocessing)[np.newaxis]
        with torch.no_grad():
            expected.append(float(model(torch.from_numpy(image)).scores[0]))
    scores = np.array([sample.inspection.score for sample in inspected])
    threshold = inspected[0].inspection.thresholds.reject
    flips = (scores > threshold) != (np.array(expected) > threshold)
    difference = np.abs(scores - expected).max() / max(np.ptp(scores), 1e-12)
    return int(flips.sum()), float(difference)


def count_literal_macs(model: AnomalyModel) -> int:
    """Counts the multiply-accumulates of one image through the model as in its paper."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(blank_image(model.size))
    return counter.get_total_flops() // 2

"""From a finished run to a bundle: graph, parity, golden frames, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.graph import build_graph, save_graph
from export.macs import count_macs
from export.open_batch import SIZES, compare_in_batches
from export.parity import (
    Comparison,
    Frame,
    adversarial_frames,
    compare_frames,
    real_frames,
    refuse_other_results,
    threshold_above,
    verdict_flips,
)
from export.precision.judge import Judge
from export.precision.outcome import Expected
from export.precision.select import Selection, Source, select_artefacts
from export.precision.training_images import FEW_IMAGES, calibration_images
from export.timing import Image
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from inspection.bundle.bundle import TRAINING_RECORD
from inspection.bundle.manifest import Golden, GraphIO, Parity, require_readable, seal_bundle
from inspection.engine import GraphShape, engine_class
from inspection.errors import BundleError
from inspection.files import new_directory
from inspection.golden import write_golden
from inspection.images import encode_png
from inspection.preprocess import preprocess
from inspection.trust.keys import Keys
from training.checkpoint import RunRecord, load_run
from training.models.base import AnomalyModel

DYNAMIC_ARTEFACT = "model.dynamic.onnx"
_GOLDEN_REAL, _GOLDEN_ADVERSARIAL = 3, ("saturated", "noise", "lines-0", "lines-1")


@dataclass(frozen=True)
class Contents:
    """The artefacts of a bundle beside the reference, a graph in FP32, which each bundle has.

    Attributes:
        precisions: some of "fp32", "fp16" and "int8". The manifest lists the artefacts, and gives
            the reason for each that is missing.
        is_for_here: of `precisions`, makes only what this processor gains from, in seconds.
        calibration: folder with the good training images, for the calibration of INT8; None takes
            the data set of the run.
        dynamic_batch: also a graph with an open batch, for offline use.
    """

    precisions: Collection[str] = ("fp32",)
    is_for_here: bool = False
    calibration: Path | None = None
    dynamic_batch: bool = False


FOR_ALL = Contents()  # FP32 for each engine that wants a form of its own
FOR_HERE = Contents(("fp32", "int8"), is_for_here=True)


def export_bundle(
    run: Path,
    target: Path,
    contents: Contents = FOR_ALL,
    *,
    replace: bool = False,
    report: Callable[[str], None] = lambda _: None,
    finish: Callable[[Bundle], object] = lambda _: None,
) -> Bundle:
    """Turns the run in folder `run` into a bundle at `target`.

    Args:
        replace: overwrite an existing bundle and its calibrations.
        report: called with a line about each step.
        finish: called with the complete bundle in its temporary folder, before it becomes `target`:
            a bundle that is calibrated here never exists without its thresholds.

    Raises:
        BundleError: the run is unfinished or damaged, `target` exists, an image for calibration has
            gone or changed since the training, or the calibration images for INT8 are gone.
        EngineError: the artefact differs from the checkpoint by more than rounding, or gives a
            frame another verdict.
    """
    if target.exists() and not replace:
        raise BundleError(f"{target}: exists; choose another folder, or --replace it")
    record, model = load_run(run)
    require_readable(record.name, run)
    images = _calibration_images(record, contents, report)
    with new_directory(target, replace=replace) as folder:
        report("fusing backbone and head into one graph")
        graph = build_graph(model)
        save_graph(graph, folder / REFERENCE_ARTEFACT)
        report("comparing checkpoint and artefact on native frames")
        frames, comparisons = _compare(record, model, folder)
        parity = _parity_of(
            comparisons, good=len(record.for_calibration), map_tolerance=model.map_tolerance
        )
        judge = _make_judge(record, frames, comparisons, parity.threshold)
        if contents.dynamic_batch:
            _write_open_batch(folder, model, judge, parity)
        source = Source(graph, judge, images, _backbone(record) is not None, report)
        selection = select_artefacts(
            source, folder, contents.precisions, is_for_here=contents.is_for_here
        )
        goldens = _write_goldens(folder, record, frames, comparisons)
        _write_training_record(folder, record)
        _seal(folder, record, graph, parity, goldens=goldens, selection=selection)
        finish(open_bundle(folder, Keys()))
    return open_bundle(target, Keys())  # the owner of the key signs it later


def _write_open_batch(folder: Path, model: AnomalyModel, judge: Judge, parity: Parity) -> None:
    """Writes the graph with an open batch, when it gives the results of the checkpoint."""
    graph = build_graph(model, dynamic_batch=True)
    for size in SIZES:
        found = compare_in_batches(graph, judge.frames, size)
        which = f" in batches of {size}"
        refuse_other_results(found, parity.threshold, parity.map_tolerance, which)
    save_graph(graph, folder / DYNAMIC_ARTEFACT)


def _write_training_record(folder: Path, record: RunRecord) -> None:
    trained_on = {"images_sha256": sorted(record.fitted_sha256)}
    (folder / TRAINING_RECORD).write_text(json.dumps(trained_on, indent=1) + "\n")


def _calibration_images(
    record: RunRecord, contents: Contents, report: Callable[[str], None]
) -> list[Image]:
    """Returns images for the calibration of INT8, where it is wanted.

    A bundle for here does without INT8 when they are gone, and says so.

    Raises:
        BundleError: the images are gone, and the bundle is not for here.
    """
    if "int8" not in contents.precisions:
        return []
    if not contents.is_for_here:
        return calibration_images(record, contents.calibration, report)
    try:
        return calibration_images(record, contents.calibration, report, FEW_IMAGES)
    except BundleError as error:
        report(f"no INT8: {error}")
        return []


def _compare(
    record: RunRecord, model: AnomalyModel, folder: Path
) -> tuple[list[Frame], list[Comparison]]:
    """Returns frames and comparisons, the good images for calibration first."""
    named = list(real_frames(record.for_calibration, record.preprocessing.window))
    named += adversarial_frames(named[0][1], record.preprocessing)
    height, width = record.config.data.image_size
    shape = GraphShape(height, width)
    engine = engine_class("onnxruntime")(folder / REFERENCE_ARTEFACT, shape, threads=None)
    try:
        comparisons = compare_frames(model, engine, record.preprocessing, named)
    finally:
        engine.close()
    return [frame for _, frame in named], comparisons


def _parity_of(comparisons: Sequence[Comparison], *, good: int, map_tolerance: float) -> Parity:
    """Returns the parity record; raises EngineError when the artefact is not the checkpoint."""
    scores = [c.expected_score for c in comparisons]
    threshold = threshold_above(scores[:good], scores)
    refuse_other_results(comparisons, threshold, map_tolerance)
    return Parity(
        frames=len(comparisons),
        score=max(c.difference.score for c in comparisons),
        map=max(c.difference.map for c in comparisons),
        score_range=max(scores) - min(scores),
        verdict_flips=len(verdict_flips(comparisons, threshold)),
        threshold=threshold,
        map_tolerance=map_tolerance,
    )


def _make_judge(
    record: RunRecord, frames: Sequence[Frame], comparisons: Sequence[Comparison], threshold: float
) -> Judge:
    expected = [
        Expected(
            c.name,
            preprocess(frame, record.preprocessing)[np.newaxis],
            c.expected_score,
            c.expected_map,
        )
        for frame, c in zip(frames, comparisons, strict=True)
    ]
    return Judge(expected, good=len(record.for_calibration), threshold=threshold)


def _write_goldens(
    folder: Path, record: RunRecord, frames: Sequence[Frame], comparisons: Sequence[Comparison]
) -> tuple[Golden, ...]:
    """Writes some of the real frames, which come first, and those that strain the graph."""
    real = len(record.for_calibration)
    chosen = [*range(min(real, _GOLDEN_REAL))]
    chosen += [
        index
        for index in range(real, len(comparisons))
        if comparisons[index].name.startswith(_GOLDEN_ADVERSARIAL)
    ]
    return tuple(
        write_golden(
            folder,
            f"{number}-{comparisons[index].name}",
            encode_png(frames[index], record.preprocessing.window),
            comparisons[index].expected_score,
            comparisons[index].expected_map,
        )
        for number, index in enumerate(chosen)
    )


def _backbone(record: RunRecord) -> str | None:
    backbone = getattr(record.config.model, "backbone", None)
    return backbone.name if backbone else None


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the model's configuration with the weights file as a bare name.

    Its folder is private. The checkpoint has its content, and the manifest the checkpoint's hash.
    """
    backbone = values.get("backbone")
    if backbone is None:
        return values
    return {**values, "backbone": {**backbone, "weights": Path(backbone["weights"]).name}}


def _seal(
    folder: Path,
    record: RunRecord,
    graph: onnx.ModelProto,
    parity: Parity,
    *,
    goldens: tuple[Golden, ...],
    selection: Selection,
) -> None:
    model = record.config.model
    height, width = record.config.data.image_size
    seal_bundle(
        folder,
        {
            "name": record.name,
            "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "linewarden_version": version("linewarden"),
            "model": model.name,
            "model_config_values": _without_paths(model.model_dump(mode="json")),
            "backbone": _backbone(record),
            "weights_sha256": record.weights_sha256,
            "data_sha256": record.data_sha256,
            "preprocessing": record.preprocessing,
            "graph": GraphIO(height=height, width=width),
            "macs": count_macs(graph),
            "parity": parity,
            "golden": goldens,
            "artefacts": selection.artefacts,
            "refused": selection.refused,
            "evidence": record.evidence.summary() if record.evidence else {},
        },
    )

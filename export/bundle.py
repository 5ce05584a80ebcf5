"""From a finished run to a bundle: graph, parity, golden frames, manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from edge.bundle import (
    REFERENCE_ARTEFACT,
    TRAINING_RECORD,
    Bundle,
    Golden,
    GraphIO,
    Parity,
    open_bundle,
    seal_bundle,
)
from edge.engine import GraphShape, engine_class
from edge.errors import BundleError, EngineError
from edge.files import new_directory
from edge.golden import write_golden
from edge.images import encode_png
from export.frames import Frame, adversarial_frames, real_frames
from export.graph import build_graph, save_graph
from export.macs import count_macs
from export.parity import (
    Comparison,
    compare_frames,
    threshold_above,
    too_different,
    verdict_flips,
)
from training.checkpoint import RunRecord, load_run
from training.models.base import AnomalyModel

DYNAMIC_ARTEFACT = "model.dynamic.onnx"
_GOLDEN_REAL, _GOLDEN_ADVERSARIAL = 3, ("saturated", "noise", "lines-0", "lines-1")


def export_bundle(
    run: Path,
    target: Path,
    *,
    replace: bool = False,
    dynamic_batch: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Turn the run in folder `run` into a bundle at `target`.

    Args:
        replace: put it in the place of an existing bundle, calibrations and all.
        dynamic_batch: also write a graph with an open batch, for offline use.
        report: called with what is being done.

    Raises:
        BundleError: the run is unfinished or damaged, or `target` exists.
        EngineError: the artefact is not the checkpoint: it differs by more than rounding, or
            judges a frame differently.
    """
    if target.exists() and not replace:
        raise BundleError(f"{target}: exists; choose another folder, or --replace it")
    record, model = load_run(run)
    with new_directory(target, replace=replace) as folder:
        report("fusing backbone and head into one graph")
        graph = build_graph(model)
        save_graph(graph, folder / REFERENCE_ARTEFACT)
        if dynamic_batch:
            save_graph(build_graph(model, dynamic_batch=True), folder / DYNAMIC_ARTEFACT)
        report("comparing checkpoint and artefact on native frames")
        frames, comparisons = _compare(record, model, folder)
        parity = _judge(comparisons, good=len(record.held_out))
        goldens = _write_goldens(folder, frames, comparisons, real=len(record.held_out))
        trained_on = {"images_sha256": sorted(record.fitted_sha256)}
        (folder / TRAINING_RECORD).write_text(json.dumps(trained_on, indent=1) + "\n")
        _seal(folder, record, count_macs(graph), parity, goldens)
    return open_bundle(target)


def _compare(
    record: RunRecord, model: AnomalyModel, folder: Path
) -> tuple[list[Frame], list[Comparison]]:
    """Frames and comparisons, the held-out good images first."""
    named = list(real_frames([held_out.path for held_out in record.held_out]))
    named += adversarial_frames(named[0][1], record.preprocessing)
    height, width = record.config.data.image_size
    shape = GraphShape(height, width)
    engine = engine_class("onnxruntime")(folder / REFERENCE_ARTEFACT, shape, threads=None)
    try:
        comparisons = compare_frames(model, engine, record.preprocessing, named)
    finally:
        engine.close()
    return [frame for _, frame in named], comparisons


def _judge(comparisons: Sequence[Comparison], *, good: int) -> Parity:
    """The parity record; EngineError when the artefact is not the checkpoint."""
    scores = [c.expected_score for c in comparisons]
    threshold = threshold_above(scores[:good], scores)
    flips = verdict_flips(comparisons, threshold)
    wrong = too_different(comparisons) or flips
    if wrong:
        worst = max(wrong, key=lambda c: c.difference.relative)
        raise EngineError(
            f"the exported graph is not the checkpoint: {len(wrong)} of {len(comparisons)} frames "
            f"differ, {len(flips)} in their verdict; worst {worst.name!r}: score "
            f"{worst.expected_score:.6g} became {worst.score:.6g}. Nothing was written"
        )
    return Parity(
        frames=len(comparisons),
        score=max(c.difference.score for c in comparisons),
        map=max(c.difference.map for c in comparisons),
        score_range=max(scores) - min(scores),
        verdict_flips=len(flips),
        threshold=threshold,
    )


def _write_goldens(
    folder: Path, frames: Sequence[Frame], comparisons: Sequence[Comparison], *, real: int
) -> tuple[Golden, ...]:
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
            encode_png(frames[index]),
            comparisons[index].expected_score,
            comparisons[index].expected_map,
        )
        for number, index in enumerate(chosen)
    )


def _seal(
    folder: Path, record: RunRecord, macs: int, parity: Parity, goldens: tuple[Golden, ...]
) -> None:
    model = record.config.model
    height, width = record.config.data.image_size
    backbone = getattr(model, "backbone", None)
    seal_bundle(
        folder,
        {
            "name": record.name,
            "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "linewarden_version": version("linewarden"),
            "model": model.name,
            "model_config_values": model.model_dump(mode="json"),
            "backbone": backbone.name if backbone else None,
            "weights_sha256": record.weights_sha256,
            "data_sha256": record.data_sha256,
            "preprocessing": record.preprocessing,
            "graph": GraphIO(height=height, width=width),
            "macs": macs,
            "parity": parity,
            "golden": goldens,
        },
    )

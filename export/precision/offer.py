"""Which artefacts of lower precision go into a bundle: those that are worth it, with figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnxruntime.quantization.calibrate import TensorsData

from export.graph import save_graph
from export.precision.candidates import (
    Candidate,
    find_half,
    fp16_candidate,
    int8_nodes,
    onnxruntime_candidate,
    refused_by_tensorrt,
    tensorrt_candidate,
)
from export.precision.int8 import read_tensors
from export.precision.judge import Judge
from export.precision.ranges import CALIBRATORS, Calibrator, find_ranges
from export.timing import WORTHWHILE, Image
from inspection.bundle import Artefact
from inspection.bundle.manifest import Parity

PRECISIONS = ("fp32", "fp16", "int8")
FP16_ARTEFACT = "model.fp16.onnx"
INT8_TENSORRT_ARTEFACT = "model.int8.tensorrt.onnx"
INT8_ONNXRUNTIME_ARTEFACT = "model.int8.onnxruntime.onnx"


@dataclass(frozen=True)
class Offer:
    """Artefacts by file name: those written, and those that were not, with the reason."""

    artefacts: dict[str, Artefact] = field(default_factory=dict)
    refused: dict[str, Artefact] = field(default_factory=dict)


def offer_artefacts(
    graph: onnx.ModelProto,
    judge: Judge,
    folder: Path,
    *,
    precisions: Collection[str],
    images: Sequence[Image],
    has_backbone: bool,
    report: Callable[[str], None] = lambda _: None,
) -> Offer:
    """Make the artefacts of `precisions` and write those into `folder` that are worth it.

    An artefact is offered when no verdict flips on the frames of `judge`, its scores keep the
    budget, and it is faster than FP32 on the engine it is for, when that engine is here.

    Args:
        graph: the FP32 graph.
        judge: what to compare with.
        precisions: of PRECISIONS; FP32 is there already.
        images: good images of the training to calibrate INT8 with; unused without it.
        has_backbone: whether the model has a backbone, whose head stays in FP32.
        report: called with what is being done.
    """
    offer = Offer()
    candidates: dict[str, Candidate] = {}
    half: frozenset[str] = frozenset()
    if set(precisions) & {"fp16", "int8"} and refused_by_tensorrt(graph, "fp16") is None:
        report("finding what can compute in FP16")
        half = find_half(graph, judge, has_backbone=has_backbone)
    if "fp16" in precisions:
        candidates[FP16_ARTEFACT] = refused_by_tensorrt(graph, "fp16") or fp16_candidate(
            graph, judge, half, has_backbone=has_backbone
        )
    if "int8" in precisions:
        ranges = _all_ranges(graph, images, has_backbone=has_backbone, report=report)
        report("finding what can compute in INT8 for TensorRT")
        candidates[INT8_TENSORRT_ARTEFACT] = refused_by_tensorrt(
            graph, "int8"
        ) or tensorrt_candidate(graph, judge, half, ranges, has_backbone=has_backbone)
        report("finding what can compute in INT8 for ONNX Runtime")
        candidates[INT8_ONNXRUNTIME_ARTEFACT] = onnxruntime_candidate(
            graph, judge, ranges, has_backbone=has_backbone
        )
    for name, candidate in candidates.items():
        _decide(offer, folder, name, candidate)
    return offer


def _all_ranges(
    graph: onnx.ModelProto,
    images: Sequence[Image],
    *,
    has_backbone: bool,
    report: Callable[[str], None],
) -> dict[Calibrator, TensorsData]:
    """The ranges of every calibrator; none for a model that nothing can be quantised in."""
    tensors = read_tensors(graph, int8_nodes(graph, has_backbone=has_backbone))
    ranges = {}
    for calibrator in CALIBRATORS if tensors else ():
        report(f"calibrating INT8 on {len(images)} good images: {calibrator}")
        ranges[calibrator] = find_ranges(graph, tensors, images, calibrator)
    return ranges


def _decide(offer: Offer, folder: Path, name: str, candidate: Candidate) -> None:
    reason = refusal(candidate)
    if reason is None and candidate.graph is not None:
        save_graph(candidate.graph, folder / name)
        offer.artefacts[name] = _record(candidate, _timing(candidate))
    else:
        offer.refused[name] = _record(candidate, reason or "")


def refusal(candidate: Candidate) -> str | None:
    """Why an artefact is not worth offering; None when it is."""
    if candidate.obstacle:
        return f"{candidate.engine} does not take this model: {candidate.obstacle}"
    if not candidate.possible:
        return "the model has no node that this precision pays for"
    ratio = candidate.latency_ratio
    if ratio is not None and ratio > WORTHWHILE:
        return f"it is not worth it here: it takes {ratio:.2f} times as long as FP32"
    if candidate.graph is None or candidate.outcome is None:
        return (
            "too little of the model can leave FP32 without flipping verdicts or moving scores "
            "beyond the budget"
        )
    if not candidate.outcome.is_within(candidate.budget):
        return "it flips verdicts or moves scores beyond the budget"
    return None


def _timing(candidate: Candidate) -> str:
    if candidate.latency_ratio is None:
        return f"not timed here: it is for {candidate.engine}, and is timed where that runs"
    return "timed at export: medians of interleaved runs"


def _record(candidate: Candidate, remark: str) -> Artefact:
    return Artefact(
        precision=candidate.precision,
        engine=candidate.engine,
        parity=_finite(candidate.outcome.parity) if candidate.outcome else None,
        latency_ratio=candidate.latency_ratio,
        remark=remark,
        lowered_nodes=candidate.lowered,
        fp32_nodes=candidate.possible - candidate.lowered,
        form=candidate.form,
        calibrator=candidate.calibrator,
    )


def _finite(parity: Parity) -> Parity | None:
    return parity if math.isfinite(parity.score) and math.isfinite(parity.map) else None

"""Selection of the artefacts of lower precision that go into a bundle, with their figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnxruntime.quantization.calibrate import TensorsData

from export.graph import save_graph
from export.precision.build_variants import (
    Variant,
    build_fp16,
    build_fp32_for_openvino,
    build_int8_for_onnxruntime,
    build_int8_for_openvino,
    build_int8_for_tensorrt,
    find_half,
    int8_nodes,
    int8_pays_on_openvino,
    refused_by_tensorrt,
)
from export.precision.int8 import read_tensors
from export.precision.judge import Judge
from export.precision.ranges import CALIBRATORS, Calibrator, find_ranges, with_pixel_ends
from export.timing import WORTHWHILE, Image
from inspection.bundle import Artefact
from inspection.bundle.manifest import Parity

PRECISIONS = ("fp32", "fp16", "int8")
FP32_OPENVINO_ARTEFACT = "model.openvino.onnx"
FP16_ARTEFACT = "model.fp16.onnx"
INT8_TENSORRT_ARTEFACT = "model.int8.tensorrt.onnx"
INT8_ONNXRUNTIME_ARTEFACT = "model.int8.onnxruntime.onnx"
INT8_OPENVINO_ARTEFACT = "model.int8.openvino.onnx"

# For a bundle in seconds.
QUICK_CALIBRATORS: tuple[Calibrator, ...] = ("min-max", "percentile")


@dataclass(frozen=True)
class Selection:
    """Artefacts by file name: those written, and those refused, with the reason."""

    artefacts: dict[str, Artefact] = field(default_factory=dict)
    refused: dict[str, Artefact] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What artefacts are made of.

    Attributes:
        graph: the FP32 graph.
        judge: the comparison with the checkpoint.
        images: good training images, for the calibration of INT8; none leave it out where the
            artefacts are for here.
        has_backbone: True for a model with a backbone, whose head leaves FP32 as a whole or stays.
        report: called with a line about each step.
    """

    graph: onnx.ModelProto
    judge: Judge
    images: Sequence[Image]
    has_backbone: bool
    report: Callable[[str], None] = lambda _: None


def select_artefacts(
    source: Source, folder: Path, precisions: Collection[str], *, is_for_here: bool = False
) -> Selection:
    """Builds the artefacts of `precisions` and writes those that are worth it into `folder`.

    It keeps an artefact when no verdict flips on the frames of `judge`, when the scores stay within
    the budget, and when it is faster than FP32 on its engine, if that engine is here. INT8 for a
    processor may flip verdicts: it then never decides alone, see `Artefact.decides`.

    Args:
        precisions: of PRECISIONS; the FP32 graph exists already, in the form of most engines.
        is_for_here: makes what this processor gains from, in seconds, and nothing for other
            machines: INT8 for OpenVINO alone, and only where it is clearly faster.
    """
    variants = _for_here(source, precisions) if is_for_here else _for_all(source, precisions)
    selection = Selection()
    for name, variant in variants:
        _keep_or_refuse(selection, folder, name, variant)
    return selection


def _for_all(source: Source, precisions: Collection[str]) -> Iterator[tuple[str, Variant]]:
    """Yields the variants for all engines, with the names of their files."""
    graph, judge, has_backbone = source.graph, source.judge, source.has_backbone
    yield from _fp32_for_openvino(source)
    half: frozenset[str] = frozenset()
    if set(precisions) & {"fp16", "int8"} and refused_by_tensorrt(graph, "fp16") is None:
        source.report("finding the nodes that can compute in FP16")
        half = find_half(graph, judge, has_backbone=has_backbone)
    if "fp16" in precisions:
        yield FP16_ARTEFACT, refused_by_tensorrt(graph, "fp16") or build_fp16(graph, judge, half)
    if "int8" in precisions:
        ranges = _ranges(source, CALIBRATORS)
        source.report("finding the nodes that can compute in INT8 for TensorRT")
        made = refused_by_tensorrt(graph, "int8") or build_int8_for_tensorrt(
            graph, judge, half, ranges, has_backbone=has_backbone
        )
        yield INT8_TENSORRT_ARTEFACT, made
        source.report("finding the nodes that can compute in INT8 for ONNX Runtime")
        made = build_int8_for_onnxruntime(graph, judge, ranges, has_backbone=has_backbone)
        yield INT8_ONNXRUNTIME_ARTEFACT, made
        yield from _int8_for_openvino(source, ranges)


def _for_here(source: Source, precisions: Collection[str]) -> Iterator[tuple[str, Variant]]:
    """Yields the variants that this processor gains from."""
    if "fp32" in precisions:
        yield from _fp32_for_openvino(source)
    can_quantise = "int8" in precisions and len(source.images) > 0
    if can_quantise and int8_pays_on_openvino(
        source.graph, source.judge, has_backbone=source.has_backbone
    ):
        yield from _int8_for_openvino(source, _ranges(source, QUICK_CALIBRATORS), searches=False)


def _fp32_for_openvino(source: Source) -> Iterator[tuple[str, Variant]]:
    made = build_fp32_for_openvino(source.graph, source.judge)
    if made is not None:
        yield FP32_OPENVINO_ARTEFACT, made


def _int8_for_openvino(
    source: Source, ranges: Mapping[Calibrator, TensorsData], *, searches: bool = True
) -> Iterator[tuple[str, Variant]]:
    source.report("finding the nodes that can compute in INT8 for OpenVINO")
    made = build_int8_for_openvino(
        source.graph,
        source.judge,
        ranges,
        has_backbone=source.has_backbone,
        searches=searches,
    )
    yield INT8_OPENVINO_ARTEFACT, made


def _ranges(source: Source, calibrators: Sequence[Calibrator]) -> dict[Calibrator, TensorsData]:
    """Finds the ranges of the calibrators; none for a model without a node to quantise."""
    nodes = int8_nodes(source.graph, has_backbone=source.has_backbone)
    tensors = read_tensors(source.graph, nodes)
    shown = with_pixel_ends(source.images) if tensors else []
    ranges = {}
    for calibrator in calibrators if tensors else ():
        source.report(f"calibrating INT8 on {len(source.images)} good images: {calibrator}")
        ranges[calibrator] = find_ranges(source.graph, tensors, shown, calibrator)
    return ranges


def _keep_or_refuse(selection: Selection, folder: Path, name: str, variant: Variant) -> None:
    reason = refusal(variant)
    if reason is None and variant.graph is not None:
        save_graph(variant.graph, folder / name)
        remark = "; ".join([*_use(variant), _timing_remark(variant)])
        selection.artefacts[name] = _artefact_record(variant, remark)
    else:
        selection.refused[name] = _artefact_record(variant, reason or "")


def refusal(variant: Variant) -> str | None:
    """Returns the reason for not keeping an artefact, None when it is worth it."""
    if variant.obstacle:
        return variant.obstacle
    if not variant.possible and variant.graph is None:
        return "the model has no node that gains from this precision"
    ratio = variant.latency_ratio
    if ratio is not None and ratio > WORTHWHILE:
        return f"it is not worth it here: it takes {ratio:.2f} times as long as FP32"
    if variant.graph is None or variant.outcome is None:
        return (
            "too few nodes can leave FP32 without flipping verdicts or moving scores beyond the "
            "budget"
        )
    if not variant.outcome.is_within(variant.budget):
        return "it flips verdicts or moves scores beyond the budget"
    return None


def _use(variant: Variant) -> list[str]:
    """Returns the only use of an artefact that must not decide alone."""
    if not variant.budget.may_flip:
        return []
    return ["only for linewarden build, which lets it pass clearly good parts before FP32"]


def _timing_remark(variant: Variant) -> str:
    if variant.latency_ratio is None:
        return f"not timed here: it is for {variant.engine}, which times it where it runs"
    return "timed at export: medians of interleaved runs"


def _artefact_record(variant: Variant, remark: str) -> Artefact:
    return Artefact(
        precision=variant.precision,
        engine=variant.engine,
        parity=_finite(variant.outcome.parity) if variant.outcome else None,
        latency_ratio=variant.latency_ratio,
        remark=remark,
        lowered_nodes=variant.lowered,
        fp32_nodes=variant.possible - variant.lowered,
        form=variant.form,
        calibrator=variant.calibrator,
    )


def _finite(parity: Parity) -> Parity | None:
    return parity if math.isfinite(parity.score) and math.isfinite(parity.map) else None

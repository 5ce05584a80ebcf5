"""One variant of each kind: the graph of lower precision that is nearest to the checkpoint."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization.calibrate import TensorsData

from export.graph import INPUT, save_graph
from export.precision.fp16 import HALF_MAXIMUM, lossy_nodes, obstacles, to_half
from export.precision.int8 import (
    BLOCK,
    ONNXRUNTIME_FORMS,
    OPENVINO,
    TENSORRT,
    quantise,
    quantiser_nodes,
    read_tensors,
)
from export.precision.judge import Judge
from export.precision.nodes import lowerable_nodes, nodes_of_type, quantisable_nodes
from export.precision.outcome import (
    FIRST_STAGE_BUDGET,
    FP16_BUDGET,
    FP32_BUDGET,
    INT8_BUDGET,
    Budget,
    Outcome,
)
from export.precision.ranges import Calibrator, find_ranges
from export.precision.search import largest_kept, ranked_fall_back
from export.resampling import with_operators
from inspection.engine.cpu_record import Compute
from inspection.engine.processor import processor_here
from inspection.errors import EngineError

HEADROOM = 4.0  # FP16 must hold this many times the largest value on the frames
FORM_ROUNDS, FINAL_ROUNDS = 8, 20
# In shares of the time of FP32, with all nodes in INT8: a search only takes nodes back, and cannot
# make up for more.
HOPELESS = 1.1
# The ranges of INT8 take as many seconds as teaching does, so the gain must be worth them.
PAYS = 0.85


@dataclass(frozen=True)
class Variant:
    """A measured graph of lower precision.

    Attributes:
        graph: None when no node of the model can leave FP32.
        outcome: of the graph; without a graph, of the nearest attempt, if there was one.
        lowered: number of nodes that compute in the lower precision.
        possible: number of nodes that could.
        latency_ratio: see `inspection.bundle.bundle.Artefact`.
        obstacle: the reason against it that no figure shows; empty when there is none.
    """

    precision: Literal["fp32", "fp16", "int8"]
    engine: str
    budget: Budget
    graph: onnx.ModelProto | None = None
    outcome: Outcome | None = None
    lowered: int = 0
    possible: int = 0
    form: str | None = None
    calibrator: Calibrator | None = None
    latency_ratio: float | None = None
    obstacle: str = ""


def refused_by_tensorrt(
    graph: onnx.ModelProto, precision: Literal["fp16", "int8"]
) -> Variant | None:
    """Returns a variant with TensorRT's obstacles in the FP32 graph itself, None without any."""
    budget = FP16_BUDGET if precision == "fp16" else INT8_BUDGET
    found = "; ".join(obstacles(graph))
    if not found:
        return None
    reason = f"tensorrt does not take this model: {found}"
    return Variant(precision, "tensorrt", budget, obstacle=reason)


def find_half(graph: onnx.ModelProto, judge: Judge, *, has_backbone: bool) -> frozenset[str]:
    """Returns the nodes that can compute in FP16 within the budget; see `search.largest_kept`.

    A node stays in FP32 when FP16 cannot hold one of its weights, or when it reads or writes values
    near the end of the range of FP16. The head behind a backbone leaves as a whole, or stays: a
    search among its few nodes would put casts between them for little.
    """
    possible = lowerable_nodes(graph, has_backbone=False)
    stays = lossy_nodes(graph, possible) | _hot_nodes(graph, possible, judge)

    def keeps(half: frozenset[str]) -> bool:
        return judge.keeps(to_half(graph, half), FP16_BUDGET)

    searched = lowerable_nodes(graph, has_backbone=has_backbone)
    nodes = [name for name in searched if name not in stays]
    half = largest_kept(nodes, keeps) if nodes else frozenset()
    head = frozenset(possible) - frozenset(searched) - stays
    return half | head if half and head and keeps(half | head) else half


def build_fp16(graph: onnx.ModelProto, judge: Judge, half: frozenset[str]) -> Variant:
    """Builds the FP16 graph for TensorRT; ONNX Runtime's CPU computes it in FP32 with casts."""
    possible = len(lowerable_nodes(graph, has_backbone=False))
    made = to_half(graph, half) if half else None
    outcome = None if made is None else judge.judge(made)
    return Variant("fp16", "tensorrt", FP16_BUDGET, made, outcome, len(half), possible)


def build_int8_for_tensorrt(
    graph: onnx.ModelProto,
    judge: Judge,
    half: frozenset[str],
    ranges: Mapping[Calibrator, TensorsData],
    *,
    has_backbone: bool,
) -> Variant:
    """Builds the INT8 graph for TensorRT: convolutions in INT8, others in FP16 if they can."""
    nodes = quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=has_backbone))

    def build(leaving: Collection[str], by: TensorsData) -> onnx.ModelProto:
        quantised = quantise(graph, leaving, by, TENSORRT)
        return to_half(quantised, half | quantiser_nodes(quantised, half)) if half else quantised

    name = f"{TENSORRT.name}, the rest in {'fp16' if half else 'fp32'}"
    return _build_alone(_Int8Way("tensorrt", name, build), nodes, judge, ranges)


def build_int8_for_onnxruntime(
    graph: onnx.ModelProto,
    judge: Judge,
    ranges: Mapping[Calibrator, TensorsData],
    *,
    has_backbone: bool,
) -> Variant:
    """Builds the INT8 graph for ONNX Runtime, in the form that is fastest on this CPU."""
    nodes = int8_nodes(graph, has_backbone=has_backbone)
    if not nodes:
        return Variant("int8", "onnxruntime", INT8_BUDGET)
    any_ranges = next(iter(ranges.values()))  # they do not change the time
    written = {f.name: quantise(graph, nodes, any_ranges, f) for f in ONNXRUNTIME_FORMS}
    ratios = judge.latency_ratios({"fp32": graph, **written}, FORM_ROUNDS)
    form = min(ONNXRUNTIME_FORMS, key=lambda form: ratios[form.name])
    nodes = nodes_of_type(graph, nodes, form.types)
    if ratios[form.name] > HOPELESS:
        return Variant(
            "int8",
            "onnxruntime",
            INT8_BUDGET,
            possible=len(nodes),
            form=form.name,
            latency_ratio=ratios[form.name],
        )
    kind = _Int8Way("onnxruntime", form.name, lambda n, by: quantise(graph, n, by, form))
    found = _build_for_processor(kind, nodes, judge, ranges)
    if found.graph is None:
        return found
    final = judge.latency_ratios({"fp32": graph, "int8": found.graph}, FINAL_ROUNDS)
    return replace(found, latency_ratio=final["int8"])


def build_fp32_for_openvino(graph: onnx.ModelProto, judge: Judge) -> Variant | None:
    """Builds the FP32 graph with resize operators; None for a graph without their matrices."""
    resampling = with_operators(graph)
    if resampling.graph.node == graph.graph.node:
        return None
    variant = Variant("fp32", "openvino", FP32_BUDGET, form="resize operators")
    ratio = _ratio_on_openvino(judge, graph, resampling, openvino_computes()[-1:])
    if ratio is None:
        return replace(variant, obstacle="OpenVINO does not run it here, to time whether it gains")
    return replace(variant, graph=resampling, outcome=judge.judge(resampling), latency_ratio=ratio)


def build_int8_for_openvino(
    graph: onnx.ModelProto,
    judge: Judge,
    ranges: Mapping[Calibrator, TensorsData],
    *,
    has_backbone: bool,
    searches: bool = True,
) -> Variant:
    """Builds the INT8 graph for OpenVINO: convolutions in INT8, nothing in NCHW between them.

    Args:
        searches: takes nodes back to FP32 until the budget holds, and times the result, which takes
            minutes.
    """
    nodes = quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=has_backbone))
    resampling = with_operators(graph)
    way = _Int8Way("openvino", OPENVINO.name, lambda n, by: quantise(resampling, n, by, OPENVINO))
    found = _build_for_processor(way, nodes, judge, ranges, searches=searches)
    if found.graph is None or not searches:
        return found
    ratio = _ratio_on_openvino(judge, resampling, found.graph, openvino_computes())
    return replace(found, latency_ratio=ratio)


def int8_pays_on_openvino(graph: onnx.ModelProto, judge: Judge, *, has_backbone: bool) -> bool:
    """Returns True when OpenVINO is here and clearly faster in INT8, before any calibration."""
    nodes = quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=has_backbone))
    if not nodes or not processor_here().sums_int8_in_32_bits:
        return False
    one = [judge.frames[0].image]
    ranges = find_ranges(graph, read_tensors(graph, nodes), one, "min-max")
    resampling = with_operators(graph)
    made = quantise(resampling, nodes, ranges, OPENVINO)
    ratio = _ratio_on_openvino(judge, resampling, made, openvino_computes()[-1:])
    return ratio is not None and ratio <= PAYS


def openvino_computes() -> tuple[Compute, ...]:
    """Returns the precisions of OpenVINO on this processor, the fastest last."""
    return ("fp32", "bf16") if processor_here().has_bf16 else ("fp32",)


def _ratio_on_openvino(
    judge: Judge, graph: onnx.ModelProto, other: onnx.ModelProto, computes: Sequence[Compute]
) -> float | None:
    """Returns the time of another graph over that of a graph; None where OpenVINO runs neither.

    Args:
        computes: precisions of which the one with the largest gain counts.
    """
    graphs = {"first": graph, "second": other}
    try:
        return min(
            judge.latency_ratios(graphs, FORM_ROUNDS, "openvino", compute)["second"]
            for compute in computes
        )
    except EngineError:  # it is not installed, or too old for an operator
        return None


def int8_nodes(graph: onnx.ModelProto, *, has_backbone: bool) -> tuple[str, ...]:
    """Returns the nodes that some form computes in INT8; none without a convolution."""
    among = lowerable_nodes(graph, has_backbone=has_backbone)
    convolutions = quantisable_nodes(graph, among)
    return (*convolutions, *nodes_of_type(graph, among, BLOCK)) if convolutions else ()


class _Int8Way(NamedTuple):
    """A way to write INT8 graphs: the engine, the form's name and the function that writes."""

    engine: str
    form: str
    build: Callable[[Collection[str], TensorsData], onnx.ModelProto]


def _build_for_processor(
    kind: _Int8Way,
    nodes: Sequence[str],
    judge: Judge,
    ranges: Mapping[Calibrator, TensorsData],
    *,
    searches: bool = True,
) -> Variant:
    """Builds a graph that may decide alone, or else one for a first stage before FP32.

    The last word has the engine that it is for, where that is here.
    """
    found = _build_alone(kind, nodes, judge, ranges, searches=searches)
    if found.calibrator is None:
        return found
    made, lowered = found.graph, found.lowered
    if made is None:
        made, lowered = kind.build(nodes, ranges[found.calibrator]), len(nodes)
    engine, outcome = _judged(judge, made, kind.engine)
    if not outcome.is_within(FIRST_STAGE_BUDGET):
        return replace(found, graph=None, outcome=outcome, lowered=0)
    found = replace(found, graph=made, outcome=outcome, lowered=lowered)
    if outcome.is_within(INT8_BUDGET):
        return found
    wrong = judge.first_look(made, engine).wrongly_passed
    if wrong:
        return replace(found, obstacle=f"before FP32 it would pass {', '.join(wrong)}")
    return replace(found, budget=FIRST_STAGE_BUDGET)


def _judged(judge: Judge, graph: onnx.ModelProto, engine: str) -> tuple[str, Outcome]:
    """Judges INT8 for a processor through its engine, else through ONNX Runtime.

    Returns:
        the engine that judged, and the outcome.
    """
    if processor_here().sums_int8_in_32_bits:
        with suppress(EngineError):  # it is not installed, or too old for an operator
            return engine, judge.judge(graph, engine)
    return "onnxruntime", judge.judge(graph)


def _build_alone(
    kind: _Int8Way,
    nodes: Sequence[str],
    judge: Judge,
    ranges: Mapping[Calibrator, TensorsData],
    *,
    searches: bool = True,
) -> Variant:
    """Takes the calibrator with the nearest graph, and as many nodes as the budget allows."""
    nothing = Variant("int8", kind.engine, INT8_BUDGET, possible=len(nodes), form=kind.form)
    if not nodes:
        return nothing
    outcomes = {name: judge.judge(kind.build(nodes, by)) for name, by in ranges.items()}
    calibrator = min(outcomes, key=lambda name: _distance(outcomes[name]))
    nothing = replace(nothing, outcome=outcomes[calibrator], calibrator=calibrator)
    if outcomes[calibrator].is_within(INT8_BUDGET):
        return replace(nothing, graph=kind.build(nodes, ranges[calibrator]), lowered=len(nodes))
    if not searches:
        return nothing

    def made_of(leaving: Collection[str]) -> onnx.ModelProto:
        return kind.build(leaving, ranges[calibrator])

    leaving = ranked_fall_back(
        nodes,
        lambda leaving: judge.keeps(made_of(leaving), INT8_BUDGET),
        lambda name: _effect(judge.judge(made_of([name]))),
    )
    if not leaving:
        return nothing
    made = made_of(leaving)
    return replace(nothing, graph=made, outcome=judge.judge(made), lowered=len(leaving))


def _distance(outcome: Outcome) -> tuple[bool, bool, int, float]:
    # All frames: the few good ones lie close together, and a clipped range shows on the others.
    return (
        not outcome.is_within(INT8_BUDGET),
        not outcome.is_within(FIRST_STAGE_BUDGET),
        outcome.parity.verdict_flips,
        outcome.parity.score,
    )


def _effect(outcome: Outcome) -> float:
    """Returns the effect of a node: a flipped verdict counts more than any score."""
    return 1e3 * outcome.parity.verdict_flips + outcome.good


def _hot_nodes(graph: onnx.ModelProto, among: Collection[str], judge: Judge) -> frozenset[str]:
    """Returns the nodes that read or write values too large for FP16 with headroom."""
    constants = {tensor.name for tensor in graph.graph.initializer}
    by_node = {
        node.output[0]: [n for n in (*node.input, *node.output) if n and n not in constants]
        for node in graph.graph.node
        if node.output[0] in among
    }
    peaks = _peaks(graph, {name for names in by_node.values() for name in names}, judge)
    limit = HALF_MAXIMUM / HEADROOM
    return frozenset(
        key for key, names in by_node.items() if any(peaks.get(name, 0.0) > limit for name in names)
    )


def _peaks(graph: onnx.ModelProto, tensors: Collection[str], judge: Judge) -> dict[str, float]:
    """Returns the largest magnitude of tensors over all frames."""
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    inner = [value for value in graph.graph.value_info if value.name in tensors]
    watched.graph.output.extend(inner)
    names = [value.name for value in watched.graph.output if value.name in tensors]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watched.onnx"
        save_graph(watched, path)
        session = ort.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    peaks = dict.fromkeys(names, 0.0)
    for frame in judge.frames:
        for name, value in zip(names, session.run(names, {INPUT: frame.image}), strict=True):
            peaks[name] = max(peaks[name], float(np.abs(value.astype(np.float64)).max()))
    return peaks

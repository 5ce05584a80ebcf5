"""A bundle gets artefacts that keep the verdicts and are faster, and names the others."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from export.precision import build_variants
from export.precision.build_variants import Variant
from export.precision.fp16 import to_half
from export.precision.judge import Judge
from export.precision.margins import FirstLook
from export.precision.nodes import lowerable_nodes
from export.precision.outcome import FP16_BUDGET, INT8_BUDGET, Budget, Expected, Outcome
from export.precision.select import (
    FP16_ARTEFACT,
    FP32_OPENVINO_ARTEFACT,
    INT8_ONNXRUNTIME_ARTEFACT,
    INT8_OPENVINO_ARTEFACT,
    INT8_TENSORRT_ARTEFACT,
    Selection,
    Source,
    refusal,
    select_artefacts,
)
from export.timing import Image, interleaved_medians
from inspection.bundle import Artefact, Bundle, open_bundle
from inspection.bundle.manifest import MANIFEST, Manifest, Parity
from inspection.engine import GraphShape, engine_class
from inspection.engine.cpu_record import Compute
from inspection.files import sha256_of
from linewarden.commands.export import describe
from tests import tiny_convnet
from tests.doubles import processors
from training.linear_maps import bilinear

PARITY = Parity(frames=9, score=0.1, map=0.2, score_range=2.0, verdict_flips=0, threshold=1.0)
MEASURED = Variant(
    "int8",
    "onnxruntime",
    INT8_BUDGET,
    graph=tiny_convnet.graph(),
    outcome=Outcome(PARITY, good=0.1, map=0.1),
    lowered=3,
    possible=4,
    form="qdq-uint8-conv",
    calibrator="mse",
    latency_ratio=0.8,
)
FLIPPING = Outcome(PARITY.model_copy(update={"verdict_flips": 1}), good=0.1, map=0.1)


def select(folder: Path, judge: Judge, *precisions: str) -> Selection:
    return select_artefacts(source_of(tiny_convnet.graph(), judge), folder, precisions)


def source_of(
    graph: onnx.ModelProto, judge: Judge, images: Sequence[Image] | None = None
) -> Source:
    shown = tiny_convnet.images() if images is None else images
    return Source(graph, judge, shown, has_backbone=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"latency_ratio": None}, None),
        ({"latency_ratio": 0.95}, None),
        ({"latency_ratio": 0.96}, "not worth it here: it takes 0.96 times as long as FP32"),
        ({"obstacle": "takes no such type"}, "takes no such type"),
        ({"possible": 0, "graph": None}, "no node that gains from this precision"),
        ({"graph": None}, "too few nodes can leave FP32 without flipping verdicts"),
        ({"outcome": FLIPPING}, "flips verdicts or moves scores beyond the budget"),
    ],
)
def test_what_is_refused(changes: dict[str, object], reason: str | None) -> None:
    said = refusal(replace(MEASURED, **changes))  # type: ignore[arg-type]
    assert said is None if reason is None else reason in str(said)


@pytest.mark.parametrize("value", [0.3, float("inf")])
def test_a_budget_has_three_sides_and_takes_nothing_infinite(value: float) -> None:
    near = PARITY.model_copy(update={"score": 0.009})
    within = Outcome(near, good=0.04, map=0.004)
    assert within.is_within(FP16_BUDGET)
    assert not replace(within, good=value).is_within(FP16_BUDGET)
    assert not replace(within, map=value).is_within(FP16_BUDGET)
    far = PARITY.model_copy(update={"score": value})
    assert not replace(within, parity=far).is_within(FP16_BUDGET)


def test_a_judge_that_stops_early_says_the_same() -> None:
    graph = tiny_convnet.graph()
    judge = tiny_convnet.judge(graph)
    nodes = lowerable_nodes(graph, has_backbone=True)
    outcomes = [judge.judge(to_half(graph, nodes[: n + 1])) for n in range(len(nodes))]
    said = []
    for share in (0.2, 0.9, 1.0):
        budgets = [
            Budget(
                good=outcomes[-1].good * share,
                score=outcomes[-1].parity.score / outcomes[-1].parity.score_range,
                map=1.0,
            ),
            Budget(good=1.0, score=1.0, map=outcomes[-1].map * share),
        ]
        for budget in budgets:
            for n, outcome in enumerate(outcomes):
                kept = judge.keeps(to_half(graph, nodes[: n + 1]), budget)
                assert kept == outcome.is_within(budget)
                said.append(kept)
    assert 0 < sum(said) < len(said)


def test_fp32_alone_adds_nothing(tmp_path: Path) -> None:
    assert select(tmp_path, tiny_convnet.judge(tiny_convnet.graph()), "fp32") == Selection()
    assert list(tmp_path.iterdir()) == []


def test_what_is_offered_is_written_and_runs(tmp_path: Path) -> None:
    judge = tiny_convnet.judge(tiny_convnet.graph())
    got = select(tmp_path, judge, "fp32", "fp16", "int8")
    assert sorted(got.artefacts) == sorted(path.name for path in tmp_path.iterdir())
    assert sorted([*got.artefacts, *got.refused]) == [
        FP16_ARTEFACT,
        INT8_ONNXRUNTIME_ARTEFACT,
        INT8_OPENVINO_ARTEFACT,
        INT8_TENSORRT_ARTEFACT,
    ]
    fp16, int8 = got.artefacts[FP16_ARTEFACT], got.artefacts[INT8_TENSORRT_ARTEFACT]
    assert (fp16.precision, fp16.engine, fp16.lowered_nodes, fp16.fp32_nodes) == (
        "fp16",
        "tensorrt",
        9,
        0,
    )
    assert fp16.remark == ("not timed here: it is for tensorrt, which times it where it runs")
    assert fp16.latency_ratio is None
    assert int8.form == "qdq-int8-symmetric, the rest in fp16"
    assert int8.calibrator in {"min-max", "entropy", "percentile", "mse"}
    timed = {**got.artefacts, **got.refused}[INT8_ONNXRUNTIME_ARTEFACT]
    assert timed.latency_ratio is not None
    assert (timed.latency_ratio <= 0.95) == (INT8_ONNXRUNTIME_ARTEFACT in got.artefacts)
    shape = GraphShape(tiny_convnet.SIZE, tiny_convnet.SIZE)
    for name in got.artefacts:
        engine_class("onnxruntime")(tmp_path / name, shape, threads=1).close()


class Clocked(Judge):
    """A judge with given times of the other graphs over that of FP32."""

    ratio = 0.5

    def latency_ratios(
        self,
        graphs: dict[str, onnx.ModelProto],
        rounds: int,
        engine: str = "onnxruntime",
        compute: Compute = "fp32",
    ) -> dict[str, float]:
        """Returns the given ratios."""
        return {name: self.ratio if number else 1.0 for number, name in enumerate(graphs)}


def test_int8_that_is_slower_with_all_nodes_is_not_searched(tmp_path: Path) -> None:
    exact = tiny_convnet.judge(tiny_convnet.graph())
    judge = Clocked(exact.frames, good=3, threshold=exact.threshold)
    judge.ratio = 1.5
    refused = select(tmp_path, judge, "int8").refused[INT8_ONNXRUNTIME_ARTEFACT]
    assert refused.remark == "it is not worth it here: it takes 1.50 times as long as FP32"
    assert refused.parity is None
    assert refused.lowered_nodes == 0


def test_a_model_that_any_rounding_flips_stays_in_fp32(tmp_path: Path) -> None:
    exact = tiny_convnet.judge(tiny_convnet.graph())
    frames = [*exact.frames]
    frames[1] = Expected("wrong", frames[1].image, exact.threshold + 1, frames[1].map)
    judge = Clocked(frames, good=3, threshold=exact.threshold)
    got = select(tmp_path, judge, "fp16", "int8")
    assert not got.artefacts
    assert not list(tmp_path.iterdir())
    assert {entry.lowered_nodes for entry in got.refused.values()} == {0}
    assert all("without flipping verdicts" in entry.remark for entry in got.refused.values())
    refused = got.refused[INT8_TENSORRT_ARTEFACT]
    assert refused.parity is not None
    assert refused.parity.verdict_flips == 1
    assert describe(refused).startswith("0 of 2 nodes in int8, qdq-int8-symmetric")


class Flipping(Clocked):
    """A judge that sees one verdict flip with every graph."""

    passed: tuple[str, ...] = ()

    def judge(self, graph: onnx.ModelProto, engine: str = "onnxruntime") -> Outcome:
        """Returns the outcome, with a flip."""
        found = super().judge(graph, engine)
        return replace(found, parity=found.parity.model_copy(update={"verdict_flips": 1}))

    def keeps(self, graph: onnx.ModelProto, budget: Budget) -> bool:
        """Returns as `judge` finds."""
        return self.judge(graph).is_within(budget)

    def first_look(self, graph: onnx.ModelProto, engine: str) -> FirstLook:
        """Returns the look, with the frames that it would pass."""
        return super().first_look(graph, engine)._replace(wrongly_passed=self.passed)


@pytest.mark.parametrize("passed", [(), ("black",)])
def test_int8_that_flips_is_for_a_first_stage_on_a_processor_alone(
    passed: tuple[str, ...], tmp_path: Path
) -> None:
    exact = tiny_convnet.judge(tiny_convnet.graph())
    judge = Flipping(exact.frames, good=3, threshold=exact.threshold)
    judge.passed = passed
    got = select(tmp_path, judge, "int8")
    processor = {INT8_ONNXRUNTIME_ARTEFACT, INT8_OPENVINO_ARTEFACT}
    assert set(got.refused) == {INT8_TENSORRT_ARTEFACT, *(processor if passed else ())}
    assert set(got.artefacts) == (set() if passed else processor)
    assert {path.name for path in tmp_path.iterdir()} == set(got.artefacts)
    for name in processor:
        entry = {**got.artefacts, **got.refused}[name]
        assert not entry.decides
        assert entry.remark.startswith(
            "before FP32 it would pass black"
            if passed
            else "only for linewarden build, which lets it pass clearly good parts before FP32; "
        )


def test_what_tensorrt_refuses_of_the_model_is_said_once_for_each(tmp_path: Path) -> None:
    def turn_the_pixels(nodes: list[onnx.NodeProto], _: object) -> None:
        nodes.insert(0, helper.make_node("Transpose", ["input"], ["turned"], perm=[0, 2, 1, 3]))
        nodes[1].input[0] = "turned"

    graph = tiny_convnet.graph(turn_the_pixels)
    source = source_of(graph, tiny_convnet.judge(graph))
    got = select_artefacts(source, tmp_path, ("fp16", "int8"))
    reason = (
        "tensorrt does not take this model: types that some engines do not take: ['turned (UINT8)']"
    )
    for name in (FP16_ARTEFACT, INT8_TENSORRT_ARTEFACT):
        assert got.refused[name].remark == reason
        assert got.refused[name].parity is None
    assert INT8_ONNXRUNTIME_ARTEFACT in {**got.artefacts, **got.refused}


def with_resizing(nodes: list[onnx.NodeProto], weights: dict[str, npt.NDArray[np.float32]]) -> None:
    """Halves the features and doubles them again, as the heads do, in front of the map."""
    place = next(number for number, node in enumerate(nodes) if "features" in node.input)
    small = tiny_convnet.SIZE // 2
    for name, (size, before) in {"down": (small, 2 * small), "up": (2 * small, small)}.items():
        matrix = bilinear(size, before, align_corners=False).float().numpy()
        weights |= {f"{name}_rows": matrix, f"{name}_columns": matrix.T.copy()}
    values = ["features", "down_tall", "down", "up_tall", "up"]
    nodes[place].input[:] = ["up" if name == "features" else name for name in nodes[place].input]
    for number, name in enumerate(("down", "down", "up", "up")):
        source, output = values[number : number + 2]
        sides = (f"{name}_rows", source) if number % 2 == 0 else (source, f"{name}_columns")
        nodes.insert(place + number, helper.make_node("MatMul", sides, [output]))


def only_here(
    folder: Path, judge: Judge, graph: onnx.ModelProto, images: Sequence[Image]
) -> Selection:
    source = source_of(graph, judge, images)
    return select_artefacts(source, folder, ("fp32", "int8"), is_for_here=True)


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_a_bundle_for_here_has_what_openvino_gains_from(
    tmp_path: Path, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_variants, "processor_here", lambda: processors.PLAIN)
    graph = tiny_convnet.graph(with_resizing)
    exact = tiny_convnet.judge(graph)
    judge = Clocked(exact.frames, good=3, threshold=exact.threshold)
    judge.ratio = ratio
    got = only_here(tmp_path, judge, graph, tiny_convnet.images())
    if ratio < 1:
        assert sorted(got.artefacts) == [INT8_OPENVINO_ARTEFACT, FP32_OPENVINO_ARTEFACT]
        made = onnx.load(tmp_path / FP32_OPENVINO_ARTEFACT)
        assert [node.op_type for node in made.graph.node].count("Resize") == 2
        parity = got.artefacts[FP32_OPENVINO_ARTEFACT].parity
        assert parity is not None
        assert parity.score < 1e-5 * parity.score_range
    else:
        assert not got.artefacts
        assert list(got.refused) == [FP32_OPENVINO_ARTEFACT]
    assert INT8_OPENVINO_ARTEFACT not in only_here(tmp_path, judge, graph, []).artefacts


def test_without_openvino_nothing_is_made_for_it_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "inspection.engine.openvino", raising=False)
    monkeypatch.setattr(build_variants, "processor_here", lambda: processors.PLAIN)
    graph = tiny_convnet.graph(with_resizing)
    got = only_here(tmp_path, tiny_convnet.judge(graph), graph, tiny_convnet.images())
    assert not got.artefacts
    assert {name: entry.remark for name, entry in got.refused.items()} == {
        FP32_OPENVINO_ARTEFACT: "OpenVINO does not run it here, to time whether it gains"
    }


def test_runs_are_interleaved() -> None:
    order: list[str] = []
    runs = {name: lambda _, name=name: order.append(name) for name in ("a", "b")}
    medians = interleaved_medians(runs, tiny_convnet.images(), rounds=3)
    assert order == ["a", "b"] * 5
    assert set(medians) == {"a", "b"}


def artefact() -> Artefact:
    return Artefact(
        precision="int8",
        engine="onnxruntime",
        parity=PARITY,
        latency_ratio=0.8,
        remark="timed at export",
        lowered_nodes=3,
        fp32_nodes=1,
        form="qdq-uint8-conv",
        calibrator="mse",
    )


def test_the_manifest_carries_artefacts_under_its_seal(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest.model_copy(
        update={"artefacts": {"model.int8.onnxruntime.onnx": artefact()}}
    ).sealed()
    path = tiny_bundle.folder / MANIFEST
    path.write_text(manifest.model_dump_json())
    assert open_bundle(tiny_bundle.folder).manifest.artefacts == manifest.artefacts


def test_a_manifest_of_before_keeps_its_seal(tiny_bundle: Bundle) -> None:
    content = json.loads((tiny_bundle.folder / MANIFEST).read_text())
    assert not {"artefacts", "refused"} & set(content)
    assert Manifest.model_validate(content).is_intact()


def test_one_line_says_what_was_measured() -> None:
    assert describe(artefact()) == (
        "3 of 4 nodes in int8, qdq-uint8-conv, mse, 0 verdict flips, score within 5.00%, "
        "0.80 x the time of FP32"
    )


def test_artefacts_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    hashes = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        select(folder, tiny_convnet.judge(tiny_convnet.graph()), "fp16")
        hashes.append(sha256_of(folder / FP16_ARTEFACT))
    assert hashes[0] == hashes[1]

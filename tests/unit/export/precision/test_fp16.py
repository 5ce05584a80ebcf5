"""FP16: casts at the borders only, and the search for the nodes that stay in FP32."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from export.precision.build_variants import find_half
from export.precision.fp16 import HALF_MAXIMUM, check_typed, lossy_nodes, to_half
from export.precision.nodes import element_types, key_of, lowerable_nodes, pixel_nodes
from export.precision.outcome import FP16_BUDGET
from export.precision.rounding import rounded_twin
from export.precision.search import largest_kept, ranked_fall_back
from inspection.errors import EngineError
from tests import tiny_convnet

Weights = dict[str, npt.NDArray[np.float32]]


def casts(model: onnx.ModelProto) -> list[tuple[str, str]]:
    nodes = [node for node in model.graph.node if node.op_type == "Cast"]
    return [(node.input[0], node.output[0]) for node in nodes if node.input[0] != "input"]


def raise_and_lower(nodes: list[onnx.NodeProto], weights: Weights) -> None:
    """Adds 4000 and subtracts it again, which FP16 cannot do (it steps by 4 there)."""
    weights["large"] = np.array(4000, np.float32)
    nodes[5:5] = [
        helper.make_node("Add", ["first_relu", "large"], ["raised"]),
        helper.make_node("Sub", ["raised", "large"], ["lowered"]),
    ]
    nodes[7].input[0] = "lowered"


def test_what_may_leave_is_the_backbone_behind_the_pixels() -> None:
    graph = tiny_convnet.graph()
    assert pixel_nodes(graph.graph) == {"float", "planes", "centred"}
    assert lowerable_nodes(graph, has_backbone=True) == tiny_convnet.BACKBONE
    without = lowerable_nodes(graph, has_backbone=False)
    assert without == (*tiny_convnet.BACKBONE, "anomaly_map", "pred_score")


@pytest.mark.parametrize(("limit", "leaves"), [(2048, False), (4096, True)])
def test_a_long_mean_stays_in_fp32(
    limit: int, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A measurement cannot find it: the twin does not show sums that a device makes in FP16."""
    monkeypatch.setattr("export.precision.nodes.LONGEST_HALF_SUM", limit)

    def pool(nodes: list[onnx.NodeProto], _: Weights) -> None:
        nodes[10:10] = [
            helper.make_node("ReduceMean", ["features"], ["mean_feature"], keepdims=1),
            helper.make_node("Add", ["features", "mean_feature"], ["shifted"]),
        ]
        nodes[12].input[0] = "shifted"

    possible = lowerable_nodes(tiny_convnet.graph(pool), has_backbone=True)
    assert ("mean_feature" in possible) is leaves
    assert "shifted" in possible


def test_a_graph_without_module_names_is_refused() -> None:
    graph = tiny_convnet.graph()
    for node in graph.graph.node:
        del node.metadata_props[:]
    with pytest.raises(EngineError, match="does not name the nodes of the backbone"):
        lowerable_nodes(graph, has_backbone=True)


def test_the_casts_stand_at_the_borders() -> None:
    graph = tiny_convnet.graph()
    mixed = to_half(graph, tiny_convnet.BACKBONE)
    assert casts(mixed) == [("centred", "centred.half"), ("features", "features.float")]
    types = element_types(mixed)
    assert all(types[name] == TensorProto.FLOAT16 for name in tiny_convnet.BACKBONE)
    assert types["mean"] == types["anomaly_map"] == types["pred_score"] == TensorProto.FLOAT
    weights = {tensor.name for tensor in mixed.graph.initializer}
    assert weights == {"mean", "w1.half", "w2.half", "w3.half", "b3.half", "channel", "pixels"}
    assert list(mixed.graph.input) == list(graph.graph.input)
    assert list(mixed.graph.output) == list(graph.graph.output)


def test_it_computes_the_same_but_for_rounding() -> None:
    graph = tiny_convnet.graph()
    outcome = tiny_convnet.judge(graph).judge(to_half(graph, tiny_convnet.BACKBONE))
    assert outcome.is_within(FP16_BUDGET)
    assert 0 < outcome.map < 2e-3
    assert outcome.parity.frames == 6


def test_the_twin_rounds_what_onnx_runtime_does_not() -> None:
    graph = tiny_convnet.graph(raise_and_lower)
    mixed, image = to_half(graph, {"raised", "lowered"}), tiny_convnet.images()[4]
    (maps,) = ReferenceEvaluator(mixed).run(["anomaly_map"], {"input": image})
    on_device = np.asarray(maps)[0]
    exact = tiny_convnet.run(graph, image)[1]
    assert np.abs(exact - on_device).max() > 0.1
    assert np.abs(tiny_convnet.run(mixed, image)[1] - exact).max() < 0.01  # hence the twin
    assert np.abs(tiny_convnet.run(rounded_twin(mixed), image)[1] - on_device).max() < 1e-5
    assert rounded_twin(graph) is graph


def test_a_value_read_in_both_precisions_is_cast_once() -> None:
    graph = tiny_convnet.graph()
    mixed = to_half(graph, {"second", "third"})
    assert casts(mixed) == [
        ("first_relu", "first_relu.half"),
        ("second", "second.float"),
        ("skipped_relu", "skipped_relu.half"),
        ("third", "third.float"),
    ]
    mixed = to_half(graph, {"first_relu"})  # read by two nodes in FP32
    assert casts(mixed) == [("first", "first.half"), ("first_relu", "first_relu.float")]


def test_outputs_stay_fp32_when_a_node_in_fp16_makes_them() -> None:
    graph = tiny_convnet.graph()
    everything = lowerable_nodes(graph, has_backbone=False)
    mixed = to_half(graph, everything)
    assert casts(mixed)[1:] == [
        ("anomaly_map.half", "anomaly_map"),
        ("pred_score.half", "pred_score"),
    ]
    image = tiny_convnet.images()[3]
    assert tiny_convnet.run(mixed, image)[0] == pytest.approx(
        tiny_convnet.run(graph, image)[0], rel=5e-3
    )
    mixed = to_half(graph, {"anomaly_map"})  # and a node in FP32 reads one
    assert casts(mixed) == [("features", "features.half"), ("anomaly_map.half", "anomaly_map")]


@pytest.mark.parametrize(
    ("value", "lost"), [(7e4, True), (6e4, False), (1e-7, True), (1e-8, True), (1e-3, False)]
)
def test_weights_that_fp16_cannot_hold(value: float, lost: bool) -> None:
    def change(_: list[onnx.NodeProto], weights: Weights) -> None:
        weights["w2"] = np.full_like(weights["w2"], value)

    graph = tiny_convnet.graph(change)
    found = lossy_nodes(graph, tiny_convnet.BACKBONE)
    assert found == (frozenset({"second"}) if lost else frozenset())


def test_values_near_the_end_of_the_range_stay() -> None:
    def change(_: list[onnx.NodeProto], weights: Weights) -> None:
        weights["w2"] *= 1e4
        weights["w3"] *= 1e-4

    graph = tiny_convnet.graph(change)
    half = find_half(graph, tiny_convnet.judge(graph), has_backbone=True)
    assert half == {"first", "first_relu", "features", "anomaly_map", "pred_score"}


def test_outputs_near_the_end_of_the_range_stay() -> None:
    graph = tiny_convnet.graph()
    _, anomaly_map = tiny_convnet.run(graph, tiny_convnet.images()[-1])

    def change(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["gain"] = np.array(HALF_MAXIMUM / 2 / anomaly_map.max(), np.float32)
        nodes[-1:-1] = [helper.make_node("Mul", ["mean_feature", "gain"], ["anomaly_map"])]
        nodes[-3].output[0] = "mean_feature"

    graph = tiny_convnet.graph(change)
    half = find_half(graph, tiny_convnet.judge(graph), has_backbone=True)
    assert half == {*tiny_convnet.BACKBONE, "mean_feature"}


def test_a_head_that_fp16_cannot_compute_stays_whole() -> None:
    def change(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["large"] = np.array(4000, np.float32)
        nodes[-1:-1] = [
            helper.make_node("Add", ["anomaly_map", "large"], ["raised"]),
            helper.make_node("Sub", ["raised", "large"], ["lowered"]),
        ]
        nodes[-1].input[0] = "lowered"

    graph = tiny_convnet.graph(change)
    for node in graph.graph.node[-3:]:
        del node.metadata_props[:]
    half = find_half(graph, tiny_convnet.judge(graph), has_backbone=True)
    assert half == frozenset(tiny_convnet.BACKBONE)


def test_the_search_keeps_what_cancels() -> None:
    graph = tiny_convnet.graph(raise_and_lower)
    judge = tiny_convnet.judge(graph)
    possible = lowerable_nodes(graph, has_backbone=True)
    assert not judge.judge(to_half(graph, possible)).is_within(FP16_BUDGET)
    half = find_half(graph, judge, has_backbone=True)
    assert frozenset(possible) - half == {"raised", "lowered"}
    assert judge.judge(to_half(graph, half)).is_within(FP16_BUDGET)


def test_a_foreign_operator_and_a_cast_of_a_cast_are_refused() -> None:
    graph = tiny_convnet.graph()
    mixed = to_half(graph, tiny_convnet.BACKBONE)
    last = mixed.graph.node[-1]
    last.input[0] = "again"
    mixed.graph.node.insert(
        len(mixed.graph.node) - 1,
        helper.make_node("Cast", ["features.float"], ["back"], to=TensorProto.FLOAT16),
    )
    mixed.graph.node.insert(
        len(mixed.graph.node) - 1, helper.make_node("Mish", ["anomaly_map"], ["again"])
    )
    mixed = onnx.shape_inference.infer_shapes(mixed)
    with pytest.raises(EngineError) as caught:
        check_typed(mixed, graph)
    assert str(caught.value) == (
        "the graph of mixed precision is wrong: operators that some engines do not take: ['Mish']; "
        "casts of casts: ['back']"
    )


def test_a_foreign_type_is_refused() -> None:
    def change(nodes: list[onnx.NodeProto], _: Weights) -> None:
        nodes.append(helper.make_node("Cast", ["features"], ["precise"], to=TensorProto.DOUBLE))

    graph = tiny_convnet.graph(change)
    with pytest.raises(EngineError, match=r"types that some engines do not take: .*DOUBLE"):
        check_typed(graph, graph)


def test_a_cast_within_the_half_part_is_retargeted_and_scales_of_a_resize_stay() -> None:
    def change(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["scales"] = np.array([1, 1, 2, 2], np.float32)
        nodes[-3:-2] = [
            helper.make_node("Cast", ["third"], ["flags"], to=TensorProto.BOOL),
            helper.make_node("Cast", ["flags"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("Resize", ["ones", "", "scales"], ["large"], mode="nearest"),
            helper.make_node(
                "MaxPool", ["large"], ["features"], kernel_shape=[2, 2], strides=[2, 2]
            ),
        ]

    graph = tiny_convnet.graph(change)
    mixed = to_half(graph, lowerable_nodes(graph, has_backbone=True))
    types = element_types(mixed)
    assert types["ones"] == types["large"] == TensorProto.FLOAT16
    assert types["scales"] == TensorProto.FLOAT


def test_bisection_finds_single_nodes_and_where_errors_add_up() -> None:
    nodes = [str(n) for n in range(40)]
    asked: Counter[frozenset[str]] = Counter()

    def without_two(leaving: frozenset[str]) -> bool:
        asked[leaving] += 1
        return not leaving & {"7", "31"}

    assert largest_kept(nodes, without_two) == frozenset(nodes) - {"7", "31"}
    assert sum(asked.values()) < 20
    at_most_ten = largest_kept(nodes, lambda leaving: len(leaving) <= 10)
    assert at_most_ten == frozenset(nodes[:10])
    assert largest_kept(nodes, lambda _: True) == frozenset(nodes)
    assert largest_kept(nodes, lambda _: False) == frozenset()
    assert largest_kept(nodes, lambda leaving: "39" not in leaving) == frozenset(nodes[:39])


def test_the_fall_back_goes_by_effect_and_gives_up_at_half() -> None:
    nodes = ["a", "b", "c", "d"]
    effects = {"a": 0.1, "b": 0.9, "c": 0.2, "d": 0.8}

    def without_worst(leaving: frozenset[str]) -> bool:
        return not leaving & {"b", "d"}

    assert ranked_fall_back(nodes, without_worst, effects.__getitem__) == {"a", "c"}
    assert ranked_fall_back(nodes, lambda _: False, effects.__getitem__) == frozenset()


def test_a_weight_shared_by_both_precisions_is_there_in_both() -> None:
    def change(nodes: list[onnx.NodeProto], _: Weights) -> None:
        nodes[8].input[1] = "w2"

    graph = tiny_convnet.graph(change)
    mixed = to_half(graph, {"second"})
    weights = {t.name: numpy_helper.to_array(t).dtype for t in mixed.graph.initializer}
    assert weights["w2"] == np.float32
    assert weights["w2.half"] == np.float16
    assert "third" in {key_of(node) for node in mixed.graph.node}

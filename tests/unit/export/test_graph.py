"""The fused graph: its contract, its cost, its folds, and refusals of wrong graphs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import export.graph
from export.graph import (
    build_graph,
    check_graph,
    fold_batch_norms,
    fold_zero_pads,
    require_one_file,
    save_graph,
)
from export.macs import count_macs
from inspection.engine import GraphShape, engine_class
from inspection.errors import EngineError
from training.models.supersimplenet import Config, Model


def model(name: str = "resnet18.tv_in1k", size: int = 64, **settings: object) -> Model:
    torch.manual_seed(0)
    config = {"backbone": {"name": name, "weights": "none"}, **settings}
    made = Model(Config.model_validate(config), (size, size)).eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "score", "gmac"),
    [
        ("wide_resnet50_2.tv_in1k", "classification", 16.02),  # 48.25 before the folds
        ("wide_resnet50_2.tv_in1k", "segmentation", 13.09),
        ("resnet18.tv_in1k", "segmentation", 2.33),
    ],
)
def test_cost_at_256(name: str, score: str, gmac: float) -> None:
    graph = build_graph(model(name, 256, score=score))
    assert count_macs(graph) / 1e9 == pytest.approx(gmac, abs=0.01)


@pytest.mark.parametrize("score", ["segmentation", "classification"])
def test_it_computes_what_the_model_computes(tmp_path: Path, score: str) -> None:
    ssn = model(score=score, segmentation_channels=24, classification_channels=8)
    graph = build_graph(ssn)
    assert {node.op_type for node in graph.graph.node}.isdisjoint({"BatchNormalization", "Resize"})
    save_graph(graph, tmp_path / "model.onnx")
    engine = engine_class("onnxruntime")(tmp_path / "model.onnx", GraphShape(64, 64), threads=1)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    got = engine.infer(images)
    with torch.no_grad():
        expected = ssn(torch.from_numpy(images))
    scale = float(expected.maps.abs().max())
    assert abs(float(got.scores[0]) - float(expected.scores[0])) < 1e-5 * max(scale, 1)
    assert np.abs(got.maps - expected.maps.numpy()).max() < 1e-5 * scale


def test_a_graph_tells_nothing_of_the_machine_that_exported_it() -> None:
    graph = build_graph(model(segmentation_channels=24))
    content = graph.SerializeToString(deterministic=True)
    assert str(Path(torch.__file__).parent).encode() not in content
    assert str(Path(export.graph.__file__).parent).encode() not in content
    assert b"stack_trace" not in content
    assert (graph.ir_version, graph.opset_import[0].version) == (9, 19)
    assert len({node.name for node in graph.graph.node} - {""}) == len(graph.graph.node)


def test_the_open_batch_gives_each_image_its_own_result(tmp_path: Path) -> None:
    ssn = model(segmentation_channels=24)
    save_graph(build_graph(ssn, dynamic_batch=True), tmp_path / "model.onnx")
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    scores, maps = session.run(None, {"input": images})
    for index in range(3):
        score, anomaly_map = session.run(None, {"input": images[index : index + 1]})
        assert scores[index] == pytest.approx(score[0], rel=1e-5)
        assert np.allclose(maps[index], anomaly_map[0], atol=1e-5)


def test_weights_that_no_onnx_file_holds_are_refused_before_the_export() -> None:
    weights = torch.nn.Linear(256, 256, bias=False)
    require_one_file(weights, max_bytes=256 * 256 * 4)
    expected = r"the weights of the model have .* GiB, and an ONNX graph holds at most"
    with pytest.raises(EngineError, match=expected):
        require_one_file(weights, max_bytes=256 * 256 * 4 - 1)


def tiny_graph(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4])],
        [numpy_helper.from_array(value.astype(np.float32), key) for key, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_goes_into_its_convolution(bias: bool) -> None:
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(3, 2, 3, 3)), "b": random.normal(size=3)}
    norm = {"g": random.normal(size=3), "o": random.normal(size=3), "m": random.normal(size=3)}
    norm["v"] = random.uniform(0.5, 2, 3)
    names = ["x", "w", "b"] if bias else ["x", "w"]
    nodes = [
        helper.make_node("Conv", names, ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "g", "o", "m", "v"], ["y"], epsilon=1e-3),
    ]
    graph = tiny_graph(nodes, {**weights, **norm})
    x = {"x": random.normal(size=(1, 2, 4, 4)).astype(np.float32)}
    before = ort.InferenceSession(graph.SerializeToString()).run(None, x)[0]
    fold_batch_norms(graph)
    assert [node.op_type for node in graph.graph.node] == ["Conv"]
    after = ort.InferenceSession(graph.SerializeToString()).run(None, x)[0]
    assert np.abs(after - before).max() < 1e-5


def test_a_foreign_operator_is_refused() -> None:
    weights = {"w": np.zeros((3, 2, 1, 1))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Hardmax", ["c"], ["y"]),
    ]
    with pytest.raises(EngineError, match=r"some engines do not take: \['Hardmax'\]"):
        check_graph(tiny_graph(nodes, weights))


def test_other_outputs_are_refused() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    with pytest.raises(EngineError, match="the outputs are not"):
        check_graph(tiny_graph(nodes, {"w": np.zeros((3, 2, 1, 1))}))


def test_macs_of_known_operators() -> None:
    weights = {"w": np.zeros((3, 2, 3, 3))}
    conv = tiny_graph([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], weights)
    assert count_macs(conv) == 3 * 16 * 2 * 9
    matrix = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, [7, 5])],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [7, 3])],
        [numpy_helper.from_array(np.zeros((5, 3), np.float32), "b")],
    )
    assert count_macs(helper.make_model(matrix)) == 7 * 5 * 3


class TestPads:
    """Zero padding belongs to the convolution that reads it."""

    @staticmethod
    def graph(mode: str, value: float, pads: tuple[int, ...]) -> onnx.ModelProto:
        weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "weight")
        around = numpy_helper.from_array(np.array(pads, np.int64), "pads")
        filling = numpy_helper.from_array(np.array(value, np.float32), "value")
        nodes = [
            helper.make_node("Pad", ["x", "pads", "value"], ["padded"], mode=mode),
            helper.make_node("Conv", ["padded", "weight"], ["y"], pads=[1, 0, 1, 0]),
        ]
        values = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in (("x", [1, 3, 9, 9]), ("y", ["n", "c", "h", "w"]))
        ]
        made = helper.make_graph(nodes, "pads", values[:1], values[1:], [weight, around, filling])
        return helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)

    @pytest.mark.parametrize(
        ("mode", "value", "pads", "left"),
        [
            ("constant", 0.0, (0, 0, 1, 2, 0, 0, 0, 1), 0),
            ("reflect", 0.0, (0, 0, 1, 2, 0, 0, 0, 1), 1),
            ("constant", 1.0, (0, 0, 1, 2, 0, 0, 0, 1), 1),
            ("constant", 0.0, (0, 0, -1, 0, 0, 0, 0, 0), 1),
        ],
    )
    def test_only_zeros_around_the_image_are_merged(
        self, mode: str, value: float, pads: tuple[int, ...], left: int
    ) -> None:
        graph = self.graph(mode, value, pads)
        image = np.random.default_rng(0).normal(size=(1, 3, 9, 9)).astype(np.float32)
        expected = run(graph, image)
        fold_zero_pads(graph)
        onnx.checker.check_model(graph)
        assert [node.op_type for node in graph.graph.node].count("Pad") == left
        np.testing.assert_allclose(run(graph, image), expected, rtol=1e-6)


def test_a_backbone_that_runs_twice_keeps_one_set_of_weights() -> None:
    weight = numpy_helper.from_array(np.full((4, 3, 1, 1), 0.5, np.float32), "weight")
    norm = [
        numpy_helper.from_array(np.full(4, value, np.float32), name)
        for name, value in (("gain", 2.0), ("offset", 1.0), ("mean", 0.1), ("variance", 4.0))
    ]
    names = [tensor.name for tensor in norm]
    nodes = [helper.make_node("Add", ["x", "x"], ["double"])]
    for source in ("x", "double"):
        conv, out = f"{source}.conv", f"{source}.norm"
        nodes.append(helper.make_node("Conv", [source, "weight"], [conv]))
        nodes.append(helper.make_node("BatchNormalization", [conv, *names], [out]))
    nodes.append(helper.make_node("Add", ["x.norm", "double.norm"], ["y"]))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 5, 5])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 5, 5])
    made = helper.make_graph(nodes, "twice", [image], [output], [weight, *norm])
    graph = helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    picture = np.random.default_rng(0).normal(size=(1, 3, 5, 5)).astype(np.float32)
    expected = run(graph, picture)
    fold_batch_norms(graph)
    assert len(graph.graph.initializer) == 2
    np.testing.assert_allclose(run(graph, picture), expected, rtol=1e-5)


def run(graph: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString())
    output: np.ndarray = session.run(None, {"x": image})[0]
    return output

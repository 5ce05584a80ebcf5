"""A graph with the contract of a fused model and the parts of one: pixels, backbone, head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from export.precision.judge import Judge
from export.precision.outcome import Expected

SIZE, CHANNELS = 16, 16
BACKBONE = (
    "first",
    "first_relu",
    "second",
    "skipped",
    "skipped_relu",
    "third",
    "features",
)

Change = Callable[[list[onnx.NodeProto], dict[str, npt.NDArray[np.float32]]], None]


def graph(change: Change | None = None) -> onnx.ModelProto:
    """Returns a graph for uint8 (1, 16, 16, 3): the map is the mean of 16 features.

    Args:
        change: edits nodes and weights before the graph is made.
    """
    random = np.random.default_rng(0)
    weights = {
        "mean": np.full((1, 3, 1, 1), 118, np.float32),
        "w1": random.normal(0, 0.02, (CHANNELS, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32),
        "w3": random.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32),
        "b3": random.normal(0, 0.1, CHANNELS).astype(np.float32),
    }
    nodes = _nodes()
    if change is not None:
        change(nodes, weights)
    for node in nodes:
        if node.output[0] not in {"anomaly_map", "pred_score"}:
            node.metadata_props.add(key="namespace", value="export.fold.backbone.DeployedBackbone")
    axes = {"channel": [1], "pixels": [1, 2]}
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, [1, SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("pred_score", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, [1, SIZE, SIZE]),
        ],
        [
            *(numpy_helper.from_array(value, name) for name, value in weights.items()),
            *(numpy_helper.from_array(np.array(v, np.int64), n) for n, v in axes.items()),
        ],
    )
    opset = [helper.make_opsetid("", 19)]
    model = helper.make_model(made, opset_imports=opset, ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def images(count: int = 6) -> list[npt.NDArray[np.uint8]]:
    """Returns prepared images, uint8 (1, 16, 16, 3), with growing noise."""
    random = np.random.default_rng(1)
    return [
        np.clip(random.normal(118, 10 + 12 * n, (1, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
        for n in range(count)
    ]


def run(
    model: onnx.ModelProto, image: npt.NDArray[np.uint8]
) -> tuple[float, npt.NDArray[np.float32]]:
    """Returns score and map (16, 16) of an image."""
    session = ort.InferenceSession(model.SerializeToString())
    score, anomaly_map = session.run(["pred_score", "anomaly_map"], {"input": image})
    return float(score[0]), anomaly_map[0]


def judge(model: onnx.ModelProto, shown: Sequence[npt.NDArray[np.uint8]] | None = None) -> Judge:
    """Returns a judge that compares with `model`; the first half of the images is good."""
    shown = images() if shown is None else shown
    frames = [Expected(str(n), image, *run(model, image)) for n, image in enumerate(shown)]
    good = len(frames) // 2
    highest, next_above = frames[good - 1].score, frames[good].score
    return Judge(frames, good=good, threshold=(highest + next_above) / 2)


def _nodes() -> list[onnx.NodeProto]:
    def conv(inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node("Conv", inputs, [output], pads=[1, 1, 1, 1])

    return [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["centred"]),
        conv(["centred", "w1"], "first"),
        helper.make_node("Relu", ["first"], ["first_relu"]),
        conv(["first_relu", "w2"], "second"),
        helper.make_node("Add", ["second", "first_relu"], ["skipped"]),
        helper.make_node("Relu", ["skipped"], ["skipped_relu"]),
        conv(["skipped_relu", "w3", "b3"], "third"),
        helper.make_node("Relu", ["third"], ["features"]),
        helper.make_node("ReduceMean", ["features", "channel"], ["anomaly_map"], keepdims=0),
        helper.make_node("ReduceMax", ["anomaly_map", "pixels"], ["pred_score"], keepdims=0),
    ]

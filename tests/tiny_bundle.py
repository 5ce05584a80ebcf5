"""The bundle of the simulated line, with the frames of the tests: see `edge.sim.parts`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge.sim.parts import INPUT_SIDE as SIZE
from edge.sim.parts import THRESHOLD, write_bundle
from inspection.bundle import Bundle

__all__ = ["SIZE", "THRESHOLD", "brightness_graph", "build"]


def build(
    folder: Path, *, frame: tuple[int, int] = (SIZE, SIZE), channels: int = 1, size: int = SIZE
) -> Bundle:
    """Writes a calibrated bundle; a pixel above half brightness is a defect.

    Args:
        frame: height and width of the frames, which the bundle resizes to its input.
        channels: 1 for grey frames, 3 for BGR.
        size: height and width of the graph's input.
    """
    model = brightness_graph(size).SerializeToString()
    return write_bundle(folder, frame=frame, channels=channels, name="tiny", model=model, side=size)


def brightness_graph(size: int = SIZE) -> onnx.ModelProto:
    """Returns the graph in `edge/sim/brightness.onnx`, node by node, for any size."""
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "channel"], ["grey"], keepdims=0),
        helper.make_node("Div", ["grey", "white"], ["anomaly_map"]),
        helper.make_node("ReduceMax", ["anomaly_map", "pixels"], ["pred_score"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, [1, size, size, 3])],
        [
            helper.make_tensor_value_info("pred_score", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, [1, size, size]),
        ],
        [
            onnx.numpy_helper.from_array(np.array([3], dtype=np.int64), "channel"),
            onnx.numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "pixels"),
            onnx.numpy_helper.from_array(np.array(255, dtype=np.float32), "white"),
        ],
    )
    opset = [helper.make_opsetid("", 19)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return model

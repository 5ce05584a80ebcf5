"""A bundle with a score to compute by hand: the brightest pixel (mean of BGR) over 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import seal_bundle
from inspection.files import sha256_of
from inspection.verdict import Thresholds

SIZE = 32
THRESHOLD = 0.5


def build(
    folder: Path,
    *,
    frame: tuple[int, int] = (SIZE, SIZE),
    channels: int = 1,
    size: int = SIZE,
) -> Bundle:
    """Writes a calibrated bundle; a pixel above half brightness is a defect.

    Args:
        frame: height and width of the frames, which the bundle resizes to its input.
        channels: 1 for grey frames, 3 for BGR.
        size: height and width of the graph's input.
    """
    folder.mkdir(parents=True)
    onnx.save(_graph(size), folder / "model.onnx")
    (folder / "training.json").write_text('{"images_sha256": []}')
    seal_bundle(
        folder,
        {
            "name": "tiny",
            "created_utc": "2026-01-01T00:00:00Z",
            "linewarden_version": "0",
            "model": "brightness",
            "model_config_values": {},
            "backbone": None,
            "weights_sha256": "0" * 64,
            "data_sha256": "0" * 64,
            "preprocessing": {
                "frame_height": (frame[0], frame[0]),
                "frame_width": (frame[1], frame[1]),
                "channels": channels,
                "height": size,
                "width": size,
            },
            "graph": {"height": size, "width": size},
            "macs": 0,
            "parity": {
                "frames": 1,
                "score": 0.0,
                "map": 0.0,
                "score_range": 1.0,
                "verdict_flips": 0,
                "threshold": THRESHOLD,
            },
            "golden": (),
        },
    )
    bundle = open_bundle(folder)
    bundle.add_calibration(
        Calibration(
            recipe="default",
            created_utc="2026-01-01T00:00:00Z",
            artefact="model.onnx",
            artefact_sha256=sha256_of(folder / "model.onnx"),
            false_reject_rate_target=0.01,
            confidence=0.95,
            false_reject_rate_bound=0.01,
            thresholds=Thresholds(THRESHOLD, THRESHOLD),
            scores={},
        )
    )
    return bundle


def _graph(size: int) -> onnx.ModelProto:
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

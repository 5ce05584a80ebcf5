"""The graph with an open batch against the checkpoint, on the frames of the line's graph."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

from export.graph import save_graph
from export.parity import Comparison
from export.precision.outcome import Expected
from inspection.engine import GraphShape, Prediction, engine_class
from inspection.golden import compare

_SIZES = (1, 3)  # one image alone, and images that must not change each other's results


def compare_open_batch(graph: onnx.ModelProto, frames: Sequence[Expected]) -> list[Comparison]:
    """Runs the frames through a graph in batches of one and of three.

    Args:
        graph: with the open dimension `batch`.
        frames: at least three.

    Raises:
        EngineError: the graph does not run at one of these sizes.
    """
    return [found for size in _SIZES for found in _compare_at(size, graph, frames)]


def _compare_at(
    size: int, graph: onnx.ModelProto, frames: Sequence[Expected]
) -> Iterator[Comparison]:
    # The engines take fixed shapes.
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    make_dim_param_fixed(fixed.graph, "batch", size)
    _, height, width, _ = frames[0].image.shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"batch-of-{size}.onnx"
        save_graph(fixed, path)
        shape = GraphShape(height, width, size)
        with closing(engine_class("onnxruntime")(path, shape, threads=None)) as engine:
            for start in _starts(len(frames), size):
                batch = frames[start : start + size]
                got = engine.infer(np.concatenate([frame.image for frame in batch]))
                for number, frame in enumerate(batch):
                    own = slice(number, number + 1)
                    yield _comparison(frame, Prediction(got.scores[own], got.maps[own]))


def _comparison(frame: Expected, got: Prediction) -> Comparison:
    difference = compare(frame.name, frame.score, frame.map, got)
    return Comparison(frame.name, frame.score, frame.map, float(got.scores[0]), difference)


def _starts(count: int, size: int) -> list[int]:
    """Returns the first number of each batch; the last may take images again, to be full."""
    return sorted({*range(0, count - size + 1, size), count - size})

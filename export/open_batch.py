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
from inspection.engine import Engine, GraphShape, Prediction, engine_class
from inspection.golden import compare

SIZES = (1, 3)  # one image alone, and images that must not change each other's results


def compare_in_batches(
    graph: onnx.ModelProto, frames: Sequence[Expected], size: int
) -> list[Comparison]:
    """Runs each frame through a graph, in batches of `size`.

    Args:
        graph: with the open dimension `batch`.
        frames: at least `size`.

    Raises:
        EngineError: the graph does not run at this size.
    """
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
            return list(_compared(engine, frames, size))


def _compared(engine: Engine, frames: Sequence[Expected], size: int) -> Iterator[Comparison]:
    for start in range(0, len(frames), size):
        first = min(start, len(frames) - size)  # the last batch takes images again, to be full
        got = engine.infer(np.concatenate([f.image for f in frames[first : first + size]]))
        for number in range(start, first + size):
            own = slice(number - first, number - first + 1)
            yield _comparison(frames[number], Prediction(got.scores[own], got.maps[own]))


def _comparison(frame: Expected, got: Prediction) -> Comparison:
    difference = compare(frame.name, frame.score, frame.map, got)
    return Comparison(frame.name, frame.score, frame.map, float(got.scores[0]), difference)

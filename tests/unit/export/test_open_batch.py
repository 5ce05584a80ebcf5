"""The graph with an open batch gives each image the checkpoint's result."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from export.open_batch import SIZES, compare_in_batches
from export.parity import refuse_other_results
from inspection.errors import EngineError
from tests import tiny_convnet

Weights = dict[str, npt.NDArray[np.float32]]


def opened(change: tiny_convnet.Change | None = None) -> onnx.ModelProto:
    graph = tiny_convnet.graph(change)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.graph.value_info[:]
    return graph


def judge(graph: onnx.ModelProto, size: int) -> None:
    """Compares with the graph of one image; 8 frames leave two for a last batch of three."""
    line = tiny_convnet.judge(tiny_convnet.graph(), tiny_convnet.images(8))
    found = compare_in_batches(graph, line.frames, size)
    assert [one.name for one in found] == [frame.name for frame in line.frames]
    refuse_other_results(found, line.threshold, 1e-4, f" in batches of {size}")


@pytest.mark.parametrize("size", SIZES)
def test_an_open_batch_gives_the_results_of_single_images(size: int) -> None:
    judge(opened(), size)


def test_images_that_change_each_other_are_found() -> None:
    def mix(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["images"] = np.array([0], np.int64)
        nodes[-2].output[0] = "own"
        nodes[-1:-1] = [
            helper.make_node("ReduceMean", ["own", "images"], ["of_all"], keepdims=1),
            helper.make_node("Sub", ["own", "of_all"], ["beyond"]),
            helper.make_node("Add", ["own", "beyond"], ["anomaly_map"]),
        ]

    judge(opened(mix), 1)
    with pytest.raises(EngineError, match=r"graph in batches of 3 is not .*: 8 of 8 frames"):
        judge(opened(mix), 3)


def test_a_graph_that_takes_one_image_only_is_refused() -> None:
    def fix(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["one"] = np.array([1, 16, 16], np.int64)
        nodes[-2].output[0] = "own"
        nodes[-1:-1] = [helper.make_node("Reshape", ["own", "one"], ["anomaly_map"])]

    with pytest.raises(EngineError, match=r"batch-of-3\.onnx"):
        judge(opened(fix), 3)

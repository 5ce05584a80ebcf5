"""The graphs that a bundle can hold for one model: FP32, FP16, and INT8 for TensorRT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

from export.graph import build_graph
from export.precision.build_variants import int8_nodes
from export.precision.fp16 import lossy_nodes, to_half
from export.precision.int8 import TENSORRT, quantise, quantiser_nodes, read_tensors
from export.precision.nodes import lowerable_nodes, quantisable_nodes
from export.precision.ranges import find_ranges
from export.tensorrt.layers import Layer
from training.models.base import AnomalyModel


def graphs_of(model: AnomalyModel, *, batch: int = 1) -> dict[str, onnx.ModelProto]:
    """Returns the graphs by precision; see `variants_of`."""
    return variants_of(model, build_graph(model, dynamic_batch=True), batch=batch)


def variants_of(
    model: AnomalyModel, exported: onnx.ModelProto, *, batch: int = 1
) -> dict[str, onnx.ModelProto]:
    """Returns the graphs by precision, with every node lowered that may leave FP32.

    INT8 is missing for a model without a convolution that gains from it.

    Args:
        exported: FP32 graph of the model with an open batch.
    """
    graph = onnx.ModelProto()
    graph.CopyFrom(exported)
    make_dim_param_fixed(graph.graph, "batch", batch)
    del graph.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    has_backbone = hasattr(model, "backbone")
    lowerable = lowerable_nodes(graph, has_backbone=False)
    half = frozenset(lowerable) - lossy_nodes(graph, lowerable)
    found = {"fp32": graph, "fp16": to_half(graph, half)}
    among = lowerable_nodes(graph, has_backbone=has_backbone)
    convolutions = quantisable_nodes(graph, among)
    if convolutions:
        tensors = read_tensors(graph, int8_nodes(graph, has_backbone=has_backbone))
        shape = (batch, *model.size, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        ranges = find_ranges(graph, tensors, [noise], "min-max")
        quantised = quantise(graph, convolutions, ranges, TENSORRT)
        found["int8"] = to_half(quantised, half | quantiser_nodes(quantised, half))
    return found


def convolutions_of(graph: onnx.ModelProto, layers: Sequence[Layer]) -> list[Layer]:
    """Returns the layers of the convolutions of a graph, in whatever form they are computed."""
    names = {n.name for n in graph.graph.node if n.op_type in {"Conv", "ConvTranspose"}}
    return [layer for layer in layers if layer.is_product and not names.isdisjoint(layer.nodes)]

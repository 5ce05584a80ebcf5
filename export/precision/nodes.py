"""Choice of the nodes of a fused graph that may compute in a lower precision.

A node is identified by its first output, which is unique in a graph, and never by its name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import onnx
from onnx import TensorProto

from export.fold.backbone import DeployedBackbone
from export.graph import NAMESPACE
from inspection.errors import EngineError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Differences of large numbers, long sums and steep functions: FP32 everywhere.
ALWAYS_FP32 = frozenset(
    [
        "Exp",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "Log",
        "Pow",
        "ReduceSum",
        "Softmax",
        "Sqrt",
    ]
)
# So are means of more values than this: a device may sum them in FP16, which the twin on the CPU
# (`export.precision.rounding`) does not show.
LONGEST_HALF_SUM = 2048
_MEANS = frozenset({"GlobalAveragePool", "ReduceMean"})
# TensorRT 10.16 on Orin cannot place a Q/DQ pair behind these (NVIDIA/TensorRT issue 4832).
RESHAPING = frozenset({"Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
MINIMUM_CHANNELS = 16  # of a convolution's group: with fewer, INT8 does not pay (ModelOpt)
# As torch's exporter writes it into the metadata of each node.
_BACKBONE = f"{DeployedBackbone.__module__}.{DeployedBackbone.__qualname__}"


def key_of(node: onnx.NodeProto) -> str:
    """Returns the key of a node: its first output."""
    return str(node.output[0])


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Returns the element type of every tensor by name; shapes must be inferred."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def pixel_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """Returns the nodes that prepare pixels: those before the first weighted node on every path."""
    constants = {tensor.name for tensor in graph.initializer}
    known = {value.name for value in graph.input}
    found = []
    for node in graph.node:
        inputs = [name for name in node.input if name and name not in constants]
        if node.op_type not in WEIGHTED and inputs and known.issuperset(inputs):
            known.update(node.output)
            found.append(key_of(node))
    return frozenset(found)


def lowerable_nodes(model: onnx.ModelProto, *, has_backbone: bool) -> tuple[str, ...]:
    """Returns the nodes that may leave FP32, in topological order.

    Args:
        has_backbone: only the nodes of the backbone, without its preparation of pixels. The
            metadata of torch's exporter name the module that made each node.

    Raises:
        EngineError: the graph does not name the nodes of the backbone.
    """
    types, pixels = element_types(model), pixel_nodes(model.graph)
    nodes = [node for node in model.graph.node if _is_float(node, types)]
    if has_backbone:
        nodes = [node for node in nodes if _BACKBONE in _origin(node)]
        if not nodes:
            raise EngineError(
                "the graph does not name the nodes of the backbone, so that none can leave FP32: "
                "torch's exporter wrote no module names; install torch 2.5 or later"
            )
    sizes = _sizes(model)
    return tuple(
        key_of(node)
        for node in nodes
        if node.op_type not in ALWAYS_FP32
        and key_of(node) not in pixels
        and not _is_long_mean(node, sizes)
    )


def quantisable_nodes(model: onnx.ModelProto, among: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the convolutions of `among` that gain from INT8, in topological order.

    Left out are the one that reads the pixels, those right behind a reshaping node, and those with
    few channels.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    pixels = pixel_nodes(model.graph)
    return tuple(
        key_of(node)
        for node in _nodes_among(model, among)
        if node.op_type == "Conv"
        and node.input[1] in weights
        and min(weights[node.input[1]].dims[:2]) >= MINIMUM_CHANNELS
        and node.input[0] in made_by
        and key_of(made_by[node.input[0]]) not in pixels
        and made_by[node.input[0]].op_type not in RESHAPING
    )


def nodes_of_type(
    model: onnx.ModelProto, among: tuple[str, ...], types: frozenset[str]
) -> tuple[str, ...]:
    """Returns the nodes of `among` with an operator of `types`, in topological order."""
    return tuple(key_of(node) for node in _nodes_among(model, among) if node.op_type in types)


def _is_long_mean(node: onnx.NodeProto, sizes: Mapping[str, int]) -> bool:
    if node.op_type not in _MEANS:
        return False
    return sizes[node.input[0]] > LONGEST_HALF_SUM * sizes[key_of(node)]


def _sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Returns the number of elements of every value by name; shapes must be inferred and fixed."""
    graph = model.graph
    return {
        value.name: math.prod(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _nodes_among(model: onnx.ModelProto, among: tuple[str, ...]) -> Iterator[onnx.NodeProto]:
    wanted = frozenset(among)
    return (node for node in model.graph.node if key_of(node) in wanted)


def _is_float(node: onnx.NodeProto, types: dict[str, int]) -> bool:
    return node.op_type != "Constant" and types.get(key_of(node)) == TensorProto.FLOAT


def _origin(node: onnx.NodeProto) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == NAMESPACE), "")

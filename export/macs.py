"""Counting multiply-accumulates of an ONNX graph."""

from __future__ import annotations

import math

import onnx


def count_macs(model: onnx.ModelProto) -> int:
    """Counts the multiply-accumulates of one run; shapes must be inferred and static.

    Convolutions and matrix products count, element-wise work does not.

    Raises:
        ValueError: the count needs a shape that is unknown or dynamic.
    """
    return sum(macs_by_node(model).values())


def macs_by_node(model: onnx.ModelProto) -> dict[str, int]:
    """Returns the multiply-accumulates of each node, by its first output; see `count_macs`."""
    shapes = _shapes(model.graph)
    return {node.output[0]: _macs_of(node, shapes) for node in model.graph.node}


def _macs_of(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "Conv":
        weight = _shape(shapes, node.input[1])  # (out, in / groups, kh, kw)
        return math.prod(_shape(shapes, node.output[0])) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        weight = _shape(shapes, node.input[1])  # (in, out / groups, kh, kw)
        return math.prod(_shape(shapes, node.input[0])) * math.prod(weight[1:])
    if node.op_type == "MatMul":
        return math.prod(_shape(shapes, node.output[0])) * _shape(shapes, node.input[0])[-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        inner = _shape(shapes, node.input[0])[0 if transposed else 1]
        return math.prod(_shape(shapes, node.output[0])) * inner
    return 0


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = [d.dim_value if d.HasField("dim_value") else -1 for d in dims]
    return shapes


def _shape(shapes: dict[str, list[int]], name: str) -> list[int]:
    shape = shapes.get(name)
    if shape is None or -1 in shape:
        raise ValueError(f"the shape of {name} is unknown or dynamic: {shape}")
    return shape

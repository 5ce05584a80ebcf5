"""The FP32 twin of a graph of mixed precision, which rounds wherever that graph does.

ONNX Runtime's CPU has few kernels in FP16: it computes such nodes in FP32 and drops the casts
between them. Nothing is rounded then, and every FP16 graph looks right. ONNX Runtime keeps explicit
casts there and back (since 1.17). With them the twin gives the results of a device that rounds each
node to FP16 and sums in FP32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.precision.nodes import element_types


def rounded_twin(model: onnx.ModelProto) -> onnx.ModelProto:
    """Makes a graph with the results on ONNX Runtime's CPU that `model` has on a device with FP16.

    A graph without FP16 is its own twin.
    """
    types = element_types(model)
    if TensorProto.FLOAT16 not in types.values():
        return model
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    graph = twin.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    nodes = [made for node in graph.node for made in _rounded(node, types)]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(twin, strict_mode=True, data_prop=True)


def _rounded(node: onnx.NodeProto, types: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """Yields the node with results in FP32, and the roundings of those that were FP16."""
    to = [a for a in node.attribute if node.op_type == "Cast" and a.name == "to"]
    for attribute in to:
        if attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
    halves = [name for name in node.output if types.get(name) == TensorProto.FLOAT16]
    for number, name in enumerate(node.output):
        if name in halves:
            node.output[number] = f"{name}.exact"
    yield node
    for name in halves:
        yield helper.make_node(
            "Cast", [f"{name}.exact"], [f"{name}.rounded"], to=TensorProto.FLOAT16
        )
        yield helper.make_node("Cast", [f"{name}.rounded"], [name], to=TensorProto.FLOAT)

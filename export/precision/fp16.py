"""A strongly typed graph of two precisions: chosen nodes in FP16, with casts at their borders only.

Inputs and outputs keep their types. onnxconverter-common does not serve here: for graphs with an
integer input it leaves a cast whose declared type differs from its result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.graph import ALLOWED_OPERATORS
from export.precision.nodes import element_types, key_of
from inspection.errors import EngineError

HALF_MAXIMUM = 65504.0
# Share of a tensor's norm that FP16 may lose: rounding loses at most 4.9e-4, the rest is underflow.
MAXIMUM_LOSS = 1e-3
SMALLEST_SCALE = 6e-8  # TensorRT refuses a scale that underflows to zero
_QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_ALLOWED_OPERATORS = ALLOWED_OPERATORS | _QUANTISERS
_ALLOWED_TYPES = frozenset(
    [
        TensorProto.BOOL,
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.INT8,
        TensorProto.INT32,
        TensorProto.INT64,
    ]
)


def to_half(model: onnx.ModelProto, half: Collection[str]) -> onnx.ModelProto:
    """Copies an FP32 graph and lets the nodes `half` (by first output) compute in FP16.

    Raises:
        EngineError: a strongly typed engine would not take the result.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    graph = converted.graph
    border = _Border(model, frozenset(half))
    nodes = [made for node in graph.node for made in border.place(node)]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(border.weights)
    _drop_unread(graph)
    del graph.value_info[:]
    converted = onnx.shape_inference.infer_shapes(converted, strict_mode=True, data_prop=True)
    check_typed(converted, model)
    return converted


def lossy_nodes(model: onnx.ModelProto, among: Collection[str]) -> frozenset[str]:
    """Returns the nodes with a weight that FP16 cannot hold: out of range, or lost to underflow."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return frozenset(
        key_of(node)
        for node in model.graph.node
        if key_of(node) in among and any(_is_lossy(weights[n]) for n in node.input if n in weights)
    )


def check_typed(model: onnx.ModelProto, origin: onnx.ModelProto) -> None:
    """Refuses a graph that the parser of a strongly typed network would refuse.

    Raises:
        EngineError: the message names operators and types outside the lists, and casts of casts.
    """
    onnx.checker.check_model(model, full_check=True)
    problems = [*obstacles(model), *_double_casts(model)]
    if _borders(model.graph) != _borders(origin.graph):
        problems.append("its inputs and outputs are not those of the FP32 graph")
    if problems:
        raise EngineError(f"the graph of mixed precision is wrong: {'; '.join(problems)}")


def obstacles(model: onnx.ModelProto) -> list[str]:
    """Lists operators and types of a graph that the parser of a strongly typed network refuses.

    It refuses UINT8 too, except for the input itself (onnx-tensorrt docs/operators.md, Cast).
    """
    return [*_foreign_operators(model), *_foreign_types(model)]


class _Border:
    """Gives every tensor a name in each precision in which a node reads it."""

    def __init__(self, model: onnx.ModelProto, half: frozenset[str]) -> None:
        graph = model.graph
        self._half = half
        self._types = element_types(model)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = {value.name for value in graph.output}
        self._made_half = {
            name for node in graph.node if key_of(node) in half for name in self._floats(node)
        }
        self._scales = {n.input[1] for n in graph.node if n.op_type in _QUANTISERS}
        self._have: set[str] = set()
        self.weights: list[onnx.TensorProto] = []

    def place(self, node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
        """Yields the node with its inputs in its precision, and the casts that this takes."""
        half = key_of(node) in self._half
        for number, name in enumerate(node.input):
            if self._types.get(name) != TensorProto.FLOAT or _is_fixed(node, number):
                continue
            node.input[number], cast = self._in_precision(name, half=half)
            yield from cast
        if not half:
            yield node
            return
        leaving = [name for name in self._floats(node) if name in self._outputs]
        for number, name in enumerate(node.output):
            if name in leaving:
                node.output[number] = _half_name(name)
        _retarget(node)
        yield node
        yield from (_cast(_half_name(name), name, TensorProto.FLOAT) for name in leaving)

    def _in_precision(self, name: str, *, half: bool) -> tuple[str, list[onnx.NodeProto]]:
        if name in self._constants:
            return (self._half_weight(name) if half else name), []
        if half == (name in self._made_half):
            return (_half_name(name) if half and name in self._outputs else name), []
        if name in self._outputs and name in self._made_half:
            return name, []  # its cast is there already
        other = _half_name(name) if half else f"{name}.float"
        if other in self._have:
            return other, []
        self._have.add(other)
        return other, [_cast(name, other, TensorProto.FLOAT16 if half else TensorProto.FLOAT)]

    def _half_weight(self, name: str) -> str:
        half = _half_name(name)
        if half not in self._have:
            self._have.add(half)
            value = _as_half(numpy_helper.to_array(self._constants[name]))
            if name in self._scales:
                value = np.maximum(value, np.float16(SMALLEST_SCALE))
            self.weights.append(numpy_helper.from_array(value, half))
        return half

    def _floats(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in node.output if self._types.get(name) == TensorProto.FLOAT]


def _is_fixed(node: onnx.NodeProto, number: int) -> bool:
    """Returns True when an input is FP32 in every precision: the scales of a Resize."""
    return node.op_type == "Resize" and number > 0


def _retarget(node: onnx.NodeProto) -> None:
    """Lets a cast to FP32 inside the FP16 part cast to FP16."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast {target}", to=to)


def _half_name(name: str) -> str:
    return f"{name}.half"


def _as_half(value: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore", under="ignore"):
        return value.astype(np.float16)


def _is_lossy(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.FLOAT:
        return False
    value = numpy_helper.to_array(tensor)
    if not value.size or np.abs(value).max() > HALF_MAXIMUM:
        return bool(value.size)
    lost = np.linalg.norm((value - _as_half(value)).astype(np.float64))
    return bool(lost > MAXIMUM_LOSS * np.linalg.norm(value.astype(np.float64)))


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _foreign_operators(model: onnx.ModelProto) -> list[str]:
    foreign = sorted({node.op_type for node in model.graph.node} - _ALLOWED_OPERATORS)
    return [f"operators that some engines do not take: {foreign}"] if foreign else []


def _foreign_types(model: onnx.ModelProto) -> list[str]:
    inputs = {value.name for value in model.graph.input}
    foreign = sorted(
        f"{name} ({TensorProto.DataType.Name(kind)})"
        for name, kind in element_types(model).items()
        if kind not in _ALLOWED_TYPES and name not in inputs
    )
    return [f"types that some engines do not take: {foreign[:3]}"] if foreign else []


def _borders(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    return [*graph.input, *graph.output]


def _double_casts(model: onnx.ModelProto) -> list[str]:
    types, floats = element_types(model), {TensorProto.FLOAT, TensorProto.FLOAT16}
    casts = {
        key_of(node): node.input[0]
        for node in model.graph.node
        if node.op_type == "Cast" and {types[node.input[0]], types[key_of(node)]} <= floats
    }
    twice = [name for name, source in casts.items() if source in casts]
    return [f"casts of casts: {twice[:3]}"] if twice else []

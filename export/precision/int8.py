"""INT8 graphs, one for each runtime: TensorRT, ONNX Runtime's CPU and OpenVINO.

They differ for a reason. TensorRT fuses symmetric Q/DQ pairs around convolutions only, which are
slower than FP32 on ONNX Runtime. The asymmetric, fully quantised blocks that are fast there are
refused by TensorRT, and OpenVINO has no such operators. It reads Q/DQ pairs and fuses unsigned ones
with the ReLU before them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode

from export.precision.nodes import RESHAPING, key_of
from inspection.errors import EngineError

BLOCK = frozenset({"Add", "MaxPool"})  # operators that join convolutions
_CONV = frozenset({"Conv"})
_FUSED = frozenset({"Clip", "Relu"})  # ONNX Runtime merges them into the rounding
_Q, _DQ = "QuantizeLinear", "DequantizeLinear"
_TENSORRT_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,  # TensorRT 10.3 does not take weights in INT8
    "DedicatedQDQPair": False,
    "QuantizeBias": False,  # the parser refuses INT32
    "OpTypesToExcludeOutputQuantization": ["Conv"],  # a pair before the ReLU breaks the fusion
    "QDQOpTypePerChannelSupportToAxis": {"Conv": 0, "ConvTranspose": 1},
    "ForceQuantizeNoInputCheck": True,
    "QDQDisableWeightAdjustForInt32Bias": True,
}


@dataclass(frozen=True)
class Form:
    """A form of INT8 graphs.

    Attributes:
        operators: Q/DQ pairs around FP32 operators, or ONNX Runtime's own operators on INT8.
        activation: type of the activations; weights are signed, one scale per channel.
        types: operators that compute in INT8.
        reduce_range: weights of 7 bits: without VNNI, the sum of two products of 8 x 8 bits
            overflows 16 bits, and the same file would score differently on another processor.
    """

    name: str
    operators: Literal["qdq", "qoperator"]
    activation: QuantType
    types: frozenset[str]
    reduce_range: bool = False


TENSORRT = Form("qdq-int8-symmetric", "qdq", QuantType.QInt8, _CONV)
# Weights of 8 bits have half the error of 7. `export.cpu.candidates` tries this form only where the
# processor sums the products in 32 bits.
OPENVINO = Form("qdq-uint8-conv-full-range", "qdq", QuantType.QUInt8, _CONV)
ONNXRUNTIME_FORMS = (
    Form("qdq-uint8-conv", "qdq", QuantType.QUInt8, _CONV, reduce_range=True),
    Form("qdq-uint8-block", "qdq", QuantType.QUInt8, _CONV | BLOCK, reduce_range=True),
    Form("qdq-int8-conv", "qdq", QuantType.QInt8, _CONV),
    Form("qoperator-uint8-conv", "qoperator", QuantType.QUInt8, _CONV, reduce_range=True),
    Form("qoperator-uint8-block", "qoperator", QuantType.QUInt8, _CONV | BLOCK, reduce_range=True),
)


def quantise(
    model: onnx.ModelProto, nodes: Collection[str], ranges: TensorsData, form: Form
) -> onnx.ModelProto:
    """Copies an FP32 graph and lets `nodes` (by first output) compute in INT8.

    Args:
        model: the FP32 graph, shapes inferred.
        nodes: at least one; those with an operator outside the form stay as they are.
        ranges: of every activation, from `find_ranges`.
        form: the form for the engine.

    Raises:
        EngineError: TensorRT would not take the result.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for node in copied.graph.node:
        node.name = key_of(node)  # the quantiser identifies nodes by name
    with _quiet_quantiser():
        quantiser = _quantiser(copied, sorted(nodes), ranges, form)
        quantiser.quantize_model()
        quantiser.model.topological_sort()
    quantised: onnx.ModelProto = quantiser.model.model
    if form is OPENVINO:
        _unquantise_pools(quantised.graph)
    if form is TENSORRT:
        quantised = onnx.shape_inference.infer_shapes(quantised, strict_mode=True, data_prop=True)
        check_tensorrt(quantised)
    return quantised


def read_tensors(model: onnx.ModelProto, nodes: Collection[str]) -> tuple[str, ...]:
    """Returns the tensors whose range `quantise` needs: of the nodes, and of activations behind."""
    constants = {tensor.name for tensor in model.graph.initializer}
    of: dict[str, None] = {}
    for node in model.graph.node:
        if key_of(node) in nodes:
            of.update(dict.fromkeys(n for n in (*node.input, *node.output) if n not in constants))
        elif node.op_type in _FUSED and any(name in nodes for name in node.input):
            of.update(dict.fromkeys(node.output))
    of.pop("", None)
    return tuple(of)


def quantiser_nodes(model: onnx.ModelProto, half: Collection[str]) -> frozenset[str]:
    """Returns the Q and DQ nodes of a graph that belong to the nodes `half`.

    A DQ node has the precision of its readers, a Q node that of its input, and a weight that of its
    reader.
    """
    readers: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(key_of(node))
    made_by = {output: key_of(node) for node in model.graph.node for output in node.output}
    dequantised = {
        key_of(node)
        for node in model.graph.node
        if node.op_type == _DQ and all(name in half for name in readers[key_of(node)])
    }
    quantised = {
        key_of(node)
        for node in model.graph.node
        if node.op_type == _Q
        and (
            made_by[node.input[0]] in half
            if node.input[0] in made_by
            else all(name in dequantised for name in readers[key_of(node)])
        )
    }
    return frozenset(dequantised | quantised)


def check_tensorrt(model: onnx.ModelProto) -> None:
    """Refuses Q/DQ pairs that TensorRT refuses or misreads.

    Raises:
        EngineError: a zero point that is not a signed zero, a scale that is not positive, a
            quantised bias, a pair right behind a reshaping node or at an output.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    outputs = {value.name for value in graph.output}
    problems = []
    for node in graph.node:
        if node.op_type not in {_Q, _DQ}:
            continue
        zero, scale = constants[node.input[2]], numpy_helper.to_array(constants[node.input[1]])
        if zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any():
            problems.append(f"{key_of(node)}: the zero point is not a signed 0")
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            problems.append(f"{key_of(node)}: a scale is not positive")
        source = made_by.get(node.input[0])
        if node.op_type == _Q and source is not None and source.op_type in RESHAPING:
            problems.append(f"{key_of(node)}: quantised right behind a {source.op_type}")
        if outputs.intersection(node.output):
            problems.append(f"{key_of(node)}: an output of the graph is quantised")
    if problems:
        raise EngineError(f"the INT8 graph is not for TensorRT: {'; '.join(problems[:5])}")


def _unquantise_pools(graph: onnx.GraphProto) -> None:
    """Lets each average read the values before their Q/DQ pair, in place.

    OpenVINO computes an average of quantised values in INT8 and pads them with the number 0, which
    is a value of 0 only where the zero point is 0: behind no linear bottleneck.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type != "AveragePool":
            continue
        pair = made_by.get(node.input[0])
        if pair is not None and pair.op_type == _DQ and pair.input[0] in made_by:
            node.input[0] = made_by[pair.input[0]].input[0]
    for kind in (_DQ, _Q):  # a pair that nothing else reads
        read = {name for node in graph.node for name in node.input}
        for node in [n for n in graph.node if n.op_type == kind and n.output[0] not in read]:
            graph.node.remove(node)


def _quantiser(
    model: onnx.ModelProto, nodes: list[str], ranges: TensorsData, form: Form
) -> Any:  # ONNX Runtime's quantisers have no type information
    options: dict[str, Any] = _TENSORRT_OPTIONS if form is TENSORRT else {}
    excluded: list[str] = []
    types = sorted(form.types)
    arguments = (QuantType.QInt8, form.activation, ranges, nodes, excluded, types, options)
    if form.operators == "qdq":
        return QDQQuantizer(model, True, form.reduce_range, *arguments)
    mode = QuantizationMode.QLinearOps
    return ONNXQuantizer(model, True, form.reduce_range, mode, True, *arguments)


@contextmanager
def _quiet_quantiser() -> Iterator[None]:
    """Silences the quantiser's advice, which does not hold for fused graphs."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

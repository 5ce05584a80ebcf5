"""The fused ONNX graph: from a model's deployed form to one file, checked against the contract."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed
from torch import nn

from export.fold import FOLDS
from inspection.engine.graph_file import MAX_GRAPH_BYTES, reason_against
from inspection.errors import EngineError
from inspection.files import write_bytes
from training.models.base import AnomalyModel

OPSET = 19
IR_VERSION = 9  # of ONNX 1.14, which brought opset 19: ONNX Runtime 1.17 refuses a later one
INPUT, OUTPUTS = "input", ("pred_score", "anomaly_map")
NAMESPACE = "namespace"  # of a node's metadata: the modules of the model around it

# Operators that our graphs need and that the TensorRT parser takes from 10.3 to 11.4. Look at its
# table (onnx-tensorrt docs/operators.md) before you add one: the tests run NVIDIA's newest parser
# and compiler alone, so that this list is the only guard for the older ones.
ALLOWED_OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "ArgMax",
        "Atan",
        "AveragePool",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "ConvTranspose",
        "Div",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "LayerNormalization",
        "LeakyRelu",
        "Log",
        "MatMul",
        "MaxPool",
        "Mul",
        "Neg",
        "Pad",
        "Pow",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)


def build_graph(model: AnomalyModel, *, dynamic_batch: bool = False) -> onnx.ModelProto:
    """Builds the fused FP32 graph: uint8 (N, H, W, 3) BGR in, `pred_score` and `anomaly_map` out.

    Args:
        model: in eval mode, on the CPU.
        dynamic_batch: leave N open, for offline use; a daemon's graph has N = 1.

    Raises:
        EngineError: the graph breaks the contract: operators, precision, shapes or size.
    """
    deployed = import_module(FOLDS[model.config.name]).Deployed(model).eval()
    require_one_file(deployed)
    graph = _export(deployed, model.size)
    _drop_traces(graph)
    fold_zero_pads(graph)
    fold_batch_norms(graph)
    if not dynamic_batch:
        make_dim_param_fixed(graph.graph, "batch", 1)
    graph = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    check_graph(graph)
    return graph


def save_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Writes a graph as one file, atomically.

    Raises:
        EngineError: an engine would read another file than this one for the graph.
    """
    content = graph.SerializeToString()
    reason = reason_against(content)
    if reason is not None:
        raise EngineError(f"{path.name}: the graph {reason}; a bundle takes no such graph")
    write_bytes(path, content)


def check_graph(graph: onnx.ModelProto) -> None:
    """Refuses a graph that some engine cannot run.

    Raises:
        EngineError: names each operator outside the list, and each value that is not float32 or of
            an integer or boolean type.
    """
    onnx.checker.check_model(graph, full_check=True)
    foreign = sorted({node.op_type for node in graph.graph.node} - ALLOWED_OPERATORS)
    if foreign:
        raise EngineError(f"the graph has operators that some engines do not take: {foreign}")
    doubles = [
        value.name
        for value in (*graph.graph.value_info, *graph.graph.output)
        if value.type.tensor_type.elem_type in (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    ]
    if doubles:
        raise EngineError(f"the FP32 graph computes in another precision at {doubles[:3]}")
    if [value.name for value in graph.graph.output] != list(OUTPUTS):
        raise EngineError(f"the outputs are not {OUTPUTS}")


def require_one_file(deployed: nn.Module, max_bytes: int = MAX_GRAPH_BYTES) -> None:
    """Raises EngineError when the weights alone are too large for an ONNX file.

    The exporter would work for minutes and fail with a message of its own.
    """
    weights = deployed.state_dict().values()
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    if size > max_bytes:
        raise EngineError(
            f"the weights of the model have {size / 2**30:.1f} GiB, and an ONNX graph holds at "
            f"most {max_bytes / 2**30:.0f} GiB in its own file: train a smaller backbone or model"
        )


def fold_batch_norms(model: onnx.ModelProto) -> None:
    """Merges each batch norm that follows a convolution into it, in float64, in place."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    readers = _count_readers(graph)
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        conv = made_by.get(norm.input[0])
        if conv is None or conv.op_type != "Conv" or readers[norm.input[0]] != 1:
            continue
        _merge(conv, norm, weights, graph)
        conv.output[0] = norm.output[0]
        graph.node.remove(norm)
    _drop_unused_weights(graph)


def fold_zero_pads(model: onnx.ModelProto) -> None:
    """Moves zero padding in front of a convolution into the convolution, in place."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    readers = _count_readers(graph)
    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        pad = made_by.get(conv.input[0])
        if pad is None or pad.op_type != "Pad" or readers[conv.input[0]] != 1:
            continue
        around = _zero_pad(pad, constants)
        if around is None:
            continue
        pads = next((a for a in conv.attribute if a.name == "pads"), None)
        if pads is None:
            pads = conv.attribute.add(name="pads", type=onnx.AttributeProto.INTS)
            pads.ints.extend([0] * len(around))
        pads.ints[:] = [a + b for a, b in zip(pads.ints, around, strict=True)]
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    _drop_unused_weights(graph)


def _zero_pad(pad: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[int] | None:
    """Returns (top, left, bottom, right) of a Pad node that adds zeros there alone, else None."""
    mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
    filling = list(pad.input[2:3])
    if mode != b"constant" or len(pad.input) > 3 or pad.input[1] not in constants:
        return None
    if filling and filling[0] and numpy_helper.to_array(constants[filling[0]]).any():
        return None
    pads = numpy_helper.to_array(constants[pad.input[1]]).tolist()  # N, C, H, W before, then after
    if any((*pads[:2], *pads[4:6])) or min(pads) < 0:  # a negative pad cuts off
        return None
    return [*pads[2:4], *pads[6:8]]


def _export(deployed: nn.Module, size: tuple[int, int]) -> onnx.ModelProto:
    # Two images: with one, the exporter would take the batch for a constant.
    example = torch.zeros(2, *size, 3, dtype=torch.uint8)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            deployed,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            external_data=False,
        )
    assert program is not None  # noqa: S101 - dynamo=True always returns one
    graph = program.model_proto
    if graph.opset_import[0].version != OPSET:
        graph = onnx.version_converter.convert_version(graph, OPSET)
    return graph


def _drop_traces(model: onnx.ModelProto) -> None:
    """Drops what the exporter notes of the machine and its source, in place.

    Its stack traces hold the paths of this installation: they would tell them to each receiver of
    the bundle, and the same weights would have another hash on another machine. Only the module of
    a node stays, see `export.precision.nodes`.
    """
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for noted in (model, graph, *values, *graph.node):
        kept = [entry for entry in noted.metadata_props if entry.key == NAMESPACE]
        del noted.metadata_props[:]
        noted.metadata_props.extend(kept)
    model.ir_version = IR_VERSION


def _merge(
    conv: onnx.NodeProto,
    norm: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> None:
    gain, offset, mean, variance = (
        numpy_helper.to_array(weights[name]).astype(np.float64) for name in norm.input[1:5]
    )
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    scale = gain / np.sqrt(variance + epsilon)
    kernel = numpy_helper.to_array(weights[conv.input[1]]).astype(np.float64)
    bias = np.zeros(len(kernel))
    if len(conv.input) > 2:
        bias = numpy_helper.to_array(weights[conv.input[2]]).astype(np.float64)
    # Named by its sources: a backbone that runs several times keeps one set of weights.
    name = f"{conv.input[1]}+{norm.input[1]}"
    merged = {
        f"{name}.weight": kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)),
        f"{name}.bias": (bias - mean) * scale + offset,
    }
    del conv.input[1:]
    for key, value in merged.items():
        if key not in weights:
            weights[key] = numpy_helper.from_array(value.astype(np.float32), key)
            graph.initializer.append(weights[key])
        conv.input.append(key)


def _count_readers(graph: onnx.GraphProto) -> dict[str, int]:
    counts: dict[str, int] = {output.name: 1 for output in graph.output}
    for node in graph.node:
        for name in node.input:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _drop_unused_weights(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silences the log of torch's exporter; its errors still come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

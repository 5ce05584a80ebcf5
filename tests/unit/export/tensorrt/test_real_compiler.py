"""NVIDIA's own parser and builder take every graph that a bundle can hold, on a CPU.

TensorRT for RTX builds engines for cards that are not there. So a graph that ONNX Runtime takes and
NVIDIA refuses fails here, and not on a device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.fold import FOLDS
from export.graph import build_graph, save_graph
from export.tensorrt.build import BuildOptions, build_plan
from export.tensorrt.layers import Layer, read_layers
from inspection.engine.rtx_cards import TURING, capabilities_of
from inspection.engine.tensorrt_bindings import load_bindings, process_logger
from inspection.errors import EngineError
from tests.doubles import small_models
from tests.doubles.engine_cases import Quiet
from tests.graph_variants import convolutions_of, variants_of
from training.models.base import AnomalyModel

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="needs the packages of the extra tensorrt-rtx, on Linux x86-64"
)

CARDS = ("rtx-ampere", "rtx-ada", "rtx-blackwell")
RESNET50 = {"name": "wide_resnet50_2.tv_in1k", "weights": "none"}
UNIAD = {"width": 128, "heads": 8, "feedforward": 256, "neighbours": [7, 7]}

MODELS: dict[str, Callable[[], AnomalyModel]] = {
    "differnet": small_models.small_differnet,
    "differnet_spatial": small_models.small_differnet_spatial,
    "differnet_spatial, 96x160": lambda: small_models.small_differnet_spatial((96, 160)),
    "ganomaly": small_models.small_ganomaly,
    "ganomaly, 64": lambda: small_models.small_ganomaly(64),
    "memory": small_models.small_memory,
    "simplenet": small_models.small_simplenet,
    "simplenet, 224x160": lambda: small_models.small_simplenet((224, 160)),
    "simplenet, patches of 5": lambda: small_models.small_simplenet(
        patch_size=5, projection_layers=2
    ),
    "subspace": small_models.small_subspace,
    "subspace, 160x96": lambda: small_models.small_subspace((160, 96)),
    "supersimplenet": small_models.small_supersimplenet,
    "supersimplenet, 256x320, by classification": lambda: small_models.small_supersimplenet(
        (256, 320), score="classification"
    ),
    "supersimplenet, wide, 256": lambda: small_models.small_supersimplenet(
        (256, 256), backbone=RESNET50
    ),
    "uniad": small_models.small_uniad,
    "uniad, 224": lambda: small_models.small_uniad((224, 224), **UNIAD),
}


def compiled(
    graph: onnx.ModelProto, path: Path, cards: tuple[str, ...] = CARDS
) -> tuple[bytes, tuple[Layer, ...]]:
    save_graph(graph, path)
    trt = load_bindings("tensorrt-rtx")
    options = BuildOptions(capabilities=capabilities_of(cards))
    plan = build_plan(trt, path, options, Quiet())
    return plan, read_layers(process_logger(trt).layers)


def slow_convolutions(graph: onnx.ModelProto, layers: tuple[Layer, ...]) -> list[str]:
    """Returns the names of the convolutions that compute in FP32."""
    found = convolutions_of(graph, layers)
    assert found
    return [layer.name for layer in found if layer.type == "Float"]


def test_the_models_here_are_all() -> None:
    assert {name.partition(",")[0] for name in MODELS} == set(FOLDS)


@cache
def exported(name: str) -> tuple[AnomalyModel, onnx.ModelProto]:
    """Returns a model and its graph, which two tests share: an export takes seconds."""
    model = MODELS[name]()
    return model, build_graph(model, dynamic_batch=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_graph_of_a_bundle_builds(name: str, tmp_path: Path) -> None:
    refused = []
    for precision, graph in variants_of(*exported(name)).items():
        try:
            plan, layers = compiled(graph, tmp_path / f"{precision}.onnx")
        except EngineError as error:
            refused.append(f"{precision}: {error}")
            continue
        assert len(plan) > 10_000
        if precision != "fp32":
            assert slow_convolutions(graph, layers) == [], precision
        assert layers, "the builder lists the layers"
    assert refused == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in MODELS if "," not in n])
def test_a_batch_of_four_builds_and_turing_takes_it(name: str, tmp_path: Path) -> None:
    for precision, graph in variants_of(*exported(name), batch=4).items():
        path = tmp_path / f"{precision}.onnx"
        compiled(graph, path)
        _, layers = compiled(graph, path, (TURING,))
        # `export.tensorrt.portable` refuses INT8 for Turing for this reason. A kernel whose name
        # begins with Cast reads INT8 and computes in the type that it casts to.
        products = [layer for layer in layers if layer.is_product and "_Cast" not in layer.name]
        assert not any(layer.type == "Int8" for layer in products)


def projection(*, heads_first: bool) -> onnx.ModelProto:
    """Projects 9 tokens to queries, keys and values of 2 heads, with a constant for each token."""
    random = np.random.default_rng(0)
    weights: dict[str, npt.NDArray[Any]] = {
        "weight": random.normal(size=(16, 48)).astype(np.float32),
        "constant": random.normal(size=(9, 48)).astype(np.float32),
        "heads": np.array([1, 9, 6 if heads_first else 2, 8], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["tokens", "weight"], ["product"]),
        node("Add", ["product", "constant"], ["sum"]),
    ]
    if heads_first:
        nodes += [
            node("Reshape", ["sum", "heads"], ["cut"]),
            node("Transpose", ["cut"], ["turned"], perm=[0, 2, 1, 3]),
            node("Split", ["turned"], ["query", "key", "value"], axis=1, num_outputs=3),
        ]
    else:
        nodes += [
            node("Split", ["sum"], ["q", "key", "value"], axis=2, num_outputs=3),
            node("Reshape", ["q", "heads"], ["cut"]),
            node("Transpose", ["cut"], ["query"], perm=[0, 2, 1, 3]),
        ]
    outputs = ["query"] + (["key", "value"] if heads_first else [])
    graph = helper.make_graph(
        nodes,
        "projection",
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [1, 9, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_the_reason_for_uniads_one_transposition_still_holds(tmp_path: Path) -> None:
    """When a newer library fails this, `export.fold.uniad._Projection` may be cut either way."""
    with pytest.raises(EngineError, match="logical memory size"):
        compiled(projection(heads_first=False), tmp_path / "cut-first.onnx")
    compiled(projection(heads_first=True), tmp_path / "heads-first.onnx")


def two_int8_convolutions(*, per_channel: bool, relu: bool, half: bool) -> onnx.ModelProto:
    """Returns two convolutions in INT8 with a Q/DQ pair between them, as TensorRT fuses it."""
    number = np.float16 if half else np.float32
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    random = np.random.default_rng(0)
    scales = np.full(64 if per_channel else (), 0.01, number)
    values = {
        "scale": np.array(0.05, number),
        "zero": np.array(0, np.int8),
        "scales": scales,
        "zeros": np.zeros(scales.shape, np.int8),
        "w1": random.integers(-99, 99, (64, 64, 3, 3)).astype(np.int8),
        "w2": random.integers(-99, 99, (64, 64, 3, 3)).astype(np.int8),
    }
    node = helper.make_node

    def pair(name: str) -> list[onnx.NodeProto]:
        return [
            node("QuantizeLinear", [name, "scale", "zero"], [f"{name}.q"]),
            node("DequantizeLinear", [f"{name}.q", "scale", "zero"], [f"{name}.dq"]),
        ]

    def convolution(source: str, weight: str, target: str) -> list[onnx.NodeProto]:
        return [
            node("DequantizeLinear", [weight, "scales", "zeros"], [f"{weight}.dq"], axis=0),
            node("Conv", [f"{source}.dq", f"{weight}.dq"], [target], pads=[1, 1, 1, 1]),
        ]

    middle = "between" if relu else "first"
    nodes = [*pair("x"), *convolution("x", "w1", "first")]
    nodes += [node("Relu", ["first"], ["between"])] if relu else []
    nodes += [*pair(middle), *convolution(middle, "w2", "y")]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("x", kind, [1, 64, 32, 32])],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_reason_for_requantising_layers_still_holds(
    per_channel: bool, relu: bool, half: bool, tmp_path: Path
) -> None:
    """When a newer library fails this, docs/measured/tensorrt.md is wrong about INT8."""
    graph = two_int8_convolutions(per_channel=per_channel, relu=relu, half=half)
    _, layers = compiled(graph, tmp_path / "int8.onnx", ("rtx-ada",))
    first, *_ = [layer for layer in layers if layer.is_product and layer.type == "Int8"]
    assert {tensor.type for tensor in first.outputs} <= {"Float", "Half"}


def test_a_refusal_names_the_node(tmp_path: Path) -> None:
    graph = projection(heads_first=True)
    graph.graph.node[0].op_type = "MatMulInteger"
    with pytest.raises(EngineError, match=r"cannot parse it, 1 errors:\n  node 0 .*MatMulInteger"):
        compiled(graph, tmp_path / "integer.onnx")

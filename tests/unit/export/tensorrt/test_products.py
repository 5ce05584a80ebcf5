"""Matrix products for Turing: the same values without a matrix product, on NVIDIA's own network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.tensorrt.build import BuildOptions, build_plan
from export.tensorrt.products import replace_products
from inspection.engine.tensorrt_bindings import load_bindings, process_logger
from inspection.errors import EngineError
from tests.doubles.engine_cases import Quiet
from tests.doubles.network import computed

pytest.importorskip(
    "tensorrt_rtx_bindings", reason="needs the packages of the extra tensorrt-rtx, on Linux x86-64"
)

RANDOM = np.random.default_rng(0)


class Case(NamedTuple):
    """A product of computed values and weights; a name of a weight begins with w."""

    operator: str
    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, int] = {}


CASES = {
    "values by weights": Case("MatMul", {"a": (2, 5, 3), "w": (3, 4)}),
    "a batch of heads by weights": Case("MatMul", {"a": (2, 3, 5, 4), "w": (4, 6)}),
    "weights by values": Case("MatMul", {"w": (6, 5), "a": (2, 3, 5, 4)}),
    "turned weights": Case("Gemm", {"a": (5, 3), "w": (4, 3)}, {"transB": 1}),
    "turned values": Case("Gemm", {"a": (3, 5), "w": (3, 4)}, {"transA": 1}),
    "weights by turned values": Case("Gemm", {"w": (6, 5), "a": (4, 5)}, {"transB": 1}),
    "turned weights by values": Case("Gemm", {"w": (5, 6), "a": (5, 4)}, {"transA": 1}),
    "two computed": Case("MatMul", {"a": (2, 3, 5, 4), "b": (2, 3, 4, 6)}),
    "one for all": Case("MatMul", {"a": (2, 3, 5, 4), "b": (4, 6)}),
    "two turned": Case("Gemm", {"a": (4, 5), "b": (6, 4)}, {"transA": 1, "transB": 1}),
    "weights of each head": Case("MatMul", {"a": (2, 3, 5, 4), "w": (3, 4, 6)}),
}


def graph_of(case: Case, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    number = helper.tensor_dtype_to_np_dtype(kind)
    weights = {n: s for n, s in case.shapes.items() if n.startswith("w")}
    node = helper.make_node(case.operator, list(case.shapes), ["y"])
    node.attribute.extend(helper.make_attribute(*named) for named in case.attributes.items())
    graph = helper.make_graph(
        [node],
        "product",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, shape in case.shapes.items()
            if name not in weights
        ],
        [helper.make_tensor_value_info("y", kind, None)],
        [
            numpy_helper.from_array(RANDOM.normal(size=shape).astype(number), name)
            for name, shape in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


class Parsed(NamedTuple):
    """A network with the parser and the builder that it belongs to."""

    trt: Any
    network: Any
    owners: tuple[Any, Any]


def parsed(graph: onnx.ModelProto) -> Parsed:
    trt = load_bindings("tensorrt-rtx")
    log = process_logger(trt)
    builder = trt.Builder(log)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    assert parser.parse(graph.SerializeToString())
    return Parsed(trt, network, (builder, parser))


def inputs_of(case: Case) -> dict[str, npt.NDArray[np.float32]]:
    computed_here = {n: s for n, s in case.shapes.items() if not n.startswith("w")}
    return {n: RANDOM.normal(size=s).astype(np.float32) for n, s in computed_here.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_values_stay(name: str) -> None:
    graph, inputs = graph_of(CASES[name]), inputs_of(CASES[name])
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)[0]
    trt, network, _owners = parsed(graph)
    assert replace_products(trt, network) == 1
    got = computed(trt, network, inputs)
    np.testing.assert_allclose(got["y"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_turing_takes_each_form(name: str, tmp_path: Path) -> None:
    trt = load_bindings("tensorrt-rtx")
    path = tmp_path / "product.onnx"
    onnx.save(graph_of(CASES[name]), path)
    assert build_plan(trt, path, BuildOptions(capabilities=("7.5",)), Quiet())


def test_a_product_of_fp16_stays() -> None:
    trt, network, _owners = parsed(graph_of(CASES["values by weights"], TensorProto.FLOAT16))
    assert replace_products(trt, network) == 0


def test_the_reason_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a newer library fails this, `export.tensorrt.products` may go."""
    monkeypatch.setattr("export.tensorrt.build.replace_products", lambda _trt, _network: 0)
    path = tmp_path / "product.onnx"
    onnx.save(graph_of(CASES["values by weights"]), path)
    trt = load_bindings("tensorrt-rtx")
    with pytest.raises(EngineError, match="FP32 GEMM is not supported"):
        build_plan(trt, path, BuildOptions(capabilities=("7.5",)), Quiet())

"""Matrices that resize and pool become operators with the same result, and no other matrix does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from export.graph import build_graph
from export.resampling import with_operators
from tests.doubles.small_models import frames, small_simplenet, small_supersimplenet
from training.linear_maps import bilinear, gaussian, mean3

SOURCE, GRID = (5, 7), (9, 16)


def graph(pairs: list[tuple[Tensor, Tensor]], *, constant: float = 0.0) -> onnx.ModelProto:
    """Returns a graph that sums what each pair of matrices makes of maps (1, 3, h, w)."""
    nodes, weights = [], {"constant": np.full((3, 1, 1), constant, np.float32)}
    for number, (rows, columns) in enumerate(pairs):
        weights[f"rows{number}"] = rows.float().numpy()
        weights[f"columns{number}"] = columns.T.float().numpy()
        nodes += [
            helper.make_node("MatMul", [f"rows{number}", "maps"], [f"tall{number}"]),
            helper.make_node("MatMul", [f"tall{number}", f"columns{number}"], [f"whole{number}"]),
        ]
    total = "whole0"
    for number in range(1, len(pairs)):
        nodes.append(helper.make_node("Add", [total, f"whole{number}"], [f"sum{number}"]))
        total = f"sum{number}"
    nodes.append(helper.make_node("Add", [total, "constant"], ["out"]))
    maps = helper.make_tensor_value_info("in", TensorProto.FLOAT, [1, 3, *SOURCE])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, *GRID])
    nodes.insert(0, helper.make_node("Identity", ["in"], ["maps"]))
    made = helper.make_graph(
        nodes, "g", [maps], [out], [numpy_helper.from_array(v, n) for n, v in weights.items()]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def run(model: onnx.ModelProto, value: npt.NDArray[np.generic]) -> list[npt.NDArray[np.float32]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[npt.NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: value})
    return found


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def pair(*, corners: bool, before: bool, behind: bool) -> tuple[Tensor, Tensor]:
    def along(size: int, source: int) -> Tensor:
        matrix = bilinear(size, source, align_corners=corners)
        matrix = matrix @ mean3(source) if before else matrix
        return mean3(size) @ matrix if behind else matrix

    return along(GRID[0], SOURCE[0]), along(GRID[1], SOURCE[1])


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("behind", [True, False])
def test_every_kind_gives_the_same_maps(corners: bool, before: bool, behind: bool) -> None:
    model = graph([pair(corners=corners, before=before, behind=behind)])
    replaced = with_operators(model)
    expected = {"Identity": 1, "Resize": 1, "Add": 1}
    if before or behind:
        expected["AveragePool"] = before + behind
    assert operators(replaced) == expected
    maps = np.random.default_rng(0).normal(size=(1, 3, *SOURCE)).astype(np.float32)
    (one,), (other,) = run(model, maps), run(replaced, maps)
    np.testing.assert_allclose(one, other, atol=2e-6)


def test_sums_are_averaged_once() -> None:
    same = pair(corners=True, before=False, behind=True)
    model = graph([same] * 3, constant=2.0)
    replaced = with_operators(model)
    assert operators(replaced) == {"Identity": 1, "Resize": 3, "Add": 3, "AveragePool": 1}
    maps = np.random.default_rng(0).normal(size=(1, 3, *SOURCE)).astype(np.float32)
    np.testing.assert_allclose(run(model, maps)[0], run(replaced, maps)[0], atol=5e-6)
    assert {t.name for t in replaced.graph.initializer} >= {"constant", "whole0.size"}
    assert not [t for t in replaced.graph.initializer if t.name.startswith(("rows", "columns"))]


def test_other_matrices_stay() -> None:
    rows, columns = pair(corners=True, before=False, behind=False)
    blurred = gaussian(GRID[0], 1.0, 2, "reflect") @ rows
    half = bilinear(GRID[1], SOURCE[1], align_corners=False)
    for kept in ((blurred, columns), (rows, half), (1.001 * rows, columns)):
        assert operators(with_operators(graph([kept]))) == {"Identity": 1, "MatMul": 2, "Add": 1}


@pytest.mark.parametrize("model", [small_supersimplenet, small_simplenet])
def test_fused_graphs_keep_their_results(model: object) -> None:
    made = model((64, 96))  # type: ignore[operator]
    original = build_graph(made)
    replaced = with_operators(original)
    found = operators(replaced)
    assert found["Resize"] == operators(original)["Resize"] + 2 - (model is small_simplenet)
    image = frames(1, (64, 96)).numpy()
    for one, other in zip(run(original, image), run(replaced, image), strict=True):
        assert np.abs(one - other).max() < 1e-5 * np.abs(one).max()

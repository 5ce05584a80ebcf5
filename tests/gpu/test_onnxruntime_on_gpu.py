"""Graphs of lower precision on a device without TensorRT, through ONNX Runtime.

The bodies also run on the CPU provider, so that they are tested everywhere.
"""

from contextlib import closing
from pathlib import Path

import onnx
import pytest

from export.graph import save_graph
from export.precision.fp16 import to_half
from export.precision.int8 import ONNXRUNTIME_FORMS, TENSORRT, quantise, read_tensors
from export.precision.nodes import lowerable_nodes, quantisable_nodes
from export.precision.outcome import FP16_BUDGET, INT8_BUDGET
from export.precision.ranges import find_ranges
from export.precision.rounding import rounded_twin
from inspection.errors import EngineError
from tests import tiny_convnet
from tests.bench.cuda_provider import CPU, CUDA, ProviderEngine

PROVIDERS = [CPU, pytest.param(CUDA, marks=pytest.mark.gpu)]


def scores(model: onnx.ModelProto, provider: str, folder: Path) -> list[float]:
    path = folder / "model.onnx"
    save_graph(model, path)
    try:
        engine = ProviderEngine(path, provider)
    except EngineError as error:
        pytest.skip(str(error))
    with closing(engine):
        return [float(engine.infer(image).scores[0]) for image in tiny_convnet.images()]


def agree(got: list[float], expected: list[float], share: float) -> None:
    """Asserts that no verdict flips, and no score differs by more than this share of the spread."""
    threshold = tiny_convnet.judge(tiny_convnet.graph()).threshold
    assert [score > threshold for score in got] == [score > threshold for score in expected]
    spread = max(expected) - min(expected)
    assert got == pytest.approx(expected, abs=share * spread)


def int8_graph(form: str) -> onnx.ModelProto:
    graph = tiny_convnet.graph()
    nodes = quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=True))
    ranges = find_ranges(graph, read_tensors(graph, nodes), tiny_convnet.images(), "min-max")
    forms = {each.name: each for each in (TENSORRT, *ONNXRUNTIME_FORMS)}
    return quantise(graph, nodes, ranges, forms[form])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_fp32_is_the_same_everywhere(provider: str, tmp_path: Path) -> None:
    expected = [tiny_convnet.run(tiny_convnet.graph(), i)[0] for i in tiny_convnet.images()]
    agree(scores(tiny_convnet.graph(), provider, tmp_path), expected, 1e-4)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_twin_says_what_fp16_gives_on_a_device(provider: str, tmp_path: Path) -> None:
    """Export judges FP16 by its twin on the CPU; a device may differ by the budget once more."""
    mixed = to_half(tiny_convnet.graph(), tiny_convnet.BACKBONE)
    expected = scores(rounded_twin(mixed), CPU, tmp_path)
    agree(scores(mixed, provider, tmp_path), expected, FP16_BUDGET.score)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("form", [TENSORRT.name, "qdq-int8-conv"])
def test_int8_gives_the_verdicts_of_the_cpu(provider: str, form: str, tmp_path: Path) -> None:
    quantised = int8_graph(form)
    expected = scores(quantised, CPU, tmp_path)
    agree(scores(quantised, provider, tmp_path), expected, INT8_BUDGET.score)

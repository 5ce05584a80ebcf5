"""Tests the OpenVINO engine beyond the contract of all engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("openvino")

import openvino as ov

from inspection.bundle import Bundle
from inspection.engine import GraphShape
from inspection.engine.openvino import OpenVinoEngine, read_graph
from inspection.errors import EngineError
from inspection.inspector import Inspector
from tests.tiny_bundle import SIZE

SHAPE = GraphShape(SIZE, SIZE)


def compiled_options(engine: OpenVinoEngine) -> dict[str, object]:
    compiled = engine._request.get_compiled_model()  # type: ignore[union-attr]
    return {
        name: compiled.get_property(name)
        for name in (
            "INFERENCE_PRECISION_HINT",
            "PERFORMANCE_HINT",
            "INFERENCE_NUM_THREADS",
            "NUM_STREAMS",
            "ENABLE_CPU_PINNING",
            "CPU_DENORMALS_OPTIMIZATION",
        )
    }


def changed(bundle: Bundle, **types: int) -> Path:
    """Writes the tiny graph with other element types of its inputs or outputs."""
    path = bundle.folder / "model.onnx"
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in types:
            value.type.tensor_type.elem_type = types[value.name]
    onnx.save(model, path)
    return path


def test_nothing_that_depends_on_the_processor_is_left_open(tiny_bundle: Bundle) -> None:
    engine = OpenVinoEngine(tiny_bundle.file("model.onnx"), SHAPE, threads=1)
    assert compiled_options(engine) == {
        "INFERENCE_PRECISION_HINT": ov.Type.f32,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "CPU_DENORMALS_OPTIMIZATION": True,
    }


def test_an_inspector_runs_on_it(tiny_bundle: Bundle) -> None:
    frame = np.full((SIZE, SIZE), 40, np.uint8)
    with Inspector.open(tiny_bundle, engine="openvino") as inspector:
        assert inspector.inspect(frame).verdict.value == "PASS"
        frame[3, 4] = 200
        inspection = inspector.inspect(frame)
    assert inspection.verdict.value == "REJECT"
    assert inspection.mask.sum() == 1


def test_other_input_types_are_refused(tiny_bundle: Bundle) -> None:
    path = changed(tiny_bundle, input=TensorProto.FLOAT)
    with pytest.raises(EngineError, match=r"inputs and outputs are .*'input': 'float32 \[1, 32, 3"):
        OpenVinoEngine(path, SHAPE)


def test_an_open_batch_is_refused(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "model.onnx"
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)
    with pytest.raises(EngineError, match=r"the bundle says .*; export the bundle again"):
        OpenVinoEngine(path, SHAPE)


def test_another_output_is_refused(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "model.onnx"
    model = onnx.load(path)
    model.graph.output.append(helper.make_tensor_value_info("grey", TensorProto.FLOAT, None))
    onnx.save(model, path)
    with pytest.raises(EngineError, match="'grey'"):
        OpenVinoEngine(path, SHAPE)


def test_its_version_stands_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(EngineError, match=rf"model\.onnx: OpenVINO {ov.__version__} cannot load"):
        OpenVinoEngine(path, SHAPE)


def test_an_operator_that_it_does_not_know_is_refused(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "model.onnx"
    model = onnx.load(path)
    model.graph.node[0].op_type = "Unheard"
    model.graph.node[0].domain = "of.nobody"
    model.opset_import.append(helper.make_opsetid("of.nobody", 1))
    onnx.save(model, path)
    with pytest.raises(EngineError, match="cannot load it"):
        OpenVinoEngine(path, SHAPE)


def test_a_run_that_fails_is_an_engine_error(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def infer(self) -> None:
            raise RuntimeError("out of memory")

    engine = OpenVinoEngine(tiny_bundle.file("model.onnx"), SHAPE)
    monkeypatch.setattr(engine, "_request", Failing())
    with pytest.raises(EngineError, match=r"model\.onnx: OpenVINO failed: out of memory"):
        engine.infer(np.zeros((1, SIZE, SIZE, 3), np.uint8))


def test_a_compilation_that_fails_is_an_engine_error(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"cannot compile it: .*NOWHERE"):
        OpenVinoEngine(tiny_bundle.file("model.onnx"), SHAPE, device="NOWHERE")


def test_its_own_format_gives_the_same_bits(tiny_bundle: Bundle, tmp_path: Path) -> None:
    ov.save_model(
        read_graph(tiny_bundle.file("model.onnx")), tmp_path / "m.xml", compress_to_fp16=False
    )
    image = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    original = OpenVinoEngine(tiny_bundle.file("model.onnx"), SHAPE).infer(image)
    converted = OpenVinoEngine(tmp_path / "m.xml", SHAPE).infer(image)
    np.testing.assert_array_equal(original.maps, converted.maps)

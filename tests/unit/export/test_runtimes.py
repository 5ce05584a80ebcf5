"""Files for other runtimes, read back with real parsers and compared with the bundle."""

from __future__ import annotations

import configparser
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from export.runtimes import RUNTIMES, Options, writer_for
from inspection.bundle import Bundle
from inspection.bundle.manifest import GraphIO, Parity
from inspection.errors import BundleError, ConfigError, EngineError
from inspection.images import read_image
from inspection.preprocess import Preprocessing, preprocess
from tests.doubles import engine_cases, golden_bundle
from tests.doubles.installed import install
from tests.tiny_bundle import SIZE, THRESHOLD

IMAGE, MAP = [1, SIZE, SIZE, 3], [1, SIZE, SIZE]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def record_in(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "linewarden.json").read_text())
    return record


def triton_config(folder: Path) -> Any:
    """Reads a config.pbtxt as Triton does, with its own protocol buffer."""
    schema = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]"
    )
    text_format = pytest.importorskip("google.protobuf.text_format")
    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def types_of(schema_values: Any) -> dict[str, tuple[str, list[int]]]:
    enum = schema_values[0].DESCRIPTOR.fields_by_name["data_type"].enum_type
    return {
        value.name: (enum.values_by_number[value.data_type].name, list(value.dims))
        for value in schema_values
    }


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown runtime 'tritn': .*did you mean 'triton'"):
        writer_for("tritn")


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_client_gets_what_the_daemon_knows(name: str, bundle: Bundle, out: Path) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    said = writer_for(name)(bundle, out, Options())
    assert said
    record = record_in(out)
    (model,) = record["models"].values()
    assert model["artefact"] == "model.onnx"
    assert model["sha256"] == bundle.sha256("model.onnx")
    assert model["recipes"]["default"]["reject"] == THRESHOLD
    assert model["recipes"]["default"]["review"] is None
    preprocessing = Preprocessing.model_validate(record["preprocessing"])
    assert preprocessing == bundle.manifest.preprocessing
    assert len(record["golden"]) == len(golden_bundle.BRIGHTNESS)
    for golden, brightness in zip(record["golden"], golden_bundle.BRIGHTNESS, strict=True):
        frame, prepared = (read_image(out / golden[key]) for key in ("frame", "input"))
        np.testing.assert_array_equal(preprocess(frame, preprocessing), prepared)
        assert golden["score"] == pytest.approx(brightness / 255)
        assert 0 < golden["tolerance"] < 1e-3
    readme = (out / "README.md").read_text()
    assert "inspection.preprocess" in readme
    assert "{" not in readme.replace("{name}", "{")


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_thresholds_of_another_artefact_are_left_out(name: str, bundle: Bundle, out: Path) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    measured = bundle.calibration("default", "model.onnx")
    bundle.add_calibration(measured.model_copy(update={"artefact_sha256": "b" * 64}))
    said = writer_for(name)(bundle, out, Options())
    ((served, model),) = record_in(out)["models"].items()
    assert model["recipes"] == {}
    assert model["not_served"] == {"default": "they were measured through model.onnx"}
    assert said[-1] == (
        f"{served}: no thresholds for recipe 'default': they were measured through model.onnx"
    )


INT8 = "model.int8.onnxruntime.onnx"


def with_int8(bundle: Bundle, engine: str, flips: int = 0) -> Bundle:
    """Adds an INT8 file, and thresholds that were measured through it on an engine."""
    measured = bundle.calibration("default", "model.onnx")
    parity = Parity(
        frames=9, score=0.01, map=0.01, score_range=1.0, verdict_flips=flips, threshold=0.5
    )
    listed = golden_bundle.artefact("int8", "onnxruntime").model_copy(update={"parity": parity})
    bundle = golden_bundle.with_artefacts(bundle, {INT8: listed})
    of_file = {"artefact": INT8, "artefact_sha256": bundle.sha256(INT8), "engine": engine}
    bundle.add_calibration(measured.model_copy(update=of_file))
    return bundle


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "triton"])
def test_thresholds_of_another_engine_are_left_out(engine: str, bundle: Bundle, out: Path) -> None:
    bundle = with_int8(bundle, engine)
    said = writer_for("triton")(bundle, out, Options(artefact=INT8))
    (model,) = record_in(out)["models"].values()
    if engine == "triton":
        assert list(model["recipes"]) == ["default"]
        assert model["not_served"] == {}
        return
    reason = f"they were measured on {engine}, and triton rounds {INT8} otherwise"
    assert (model["recipes"], model["not_served"]) == ({}, {"default": reason})
    assert said[-1] == f"tiny_onnx: no thresholds for recipe 'default': {reason}"


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_file_for_a_first_stage_is_not_served_alone(name: str, bundle: Bundle, out: Path) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    bundle = with_int8(bundle, "onnxruntime", flips=2)
    with pytest.raises(EngineError, match="flipped 2 of 9 verdicts at export and must not decide"):
        writer_for(name)(bundle, out, Options(artefact=INT8))


def test_a_changed_calibration_is_refused(bundle: Bundle, out: Path) -> None:
    path = bundle.calibration_path("default")
    path.write_text(path.read_text().replace('"threshold_score": 0.5', '"threshold_score": 0.9'))
    with pytest.raises(BundleError, match="was changed"):
        writer_for("triton")(bundle, out, Options())


def test_an_unknown_artefact_is_refused(bundle: Bundle, out: Path) -> None:
    with pytest.raises(BundleError, match=r"has no artefact 'model\.fp8\.onnx'"):
        writer_for("triton")(bundle, out, Options(artefact="model.fp8.onnx"))


def test_triton_gets_the_graph_as_it_is(bundle: Bundle, out: Path) -> None:
    writer_for("triton")(bundle, out, Options())
    folder = out / "models/tiny_onnx"
    assert [path.name for path in (out / "models").iterdir()] == ["tiny_onnx"]
    content = (folder / "1/model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == bundle.sha256("model.onnx")
    config = triton_config(folder)
    assert (config.name, config.backend, config.max_batch_size) == ("tiny_onnx", "onnxruntime", 0)
    assert config.default_model_filename == "model.onnx"
    assert types_of(config.input) == {"input": ("TYPE_UINT8", IMAGE)}
    assert types_of(config.output) == {
        "pred_score": ("TYPE_FP32", [1]),
        "anomaly_map": ("TYPE_FP32", MAP),
    }
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, group.KIND_CPU)
    (warm_up,) = config.model_warmup
    zeros = warm_up.inputs["input"]
    assert warm_up.batch_size == 1
    assert (zeros.zero_data, list(zeros.dims)) == (True, IMAGE)
    assert list(config.version_policy.specific.versions) == [1]


def test_triton_gets_the_hash_of_what_it_serves(bundle: Bundle, out: Path) -> None:
    writer_for("triton")(bundle, out, Options())
    parameters = triton_config(out / "models/tiny_onnx").parameters
    assert parameters["artefact_sha256"].string_value == bundle.sha256("model.onnx")


def test_triton_runs_the_graph_in_its_python_backend(bundle: Bundle, out: Path) -> None:
    (said,) = writer_for("triton")(bundle, out, Options(backend="python"))
    assert said.endswith("model.onnx on ONNX Runtime, CPU, in the Python backend")
    folder = out / "models/tiny_onnx"
    assert sorted(path.name for path in (folder / "1").iterdir()) == ["model.onnx", "model.py"]
    config = triton_config(folder)
    assert (config.backend, config.default_model_filename) == ("python", "model.py")
    assert set(config.parameters) == {"artefact_sha256", "threads"}


def test_triton_on_a_gpu_keeps_float32(bundle: Bundle, out: Path) -> None:
    writer_for("triton")(bundle, out, Options(device="gpu"))
    config = triton_config(out / "models/tiny_onnx")
    (group,) = config.instance_group
    (cuda,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert group.kind == group.KIND_GPU
    assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"use_tf32": "0"})


def test_triton_gets_every_plan(bundle: Bundle, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    built = engine_cases.build(bundle)
    writer_for("triton")(bundle, out, Options())
    name = f"tiny_{built.sidecar.platform.folder}_{built.sidecar.precision}"
    assert {path.name for path in (out / "models").iterdir()} == {"tiny_onnx", name}
    folder = out / "models" / name
    assert (folder / "1/model.plan").read_bytes() == bundle.file(built.name).read_bytes()
    config = triton_config(folder)
    assert (config.name, config.backend, config.max_batch_size) == (name, "tensorrt", 0)
    assert types_of(config.input) == {"input": ("TYPE_UINT8", IMAGE)}
    (group,) = config.instance_group
    assert group.kind == group.KIND_GPU
    assert config.optimization.cuda.graphs == (built.sidecar.launch == "graph")
    assert built.sidecar.platform.tensorrt in (out / "README.md").read_text()
    assert record_in(out)["models"][name]["recipes"] == {}  # measured through the ONNX file


def test_triton_gets_no_leftover_of_a_killed_build(
    bundle: Bundle, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    plan = bundle.folder / engine_cases.build(bundle).name
    shutil.copytree(plan.parent, plan.parent.with_name(".incomplete-fp32-0123456789ab"))
    writer_for("triton")(bundle, out, Options())
    assert len(list((out / "models").iterdir())) == 2


def test_triton_refuses_a_damaged_plan(
    bundle: Bundle, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    plan = bundle.folder / engine_cases.build(bundle).name
    plan.write_bytes(b"x" + plan.read_bytes()[1:])
    with pytest.raises(BundleError, match="is not what was built"):
        writer_for("triton")(bundle, out, Options())


def test_nvinfer_is_told_what_the_graph_is(bundle: Bundle, out: Path) -> None:
    writer_for("deepstream")(bundle, out, Options())
    parser = configparser.ConfigParser()
    parser.read(out / "config_infer_linewarden.txt")
    nvinfer = parser["property"]
    session = ort.InferenceSession(out / nvinfer["onnx-file"], providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("input", "tensor(float)", [1, 3, SIZE, SIZE])
    assert nvinfer["infer-dims"] == f"3;{SIZE};{SIZE}"
    outputs = {output.name: output.shape for output in session.get_outputs()}
    assert outputs == {"pred_score": [1, 1], "anomaly_map": MAP}
    assert nvinfer["output-blob-names"].split(";") == list(outputs)
    assert (nvinfer["network-type"], nvinfer["output-tensor-meta"]) == ("100", "1")
    assert (nvinfer["model-color-format"], nvinfer["net-scale-factor"]) == ("1", "1.0")
    assert "offsets" not in nvinfer


def test_the_planar_graph_says_the_same_of_a_golden_input(bundle: Bundle, out: Path) -> None:
    writer_for("deepstream")(bundle, out, Options())
    session = ort.InferenceSession(out / "model.deepstream.onnx")
    for golden in record_in(out)["golden"]:
        floats = read_image(out / golden["input"]).transpose(2, 0, 1)[np.newaxis]
        score, _ = session.run(None, {"input": floats.astype(np.float32)})
        assert float(score[0, 0]) == golden["score"]


def test_a_graph_that_does_not_cast_its_input_is_no_deepstream_graph() -> None:
    node = helper.make_node("Identity", ["input"], ["pred_score"])
    values = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, IMAGE)
        for name in ("input", "pred_score")
    ]
    model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]))
    from export.runtimes.deepstream import planar_graph

    with pytest.raises(EngineError, match=r"goes to \['Identity'\] and not to a cast"):
        planar_graph(model, GraphIO(height=SIZE, width=SIZE))


def test_openvino_writes_its_format_in_full_precision(bundle: Bundle, out: Path) -> None:
    pytest.importorskip("openvino")
    said = writer_for("openvino")(bundle, out, Options(ir=True))
    assert [line.partition(":")[0] for line in said] == ["model.onnx", "model.xml"]
    assert (out / "model.bin").stat().st_size > 0
    assert 'element_type="f16"' not in (out / "model.xml").read_text()


def test_openvino_that_computes_something_else_is_refused(bundle: Bundle, out: Path) -> None:
    pytest.importorskip("openvino")
    golden = bundle.manifest.golden[-1]
    np.savez(
        bundle.folder / golden.expected,
        score=np.float32(0.1),
        map=np.zeros((SIZE, SIZE), np.float32),
    )
    with pytest.raises(EngineError, match=r"other results .* on grey-200, 1 of them another verd"):
        writer_for("openvino")(bundle, out, Options())


def test_the_reference_is_not_touched(bundle: Bundle, out: Path) -> None:
    before = onnx.load(bundle.file("model.onnx"))
    writer_for("deepstream")(bundle, out, Options())
    assert onnx.load(bundle.file("model.onnx")) == before

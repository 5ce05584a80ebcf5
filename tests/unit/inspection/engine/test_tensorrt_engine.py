"""Tests the TensorRT engine over doubles of five versions: results, refusals, errors, cleanup."""

import hashlib
import json
import logging
import shutil
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.tensorrt.engine import Built
from inspection.bundle import Bundle, open_bundle
from inspection.engine import GraphShape, engine_class
from inspection.engine.sidecar import LAYERS, sidecar_path, write_sidecar
from inspection.engine.tensorrt import TensorRtEngine
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.errors import BundleError, CudaError, DeviceLostError, EngineError, LinewardenError
from inspection.opening import open_engine
from inspection.trust.keys import Keys
from tests.doubles import engine_cases, golden_bundle
from tests.doubles.cuda import SimulatedDevice
from tests.doubles.installed import Installed, install
from tests.doubles.keys import own_key
from tests.doubles.surface import VERSIONS
from tests.doubles.tensorrt_runtime import _Runtime
from tests.tiny_bundle import SIZE

SHAPE = GraphShape(SIZE, SIZE)
IMAGE = np.full((1, SIZE, SIZE, 3), 100, np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return install(monkeypatch)


@pytest.fixture
def built(bundle: Bundle, installed: Installed) -> Built:
    return engine_cases.build(bundle)


def refuses(plan: Path, message: str, error: type[LinewardenError]) -> None:
    """Asserts that the engine is refused before TensorRT sees the plan."""
    seen: list[bytes] = []
    runtime: Any = sys.modules["tensorrt"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.Runtime, "deserialize_cuda_engine", lambda _, plan: seen.append(plan))
        with pytest.raises(error, match=message):
            TensorRtEngine(plan, SHAPE)
    assert seen == []


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_is_built_runs_and_closes(
    version: str, binding: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, version, binding=binding)
    built = engine_cases.an_engine_is_built_runs_and_closes(bundle)
    installed.assert_clean()
    assert built.sidecar.platform.tensorrt == VERSIONS[version]


def test_a_plan_may_bring_no_code_for_the_host(
    bundle: Bundle, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan can hold libraries of plugins; TensorRT refuses them where host code is forbidden."""
    allowed: list[bool] = []
    start, deserialise = _Runtime.__init__, _Runtime.deserialize_cuda_engine

    def permissive(runtime: _Runtime, *values: Any, **named: Any) -> None:
        start(runtime, *values, **named)
        runtime.engine_host_code_allowed = True

    def recording(runtime: _Runtime, serialized_engine: bytes) -> Any:
        allowed.append(runtime.engine_host_code_allowed)
        return deserialise(runtime, serialized_engine)

    monkeypatch.setattr(_Runtime, "__init__", permissive)
    monkeypatch.setattr(_Runtime, "deserialize_cuda_engine", recording)
    TensorRtEngine(bundle.file(built.name), SHAPE).close()
    assert allowed == [False]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_way_to_run_gives_the_same(
    version: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, version)
    engine_cases.every_way_to_run_gives_the_same(bundle)
    installed.assert_clean()


@pytest.mark.parametrize("built_with", VERSIONS)
def test_a_plan_of_another_tensorrt_is_refused(
    built_with: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, built_with)
    plan = bundle.file(engine_cases.build(bundle).name)
    other = "10.7" if built_with == "10.3" else "10.3"
    installed = install(monkeypatch, other)
    refuses(plan, rf"TensorRT: built {VERSIONS[built_with]}, here {VERSIONS[other]}", EngineError)
    installed.assert_clean()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"name": "Thor"}, "device: built Simulated Orin, here Thor"),
        ({"compute_capability": (9, 0)}, r"compute capability: built 8\.7, here 9\.0"),
        ({"multiprocessors": 8}, "multiprocessors: built 16, here 8"),
        ({"driver": 12020}, "CUDA driver: built 12060, here the older 12020"),
        ({"runtime": 13000}, "CUDA runtime: built 12, here 13"),
    ],
)
def test_a_plan_of_another_device_is_refused(
    device: dict[str, Any],
    message: str,
    bundle: Bundle,
    built: Built,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = install(monkeypatch, device=SimulatedDevice(**device))
    refuses(bundle.file(built.name), message, EngineError)
    installed.assert_clean()


def test_a_truncated_plan_is_refused(bundle: Bundle, built: Built) -> None:
    plan = bundle.folder / built.name
    plan.write_bytes(plan.read_bytes()[:-100])
    refuses(plan, "bytes and .* were built", BundleError)


def test_a_changed_plan_is_refused(bundle: Bundle, built: Built) -> None:
    plan = bundle.folder / built.name
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    refuses(plan, "is not what was built", BundleError)


def test_a_missing_sidecar_is_refused(bundle: Bundle, built: Built) -> None:
    plan = bundle.folder / built.name
    sidecar_path(plan).unlink()
    refuses(plan, "cannot be read .*linewarden build", BundleError)


def test_a_missing_plan_is_refused(bundle: Bundle, built: Built) -> None:
    plan = bundle.folder / built.name
    plan.unlink()
    refuses(plan, "cannot be read", EngineError)


def test_an_edited_sidecar_is_refused(bundle: Bundle, built: Built) -> None:
    path = sidecar_path(bundle.folder / built.name)
    record = json.loads(path.read_text())
    record["platform"]["tensorrt"] = "10.7.0"
    path.write_text(json.dumps(record))
    refuses(bundle.folder / built.name, "was changed after it was written", BundleError)


def test_the_sidecar_of_another_plan_is_refused(
    bundle: Bundle, built: Built, tmp_path: Path
) -> None:
    plan = bundle.folder / built.name
    other = tmp_path / "other"
    shutil.copytree(plan.parent, other)
    (other / plan.name).write_bytes(b"x" * built.sidecar.plan_bytes)
    refuses(other / plan.name, "is not what was built", BundleError)


def test_an_older_sidecar_is_refused_beside_a_newer_plan(bundle: Bundle, built: Built) -> None:
    path = sidecar_path(bundle.folder / built.name)
    older = path.read_bytes()
    plan = bundle.folder / built.name
    write_sidecar(plan, built.sidecar.model_copy(update={"plan_sha256": "a" * 64}))
    newer = path.read_bytes()
    refuses(plan, "is not what was built", BundleError)
    assert newer != older


def test_a_forged_pair_is_refused_where_the_machine_has_a_key(
    bundle: Bundle, installed: Installed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another plan with a valid seal in its sidecar: only the key detects it."""
    own_key(monkeypatch, tmp_path / "keys")
    bundle = open_bundle(bundle.folder)
    built = engine_cases.build(bundle)
    plan = bundle.file(built.name)
    TensorRtEngine(plan, SHAPE).close()
    evil = plan.read_bytes() + b"evil"
    plan.write_bytes(evil)
    says = {"plan_sha256": hashlib.sha256(evil).hexdigest(), "plan_bytes": len(evil)}
    write_sidecar(plan, built.sidecar.model_copy(update=says), Keys())
    refuses(plan, "neither this machine's key nor a trusted signature", BundleError)
    with pytest.raises(BundleError, match="covers this sidecar"):
        bundle.file(built.name)
    installed.assert_clean()


def test_a_plan_that_others_may_write_is_refused(bundle: Bundle, built: Built) -> None:
    plan = bundle.folder / built.name
    plan.chmod(0o666)
    refuses(plan, "another user could have written it", BundleError)


def test_an_engine_of_another_size_is_refused(bundle: Bundle, built: Built) -> None:
    with pytest.raises(EngineError, match=r"its inputs and outputs are input input uint8 \[1, 32,"):
        TensorRtEngine(bundle.file(built.name), GraphShape(64, 64))


def test_an_engine_of_an_older_export_is_refused(bundle: Bundle, built: Built) -> None:
    bundle.manifest.files["model.onnx"] = "b" * 64
    with pytest.raises(BundleError, match=r"was built from model\.onnx"):
        open_engine(bundle, engine="tensorrt", artefact=built.name)


def test_what_tensorrt_refuses_is_an_engine_error(
    bundle: Bundle, built: Built, installed: Installed
) -> None:
    for call in (
        "deserialize_cuda_engine",
        "set_tensor_address",
        "execute_async_v3",
    ):
        installed.world.refuse = {call}
        with pytest.raises(EngineError, match="Error Code"):
            TensorRtEngine(bundle.file(built.name), SHAPE)
        installed.assert_clean()


def test_no_driver_is_named(bundle: Bundle, built: Built, installed: Installed) -> None:
    installed.world.has_driver = False
    with pytest.raises(
        EngineError, match=r"finds no device: CUDA initialization .* linewarden doc"
    ):
        TensorRtEngine(bundle.file(built.name), SHAPE)
    installed.assert_clean()


def test_each_cuda_call_may_fail_and_nothing_is_left(
    bundle: Bundle, built: Built, installed: Installed
) -> None:
    """Each call from opening to closing fails once, one after the other."""
    device = installed.device
    run_by("copied", "graph", bundle, built)
    device.calls.clear()
    run(bundle, built)
    calls = list(device.calls)
    assert len(calls) > 30
    for position, call in enumerate(calls):
        nth = calls[: position + 1].count(call)
        device.calls.clear()
        device.inject(call, 2, nth)
        with suppress(EngineError):  # the engine runs without the graph
            run(bundle, built)
        assert device.alive() == {}, f"{call} number {nth} left something"
        assert device.faults == [], f"{call} number {nth}"


@pytest.mark.parametrize("way", [("copied", "graph"), ("mapped", "plain")])
def test_each_cuda_call_may_lose_the_device(
    way: tuple[str, str], bundle: Bundle, built: Built, installed: Installed
) -> None:
    device = installed.device
    run_by(*way, bundle, built)
    device.calls.clear()
    run(bundle, built)
    calls = list(device.calls)
    for position, call in enumerate(calls):
        device.calls.clear()
        device.lost = 0
        device.inject(call, 700, calls[: position + 1].count(call))
        with pytest.raises((DeviceLostError, EngineError)) as caught:
            run(bundle, built)
        # TensorRT gives no reason for a failure; while it opens, the process must end anyway.
        if call != "context memory":
            assert isinstance(caught.value, DeviceLostError), call


def run_by(memory: str, launch: str, bundle: Bundle, built: Built) -> None:
    """Makes the engine run this way, instead of its fastest way."""
    way = {"memory": memory, "launch": launch}
    write_sidecar(bundle.folder / built.name, built.sidecar.model_copy(update=way))


def run(bundle: Bundle, built: Built) -> None:
    with closing(TensorRtEngine(bundle.folder / built.name, SHAPE)) as engine:
        engine.infer(IMAGE)


def test_a_graph_that_is_not_captured_is_logged_and_the_engine_runs(
    bundle: Bundle, installed: Installed, caplog: pytest.LogCaptureFixture, built: Built
) -> None:
    plan = bundle.file(built.name)
    write_sidecar(plan, built.sidecar.model_copy(update={"launch": "graph"}))
    for call in ("cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags"):
        caplog.clear()
        installed.device.inject(call, 900)
        with closing(TensorRtEngine(plan, SHAPE)) as engine:
            assert engine.launch == "plain"
            assert engine.infer(IMAGE).scores[0] == pytest.approx(100 / 255)
        assert "no CUDA graph, so each run launches its steps one by one: CUDA: cuda" in caplog.text
    with closing(TensorRtEngine(plan, SHAPE)) as engine:
        assert engine.launch == "graph"
    installed.assert_clean()


def test_what_tensorrt_logs_is_logged(
    bundle: Bundle, built: Built, installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    installed.world.refuse = {"deserialize_cuda_engine"}
    with caplog.at_level(logging.ERROR), pytest.raises(EngineError):
        TensorRtEngine(bundle.file(built.name), SHAPE)
    assert "TensorRT: Error Code 1: Serialization" in caplog.text


def test_an_engine_belongs_to_one_thread(bundle: Bundle, built: Built) -> None:
    problems: list[str] = []

    def use() -> None:
        for action in (lambda: engine.infer(IMAGE), engine.close):
            try:
                action()
            except EngineError as error:
                problems.append(str(error))

    with closing(TensorRtEngine(bundle.file(built.name), SHAPE)) as engine:
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        engine.infer(IMAGE)
    expected = "a TensorRT engine belongs to the thread that opened it; open one per thread"
    assert problems == [expected, expected]


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((2, SIZE, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, SIZE), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
    ],
)
def test_another_shape_or_type_is_refused(batch: Any, bundle: Bundle, built: Built) -> None:
    with closing(TensorRtEngine(bundle.file(built.name), SHAPE)) as engine:
        with pytest.raises(EngineError, match="and the engine takes uint8"):
            engine.infer(batch)
        engine.infer(IMAGE)


def test_a_closed_engine_says_so(bundle: Bundle, built: Built) -> None:
    engine = TensorRtEngine(bundle.file(built.name), SHAPE)
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(IMAGE)


def test_a_prediction_outlives_the_next_one_and_the_engine(bundle: Bundle, built: Built) -> None:
    with closing(TensorRtEngine(bundle.file(built.name), SHAPE)) as engine:
        first = engine.infer(IMAGE)
        engine.infer(IMAGE + 50)
    assert first.scores[0] == pytest.approx(100 / 255)
    assert first.maps.max() == pytest.approx(100 / 255)


def test_a_frame_that_is_not_contiguous_is_taken(bundle: Bundle, built: Built) -> None:
    wide = np.zeros((1, SIZE, 2 * SIZE, 3), np.uint8)
    wide[:, :, ::2] = 100
    with closing(TensorRtEngine(bundle.file(built.name), SHAPE)) as engine:
        assert engine.infer(wide[:, :, ::2]).scores[0] == pytest.approx(100 / 255)


def test_a_missing_tensorrt_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    engine_class("tensorrt")  # importing the module needs no package
    with pytest.raises(EngineError, match="needs the package tensorrt, and it is not installed"):
        load_bindings()


def test_an_old_tensorrt_is_refused(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed.tensorrt, "__version__", "8.6.2")
    with pytest.raises(EngineError, match=r"TensorRT 8\.6\.2 is too old"):
        load_bindings()


def test_a_tensorrt_that_does_not_load_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(
        "raise ImportError('libnvdla_compiler.so: cannot open shared object file')"
    )
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineError, match=r"does not load \(libnvdla_compiler\.so: cannot open"):
        load_bindings()


def test_the_plan_is_a_file_of_the_bundle(bundle: Bundle, built: Built) -> None:
    again = open_bundle(bundle.folder)
    assert again.sha256(built.name) == built.sidecar.plan_sha256
    assert again.file(built.name).with_name(LAYERS).is_file()


def test_a_cuda_error_tells_its_number(installed: Installed, bundle: Bundle, built: Built) -> None:
    installed.device.inject("cudaMalloc", 2)
    installed.device.inject("cudaHostAlloc", 2)
    with pytest.raises(CudaError, match=r"cudaHostAlloc failed with cudaErrorMemoryAll") as caught:
        TensorRtEngine(bundle.file(built.name), SHAPE)
    assert caught.value.code == 2

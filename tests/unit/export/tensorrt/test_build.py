"""Building over doubles of five versions: calls of TensorRT, and the use of its answers."""

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.tensorrt.build import BuildCancelledError, BuildOptions, build_plan
from export.tensorrt.engine import build_engine, buildable, precision_of
from export.tensorrt.examine import EngineNotKeptError
from inspection.bundle import Artefact, Bundle
from inspection.engine.sidecar import read_sidecar
from inspection.errors import BundleError, ConfigError, DeviceLostError, EngineError
from tests.doubles import engine_cases, golden_bundle
from tests.doubles.installed import Installed, install
from tests.doubles.surface import VERSIONS, Named

ENGINES = "engines/simulated-orin-sm87-16mp"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return install(monkeypatch)


def with_artefact(bundle: Bundle, name: str, artefact: Artefact) -> Bundle:
    """Returns the same bundle with a copy of its graph, named `name`, as another artefact."""
    return golden_bundle.with_artefacts(bundle, {name: artefact})


artefact = golden_bundle.artefact


def build_of(bundle: Bundle, name: str = "model.onnx", options: BuildOptions | None = None) -> Any:
    return build_engine(
        bundle, name, options=options or BuildOptions(), progress=engine_cases.Quiet()
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_networks_are_strongly_typed_and_no_precision_flag_is_set(
    version: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, version)
    options = BuildOptions(workspace_mib=256, optimisation_level=5)
    built = engine_cases.build(bundle, options)
    assert installed.world.builds == [
        {
            "flags": set(),  # TF32 is on by default and not for FP32
            "is_strongly_typed": True,
            "workspace": 256 << 20,
            "level": 5,
            "cached": False,
        }
    ]
    assert built.sidecar.settings.workspace_mib == 256
    assert not built.sidecar.settings.tf32
    installed.assert_clean()


def test_precision_is_the_graphs_own_unless_tf32_is_asked_for(
    bundle: Bundle, installed: Installed
) -> None:
    bundle = with_artefact(bundle, "model.fp16.onnx", artefact("fp16"))
    asked = BuildOptions(tf32=True)
    assert not build_of(bundle, "model.onnx", asked).sidecar.settings.tf32
    installed.world.seconds = {"brightness": 0.01}
    assert not build_of(bundle, "model.fp16.onnx").sidecar.settings.tf32
    built = build_of(bundle, "model.fp16.onnx", asked)
    assert built.sidecar.settings.tf32
    assert [build["flags"] for build in installed.world.builds] == [set(), set(), {"TF32"}]
    assert built.name == f"{ENGINES}/fp16/model.plan"
    assert bundle.sha256(built.name) == built.sidecar.plan_sha256


def test_an_engine_that_is_no_faster_is_not_kept(bundle: Bundle, installed: Installed) -> None:
    """Its lower precision would gain nothing."""
    names = {"model.fp16.onnx": artefact("fp16"), "model.int8.onnx": artefact("int8")}
    bundle = golden_bundle.with_artefacts(bundle, names)
    assert buildable(bundle) == ["model.onnx", *names]
    installed.world.seconds = {"brightness": 0.02, "model.fp16.onnx": 0.01, "model.int8.onnx": 0.02}
    assert build_of(bundle).sidecar.compared == {}
    compared = build_of(bundle, "model.fp16.onnx").sidecar.compared
    assert list(compared) == ["fp32"]
    assert compared["fp32"] < 0.95
    with pytest.raises(
        EngineNotKeptError, match=r"takes [01]\.\d\d times .* fp32, \d\.\d\d .*fp16$"
    ):
        build_of(bundle, "model.int8.onnx")
    assert not (bundle.folder / ENGINES / "int8").exists()
    installed.assert_clean()


def test_an_engine_that_does_not_verify_is_no_measure(bundle: Bundle, installed: Installed) -> None:
    bundle = with_artefact(bundle, "model.fp16.onnx", artefact("fp16"))
    plan = bundle.file(build_of(bundle).name)
    plan.write_bytes(plan.read_bytes()[:-1])
    said: list[str] = []
    built = build_engine(
        bundle,
        "model.fp16.onnx",
        options=BuildOptions(),
        progress=engine_cases.Quiet(),
        report=said.append,
    )
    assert built.sidecar.compared == {}
    assert said[-1].startswith("not compared with the fp32 engine here: ")
    assert "truncated" in said[-1]
    installed.assert_clean()


def test_the_double_refuses_a_precision_flag_on_10_and_has_none_on_11(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the tests above would prove nothing."""
    assert not hasattr(install(monkeypatch, "11.4").tensorrt.BuilderFlag, "FP16")
    installed = install(monkeypatch, "10.3")
    trt = installed.tensorrt
    monkeypatch.setattr(trt.BuilderFlag, "TF32", trt.BuilderFlag.FP16)
    with pytest.raises(EngineError, match="a precision flag is set and the network is strongly"):
        build_plan(
            trt,
            bundle.file("model.onnx"),
            BuildOptions(tf32=True),
            engine_cases.Quiet(),
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_parser_errors_are_all_told(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, version)
    shape = ["N"]
    nodes = [helper.make_node("Unique", [f"x{i}"], [f"x{i + 1}"], f"odd{i}") for i in range(7)]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("x7", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "odd.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, path)
    with pytest.raises(EngineError, match="cannot parse it, 7 errors:") as caught:
        build_plan(installed.tensorrt, path, BuildOptions(), engine_cases.Quiet())
    lines = str(caught.value).splitlines()
    assert lines[1] == (
        "  node 0 'odd0' (Unique): UNSUPPORTED_NODE: No importer registered for op: Unique"
    )
    assert lines[-1] == "  ... and 2 more"


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_file_that_is_no_graph_is_refused(
    content: bytes, tmp_path: Path, installed: Installed
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="cannot parse it, 1 errors"):
        build_plan(installed.tensorrt, path, BuildOptions(), engine_cases.Quiet())


def test_no_driver_is_named(bundle: Bundle, installed: Installed) -> None:
    installed.world.has_driver = False
    with pytest.raises(EngineError, match=r"finds no device: CUDA init.*; run linewarden doctor"):
        build_of(bundle)
    installed.assert_clean()


def test_a_build_that_gives_nothing_quotes_the_log(bundle: Bundle, installed: Installed) -> None:
    installed.world.refuse = {"build_serialized_network"}
    with pytest.raises(EngineError, match=r"built no engine: .*Could not find any implementation"):
        build_of(bundle)
    assert not (bundle.folder / ENGINES / "fp32").exists()
    installed.assert_clean()


@pytest.mark.parametrize("until", ["Tactic timing", "Building Engine", "Comparing and measuring"])
def test_a_cancelled_build_leaves_no_engine(
    until: str, bundle: Bundle, installed: Installed
) -> None:
    class Impatient(engine_cases.Quiet):
        def step(self, phase: str) -> bool:
            return phase != until

    progress = Impatient()
    with pytest.raises(BuildCancelledError, match="the build was cancelled; nothing was written"):
        build_engine(bundle, options=BuildOptions(), progress=progress)
    assert progress.phases == []
    assert not list(bundle.folder.rglob("model.plan"))
    installed.assert_clean()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_timing_cache_is_kept_for_the_next_build(
    version: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, version)
    engine_cases.build(bundle)
    engine_cases.build(bundle)
    assert [build["cached"] for build in installed.world.builds] == [False, True]
    cache = bundle.folder / ENGINES / f"timings-{VERSIONS[version]}.cache"
    assert cache.is_file()


@pytest.mark.parametrize(
    "content", [b"timings 8.6:Xavier abc", b"garbage"], ids=["foreign", "damaged"]
)
def test_a_timing_cache_that_does_not_fit_is_replaced(
    content: bytes,
    bundle: Bundle,
    installed: Installed,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = tmp_path / "elsewhere/timings.cache"
    cache.parent.mkdir()
    cache.write_bytes(content)
    options = BuildOptions(timing_cache=cache)
    build_of(bundle, options=options)
    expected = f"{cache}: belongs to another device or TensorRT; starting without timings"
    assert expected in caplog.text
    build_of(bundle, options=options)
    assert [build["cached"] for build in installed.world.builds] == [False, True]
    installed.assert_clean()


def test_timings_that_cannot_be_kept_cost_no_engine(
    bundle: Bundle, installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Path("/proc/no/timings.cache")
    built = build_of(bundle, options=BuildOptions(timing_cache=cache))
    assert bundle.file(built.name).is_file()
    assert f"{cache}: could not keep the timings of this build: " in caplog.text
    with pytest.raises(ConfigError, match="the timing cache cannot be read"):
        build_of(bundle, options=BuildOptions(timing_cache=bundle.folder))
    assert len(installed.world.builds) == 1


def test_a_full_disk_leaves_the_earlier_engine(
    bundle: Bundle, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = build_of(bundle)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("export.tensorrt.engine.write_text", full)
    with pytest.raises(BundleError, match=r"the engine cannot be written .No space left on device"):
        build_of(bundle)
    assert read_sidecar(bundle.file(good.name)) == good.sidecar
    assert not list((bundle.folder / ENGINES).glob(".*"))
    installed.assert_clean()


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (0.3, r"1 of 3 verdicts flip \(grey-90\)"),
        (0.01, r"0 of 3 verdicts flip \(none\); farther away .* grey-40 \(1\.0e-02\), grey-90"),
        (float("nan"), r"1 of 3 verdicts flip \(grey-200\); .* grey-40 \(nan\)"),
    ],
)
def test_an_engine_with_other_results_is_not_kept(
    noise: float, message: str, bundle: Bundle, installed: Installed
) -> None:
    good = build_of(bundle)
    installed.world.noise = noise
    with pytest.raises(EngineError, match=message):
        build_of(bundle)
    installed.world.noise = 0.0
    assert read_sidecar(bundle.file(good.name)) == good.sidecar, "the earlier engine stands"
    assert [path.name for path in (bundle.folder / ENGINES).iterdir() if path.is_dir()] == ["fp32"]
    installed.assert_clean()


def test_a_bundle_without_golden_frames_cannot_be_judged(
    tiny_bundle: Bundle, installed: Installed
) -> None:
    with pytest.raises(BundleError, match="has no golden frames to compare an engine with"):
        build_of(tiny_bundle)
    assert installed.world.builds == []


def test_what_is_made_for_another_engine_is_not_built(bundle: Bundle) -> None:
    name = "model.int8.onnxruntime.onnx"
    bundle = with_artefact(bundle, name, artefact("int8", "onnxruntime"))
    with pytest.raises(BundleError, match="is made for the engine 'onnxruntime'; TensorRT"):
        precision_of(bundle, name)
    with pytest.raises(BundleError, match=r"has no artefact 'other\.onnx'; it has mod"):
        precision_of(bundle, "other.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: BuildOptions(workspace_mib=0), "the workspace is 0 MiB: give at least 1"),
        (lambda: BuildOptions(optimisation_level=6), "the optimisation level is 6: give one from"),
    ],
)
def test_options_outside_their_range_are_refused(
    options: Callable[[], BuildOptions], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        options()


def test_an_engine_bound_to_its_device(bundle: Bundle, installed: Installed) -> None:
    built = build_engine(
        bundle, options=BuildOptions(), progress=engine_cases.Quiet(), bound_to="device"
    )
    assert built.sidecar.bound_to == "device"
    assert built.sidecar.platform.uuid == installed.device.uuid.hex()


def test_the_sidecar_tells_all_ways_that_were_timed(bundle: Bundle, installed: Installed) -> None:
    sidecar = build_of(bundle).sidecar
    ways = {"copied, graph", "copied, plain", "mapped, graph", "mapped, plain"}
    assert set(sidecar.timings) == ways
    fastest = min(sidecar.timings, key=lambda way: sidecar.timings[way].p50_ms)
    assert f"{sidecar.memory}, {sidecar.launch}" == fastest
    assert [tensor.name for tensor in sidecar.io] == ["input", "pred_score", "anomaly_map"]
    layers = bundle.file(f"{ENGINES}/fp32/model.plan").with_name("model.layers.json")
    assert "Layers" in json.loads(layers.read_text())


def test_a_lost_device_ends_the_build_and_leaves_nothing(
    bundle: Bundle, installed: Installed
) -> None:
    installed.device.inject("cudaEventSynchronize", 719, nth=5)
    with pytest.raises(DeviceLostError):
        build_of(bundle)
    assert not (bundle.folder / ENGINES / "fp32").exists()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_double_is_as_strict_as_the_bindings(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trt: Any = install(monkeypatch, version).tensorrt

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self, *, calls_base: bool = True) -> None:
            if calls_base:
                trt.ILogger.__init__(self)

        def log(self, severity: Named, msg: str) -> None:
            logging.getLogger().warning(msg)

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        trt.Builder(Log(calls_base=False))
    builder = trt.Builder(Log())
    with pytest.raises(TypeError, match="No constructor defined"):
        trt.IBuilderConfig()
    assert not hasattr(builder, "build_engine")
    with pytest.raises(AttributeError):
        builder.max_workspace_size = 1
    with pytest.raises(TypeError, match="incompatible function arguments"):
        builder.create_network(flag=1)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        builder.create_builder_config().set_flag(6)
    network, config = builder.create_network(0), builder.create_builder_config()
    assert builder.build_serialized_network(network, config) is None
    assert "Network must have at least one output" in caplog.text
    with pytest.raises(TypeError):
        trt.OnnxParser(network, Log()).parse_from_file(Path("model.onnx"))
    assert trt.Runtime(Log()).deserialize_cuda_engine(b"no plan") is None


def test_enumeration_values_moved_between_10_and_11(monkeypatch: pytest.MonkeyPatch) -> None:
    old = install(monkeypatch, "10.16").tensorrt
    new = install(monkeypatch, "11.4").tensorrt
    assert int(old.BuilderFlag.STRICT_NANS) == 24
    assert int(new.BuilderFlag.STRICT_NANS) == 23
    assert int(old.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == 1
    assert int(new.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == 0
    assert np.dtype(new.nptype(new.DataType.UINT8)) == np.uint8


def test_a_graph_that_gives_half_precision_is_refused(bundle: Bundle, installed: Installed) -> None:
    """The contract's outputs are FP32 whatever the graph computes in."""
    model = onnx.load(bundle.folder / "model.onnx")
    for node in model.graph.node:
        node.output[:] = [
            f"{o}32" if o in {"anomaly_map", "pred_score"} else o for o in node.output
        ]
        node.input[:] = [f"{i}32" if i == "anomaly_map" else i for i in node.input]
    for output in model.graph.output:
        cast = helper.make_node("Cast", [f"{output.name}32"], [output.name], to=TensorProto.FLOAT16)
        model.graph.node.append(cast)
        output.type.tensor_type.elem_type = TensorProto.FLOAT16
    name = "model.fp16.onnx"
    bundle = with_artefact(bundle, name, artefact("fp16"))
    onnx.save(model, bundle.folder / name)
    with pytest.raises(EngineError, match=r"output pred_score HALF \[1\].* and the bundle says"):
        build_of(bundle, name)
    installed.assert_clean()

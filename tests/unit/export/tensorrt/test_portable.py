"""Engines for RTX cards: built without a GPU, refused where they do not fit, taken into use."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from export.tensorrt.build import BuildCancelledError, BuildOptions
from export.tensorrt.engine import Built, portable_plans, verify_portable
from export.tensorrt.examine import EngineNotKeptError
from export.tensorrt.portable import PortableBuild, build_portable
from inspection.bundle import Bundle, open_bundle
from inspection.engine import GraphShape
from inspection.engine.portable import read_portable
from inspection.engine.sidecar import KERNELS
from inspection.engine.tensorrt import TensorRtEngine
from inspection.engine.tensorrt_rtx import TensorRtRtxEngine
from inspection.errors import BundleError, ConfigError, EngineError
from inspection.golden_run import artefacts_here, engine_for
from inspection.opening import open_engine
from tests.doubles import golden_bundle
from tests.doubles.cuda import SimulatedDevice
from tests.doubles.engine_cases import Quiet, take_into_use
from tests.doubles.installed import Installed, install, rtx_card
from tests.doubles.surface import RTX
from tests.tiny_bundle import SIZE

PLAN = "model.fp32.rtx.plan"
FILES = {PLAN, f"{PLAN}.json", "model.fp32.rtx.layers.json"}
ENGINE = "engines/simulated-rtx-4000-ada-sm89-48mp-rtx/fp32/model.plan"
SHAPE = GraphShape(SIZE, SIZE)
IMAGE = np.full((1, SIZE, SIZE, 3), 100, np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return install(monkeypatch, RTX)


def built_for(
    bundle: Bundle, *cards: str, artefact: str = "model.onnx", options: BuildOptions | None = None
) -> PortableBuild:
    return build_portable(
        bundle, artefact, cards, options=options or BuildOptions(), progress=Quiet()
    )


def verified(bundle: Bundle, plan: str = PLAN) -> Built:
    return verify_portable(open_bundle(bundle.folder), plan, progress=Quiet())


def test_a_build_needs_no_device_and_adds_files_to_the_bundle(
    bundle: Bundle, installed: Installed
) -> None:
    installed.world.has_driver = False
    calibrated = bundle.calibration_path("default").read_bytes()
    built = built_for(bundle, "rtx-ada", "rtx-blackwell")
    changed = open_bundle(bundle.folder)
    assert built.name == PLAN
    assert set(changed.manifest.files) - set(bundle.manifest.files) == FILES
    assert changed.sha256(PLAN) == built.record.plan_sha256
    assert portable_plans(changed) == [PLAN]
    assert read_portable(changed.file(PLAN)) == built.record
    assert built.record.cards == ("rtx-ada", "rtx-blackwell")
    assert bundle.calibration_path("default").read_bytes() == calibrated
    layers = json.loads(changed.file("model.fp32.rtx.layers.json").read_text())["Layers"]
    assert [layer["kind"] for layer in layers] == ["correlation"]
    assert installed.device.calls == []
    assert installed.world.builds[0]["flags"] == set()  # TF32 is on by default and not for FP32


def test_a_new_build_replaces_the_old_one(bundle: Bundle, installed: Installed) -> None:
    built_for(bundle, "rtx-ada")
    built_for(open_bundle(bundle.folder), "rtx-ampere")
    changed = open_bundle(bundle.folder)
    assert read_portable(changed.file(PLAN)).cards == ("rtx-ampere",)
    assert set(changed.manifest.files) - set(bundle.manifest.files) == FILES


def test_every_precision_has_a_plan(bundle: Bundle, installed: Installed) -> None:
    names = {"model.fp16.onnx": "fp16", "model.int8.tensorrt.onnx": "int8"}
    made = {name: golden_bundle.artefact(precision) for name, precision in names.items()}
    bundle = golden_bundle.with_artefacts(bundle, made)
    for name in names:
        built_for(bundle, "rtx-ada", artefact=name)
    built_for(bundle, "rtx-ada")
    changed = open_bundle(bundle.folder)
    assert portable_plans(changed) == [PLAN, "model.fp16.rtx.plan", "model.int8.rtx.plan"]
    assert changed.manifest.artefacts["model.fp16.rtx.plan"].lowered_nodes == 1


def test_what_a_build_refuses(bundle: Bundle, installed: Installed, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'orin' is not a card .* give some of rtx-turing,rtx-a"):
        built_for(bundle, "rtx-ada", "orin")
    cached = BuildOptions(timing_cache=tmp_path / "timings")
    with pytest.raises(ConfigError, match="a timing cache needs a GPU"):
        built_for(bundle, "rtx-ada", options=cached)
    (bundle.folder / "signature").write_text("{}")
    with pytest.raises(BundleError, match=r"remove it, build, and let the owner sign"):
        built_for(bundle, "rtx-ada")
    assert installed.world.builds == []


def test_int8_is_refused_for_turing(bundle: Bundle, installed: Installed) -> None:
    int8 = "model.int8.tensorrt.onnx"
    bundle = golden_bundle.with_artefacts(bundle, {int8: golden_bundle.artefact("int8")})
    with pytest.raises(EngineError, match=r"^model\.int8\.tensorrt\.onnx: .* without rtx-turing$"):
        built_for(bundle, "rtx-ada", "rtx-turing", artefact=int8)
    assert installed.world.builds == []
    built_for(bundle, "rtx-ada", "rtx-turing")
    assert len(installed.world.builds) == 1


def test_a_capability_that_the_library_does_not_take_is_named(
    bundle: Bundle, installed: Installed
) -> None:
    installed.world.refuse = {"set_compute_capability"}
    with pytest.raises(EngineError, match=r"does not build for compute capability 12\.0"):
        built_for(bundle, "rtx-blackwell")


def test_a_machine_without_the_library_says_how_to_get_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(EngineError, match=r"pip install 'linewarden\[tensorrt-rtx\]'"):
        built_for(bundle, "rtx-ada")


def test_a_cancelled_build_leaves_the_bundle_as_it_was(
    bundle: Bundle, installed: Installed
) -> None:
    class Impatient(Quiet):
        def step(self, phase: str) -> bool:
            return False

    with pytest.raises(BuildCancelledError):
        build_portable(
            bundle, "model.onnx", ["rtx-ada"], options=BuildOptions(), progress=Impatient()
        )
    assert open_bundle(bundle.folder).manifest == bundle.manifest


def test_a_plan_cut_short_or_changed_closes_the_bundle(
    bundle: Bundle, installed: Installed
) -> None:
    built_for(bundle, "rtx-ada")
    whole = (bundle.folder / PLAN).read_bytes()
    for content in (whole[:-1], whole[:-1] + b"x"):
        (bundle.folder / PLAN).write_bytes(content)
        with pytest.raises(BundleError, match=f"{PLAN} is not what was exported"):
            open_bundle(bundle.folder)


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_a_verified_plan_runs_with_the_kernels_of_the_card(
    binding: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, RTX, binding=binding)
    built = take_into_use(bundle)
    assert built.name == ENGINE
    assert built.sidecar.artefact == PLAN
    assert built.sidecar.gate.verdict_flips == 0
    assert built.sidecar.plan_sha256 == open_bundle(bundle.folder).sha256(PLAN)
    compiled = installed.world.compiled
    changed = open_bundle(bundle.folder)
    with (
        closing(open_engine(changed)) as expected,
        closing(open_engine(changed, engine="tensorrt-rtx", artefact=ENGINE)) as engine,
    ):
        want, got = expected.infer(IMAGE), engine.infer(IMAGE)
    np.testing.assert_allclose(got.maps, want.maps, atol=1e-6)
    assert installed.world.compiled == compiled, "the line starts without compiling"
    installed.assert_clean()


def test_the_engine_of_a_plan_is_known_by_its_name(bundle: Bundle, installed: Installed) -> None:
    take_into_use(bundle)
    chosen, remarks = artefacts_here(open_bundle(bundle.folder), "onnxruntime")
    assert chosen == {"model.onnx": "onnxruntime", ENGINE: "tensorrt-rtx"}
    assert remarks == [f"{PLAN}: not run before 'linewarden build --verify' has taken it into use"]
    assert engine_for(bundle, ENGINE, "openvino") == "tensorrt-rtx"
    assert engine_for(bundle, "engines/orin-sm87-8mp/fp16/model.plan", "openvino") == "tensorrt"


def test_other_results_are_not_taken_into_use(bundle: Bundle, installed: Installed) -> None:
    built_for(bundle, "rtx-ada")
    installed.world.noise = 0.2
    with pytest.raises(EngineNotKeptError, match="does not give the checkpoint's results"):
        verified(bundle)
    assert open_bundle(bundle.folder).plans() == []


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (
            rtx_card(name="RTX A4000", compute_capability=(8, 6)),
            r"cards: built for rtx-ada \(compute capability 8\.9\), here RTX A4000 \(8\.6\)",
        ),
        (
            rtx_card(name="H100", compute_capability=(9, 0)),
            r"does not support H100 \(compute capability 9\.0; .*\): use the engine 'tensorrt'",
        ),
        (
            SimulatedDevice(),
            r"does not support Simulated Orin \(compute capability 8\.7; .*use the engine 'tensor",
        ),
    ],
    ids=["another card", "data centre", "Jetson"],
)
def test_another_device_is_refused_by_name(
    device: SimulatedDevice, message: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, RTX, device=device)
    built_for(bundle, "rtx-ada")
    with pytest.raises(EngineError, match=message):
        verified(bundle)
    installed.assert_clean()


def test_a_machine_that_is_not_x86_is_refused_by_name(
    bundle: Bundle, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for(bundle, "rtx-ada")
    monkeypatch.setattr("inspection.engine.rtx_cards.platform.machine", lambda: "aarch64")
    with pytest.raises(EngineError, match=r"this machine is aarch64: on a Jetson use the engine"):
        verified(bundle)


def test_another_version_of_the_library_is_refused(bundle: Bundle, installed: Installed) -> None:
    built_for(bundle, "rtx-ada")
    installed.tensorrt.__version__ = "1.7.2.3"
    with pytest.raises(
        EngineError, match=r"TensorRT for RTX: built 1\.7\.1\.116, here 1\.7\.2\.3\): linewarden bu"
    ):
        verified(bundle)


def test_a_record_of_another_plan_is_refused(bundle: Bundle, installed: Installed) -> None:
    built_for(bundle, "rtx-ada")
    path = bundle.folder / f"{PLAN}.json"
    path.write_text(path.read_text().replace("rtx-ada", "rtx-ampere"))
    with pytest.raises(BundleError, match="changed after it was written"):
        read_portable(bundle.folder / PLAN)


def test_a_portable_plan_is_not_run_before_it_is_verified(
    bundle: Bundle, installed: Installed
) -> None:
    built_for(bundle, "rtx-ada")
    with pytest.raises(BundleError, match="linewarden build BUNDLE --verify"):
        TensorRtRtxEngine(bundle.folder / PLAN, SHAPE)


def test_changed_kernels_are_refused(bundle: Bundle, installed: Installed) -> None:
    kernels = (bundle.folder / take_into_use(bundle).name).with_name(KERNELS)
    kernels.write_bytes(kernels.read_bytes() + b" ")
    plan = kernels.with_name("model.plan")
    with pytest.raises(BundleError, match=rf"{KERNELS}: is not what was compiled"):
        TensorRtRtxEngine(plan, SHAPE)
    kernels.unlink()
    with pytest.raises(BundleError, match=rf"{KERNELS}: cannot be read"):
        TensorRtRtxEngine(plan, SHAPE)
    installed.assert_clean()


def test_kernels_for_another_driver_are_compiled_anew_and_said(
    bundle: Bundle, installed: Installed, caplog: pytest.LogCaptureFixture
) -> None:
    plan = bundle.folder / take_into_use(bundle).name
    compiled, installed.device.driver = installed.world.compiled, 14000
    with caplog.at_level(logging.WARNING), closing(TensorRtRtxEngine(plan, SHAPE)) as engine:
        engine.infer(IMAGE)
    assert installed.world.compiled == compiled + 1
    assert "these kernels are for another driver or device" in caplog.text


def test_the_engine_for_tensorrt_refuses_such_a_plan(
    bundle: Bundle, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bundle.folder / take_into_use(bundle).name
    install(monkeypatch, "11.4", device=installed.device)
    with pytest.raises(EngineError, match="engine: built tensorrt-rtx, here tensorrt"):
        TensorRtEngine(plan, SHAPE)

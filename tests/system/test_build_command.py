"""`linewarden build` and `linewarden doctor`, over the doubles of TensorRT and CUDA."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from export.tensorrt.engine import verify_portable
from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.engine.sidecar import read_sidecar, write_sidecar
from inspection.errors import BundleError, ConfigError, EngineError
from inspection.golden import require_golden
from inspection.inspector import Inspector
from inspection.opening import open_engine
from inspection.trust.keys import new_device_key
from inspection.trust.signature import sign
from inspection.verdict import Verdict
from linewarden.command_line import main
from tests.doubles import golden_bundle
from tests.doubles.engine_cases import Quiet
from tests.doubles.installed import Installed, install
from tests.doubles.keys import own_key, trusted_key
from tests.doubles.surface import RTX
from tests.tiny_bundle import SIZE

ROOT = Path(__file__).parents[2]
PLAN = "engines/simulated-orin-sm87-16mp/fp32/model.plan"
# A long build; "stuck" never asks to go on.
SLOW_BUILD = """
import sys, time
import pytest
from linewarden.command_line import main
from tests.doubles.installed import install
installed = install(pytest.MonkeyPatch())
installed.world.steps = 10**9
if sys.argv[2] == "stuck":
    installed.tensorrt.Builder.build_serialized_network = lambda *_: time.sleep(60)
sys.exit(main(["build", sys.argv[1]]))
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return install(monkeypatch)


def start_build(bundle: Bundle, manner: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(bundle.folder), manner],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "building fp32 for Simulated Orin" in process.stderr.readline()
    return process


def test_an_engine_is_built_and_reported(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--workspace-mib", "64", "--optimisation-level", "5"]
    assert main(["build", str(bundle.folder), *words]) == 0
    printed = capsys.readouterr().out
    assert "3 golden frames: 0 verdicts flip" in printed
    assert printed.count("<- used") == 1
    assert f"built in 0 s: {PLAN}" in printed
    assert installed.world.builds[0]["workspace"] == 64 << 20
    assert installed.world.builds[0]["level"] == 5
    installed.assert_clean()


def test_all_precisions_are_built_and_those_that_pay_are_kept(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"model.fp16.onnx": "fp16", "model.int8.tensorrt.onnx": "int8"}
    artefacts = {name: golden_bundle.artefact(precision) for name, precision in names.items()}
    bundle = golden_bundle.with_artefacts(bundle, artefacts)
    installed.world.seconds = {"brightness": 0.02, "model.int8.tensorrt.onnx": 0.04}
    assert main(["build", str(bundle.folder)]) == 0
    captured = capsys.readouterr()
    assert "model.int8.tensorrt.onnx: the int8 engine is not worth it on this" in captured.err
    fastest = PLAN.replace("fp32", "fp16")
    *_, the_fastest, after = captured.out.splitlines()
    assert the_fastest == f"the fastest of 2: {fastest}"
    assert after.endswith(f"--good FOLDER --engine tensorrt --artefact {fastest}")
    assert main(["build", str(bundle.folder), "--artefact", "model.int8.tensorrt.onnx"]) == 6
    assert "times as long as fp32" in capsys.readouterr().err
    assert open_bundle(bundle.folder).plans() == [fastest, PLAN]
    installed.assert_clean()


def test_engines_are_for_the_eyes_of_their_owner(bundle: Bundle, installed: Installed) -> None:
    (bundle.folder / "engines").mkdir(mode=0o755)  # of an earlier version
    assert main(["build", str(bundle.folder)]) == 0
    found = {path: path.stat().st_mode & 0o077 for path in (bundle.folder / "engines").rglob("*")}
    assert (bundle.folder / "engines").stat().st_mode & 0o777 == 0o700
    assert {path.name for path, mode in found.items() if path.is_file() and not mode} >= {
        "model.plan",
        "model.plan.json",
        "model.layers.json",
        "timings-10.3.0.cache",
    }
    installed.assert_clean()


@pytest.mark.usefixtures("installed")
def test_nobody_builds_what_the_owner_could_not_read(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = bundle.folder.stat().st_uid
    monkeypatch.setattr("export.tensorrt.engine.os.geteuid", lambda: owner + 1)
    assert main(["build", str(bundle.folder)]) == 4
    assert f"build as the user that runs the line: sudo -u '#{owner}'" in capsys.readouterr().err


@pytest.mark.usefixtures("installed")
def test_two_builds_do_not_write_into_one_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inspection.bundle.bundle.LOCK_WAIT_S", 0.1)
    process = start_build(bundle, "patient")
    assert main(["build", str(bundle.folder)]) == 4
    assert "another linewarden is writing to it" in capsys.readouterr().err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert main(["build", str(bundle.folder)]) == 0


def test_a_key_of_the_machine_goes_into_what_it_builds(
    bundle: Bundle,
    installed: Installed,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person adopts the records from before the key; the bundle refuses all others."""
    assert main(["build", str(bundle.folder)]) == 0
    own_key(monkeypatch, tmp_path / "keys")
    assert main(["verify", str(bundle.folder)]) == 4
    assert "covers this calibration" in capsys.readouterr().err
    assert main(["bundle", "adopt", str(bundle.folder)]) == 0
    assert f"{PLAN}: vouched for by this machine" in capsys.readouterr().out
    assert main(["verify", str(bundle.folder)]) == 0
    assert f"{PLAN}  tensorrt" in capsys.readouterr().out
    assert main(["bundle", "adopt", str(bundle.folder)]) == 0
    assert "0 records adopted" in capsys.readouterr().out
    assert main(["build", str(bundle.folder)]) == 0
    assert open_bundle(bundle.folder).file(PLAN).is_file()
    installed.assert_clean()


def test_a_changed_plan_is_not_adopted(
    bundle: Bundle,
    installed: Installed,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    (bundle.folder / PLAN).write_bytes(b"evil")
    own_key(monkeypatch, tmp_path / "keys")
    assert main(["bundle", "adopt", str(bundle.folder)]) == 4
    assert "has 4 bytes and" in capsys.readouterr().err
    installed.assert_clean()


def test_verify_runs_the_plans_of_this_kind_of_device(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    foreign = bundle.folder / "engines/thor-sm110-20mp/fp16"
    foreign.mkdir(parents=True)
    (foreign / "model.plan").write_bytes(b"not for us")
    capsys.readouterr()
    assert main(["verify", str(bundle.folder)]) == 0
    printed = capsys.readouterr().out
    assert "recipe default: calibrated through model.onnx" in printed
    assert "runs any bundle, because it trusts no key" in printed
    assert "thor-sm110-20mp/fp16/model.plan: not run, this machine is simulated-orin" in printed
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith(("mod", "eng"))][
        -2:
    ] == [["model.onnx", "onnxruntime"], [PLAN, "tensorrt"]]
    plan = bundle.folder / PLAN
    plan.write_bytes(plan.read_bytes()[:-1])
    assert main(["verify", str(bundle.folder)]) == 4
    captured = capsys.readouterr()
    assert "truncated, or from another build" in captured.err
    assert f"{PLAN}: refused: " in captured.out
    assert "\nmodel.onnx  onnxruntime" in captured.out, "what can run is in the table all the same"
    installed.assert_clean()


def test_a_line_starts_with_an_engine_that_was_kept(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan may differ by the difference that its build measured, and not by more."""
    installed.world.noise = 5e-4  # of a spread of 0.6: a kernel that sums in another way
    assert main(["build", str(bundle.folder)]) == 0
    bundle = open_bundle(bundle.folder)
    with closing(open_engine(bundle, engine="tensorrt", artefact=PLAN)) as engine:
        require_golden(bundle, PLAN, engine)
        installed.world.noise = 5e-3
        with pytest.raises(EngineError, match="gives other results here than the checkpoint"):
            require_golden(bundle, PLAN, engine)
    assert main(["verify", str(bundle.folder)]) == 6
    assert f"other results than the checkpoint: {PLAN} on grey-40, " in capsys.readouterr().err


def test_verify_tells_that_plans_are_not_run_without_tensorrt(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        assert main(["build", str(bundle.folder)]) == 0
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["verify", str(bundle.folder)]) == 0
    assert "1 plans are not run: engine 'tensorrt' needs" in capsys.readouterr().out


def test_an_engine_for_rtx_cards_is_built_by_the_real_library_without_a_gpu(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
    assert main(["build", str(bundle.folder), "--for", "rtx-ada,rtx-blackwell"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 layers; convolutions and products: none"
    assert re.fullmatch(
        r"built in \d+\.\d s for rtx-ada, rtx-blackwell with TensorRT for RTX 1\.7\.\d+\.\d+",
        lines[1],
    )
    assert lines[2].endswith("MiB: model.fp32.rtx.plan")
    assert lines[3] == "nothing has run: only the card shows results and times"
    assert lines[4].endswith(f": linewarden build {bundle.folder} --verify")
    assert main(["verify", str(bundle.folder)]) == 0
    out = capsys.readouterr().out
    assert "model.fp32.rtx.plan: not run before 'linewarden build --verify' has taken it" in out


def test_a_portable_engine_is_verified_and_calibrate_is_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = install(monkeypatch, RTX)
    folder = str(bundle.folder)
    assert main(["build", folder, "--verify"]) == BundleError.exit_code
    assert f"linewarden build {folder} --for rtx-turing,rtx-ampere" in capsys.readouterr().err
    assert main(["build", folder, "--for", "rtx-ada"]) == 0
    assert main(["build", folder, "--for", "rtx-adda"]) == ConfigError.exit_code
    assert "'rtx-adda' is not a card" in capsys.readouterr().err
    assert main(["build", folder, "--verify"]) == 0
    plan = "engines/simulated-rtx-4000-ada-sm89-48mp-rtx/fp32/model.plan"
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"next: linewarden calibrate {folder} --good FOLDER --engine tensorrt-rtx --artefact {plan}"
    )
    assert main(["verify", folder]) == 0
    assert f"{plan}  tensorrt-rtx" in capsys.readouterr().out
    installed.assert_clean()


def test_a_signature_covers_an_engine_for_rtx_cards(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, RTX)
    folder = str(bundle.folder)
    assert main(["build", folder, "--for", "rtx-ada"]) == 0
    key = trusted_key(monkeypatch, tmp_path / "keys")
    sign(bundle.folder, "manifest.json", [], key)
    with pytest.raises(ConfigError, match="device-key"):  # what is taken into use needs a MAC
        verify_portable(open_bundle(bundle.folder), "model.fp32.rtx.plan", progress=Quiet())
    new_device_key()
    assert main(["build", folder, "--verify"]) == 0
    plan = bundle.folder / "model.fp32.rtx.plan"
    plan.write_bytes(plan.read_bytes()[:-1])
    assert main(["build", folder, "--verify"]) == BundleError.exit_code
    installed.assert_clean()


def test_verify_accepts_the_engine(bundle: Bundle, installed: Installed) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    assert main(["verify", str(bundle.folder), "--artefact", PLAN]) == 0
    installed.assert_clean()


def test_thresholds_hold_for_the_engine_they_were_measured_through(
    bundle: Bundle, installed: Installed
) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    bundle = open_bundle(bundle.folder)
    with pytest.raises(BundleError, match="thresholds hold for the artefact they were measured"):
        Inspector.open(bundle, engine="tensorrt", artefact=PLAN)
    measured = bundle.calibration("default", "model.onnx")
    through = {"artefact": PLAN, "artefact_sha256": bundle.sha256(PLAN), "recipe": "through"}
    bundle.add_calibration(Calibration.model_validate({**measured.model_dump(), **through}))
    dark = np.full((SIZE, SIZE), 20, np.uint8)
    bright = dark.copy()
    bright[3:6, 3:6] = 250
    with Inspector.open(bundle, "through", engine="tensorrt", artefact=PLAN) as inspector:
        assert inspector.inspect(dark).verdict is Verdict.PASS
        inspection = inspector.inspect(bright)
        assert inspection.verdict is Verdict.REJECT
        assert inspection.mask.sum() == 9
    installed.assert_clean()


def test_calibrate_measures_through_the_engine(
    bundle: Bundle, installed: Installed, tmp_path: Path
) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    good = tmp_path / "good"
    good.mkdir()
    golden = bundle.folder / "golden/grey-40.png"
    (good / "part.png").write_bytes(golden.read_bytes())
    words = ["--good", str(good), "--engine", "tensorrt", "--artefact", PLAN]
    assert main(["calibrate", str(bundle.folder), *words]) == 0
    bundle = open_bundle(bundle.folder)
    assert bundle.calibration("default", PLAN).artefact_sha256 == bundle.sha256(PLAN)
    with pytest.raises(BundleError, match="thresholds hold for the artefact"):
        bundle.calibration("default", "model.onnx")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_build_and_leaves_nothing(
    number: int, code: int, bundle: Bundle
) -> None:
    process = start_build(bundle, "patient")
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert output == ""
    assert "the build was cancelled; nothing was written" in errors
    assert "Traceback" not in errors
    assert not (bundle.folder / "engines").exists()


def test_a_second_signal_ends_the_process_at_once(bundle: Bundle) -> None:
    process = start_build(bundle, "stuck")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert not (bundle.folder / "engines").exists()


def test_an_engine_with_other_results_is_refused(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.world.noise = 0.3
    assert main(["build", str(bundle.folder)]) == 6
    assert "1 of 3 verdicts flip (grey-90)" in capsys.readouterr().err


def test_a_lost_device_has_its_own_exit_code(
    bundle: Bundle, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.device.inject("cudaHostAlloc", 719)
    assert main(["build", str(bundle.folder)]) == 8
    assert "the GPU is lost to this process; start it again" in capsys.readouterr().err


def test_a_lost_device_is_no_verdict_but_the_end(bundle: Bundle, installed: Installed) -> None:
    """The inspector lets the error through, so that the process ends and systemd restarts it."""
    assert main(["build", str(bundle.folder)]) == 0
    words = ["--engine", "tensorrt", "--artefact", PLAN]
    installed.device.inject("cudaEventSynchronize", 700, nth=3)
    assert main(["verify", str(bundle.folder), *words]) == 8


def test_a_lost_device_ends_the_line_and_every_trigger_has_its_record(
    bundle: Bundle, installed: Installed, tmp_path: Path
) -> None:
    assert main(["build", str(bundle.folder)]) == 0
    bundle = open_bundle(bundle.folder)
    measured = bundle.calibration("default", "model.onnx").model_dump()
    through = {"artefact": PLAN, "artefact_sha256": bundle.sha256(PLAN)}
    bundle.add_calibration(Calibration.model_validate({**measured, **through}))
    parts = tmp_path / "parts"
    parts.mkdir()
    for number in range(4):
        frame = (bundle.folder / "golden/grey-40.png").read_bytes()
        (parts / f"{number}.png").write_bytes(frame)
    config = tmp_path / "line.yaml"
    config.write_text(
        "bundle: bundle\n"
        f"engine: {{kind: tensorrt, artefact: {PLAN}}}\n"
        "camera: {kind: replay, path: parts}\n"
        "deadline_ms: 30000\n"
        "outputs: [{kind: jsonlines, path: parts.jsonl}]\n"
    )
    plan = bundle.folder / PLAN
    write_sidecar(plan, read_sidecar(plan).model_copy(update={"launch": "graph"}))
    self_test = 1 + len(bundle.manifest.golden)  # the warm-up and the golden frames
    installed.device.inject("cudaGraphLaunch", 700, nth=self_test + 2)  # at the second part
    assert main(["run", "--config", str(config)]) == 8
    records = [json.loads(line) for line in (tmp_path / "parts.jsonl").read_text().splitlines()]
    assert records[0]["verdict"] == "PASS"
    assert {record["verdict"] for record in records[1:]} == {"NO_VERDICT"}
    assert len(records) >= 2
    assert len({record["trigger_id"] for record in records}) == len(records)


def test_the_doctor_finds_this_machine_ready_for_onnxruntime(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--engine", "onnxruntime", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_ready"] is True
    assert report["engines"] == ["onnxruntime"]
    assert {check["scope"] for check in report["checks"]} == {"common", "onnxruntime"}


def test_the_doctor_names_what_tensorrt_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["doctor", "--engine", "tensorrt"]) == 6
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("MISSING  Python package tensorrt: not usable")
    assert "engine 'tensorrt' needs the package tensorrt" in lines[place + 1]
    assert lines[-1] == "tensorrt: something is missing"


def test_the_doctor_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert main(["doctor", "--folder", str(tmp_path / "no")]) == 3

"""`linewarden build` for the processor of this machine, from the command line."""

import json
from pathlib import Path

import pytest

from inspection.bundle import Bundle, chosen_here, open_bundle
from inspection.inspector import Inspector
from linewarden.command_line import main
from tests.doubles import golden_bundle, processors
from tests.doubles.installed import install
from training.demo_parts import write_dataset


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture(autouse=True)
def _plain_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    processors.use(monkeypatch, processors.PLAIN)


def test_a_machine_without_a_gpu_builds_for_its_processor(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good"
    good.mkdir()
    (good / "part.png").write_bytes((bundle.folder / "golden/grey-40.png").read_bytes())
    assert main(["build", str(bundle.folder), "--cpu", "--good", str(good), "--threads", "1"]) == 0
    title, head, first, *_, last = capsys.readouterr().out.splitlines()
    assert title == "Plain CPU, threads: 1"
    assert head.split()[:3] == ["engine", "artefact", "precision"]
    assert first.split()[:3] == ["onnxruntime", "model.onnx", "fp32"]
    assert last.startswith("this machine runs model.onnx on ")
    assert last.endswith(" in fp32")
    built = open_bundle(bundle.folder)
    assert built.cpu_records() == ["engines/cpu-plain-cpu/fp32/model.cpu.json"]
    with Inspector.open(built) as inspector:  # thresholds in FP32 stay valid
        assert inspector.engine_name == chosen_here(built).described


def test_verify_runs_the_record_of_this_processor(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["build", str(bundle.folder), "--cpu"]) == 0
    name = "engines/cpu-plain-cpu/fp32/model.cpu.json"
    assert main(["verify", str(bundle.folder)]) == 0
    assert f"{name}  " in capsys.readouterr().out
    other = processors.PLAIN.model_copy(update={"model": "Other"})
    processors.use(monkeypatch, other)
    assert main(["verify", str(bundle.folder)]) == 0
    assert f"{name}: not run, this machine is cpu-other" in capsys.readouterr().out


def test_a_build_is_one_json_object(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["build", str(bundle.folder), "--cpu", "--threads", "1", "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert (built["threads"], built["exact"]["artefact"]) == (1, "model.onnx")
    install(monkeypatch)
    assert main(["build", str(bundle.folder), "--json"]) == 0
    (engine,) = json.loads(capsys.readouterr().out)["built"]
    assert engine["name"].endswith("/fp32/model.plan")
    assert engine["gate"]["verdict_flips"] == 0


def test_an_artefact_for_something_else_is_refused(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(bundle.folder), "--cpu", "--artefact", "model.fp16.onnx"]) == 4
    assert "has no artefact 'model.fp16.onnx' for a processor" in capsys.readouterr().err


def test_a_machine_with_tensorrt_builds_its_engines(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch)
    assert main(["build", str(bundle.folder)]) == 0
    assert open_bundle(bundle.folder).plans()
    assert main(["build", str(bundle.folder), "--cpu"]) == 0
    assert open_bundle(bundle.folder).cpu_records()
    installed.assert_clean()


@pytest.mark.parametrize("has_choice", [True, False])
def test_teach_builds_before_it_calibrates_where_there_is_a_choice(
    has_choice: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linewarden.cpu_build.has_choice", lambda _: has_choice)
    write_dataset(tmp_path / "parts", good=24, test_good=1, defective_per_kind=1, size=(64, 64))
    words = ["--good", str(tmp_path / "parts/train/good"), "--out", str(tmp_path / "bundle")]
    quick = ["--weights", "none", "--set", "data.image_size=[64,64]"]
    assert main(["teach", *words, *quick]) == 0
    bundle = open_bundle(tmp_path / "bundle")
    assert bool(bundle.cpu_records()) is has_choice
    with Inspector.open(bundle) as inspector:
        assert inspector.engine_name == chosen_here(bundle).described

"""The commands of the chain, one after the other, on drawn parts, and their errors."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from export.parity import Comparison
from inspection.bundle import open_bundle
from inspection.bundle.manifest import Manifest, seal_bundle
from inspection.config.loading import load_config
from inspection.files import write_text
from inspection.golden import Difference
from inspection.images import encode_png
from linewarden.command_line import main
from linewarden.training_run import load_train_config
from tests.doubles import processors
from tests.doubles.line_folder import ROOT, command
from training.checkpoint import RESUME, RUN
from training.config import TrainConfig
from training.demo_parts import write_dataset

LOWER = {
    "model.openvino.onnx",
    "model.fp16.onnx",
    "model.int8.tensorrt.onnx",
    "model.int8.onnxruntime.onnx",
    "model.int8.openvino.onnx",
}
SMALL = {
    "data": {"folder": "parts", "image_size": [64, 64]},
    "model": {
        "name": "supersimplenet",
        "backbone": {"weights": "none"},
        "segmentation_channels": 32,
        "noise_std": "auto",
    },
    "fit": {"epochs": 2, "batch_size": 8, "save_every_s": 0},
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder with parts, a finished run, and a calibrated bundle."""
    root = tmp_path_factory.mktemp("chain")
    write_dataset(root / "parts", good=24, test_good=4, defective_per_kind=1, size=(120, 160))
    write_text(root / "train.yaml", yaml.safe_dump(SMALL))
    good = root / "parts/train/good"
    train = ["train", str(root / "parts"), "--config", str(root / "train.yaml")]
    assert main([*train, "--out", str(root / "run")]) == 0
    assert main(["export", str(root / "run"), str(root / "bundle"), "--dynamic-batch"]) == 0
    assert main(["calibrate", str(root / "bundle"), "--good", str(good)]) == 0
    return root


def test_a_bundle_does_not_tell_where_it_was_made(chain: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(chain / "run", run)
    record = json.loads((run / RUN).read_text())
    record["config"]["model"]["backbone"]["weights"] = "/home/anna/customer/resnet18.pth"
    (run / RUN).write_text(json.dumps(record))
    assert main(["export", str(run), str(tmp_path / "bundle")]) == 0
    text = (tmp_path / "bundle/manifest.json").read_text()
    assert json.loads(text)["model_config_values"]["backbone"]["weights"] == "resnet18.pth"
    assert not [folder for folder in ("/home", str(chain), str(tmp_path)) if folder in text]


def test_the_bundle_is_whole_and_agrees_with_the_checkpoint(chain: Path) -> None:
    manifest = open_bundle(chain / "bundle").manifest
    assert {"model.onnx", "model.dynamic.onnx", "training.json"} <= set(manifest.files)
    assert manifest.parity.verdict_flips == 0
    assert manifest.parity.frames == 5 + 4 + 4  # held out, constant and noise, lines
    assert len(manifest.golden) == 3 + 4
    assert main(["verify", str(chain / "bundle")]) == 0


def test_a_graph_with_an_open_batch_is_compared_before_it_is_written(
    chain: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def differs(graph: object, frames: Sequence[object], size: int) -> list[Comparison]:
        assert len(frames) == 5 + 4 + 4
        far = Difference("far", score=1.0, map=0.0, scale=1.0)
        return [Comparison("far", 0.0, np.zeros((2, 2), np.float32), 1.0, far)] * (size == 3)

    monkeypatch.setattr("export.bundle.compare_in_batches", differs)
    words = ["export", str(chain / "run"), str(tmp_path / "bundle"), "--dynamic-batch"]
    assert main(words) == 6
    assert "the exported graph in batches of 3 is not the checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


_FOR_BUILD = "it is for linewarden build alone, which proves it before the FP32 graph"


def _deciding(manifest: Manifest) -> list[str]:
    """Returns the artefacts that may decide alone."""
    return [name for name, artefact in manifest.artefacts.items() if artefact.decides]


@pytest.mark.slow
def test_precisions_are_exported_verified_and_can_run(
    chain: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processors.use(monkeypatch, processors.PLAIN)
    target = tmp_path / "bundle"
    words = ["export", str(chain / "run"), str(target)]
    assert main([*words, "--precision", "fp16", "int8"]) == 0
    manifest = open_bundle(target).manifest
    assert {*manifest.artefacts, *manifest.refused} == LOWER
    assert set(manifest.artefacts) <= set(manifest.files)
    assert not set(manifest.refused) & set(manifest.files)
    printed = capsys.readouterr().out
    assert all(f"  {name}: " in printed for name in LOWER)
    assert main(["verify", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("this machine runs any bundle")
    lines = [line for line in lines[1:] if not line.endswith(_FOR_BUILD)]
    assert lines[1].split() == (
        ["artefact", "engine", "score", "map", "flips", "mask", "IoU", "p50", "ms", "p99", "ms"]
    )
    assert [line.split()[0] for line in lines[2:-1]] == ["model.onnx", *_deciding(manifest)]
    assert lines[-1] == "7 golden frames agree"
    good = str(chain / "parts/train/good")
    for name in _deciding(manifest):
        assert main(["calibrate", str(target), "--good", good, "--artefact", name]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [{"name": "memory"}, {"name": "memory", "score": "reweighted"}, {"name": "subspace"}]
)
def test_closed_forms_go_the_same_way_in_every_precision(
    model: dict[str, str], chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processors.use(monkeypatch, processors.PLAIN)
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    config = {
        "data": {"folder": str(chain / "parts"), "image_size": [64, 96]},
        "model": {**model, "backbone": {"weights": "none"}},
    }
    write_text(tmp_path / "train.yaml", yaml.safe_dump(config))
    assert main(["train", "--config", str(tmp_path / "train.yaml"), "--out", str(run)]) == 0
    assert main(["export", str(run), str(bundle), "--precision", "fp16", "int8"]) == 0
    manifest = open_bundle(bundle).manifest
    assert manifest.model == model["name"]
    assert manifest.parity.verdict_flips == 0
    assert manifest.parity.map < 1e-4 * manifest.parity.score_range
    assert {*manifest.artefacts, *manifest.refused} == LOWER
    assert "model.fp16.onnx" in manifest.artefacts
    assert main(["verify", str(bundle)]) == 0
    good = str(chain / "parts/train/good")
    for name in ("model.onnx", *_deciding(manifest)):
        assert main(["calibrate", str(bundle), "--good", good, "--artefact", name]) == 0


def test_an_artefact_that_judges_otherwise_is_named(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(chain / "bundle", bundle)
    golden = bundle / open_bundle(bundle).manifest.golden[0].expected
    with np.load(golden) as expected:
        score, anomaly_map = expected["score"], expected["map"]
    np.savez(golden, score=score + 100, map=anomaly_map)
    fields = open_bundle(chain / "bundle").manifest.model_dump(exclude={"files", "seal"})
    (bundle / "manifest.json").unlink()
    shutil.rmtree(bundle / "calibration")
    seal_bundle(bundle, fields)
    assert main(["verify", str(bundle)]) == 6
    assert "gives other results than the checkpoint: model.onnx on 0-" in capsys.readouterr().err


def test_calibration_left_the_learnt_images_out(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = chain / "parts/train/good"
    assert main(["calibrate", str(chain / "bundle"), "--good", str(good), "--recipe", "again"]) == 0
    printed = capsys.readouterr().out
    assert "left out 19 images that the model was trained on" in printed
    assert "from 5 good parts: false reject rate at most 45.07% with 95% confidence" in printed
    assert "the target of 1.00% needs 299 good parts: add 294 and calibrate again" in printed


def test_evaluate_writes_figures_and_pictures(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = chain / "evaluation"
    words = ["evaluate", str(chain / "bundle"), str(chain / "parts"), "--out", str(out), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["image_auroc"] is not None
    assert {p.name for p in out.iterdir()} == {
        "histogram.png",
        "report.html",
        "result.json",
        "sheet.png",
    }


def test_run_gives_every_part_one_verdict(chain: Path) -> None:
    line = {
        "bundle": "bundle",
        "camera": {"kind": "replay", "path": "parts/test/good"},
        "outputs": [{"kind": "jsonlines", "path": "verdicts.jsonl"}],
        "deadline_ms": 20_000,
    }
    write_text(chain / "line.yaml", yaml.safe_dump(line))
    assert main(["run", "--config", str(chain / "line.yaml")]) == 0
    records = [json.loads(text) for text in (chain / "verdicts.jsonl").read_text().splitlines()]
    assert [record["source"] for record in records] == [f"{n:03}.png" for n in range(4)]
    assert {record["verdict"] for record in records} <= {"PASS", "REJECT"}


def test_notebook_use(chain: Path) -> None:
    import cv2

    from edge import Inspector

    inspector = Inspector.open(chain / "bundle")
    frame = cv2.imread(str(chain / "parts/test/good/000.png"))
    assert frame is not None
    assert inspector.inspect(np.asarray(frame, np.uint8)).verdict.value in {"PASS", "REJECT"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "{tmp}/nowhere", "--out", "{tmp}/run"], 5, "no such folder"),
        (["train", "{tmp}/empty", "--out", "{tmp}/run"], 5, "it holds nothing"),
        (["train", "{tmp}/one", "--out", "{tmp}/run"], 5, "1 different good images; at least 5"),
        (["train", "{parts}", "--out", "{run}"], 3, "holds a finished run"),
        (["train", "{parts}", "--weights", "{tmp}/x.pth", "--out", "{tmp}/run"], 3, "no such file"),
        (
            ["train", "{parts}", "--set", "fit.epoch=3", "--out", "{tmp}/r"],
            3,
            "did you mean 'epochs'",
        ),
        (["export", "{tmp}/empty", "{tmp}/bundle"], 4, "does not hold a run"),
        (["export", "{run}", "{bundle}"], 4, "exists; choose another folder, or --replace it"),
        (["calibrate", "{tmp}/empty", "--good", "{parts}/train/good"], 4, "manifest.json"),
        (
            ["export", "{run}", "{tmp}/new", "--precision", "int8", "--calibration", "{tmp}/one"],
            4,
            "the calibration of INT8 needs at least 4: give the folder that holds them now",
        ),
        (["export", "{run}", "{tmp}/new", "--precision", "int4"], 2, "invalid choice: 'int4'"),
        (["calibrate", "{bundle}", "--good", "{tmp}/one"], 5, "the frame is 8x8"),
        (["inspect", "--bundle", "{bundle}", "--recipe", "7", "x.png"], 4, "is not calibrated"),
        (["inspect", "--bundle", "{bundle}", "{tmp}/nothing.png"], 5, "cannot be read"),
        (["evaluate", "{bundle}", "{parts}/train/good"], 5, "test"),
        (["inspct"], 2, "did you mean 'inspect'"),
    ],
)
def test_bad_input_has_its_message_and_exit_code(  # noqa: PLR0917
    chain: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "part.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    places = {"tmp": tmp_path, "parts": chain / "parts", "run": chain / "run"}
    filled = [word.format(**places, bundle=chain / "bundle") for word in words]
    if filled[0] == "train":
        filled += ["--config", str(chain / "train.yaml")]
    try:
        exit_code = main(filled)
    except SystemExit as stop:
        exit_code = int(stop.code or 0)
    assert message in "".join(capsys.readouterr())
    assert exit_code == code
    assert not (tmp_path / "run").exists()


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if path.exists() or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_a_training_that_was_killed_goes_on(chain: Path, tmp_path: Path) -> None:
    settings = ["--config", chain / "train.yaml", "--set", "fit.epochs=60"]
    words = command("train", chain / "parts", *settings, "--out", tmp_path / "run")
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        wait_for(tmp_path / "run" / RESUME, process)
        process.kill()
    assert not (tmp_path / "run" / RUN).exists()
    finished = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "19 images learnt in 60 epochs" in finished.stderr
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "model.safetensors",
        "run.json",
    ]


@pytest.mark.parametrize("delay_s", [4.0, 7.0])
def test_a_killed_export_leaves_no_bundle_or_a_whole_one(
    chain: Path, tmp_path: Path, delay_s: float
) -> None:
    words = command("export", chain / "run", tmp_path / "bundle")
    with subprocess.Popen(words, cwd=ROOT, stdout=-3, stderr=-3) as process:
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
    if (tmp_path / "bundle").exists():
        open_bundle(tmp_path / "bundle")
    subprocess.run([*words, "--replace"], cwd=ROOT, capture_output=True, check=True)
    open_bundle(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_without_a_configuration_it_is_the_one_for_a_cpu(chain: Path) -> None:
    data = [f"data.folder={chain / 'parts'}"]
    shipped = load_config(ROOT / "configs/train/supersimplenet-cpu.yaml", TrainConfig, data)
    assert load_train_config(None, data, default_weights=False) == shipped


def test_train_needs_nothing_but_data(chain: Path, tmp_path: Path) -> None:
    words = ["train", str(chain / "parts"), "--out", str(tmp_path / "run"), "--weights", "none"]
    small = ["--set", "fit.minimum_steps=1", "--set", "data.image_size=[64, 64]"]
    assert main([*words, *small]) == 0
    assert (tmp_path / "run" / RUN).exists()


def test_train_without_anything_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--out", "nowhere"]) == 3
    assert "give DATA, or --config FILE" in capsys.readouterr().err

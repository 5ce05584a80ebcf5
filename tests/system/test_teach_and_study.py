"""`teach` and `study`: whole runs on drawn parts, interrupted runs, and bad input."""

import json
from pathlib import Path

import pytest
import yaml

from inspection.bundle import open_bundle
from inspection.files import write_text
from linewarden.command_line import main
from training.demo_parts import write_dataset


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("teach") / "parts"
    write_dataset(root, good=14, test_good=3, defective_per_kind=1, size=(120, 160))
    return root


def test_teach_gives_a_calibrated_bundle(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["teach", "--good", str(parts / "train/good"), "--out", str(tmp_path / "bundle")]
    words += ["--weights", "none", "--minutes", "0.01"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "14 good images, 30% of them held out for the threshold" in printed.err
    assert "input 224x288" in printed.err
    assert "from 5 good parts: false reject rate at most 45.07%" in printed.out
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert (manifest.graph.height, manifest.graph.width) == (224, 288)
    assert main(words) == 4
    assert "exists; choose another folder" in capsys.readouterr().err


def test_teach_goes_on_behind_a_finished_training(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a kill between training and export the command does not train again."""
    config = {
        "data": {"folder": str(parts), "image_size": [64, 64]},
        "model": {"name": "supersimplenet", "backbone": {"weights": "none"}, "noise_std": "auto"},
        "fit": {"epochs": 1},
    }
    write_text(tmp_path / "train.yaml", yaml.safe_dump(config))
    train = ["train", "--config", str(tmp_path / "train.yaml")]
    assert main([*train, "--out", str(tmp_path / "bundle-run")]) == 0
    words = ["teach", "--good", str(parts / "train/good"), "--out", str(tmp_path / "bundle")]
    assert main(words) == 0
    assert "steps at" not in capsys.readouterr().err
    assert open_bundle(tmp_path / "bundle").manifest.graph.height == 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0"], "--minutes 0: must be above 0"),
        (["--weights", "nowhere.pth"], "--weights nowhere.pth: no such file"),
    ],
)
def test_teach_refuses(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "parts", good=5, test_good=0, defective_per_kind=0, size=(60, 80))
    good = tmp_path / "parts" / "train" / "good"
    assert main(["teach", "--good", str(good), "--out", str(tmp_path / "bundle"), *words]) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_study_compares_models_and_goes_on_where_it_was(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = {"name": "resnet18.tv_in1k", "weights": "none"}
    models = {
        "first": {"name": "supersimplenet", "backbone": backbone, "sampled_grid": 8},
        "second": {"name": "simplenet", "backbone": backbone, "width": 32, "hidden": 16},
    }
    for name, model in models.items():
        config = {
            "data": {"folder": "parts", "image_size": [64, 64]},
            "model": {**model, "noise_std": "auto"},
            "fit": {"epochs": 1},
        }
        write_text(tmp_path / f"{name}.yaml", yaml.safe_dump(config))
    words = ["study", "accuracy", "--config", *(str(tmp_path / f"{n}.yaml") for n in models)]
    words += ["--data", str(parts), "--work", str(tmp_path / "work")]
    words += ["--out", str(tmp_path / "accuracy.md"), "--seeds"]
    assert main([*words, "1"]) == 0
    row = tmp_path / "work" / "first-parts-1" / "row.json"
    written = row.stat().st_mtime_ns
    assert main([*words, "1", "2"]) == 0
    assert row.stat().st_mtime_ns == written
    page = (tmp_path / "accuracy.md").read_text()
    assert "## parts" in page
    assert "| first | 2 | 0." in page
    assert "| second | 2 | 0." in page
    assert json.loads(row.read_text())["verdict_flips"] == 0
    html = (tmp_path / "work" / "study.html").read_text()
    assert html.count("data:image/jpeg") == 2
    assert html.count("data:image/png") == 1
    assert "http" not in html

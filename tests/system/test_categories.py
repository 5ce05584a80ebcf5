"""One model for several kinds of parts."""

import json
from pathlib import Path

import pytest
import yaml

from inspection.files import write_text
from linewarden.command_line import main
from training.demo_parts import write_dataset

UNIAD = {
    "name": "uniad",
    "backbone": {"name": "resnet18.tv_in1k", "weights": "none", "layers": [1, 2, 3]},
    "width": 16,
    "heads": 2,
    "layers": 1,
    "feedforward": 16,
    "neighbours": [1, 1],
}


def test_one_uniad_learns_two_categories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "parts"
    for seed, category in enumerate(("flange", "ring")):
        folder = root / category
        write_dataset(folder, good=8, test_good=2, defective_per_kind=1, size=(80, 96), seed=seed)
    settings = {
        "data": {"folder": str(root), "image_size": [64, 64], "hold_out": 0.3},
        "model": UNIAD,
        "fit": {"epochs": 1, "batch_size": 4},
    }
    write_text(tmp_path / "train.yaml", yaml.safe_dump(settings))
    run, bundle = str(tmp_path / "run"), str(tmp_path / "bundle")
    assert main(["train", "--config", str(tmp_path / "train.yaml"), "--out", run]) == 0
    assert main(["export", run, bundle]) == 0
    for category in ("flange", "ring"):  # a recipe for each
        good = str(root / category / "train" / "good")
        assert main(["calibrate", bundle, "--good", good, "--recipe", category]) == 0
    capsys.readouterr()
    whole = ["evaluate", bundle, str(root), "--json", "--recipe", "ring"]
    assert main([*whole, "--out", str(tmp_path / "all")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["categories"]) == ["flange", "ring"]
    assert found["good"] == 4
    assert {sample["name"].split("/")[0] for sample in found["samples"]} == {"flange", "ring"}
    one = ["evaluate", bundle, str(root / "ring"), "--json", "--recipe", "ring"]
    assert main([*one, "--out", str(tmp_path / "ring")]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["image_auroc"] == found["categories"]["ring"]["image_auroc"]

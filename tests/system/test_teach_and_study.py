"""`teach` and `study`: whole runs on drawn parts, interrupted runs, and bad input."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from inspection.bundle import open_bundle
from inspection.files import write_text
from linewarden.command_line import main
from tests.doubles.line_folder import ROOT, command
from training.checkpoint import load_run
from training.demo_parts import write_dataset

QUICK = ["--weights", "none", "--set", "data.image_size=[64,64]"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("teach") / "parts"
    write_dataset(root, good=14, test_good=3, defective_per_kind=1, size=(120, 160))
    return root


@pytest.fixture(autouse=True)
def _one_way_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which engine is fastest depends on the machine and its load; these tests compare bundles."""
    monkeypatch.setattr("linewarden.cpu_build.has_choice", lambda _: False)


def test_teach_gives_a_calibrated_bundle(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["teach", "--good", str(parts / "train/good"), "--out", str(tmp_path / "bundle")]
    words += ["--weights", "none", "--models", "subspace", "memory"]
    words += ["--set", "data.image_size=[96,128]", "--set", "model.backbone.padding=reflect"]
    words += ["--part-name", r"^(.*)\.png$"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "14 good images, 50% of them held out for the threshold" in printed.err
    assert "compared on 7 good images, each by a model without it, and 60 defects" in printed.err
    assert "input 96x128" in printed.err
    assert "obvious defects drawn on good images" in printed.out
    assert "from 7 good parts: false reject rate at most 34.82%" in printed.out
    calibration = open_bundle(tmp_path / "bundle").calibration("default", "model.onnx")
    assert len(set(calibration.parts.values())) == len(calibration.scores) == 7
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert (manifest.graph.height, manifest.graph.width) == (96, 128)
    assert [one["form"] for one in manifest.evidence["tried"]] == ["subspace", "memory"]
    record, _ = load_run(tmp_path / "bundle-run")
    assert record.config.model.backbone.padding == "reflect"
    assert record.evidence is not None
    assert record.evidence.summary() == manifest.evidence
    assert main(words) == 4
    assert "exists; choose another folder" in capsys.readouterr().err
    (tmp_path / "bundle").rename(tmp_path / "moved")
    assert main(words[:-2]) == 3
    assert r"--part-name is not given, where it was ^(.*)\.png$: repeat" in capsys.readouterr().err


def test_teach_evaluates_labelled_images_and_says_what_it_found(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["teach", "--good", str(parts), "--out", str(tmp_path / "bundle"), "--weights", "none"]
    assert main([*words, "--models", "subspace", "--set", "data.image_size=[96,128]"]) == 0
    printed = capsys.readouterr().out
    assert f"labelled images in {parts}: 3 good and 6 defective parts, which chose" in printed
    assert "Escape rate" in printed
    assert (tmp_path / "bundle-evaluation" / "sheet.png").is_file()


def test_teach_trains_for_the_minutes_that_are_given(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["teach", "--good", str(parts / "train/good"), "--out", str(tmp_path / "bundle")]
    words += [*QUICK, "--minutes", "0.01", "--models", "supersimplenet", "subspace"]
    assert main(words) == 0
    assert "100 steps at" in capsys.readouterr().err
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.model == "supersimplenet"
    trained, late = manifest.evidence["tried"]
    assert trained["image_auroc"] is not None
    assert late["remark"] == "no time left"
    assert not (tmp_path / "bundle-run" / "compared").exists()


def test_good_parts_can_be_added_to_a_taught_bundle(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted((parts / "train/good").iterdir())
    few, more = tmp_path / "few", tmp_path / "more"
    for folder, files in ((few, good[:9]), (more, good[8:])):
        folder.mkdir()
        for file in files:
            (folder / file.name).symlink_to(file)
    bundle = tmp_path / "bundle"
    options = ["--models", "subspace", *QUICK]
    assert main(["teach", "--good", str(few), "--out", str(bundle), *options]) == 0
    capsys.readouterr()
    assert main(["teach", "--add", str(more), "--out", str(bundle)]) == 0
    printed = capsys.readouterr()
    assert f"left out 1 images that {bundle}-run has already" in printed.err
    assert "5 images added: 14 learnt, 0 held out for the threshold" in printed.err
    assert f"written to {bundle}/calibration/default.json" in printed.out
    anew = tmp_path / "anew"
    assert main(["teach", "--good", str(parts / "train/good"), "--out", str(anew), *options]) == 0
    added, learnt = (open_bundle(path) for path in (bundle, anew))
    assert added.manifest.data_sha256 == learnt.manifest.data_sha256
    one, other = (path.calibration("default", "model.onnx") for path in (added, learnt))
    assert one.scores == pytest.approx(other.scores, rel=1e-5)
    assert one.thresholds.reject == pytest.approx(other.thresholds.reject, rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("anew", "anew-run", "bundle", "bundle-run", "few", "more")
    ]
    assert main(["verify", str(bundle)]) == 0


@pytest.mark.slow
def test_a_kill_during_an_addition_leaves_the_old_bundle(parts: Path, tmp_path: Path) -> None:
    """Kills the command at each step that it reports; the next call ends the work."""
    good = sorted((parts / "train/good").iterdir())
    few, more = tmp_path / "few", tmp_path / "more"
    for folder, files in ((few, good[:9]), (more, good[9:])):
        folder.mkdir()
        for file in files:
            (folder / file.name).symlink_to(file)
    bundle = tmp_path / "bundle"
    words = ["teach", "--good", str(few), "--out", str(bundle), "--models", "subspace", *QUICK]
    assert main(words) == 0
    before = open_bundle(bundle)
    add = command("teach", "--add", more, "--out", bundle)
    for step in ("images added", "fusing backbone", "comparing checkpoint"):
        with subprocess.Popen(add, cwd=ROOT, stdout=-3, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert any(step.encode() in line for line in process.stderr)
            os.kill(process.pid, signal.SIGKILL)
        now = open_bundle(bundle)
        assert now.manifest == before.manifest
        assert now.recipes() == {"default": "model.onnx"}
    subprocess.run(add, cwd=ROOT, capture_output=True, check=True)
    assert open_bundle(bundle).manifest.data_sha256 != before.manifest.data_sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "bundle-run", "few", "more"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--add", "{parts}"], 4, "no such bundle"),
        (["--add", "{parts}", "--minutes", "2"], 3, "--minutes: --add keeps the settings"),
        (["--add", "{parts}", "--weights", "hub"], 3, "--weights: --add keeps the settings"),
        (["--add", "{parts}", "--budget-ms", "9"], 3, "--budget-ms: --add keeps the settings"),
    ],
)
def test_an_addition_refuses(
    words: list[str],
    code: int,
    message: str,
    *,
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word.format(parts=parts / "train/good") for word in words]
    assert main(["teach", *given, "--out", str(tmp_path / "bundle")]) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


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
    assert main([*words, "--models", "memory"]) == 3
    assert "bundle-run: is from an earlier call, and --models is memory" in capsys.readouterr().err
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.png").symlink_to(min((parts / "train/good").iterdir()))
    assert main(["teach", "--good", str(few), *words[3:]]) == 3
    assert "13 of its images are not in the folder: repeat" in capsys.readouterr().err
    assert main(words) == 0
    printed = capsys.readouterr().err
    assert "bundle-run: goes on behind an earlier call, which has learnt these images" in printed
    assert "compared on" not in printed
    assert open_bundle(tmp_path / "bundle").manifest.graph.height == 64


def test_teach_goes_on_with_the_same_call_only(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in the training leaves the plan, which is for the same options and images."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linewarden.commands.teach.fit_with_progress", killed)
    words = ["teach", "--good", str(parts / "train/good"), "--out", str(tmp_path / "bundle")]
    words += ["--weights", "none", "--models", "subspace", "--set", "data.image_size=[64,64]"]
    assert main(words) == 130
    capsys.readouterr()
    assert main([*words, "--seed", "7"]) == 3
    assert "--seed is 7, where it was not given" in capsys.readouterr().err
    assert main(words) == 130
    assert "bundle-run: continuing an earlier call" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0"], "--minutes 0: must be above 0"),
        (["--smallest-defect-px", "-1"], "--smallest-defect-px -1: must be above 0"),
        (["--budget-ms", "0"], "--budget-ms 0: must be above 0"),
        (["--budget-ms", "0.001", "--weights", "none"], "--budget-ms 0.001: the backbone takes"),
        (
            ["--set", "data.image_size=[96,96]", "--smallest-defect-px", "3", "--weights", "none"],
            "--smallest-defect-px: data.image_size is given",
        ),
        (["--set", "model.variance=0.9", "--weights", "none"], "name it with --models"),
        (["--set", "model.name=memory", "--weights", "none"], "--set model.name: teach chooses it"),
        (["--set", "fit.sed=3", "--weights", "none"], "fit.sed"),
        (["--models", "supersimplenet", "--weights", "none"], "so give it --minutes"),
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
    words += ["--remark", "Settings of nobody.", "--out", str(tmp_path / "accuracy.md"), "--seeds"]
    assert main([*words, "1"]) == 0
    row = tmp_path / "work" / "first-parts-1" / "row.json"
    written = row.stat().st_mtime_ns
    capsys.readouterr()
    assert main([*words, "1", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["variant"] for one in told["rows"]] == ["first", "first", "second", "second"]
    assert set(told["latency_ms"]) == {"first", "second"}
    assert row.stat().st_mtime_ns == written
    page = (tmp_path / "accuracy.md").read_text()
    assert "\n\nSettings of nobody.\n\n## parts" in page
    for name in models:
        assert re.search(rf"\| {name} \| 2 \| 20\d\d-\d\d-\d\d[^|]* \| 0\.", page)
    assert json.loads(row.read_text())["verdict_flips"] == 0
    html = (tmp_path / "work" / "study.html").read_text()
    assert "Settings of nobody." in html
    assert html.count("data:image/jpeg") == 2
    assert html.count("data:image/png") == 1
    assert "http" not in html


@pytest.mark.parametrize("count", [1, 2])
def test_teach_says_what_one_or_two_images_are_worth(
    count: int, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted((parts / "train/good").iterdir())[:count]:
        (few / file.name).symlink_to(file)
    words = ["teach", "--good", str(few), "--out", str(tmp_path / "bundle"), *QUICK]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert f"{count} good images, all of them learnt" in printed.err
    said = {
        1: "from 1 good part: its false reject rate is not known, and nothing is promised",
        2: "false reject rate at most 33.33% on average over sets of as many good parts",
    }
    assert said[count] in printed.out
    assert main(["verify", str(tmp_path / "bundle")]) == 0


def test_teach_leaves_out_what_a_person_names(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, more, bundle = tmp_path / "few", tmp_path / "more", tmp_path / "bundle"
    good = sorted((parts / "train/good").iterdir())
    for folder, files in ((few, good[:4]), (more, good[3:6])):
        folder.mkdir()
        for file in files:
            (folder / file.name).symlink_to(file)
    report = tmp_path / "page.html"
    words = ["teach", "--good", str(few), "--out", str(bundle), *QUICK]
    assert main([*words, "--without", good[3].name, "--report", str(report)]) == 0
    assert f"left out by hand: {good[3].name}" in capsys.readouterr().out
    assert f"left out by hand: {good[3].name}" in report.read_text()
    # A later addition leaves it out too, and may leave out others.
    add = ["teach", "--add", str(more), "--out", str(bundle)]
    assert main([*add, "--without", good[5].name]) == 0
    kept = open_bundle(bundle).calibration("default", "model.onnx")
    assert len(kept.scores) == 4
    assert list(kept.without.values()) == [good[3].name, good[5].name]
    assert main(["teach", "--add", str(few), "--out", str(bundle), "--without", good[0].name]) == 3
    assert f"has {good[0].name} already; to leave it out teach again" in capsys.readouterr().err

"""A camera of 12 bits: taught on 16-bit files, run on the camera, and judged again from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspection.bundle import open_bundle
from inspection.images import Window, encode_png, read_image
from linewarden.command_line import main
from tests.doubles import cameras
from tests.doubles.line_folder import linewarden, told, write_line
from training.demo_parts import write_dataset

SIZE = (96, 128)
WINDOW = Window(low=400, high=3205)
KEEP_ALL = """\
records:
  folder: records
  images: {max_bytes: 100000000, min_free_bytes: 0, keep: [REJECT, REVIEW, NO_VERDICT], pass_sample: 1.0}
"""
PARTS = 8


def deepen(folder: Path) -> None:
    """Makes 12 bits of all images: the window returns the 8-bit image, but for a rounding."""
    random = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.png")):
        if "ground_truth" not in path.parts:
            image = read_image(path)
            numbers = 400 + image.astype(np.uint16) * 11 + random.integers(0, 11, image.shape)
            path.write_bytes(encode_png(numbers.astype(np.uint16)))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder with 16-bit parts, and a bundle that teach made of them."""
    root = tmp_path_factory.mktemp("deep")
    write_dataset(root / "parts", good=12, test_good=3, defective_per_kind=1, size=SIZE)
    deepen(root / "parts")
    words = ["teach", "--good", root / "parts", "--out", root / "bundle", "--weights", "none"]
    words += ["--models", "subspace", "--window", WINDOW.low, WINDOW.high]
    assert main([*map(str, words), "--set", "data.image_size=[64,64]"]) == 0
    return root


@pytest.fixture(scope="module")
def files(taught: Path) -> Path:
    """Makes a folder with the deep images of test parts."""
    folder = taught / "shown"
    folder.mkdir()
    test = sorted((taught / "parts/test").rglob("*.png"))
    for number, path in enumerate(test[:: max(1, len(test) // PARTS)][:PARTS]):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    return folder


def inspected(bundle: Path, files: list[Path]) -> list[tuple[str, float]]:
    done = linewarden("inspect", "--bundle", bundle, "--json", *files)
    assert done.returncode == 0, done.stderr
    return [judged(json.loads(line)) for line in done.stdout.splitlines()]


def judged(record: dict[str, Any]) -> tuple[str, float]:
    return record["verdict"], pytest.approx(record["score"], rel=1e-5)


def saved(config: Path, record: dict[str, Any]) -> Path:
    (name,) = (image for image in record["images"] if image.endswith(".frame.png"))
    path: Path = config.parent / "records/images" / name
    return path


def test_the_bundle_keeps_the_window(taught: Path) -> None:
    bundle = open_bundle(taught / "bundle")
    assert bundle.manifest.preprocessing.window == WINDOW
    assert (taught / "bundle-evaluation/sheet.png").exists()
    golden = bundle.file(bundle.manifest.golden[0].frame)
    inspected(taught / "bundle", [golden])  # it says by which window it was made


def test_16_bits_without_a_window_are_not_taught(
    taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["teach", "--good", taught / "parts", "--out", taught / "other", "--weights", "none"]
    assert main([*map(str, words)]) == 5
    message = capsys.readouterr().err
    assert "has 16 bits, with values from 4" in message
    assert "--window LOW HIGH of 'linewarden teach'" in message


def test_a_recording_of_16_bits_runs_as_inspect_judges(taught: Path, files: Path) -> None:
    camera = f"camera: {{kind: replay, path: shown, window: {WINDOW.model_dump()}}}\n"
    config = write_line(taught, camera, KEEP_ALL)
    done = linewarden("run", "--config", config)
    assert done.returncode == 0, done.stderr
    records = told(config)
    paths = sorted(files.iterdir())
    verdicts = inspected(taught / "bundle", paths)
    assert [(record["verdict"], record["score"]) for record in records] == verdicts
    assert {verdict for verdict, _ in verdicts} == {"PASS", "REJECT"}
    for record, path in zip(records, paths, strict=True):
        kept = saved(config, record)
        assert np.array_equal(read_image(kept), WINDOW.apply(cv2.imread(str(path), -1)))
    kept_files = [saved(config, record) for record in records]
    assert inspected(taught / "bundle", kept_files) == verdicts


def test_a_camera_of_12_bits_runs_as_inspect_judges(taught: Path, files: Path) -> None:
    """Basler's emulator shows the files; Mono12 has the top 12 bits of 16."""
    pytest.importorskip("pypylon", reason="needs the package pypylon")
    folder = taught / "emulator"
    folder.mkdir()
    for path in sorted(files.iterdir()):
        grey = cv2.cvtColor(cv2.imread(str(path), -1), cv2.COLOR_BGR2GRAY)
        (folder / path.name).write_bytes(encode_png(grey << 4))
    raise AssertionError(cameras)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (
            "",
            "the camera has the window none, for 8 bits, and bundle was taught with 400 to 3205: ",
        ),
        (", window: {low: 0, high: 4095}", "the camera has the window 0 to 4095, and bundle was"),
    ],
)
def test_another_window_is_refused_at_the_start(
    window: str, message: str, taught: Path, files: Path, tmp_path: Path
) -> None:
    camera = f"camera: {{kind: replay, path: {files}{window}}}\n"
    config = write_line(tmp_path, camera)
    done = linewarden("run", "--config", config, "--set", f"bundle={taught / 'bundle'}")
    assert done.returncode == 3
    assert message in done.stderr
    assert "set window of the camera to {low: 400, high: 3205}" in done.stderr

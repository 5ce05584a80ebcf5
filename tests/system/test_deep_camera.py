"""A camera of 12 bits: taught on 16-bit files, run on the camera, and judged again from files."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera import PylonConfig
from edge.camera.genicam import GenicamSettings
from inspection.bundle import open_bundle
from inspection.images import Window, encode_png, read_frame, read_image, read_stored
from linewarden.command_line import main
from tests.doubles.cameras import require
from tests.doubles.line_folder import GENEROUS_S, ROOT, command, linewarden, told, write_line
from tests.doubles.waiting import wait_for
from training.demo_parts import write_dataset

SIZE = (96, 128)
WINDOW = Window(low=400, high=3205)
KEEP_ALL = """\
records:
  folder: records
  images: {max_bytes: 100000000, min_free_bytes: 0, pass_sample: 1.0}
"""
PARTS = 8


def deepen(folder: Path) -> None:
    """Makes all images grey with 12 bits."""
    random = np.random.default_rng(0)
    for path in sorted(folder.rglob("*.png")):
        if "ground_truth" not in path.parts:
            grey = read_image(path).mean(axis=2)
            numbers = WINDOW.low + 11 * grey + random.uniform(0, 11, grey.shape)
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
    """Makes a folder with deep images of parts; every second one has a large bright stain."""
    folder = taught / "shown"
    folder.mkdir()
    test = sorted((taught / "parts/test").rglob("*.png"))
    for number, path in enumerate(test[:PARTS]):
        numbers = np.array(read_stored(path))
        if number % 2:
            numbers[20:70, 30:90] = 4095
        (folder / f"{number}.png").write_bytes(encode_png(numbers))
    return folder


def inspected(bundle: Path, files: list[Path]) -> list[tuple[str, Any]]:
    done = linewarden("inspect", "--bundle", bundle, "--json", *files)
    assert done.returncode == 0, done.stderr
    return [judged(json.loads(line)) for line in done.stdout.splitlines()]


def judged(record: dict[str, Any]) -> tuple[str, Any]:
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
    assert "has 16 bits, with values from " in message
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
        assert np.array_equal(read_image(kept), read_frame(path, WINDOW))
    kept_files = [saved(config, record) for record in records]
    assert inspected(taught / "bundle", kept_files) == verdicts


def test_a_camera_of_12_bits_runs_as_inspect_judges(
    taught: Path, files: Path, tmp_path: Path
) -> None:
    """Basler's emulator shows the files; Mono12 has the top 12 bits of 16."""
    folder = taught / "emulator"
    folder.mkdir()
    paths = sorted(files.iterdir())
    for path in paths:
        (folder / path.name).write_bytes(encode_png(read_stored(path) << 4))
    features = {"TestImageSelector": "Off", "ImageFilename": str(folder), "ImageFileMode": "On"}
    settings = GenicamSettings(
        width=SIZE[1], height=SIZE[0], pixel_format="Mono12", frame_rate_hz=10, features=features
    )
    camera = PylonConfig(kind="pylon", settings=settings, window=WINDOW)
    require(camera)
    place = tmp_path / "line"
    place.mkdir()
    written = json.dumps(camera.model_dump(mode="json", exclude_defaults=True) | {"kind": "pylon"})
    config = write_line(place, f"camera: {written}\n", KEEP_ALL)
    (place / "bundle").symlink_to(taught / "bundle")
    process = subprocess.Popen(command("run", "--config", config), cwd=ROOT)
    try:
        wait_for(lambda: len(told(config)) >= PARTS or process.poll() is not None, GENEROUS_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM
    finally:
        process.kill()
    records = told(config)
    assert len(records) >= PARTS
    run = [(record["verdict"], record["score"]) for record in records]
    assert run == inspected(taught / "bundle", [saved(config, record) for record in records])
    of_files = inspected(taught / "bundle", paths)
    assert all(any(result == wanted for wanted in of_files) for result in run)
    assert {verdict for verdict, _ in run} == {"PASS", "REJECT"}


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("", "the camera has the window none, for 8 bits, and parts was taught with 400"),
        (", window: {low: 0, high: 4095}", "the camera has the window 0 to 4095, and parts was"),
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

"""`linewarden camera`, over recordings, pylon's emulator and GStreamer's test source."""

import argparse
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from edge.camera import PylonConfig
from edge.camera.commissioning import measured
from edge.camera.faults import CameraHungError
from edge.camera.isolated import IsolatedCamera
from edge.part.frame import Frame
from inspection.errors import CameraError, ConfigError
from inspection.images import encode_png, read_image
from linewarden.commands import camera
from tests.doubles.cameras import process_of, require

ROOT = Path(__file__).parents[3]
SMALL = ("settings.width=128", "settings.height=64", "settings.exposure_us=1000")


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    camera.add_arguments(parser)
    return camera.run(parser.parse_args([str(word) for word in words]))


def settings(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "recording"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        image = random.integers(0, 256, (16, 24, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(image))
    return folder


def test_grabbed_images_are_the_frames(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts/train/good"
    words = settings(f"path={recording}")
    assert run("grab", "--kind", "replay", *words, "--out", out, "--prefix", "flange") == 0
    grabbed = sorted(out.iterdir())
    assert [path.name[:7] for path in grabbed] == ["flange_"] * 3
    for path, original in zip(grabbed, sorted(recording.iterdir()), strict=True):
        assert np.array_equal(read_image(path), read_image(original))


def test_an_unusable_frame_is_passed_over(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recording / "1.png").write_bytes(b"damaged")
    out = tmp_path / "out"
    run("grab", "--kind", "replay", *settings(f"path={recording}"), "--out", out)
    assert len(list(out.iterdir())) == 2
    assert "1.png: not an image" in capsys.readouterr().err


def test_count_is_kept(recording: Path, tmp_path: Path) -> None:
    words = settings(f"path={recording}", "loop=true")
    run("grab", "--kind", "replay", *words, "--out", tmp_path / "out", "--count", 5)
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_live_prints_numbers_frame_by_frame(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("live", "--kind", "replay", *settings(f"path={recording}"), "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) == 3
    assert lines[0].keys() == {
        "sharpness",
        "mean",
        "saturated",
        "black",
        "best_sharpness",
        "frames_per_second",
    }


def test_a_sharper_picture_has_the_higher_number() -> None:
    sharp = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8) * 200
    blurred = np.repeat(sharp.mean(axis=0, keepdims=True), 64, axis=0).astype(np.uint8)
    assert measured(sharp).sharpness > 10 * measured(blurred).sharpness


def test_exposure_is_measured_in_each_channel() -> None:
    image = np.full((10, 10, 3), 100, np.uint8)
    image[:2, :, 2] = 255
    image[9, :, 0] = 0
    figures = measured(image)
    assert (figures.saturated, figures.black) == (0.2, 0.1)
    grey = measured(np.full((4, 4), 255, np.uint8))
    assert (grey.saturated, grey.black, grey.mean, grey.sharpness) == (1.0, 0.0, 255.0, 0.0)


def test_a_software_trigger_is_fired(tmp_path: Path) -> None:
    require(PylonConfig(kind="pylon"))
    words = settings(*SMALL, "settings.trigger.source=Software")
    run("grab", "--kind", "pylon", *words, "--out", tmp_path / "out", "--count", 3)
    images = [read_image(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [image.shape for image in images] == [(64, 128)] * 3


def test_a_missing_trigger_is_told() -> None:
    require(PylonConfig(kind="pylon"))
    words = settings(*SMALL, "settings.trigger.source=Line1")
    with pytest.raises(CameraError, match=r"no trigger on Line1 within 0\.2 s, and the camera is"):
        run("live", "--kind", "pylon", *words, "--timeout-s", 0.2)


def test_a_camera_that_hangs_is_not_taken_for_one_without_trigger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require(PylonConfig(kind="pylon"))
    read = IsolatedCamera.read

    def stop_and_read(camera: IsolatedCamera, timeout_s: float) -> Frame | None:
        os.kill(process_of(camera), signal.SIGSTOP)
        return read(camera, timeout_s)

    monkeypatch.setattr(IsolatedCamera, "read", stop_and_read)
    words = settings(*SMALL, "hung_limit_s=0.5")
    with pytest.raises(CameraHungError, match="hangs in describe"):
        run("live", "--kind", "pylon", *words, "--timeout-s", 0.2)


def test_show_of_a_line_with_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    require(PylonConfig(kind="pylon"))
    config = ROOT / "configs/line/pylon.yaml"
    run("show", "--config", config, "--json", *settings("camera.settings.width=256"))
    shown = json.loads(capsys.readouterr().out)
    assert (shown["Width"], shown["TriggerMode"]) == (256, "On")


def test_list_names_cameras_and_what_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require(PylonConfig(kind="pylon"))
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    run("list", "--kind", "pylon")
    assert "serial: '0815-0000'" in capsys.readouterr().out
    run("list", "--kind", "harvesters")
    assert "harvesters: camera 'harvesters'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show",), "linewarden camera show needs --config or --kind"),
        (("live", "--kind", "pylon", "--config", "line.yaml"), "needs --config or --kind"),
        (("grab", "--kind", "replay", "--set", "path=."), "grab needs --out FOLDER"),
        (("show", "--kind", "pyav"), r"camera\.url: is missing"),
        (("show", "--kind", "pylon", "--set", "settings.gain=2"), "unknown key; did you mean"),
    ],
)
def test_wrong_usage_is_explained(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(*words)

"""The contract of every camera; each kind in `CAMERAS` runs without hardware, or says why not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.camera import (
    CAMERAS,
    Camera,
    EndOfRecording,
    camera_from_config,
)
from edge.camera.faults import CameraLostError, CameraNotFoundError
from edge.camera.isolated import IsolatedCamera
from edge.camera.replay import ReplayCamera
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from tests.doubles.cameras import WORKING, broken, process_of, require

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=sorted(CAMERAS))
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Camera]:
    with WORKING[request.param](tmp_path) as config:
        require(config)
        camera = camera_from_config(config)
        yield camera
        camera.close()


def read_some(camera: Camera) -> list[Frame]:
    frames = []
    for _ in range(3):
        try:
            frame = camera.read(2.0)
        except EndOfRecording:
            break
        assert frame is not None
        frames.append(frame)
    return frames


def test_frames_are_images_in_order(camera: Camera) -> None:
    camera.open()
    frames = read_some(camera)
    camera.close()
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert sorted(frame.captured_ns for frame in frames) == [f.captured_ns for f in frames]
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.ndim == 2 or frame.image.shape[2] == 3
        assert frame.image.flags.c_contiguous
        assert frame.image.flags.writeable
        assert frame.source


def test_a_frame_is_the_receivers(camera: Camera) -> None:
    camera.open()
    frames = read_some(camera)
    camera.close()
    assert not np.shares_memory(frames[0].image, frames[1].image)
    kept = frames[1].image.copy()
    frames[0].image[:] = 255
    assert np.array_equal(frames[1].image, kept)


def test_a_frame_is_of_now(camera: Camera) -> None:
    camera.open()
    before_ns = time.monotonic_ns()
    camera.read(2.0)
    frame = read_some(camera)[0]
    camera.close()
    assert before_ns - 100_000_000 < frame.captured_ns <= time.monotonic_ns()


def test_close_is_safe_without_open_and_twice(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()


def test_opened_again_it_starts_again(camera: Camera) -> None:
    for _ in range(2):
        camera.open()
        assert read_some(camera)[0].sequence == 0
        camera.close()


def test_opened_while_open_it_starts_again(camera: Camera) -> None:
    camera.open()
    read_some(camera)
    camera.open()
    assert read_some(camera)[0].sequence == 0
    camera.close()


def test_read_without_open_is_refused(camera: Camera) -> None:
    with pytest.raises(CameraError, match="is not open"):
        camera.read(0.1)


def test_a_live_camera_describes_itself_and_does_not_wait(camera: Camera) -> None:
    if isinstance(camera, ReplayCamera):
        pytest.skip("a recording")
    assert isinstance(camera, IsolatedCamera)
    assert not camera.waits
    with pytest.raises(CameraError, match="is not open"):
        camera.describe()
    camera.open()
    assert camera.describe()
    camera.close()


def test_its_process_may_be_killed(camera: Camera) -> None:
    if not isinstance(camera, IsolatedCamera):
        pytest.skip("a recording")
    camera.open()
    kept = read_some(camera)
    copies = [frame.image.copy() for frame in kept]
    os.kill(process_of(camera), signal.SIGKILL)
    with pytest.raises(
        CameraLostError, match=r"process ended \(signal 9, Killed\); open the camera again"
    ):
        read_for_ever(camera)
    open_patiently(camera)
    assert read_some(camera)[0].sequence == 0
    for frame, copy in zip(kept, copies, strict=True):
        assert np.array_equal(frame.image, copy)


def read_for_ever(camera: Camera) -> None:
    while True:
        with contextlib.suppress(FrameError):
            camera.read(0.2)


def open_patiently(camera: Camera) -> None:
    """After a crash a GigE camera is locked until its heartbeat ends."""
    until_s = time.monotonic() + 20.0
    while True:
        try:
            camera.open()
        except CameraError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.mark.parametrize("kind", sorted(CAMERAS))
def test_a_camera_that_cannot_be_opened_is_refused(kind: str, tmp_path: Path) -> None:
    config = broken(kind, tmp_path)
    require(config)
    camera = camera_from_config(config)
    with pytest.raises(CameraError) as caught:
        camera.open()
    camera.close()
    assert kind == "replay" or type(caught.value) is CameraNotFoundError
    with pytest.raises(CameraError, match="is not open"):
        camera.read(0.1)


IN_AN_EMPTY_ENVIRONMENT = """
import sys
from pydantic import TypeAdapter
from edge.camera import CameraConfig

class Absent:
    packages = {"av", "genicam", "gi", "harvesters", "pypylon"}
    asked = set()
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in self.packages:
            self.asked.add(package)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

assert not Absent.packages & set(sys.modules), "loaded with the table"
sys.meta_path.insert(0, Absent())
config = TypeAdapter(CameraConfig).validate_json(sys.argv[1])
assert not Absent.asked, "loaded with the configuration"
try:
    config.driver()
except Exception as error:
    print(error)
assert len(Absent.asked) <= 1, "loaded with another kind"
"""
_GI = "apt install python3-gi, and make the environment with --system-site-packages"
NEEDS = {
    "replay": "",
    "opencv": "",
    "pyav": "av, and it is not installed: pip install 'linewarden[pyav]'",
    "gstreamer": "gi, and it is not installed: "
    f"apt install gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good; {_GI}",
    "pylon": "pypylon, and it is not installed: pip install 'linewarden[pylon]'",
    "aravis": f"gi, and it is not installed: apt install gir1.2-aravis-0.8; {_GI}",
    "harvesters": "harvesters, and it is not installed: "
    "pip install 'linewarden[harvesters]', and the GenTL producer of the camera",
}


@pytest.mark.parametrize("kind", sorted(CAMERAS))
def test_a_missing_package_is_named_when_a_driver_needs_it(kind: str, tmp_path: Path) -> None:
    config = broken(kind, tmp_path).model_dump_json()
    command = [sys.executable, "-c", IN_AN_EMPTY_ENVIRONMENT, config]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = f"camera '{kind}' needs the package {NEEDS[kind]}\n" if NEEDS[kind] else ""
    assert done.stdout == told

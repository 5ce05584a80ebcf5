"""Cameras of every kind that run without hardware; a skip names the missing package."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera import (
    AravisConfig,
    CameraConfig,
    GstreamerConfig,
    HarvestersConfig,
    OpenCvConfig,
    PyAvConfig,
    PylonConfig,
    ReplayConfig,
)
from edge.camera.genicam import GenicamSettings
from edge.camera.isolated import IsolatedCamera
from inspection.errors import CameraError
from inspection.images import encode_png
from tests.doubles.mjpeg import mjpeg_camera

os.environ.setdefault("PYLON_CAMEMU", "1")  # before pypylon is imported

SMALL = GenicamSettings(width=128, height=64, pixel_format="Mono8")
FAKE_GIGE = "arv-fake-gv-camera-0.8"


def require(config: CameraConfig) -> None:
    """Skips the test when a package that `config` needs is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the packages, at their first import
            if not isinstance(config, ReplayConfig):
                config.driver()
    except CameraError as error:
        pytest.skip(str(error))


@contextmanager
def replay(folder: Path) -> Iterator[CameraConfig]:
    for number in range(3):
        image = np.full((8, 8, 3), number, np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(image))
    yield ReplayConfig(kind="replay", path=folder)


@contextmanager
def opencv(_folder: Path) -> Iterator[CameraConfig]:
    if not Path("/dev/video0").exists():
        pytest.skip("needs a V4L2 device: modprobe vivid makes a virtual one")
    yield OpenCvConfig(kind="opencv", device=0)


@contextmanager
def pyav(_folder: Path) -> Iterator[CameraConfig]:
    with mjpeg_camera() as server:
        yield PyAvConfig(kind="pyav", url=server.url, silent_limit_s=1.0)


@contextmanager
def gstreamer(_folder: Path) -> Iterator[CameraConfig]:
    caps = "video/x-raw,width=161,height=120,framerate=50/1"
    yield GstreamerConfig(
        kind="gstreamer", pipeline=f"videotestsrc is-live=true ! {caps} ! videoconvert"
    )


@contextmanager
def pylon(_folder: Path) -> Iterator[CameraConfig]:
    yield PylonConfig(kind="pylon", settings=SMALL)


class FakeGige:
    """A GigE Vision camera on loopback, in a separate process."""

    def __init__(self, *options: str) -> None:
        if shutil.which(FAKE_GIGE) is None:
            pytest.skip(f"needs {FAKE_GIGE}: apt install aravis-tools")
        # The port is fixed: two cameras on one computer would take each other's packets.
        self._lock = (Path(tempfile.gettempdir()) / "linewarden-fake-gige.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.serial = f"T{uuid.uuid4().hex[:6]}"
        self._command = self._program(*options)
        self.start()

    def _program(self, *options: str) -> list[str]:
        return [FAKE_GIGE, "-i", "127.0.0.1", "-s", self.serial, *options]

    def start(self) -> None:
        """Starts the camera, also after a kill."""
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def config(self, **changes: Any) -> AravisConfig:
        """Returns settings for small frames, with an exposure that does not leave them black."""
        settings = SMALL.model_copy(update={"exposure_us": 10000.0} | changes)
        return AravisConfig(kind="aravis", camera=self.serial, settings=settings)

    def wait(self) -> None:
        """Waits for the first answer."""
        time.sleep(0.2)  # a discovery takes a second, also without a camera
        until_s = time.monotonic() + 5.0
        while not any(self.serial in camera.names for camera in AravisConfig.discover()):
            if time.monotonic() > until_s:
                pytest.skip("no GigE Vision over loopback here")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._lock.close()


class PictureGige(FakeGige):
    """A camera that streams the pictures of `tests.doubles.picture_gige`."""

    def _program(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "tests.doubles.picture_gige", self.serial, *options]


@contextmanager
def fake_gige(*options: str, kind: type[FakeGige] = FakeGige) -> Iterator[FakeGige]:
    require(AravisConfig(kind="aravis"))
    camera = kind(*options)
    try:
        camera.wait()
        yield camera
    finally:
        camera.end()


@contextmanager
def aravis(_folder: Path) -> Iterator[CameraConfig]:
    with fake_gige() as camera:
        yield camera.config()


def simulated_producer() -> Path:
    """Returns the GenTL producer of the package genicam."""
    found = find_spec("genicam")
    if found is None or found.origin is None:
        pytest.skip("needs the package genicam: pip install harvesters")
    return Path(found.origin).parent / "viky.cti"


@contextmanager
def harvesters(_folder: Path) -> Iterator[CameraConfig]:
    yield HarvestersConfig(kind="harvesters", producer=simulated_producer(), serial="1")


@contextmanager
def rtsp_server(port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yields address and process of an RTSP camera; port 0 takes a free port."""
    script = Path(__file__).with_name("rtsp_server.py")
    environment = os.environ | {"PYTHONPATH": str(script.parents[2])}
    command = [sys.executable, str(script), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                pytest.skip("needs gst-rtsp-server: apt install gir1.2-gst-rtsp-server-1.0")
            yield url, process
        finally:
            process.kill()


def process_of(camera: IsolatedCamera) -> int:
    """Returns the process id of the camera."""
    assert camera._process is not None
    return camera._process._process.pid


WORKING: dict[str, Callable[[Path], AbstractContextManager[CameraConfig]]] = {
    "replay": replay,
    "opencv": opencv,
    "pyav": pyav,
    "gstreamer": gstreamer,
    "pylon": pylon,
    "aravis": aravis,
    "harvesters": harvesters,
}


def broken(kind: str, folder: Path) -> CameraConfig:
    """Returns a camera that does not exist."""
    nobody = "http://127.0.0.1:9/video"
    configs: dict[str, CameraConfig] = {
        "replay": ReplayConfig(kind="replay", path=folder / "missing"),
        "opencv": OpenCvConfig(kind="opencv", device=99),
        "pyav": PyAvConfig(kind="pyav", url=nobody),
        "gstreamer": GstreamerConfig(kind="gstreamer", pipeline="nosuchsrc ! videoconvert"),
        "pylon": PylonConfig(kind="pylon", serial="no such"),
        "aravis": AravisConfig(kind="aravis", camera="no such"),
        "harvesters": HarvestersConfig(kind="harvesters", producer=folder / "missing.cti"),
    }
    return configs[kind]

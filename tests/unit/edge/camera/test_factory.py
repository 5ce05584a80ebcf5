"""The camera of a line has the limits of its configuration."""

from pathlib import Path

import pytest

from edge.camera import PyAvConfig, ReplayConfig, camera_from_config
from edge.camera.faults import CameraLostError
from edge.camera.isolated import IsolatedCamera
from edge.camera.replay import ReplayCamera
from tests.doubles.cameras import require
from tests.doubles.mjpeg import mjpeg_camera


def test_a_recording_is_read_in_this_process(tmp_path: Path) -> None:
    camera = camera_from_config(ReplayConfig(kind="replay", path=tmp_path, rate_hz=2.0))
    assert isinstance(camera, ReplayCamera)
    assert not camera.waits


def read_for_ever(camera: IsolatedCamera) -> None:
    while True:
        camera.read(0.2)


def test_a_live_camera_keeps_its_limits_in_another_process() -> None:
    with mjpeg_camera() as server:
        config = PyAvConfig(
            kind="pyav", url=server.url, open_limit_s=4.0, hung_limit_s=6.0, silent_limit_s=0.5
        )
        require(config)
        camera = camera_from_config(config)
        assert isinstance(camera, IsolatedCamera)
        assert camera.open_limit_s == pytest.approx(30 + 4 + 2 * (6 + 2))
        camera.open()
        assert camera.read(5.0) is not None
        server.hang()
        message = r"hangs: no data for 0\.5 s|answers, runs free, and gave no frame for 0\.5 s"
        with pytest.raises(CameraLostError, match=message):
            read_for_ever(camera)
        camera.close()

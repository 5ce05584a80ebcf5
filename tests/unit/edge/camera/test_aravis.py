"""GigE Vision over loopback: Aravis' fake camera loses packets, hangs, dies."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.camera import AravisConfig
from edge.camera.aravis import AravisCamera
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
)
from edge.camera.genicam import TriggerSettings
from inspection.errors import FrameError
from tests.doubles.cameras import FakeGige, fake_gige, require

ROOT = Path(__file__).parents[4]
PATIENT_S = 10.0  # for a frame that comes


@pytest.fixture
def gige() -> Iterator[FakeGige]:
    with fake_gige() as camera:
        yield camera


def opened(config: AravisConfig) -> AravisCamera:
    camera = config.driver()
    assert isinstance(camera, AravisCamera)
    camera.open()
    return camera


def read_until_it_raises(camera: AravisCamera, limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        camera.read(0.2)


def test_discovery_names_the_camera(gige: FakeGige) -> None:
    (found,) = [one for one in AravisConfig.discover() if gige.serial in one.names]
    assert found.setting == f"camera: Aravis-Fake-{gige.serial}"
    assert "127.0.0.1" in found.names


def test_a_software_trigger_is_a_frame_and_none_is_none(gige: FakeGige) -> None:
    camera = opened(gige.config(trigger=TriggerSettings(source="Software")))
    for number in range(3):
        camera.trigger()
        frame = camera.read(PATIENT_S)
        assert frame is not None
        assert frame.sequence == number
    assert camera.read(0.2) is None
    camera.close()


def test_a_camera_without_trigger_is_not_lost(gige: FakeGige) -> None:
    camera = opened(gige.config(trigger=TriggerSettings(source="Software")))
    for _ in range(8):
        assert camera.read(0.2) is None
    camera.close()


def test_a_killed_camera_is_lost_and_comes_back(gige: FakeGige) -> None:
    camera = opened(gige.config())
    assert camera.read(PATIENT_S) is not None
    gige.end()
    with pytest.raises(CameraLostError, match=r"no longer answers|control was lost"):
        read_until_it_raises(camera, 9.0)
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < 10.0
    with pytest.raises(CameraNotFoundError):
        camera.open()
    with fake_gige() as other:
        again = opened(other.config())
        assert again.read(PATIENT_S) is not None
        again.close()


def test_a_hung_camera_is_lost(gige: FakeGige) -> None:
    camera = opened(gige.config())
    assert camera.read(PATIENT_S) is not None
    gige.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(CameraLostError, match=r"no longer answers|control was lost"):
            read_until_it_raises(camera, 9.0)
    finally:
        gige.process.send_signal(signal.SIGCONT)
    camera.close()


def test_lost_packets_are_partial_frames() -> None:
    with fake_gige("-r", "100") as lossy:
        config = lossy.config(width=512, height=512, trigger=TriggerSettings(source="Software"))
        camera = opened(config)
        errors = []
        for _ in range(10):
            camera.trigger()
            try:
                camera.read(PATIENT_S)
            except FrameError as error:
                errors.append(error)
        camera.close()
    assert len(errors) >= 5
    assert {type(error) for error in errors} == {PartialFrameError}
    assert re.search(r"not whole \((missing-packets|timeout)\); check cable", str(errors[0]))


def test_a_slow_reader_gets_new_frames(gige: FakeGige) -> None:
    camera = opened(gige.config())
    assert camera.read(PATIENT_S) is not None
    for _ in range(2):
        away_ns = time.monotonic_ns()
        time.sleep(1.0)  # 25 frames, and the 8 buffers are full after a third of it
        frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.captured_ns - away_ns > 600_000_000


KILLED = """
import sys
from edge.camera import AravisConfig, camera_from_config
camera = camera_from_config(AravisConfig.model_validate_json(sys.argv[1]))
camera.open()
print(camera.read(10) is not None, flush=True)
while True:
    camera.read(0.2)
"""


def test_a_killed_line_leaves_the_camera_free(gige: FakeGige) -> None:
    """The camera's process closes the camera; else it refuses others until its heartbeat ends."""
    command = [sys.executable, "-c", KILLED, gige.config().model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as line:
        assert line.stdout is not None
        assert line.stdout.readline() == "True\n"
        line.kill()
    until_s = time.monotonic() + 2.0  # the heartbeat is 3 s
    while True:
        try:
            camera = opened(gige.config())
        except CameraNotFoundError:
            assert time.monotonic() < until_s
            continue
        break
    camera.close()


def test_refused_settings_are_named(gige: FakeGige) -> None:
    config = gige.config(width=5000, pixel_format="Mono10", features={"Nope": 1})
    with pytest.raises(CameraSettingError, match=r"PixelFormat=Mono10 .*Width=5000 .*Nope=1"):
        opened(config)


def test_a_camera_that_another_holds_is_refused(gige: FakeGige) -> None:
    first = opened(gige.config())
    with pytest.raises(CameraNotFoundError, match="another program controls it"):
        opened(gige.config())
    assert first.read(PATIENT_S) is not None
    first.close()


def test_a_colour_format_comes_as_bgr(gige: FakeGige) -> None:
    camera = opened(gige.config(pixel_format="BayerRG8"))
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.image.shape == (64, 128, 3)


def test_a_missing_camera_is_named() -> None:
    config = AravisConfig(kind="aravis", camera="10.1.2.3")
    require(config)
    with pytest.raises(CameraNotFoundError, match=r"10\.1\.2\.3 was not found; there: "):
        opened(config)

"""OpenCV's captures, over a double of a V4L2 device."""

import re
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge.camera.base import Camera
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
    WrongFrameError,
)
from edge.camera.opencv import OpenCvCamera, OpenCvConfig
from inspection.images import Window


class FakeCapture:
    """A V4L2 device as OpenCV shows it: it accepts every setting and keeps its fixed values."""

    fixed: dict[int, float]
    image: np.ndarray[Any, Any]
    opens = True

    def __init__(self, name: str, backend: int, parameters: list[int]) -> None:
        assert backend == cv2.CAP_V4L2
        assert parameters == [cv2.CAP_PROP_READ_TIMEOUT_MSEC, 2000]
        self.values: dict[int, float] = dict(self.fixed)
        self.released = 0
        self.broken = False

    def isOpened(self) -> bool:
        return self.opens

    def set(self, number: int, value: float) -> bool:
        self.values.setdefault(number, value)
        return True

    def get(self, number: int) -> float:
        return self.values.get(number, 0.0)

    def read(self) -> tuple[bool, np.ndarray[Any, Any] | None]:
        time.sleep(0.005)
        if self.broken:
            return False, None
        return True, self.image

    def release(self) -> None:
        self.released += 1

    def getBackendName(self) -> str:
        return "V4L2"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    class Capture(FakeCapture):
        fixed: dict[int, float] = {}  # noqa: RUF012 - of this test alone
        image = np.zeros((48, 64, 3), np.uint8)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/dev/video0")
    return Capture


def camera_of(device: int | str, **settings: Any) -> OpenCvCamera:
    return OpenCvConfig(kind="opencv", device=device, **settings).driver()


def capture_of(camera: OpenCvCamera) -> Any:
    return camera._capture


def read_many(camera: Camera) -> None:
    for _ in range(50):
        camera.read(0.2)


def test_settings_go_in_and_are_read_back(device: type[FakeCapture]) -> None:
    camera = camera_of(0, width=64, fourcc="YUYV", exposure_us=2500.0, gain=3.0)
    camera.open()
    values = capture_of(camera).values
    camera.close()
    assert values[cv2.CAP_PROP_EXPOSURE] == 25.0
    assert values[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert values[cv2.CAP_PROP_GAIN] == 3.0
    assert values[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"YUYV")


def test_a_setting_that_the_device_refused_is_named(device: type[FakeCapture]) -> None:
    device.fixed = {
        cv2.CAP_PROP_FRAME_WIDTH: 640.0,
        cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"MJPG")),
    }
    camera = camera_of(0, width=1280, height=48, fourcc="YUYV")
    message = (
        r"/dev/video0: the device did not accept fourcc=YUYV \(it took MJPG\); "
        r"width=1280 \(it took 640\)\. 'v4l2-ctl"
    )
    with pytest.raises(CameraSettingError, match=message):
        camera.open()


def test_a_device_that_is_not_there(device: type[FakeCapture]) -> None:
    with pytest.raises(CameraNotFoundError, match="/dev/video7: no such device"):
        camera_of(7).open()


def test_a_device_that_cannot_be_opened(device: type[FakeCapture]) -> None:
    device.opens = False
    with pytest.raises(CameraNotFoundError, match="/dev/video0: OpenCV cannot open it; another"):
        camera_of(0).open()


def test_an_unplugged_device_is_lost(
    device: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = camera_of(0)
    camera.open()
    assert camera.read(1.0) is not None
    capture = capture_of(camera)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    capture.broken = True
    with pytest.raises(
        CameraLostError, match="/dev/video0: the device was unplugged; open the camera"
    ):
        read_many(camera)
    camera.close()
    assert capture.released == 1


def test_a_silent_device_is_lost(device: type[FakeCapture]) -> None:
    camera = camera_of(0)
    camera.open()
    capture_of(camera).broken = True
    with pytest.raises(CameraLostError, match="gave no frame for 2 s, or ended its stream"):
        read_many(camera)
    camera.close()


def test_another_size_is_refused(device: type[FakeCapture]) -> None:
    camera = camera_of(0)
    camera.open()
    device.image = np.zeros((24, 32, 3), np.uint8)
    with pytest.raises(WrongFrameError, match=r"a frame of \(24, 32, 3\), and it was opened with"):
        read_many(camera)
    camera.close()


def test_sixteen_bits_are_refused(device: type[FakeCapture]) -> None:
    device.image = np.zeros((24, 32), np.uint16)
    with pytest.raises(WrongFrameError, match="gives uint16 pixels; set fourcc to GREY"):
        camera_of(0).open()


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1)])
def test_deep_pixels_come_by_the_window(device: type[FakeCapture], shape: tuple[int, ...]) -> None:
    device.image = np.random.default_rng(1).integers(0, 4096, shape, dtype=np.uint16)
    window = Window(low=400, high=3200)
    camera = camera_of(0, fourcc="Y12 ", window=window)
    camera.open()
    assert capture_of(camera).values[cv2.CAP_PROP_CONVERT_RGB] == 0
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert np.array_equal(frame.image, window.apply(device.image.reshape(48, 64)))
    assert frame.window == window


def test_a_deep_format_of_8_bits_is_refused(device: type[FakeCapture]) -> None:
    with pytest.raises(WrongFrameError, match="gives uint8 pixels; set fourcc to a deep format"):
        camera_of(0, fourcc="Y16 ", window=Window(low=0, high=9)).open()


@pytest.mark.parametrize(
    ("fourcc", "window", "message"),
    [
        ("Y16 ", None, "window should be set with fourcc 'Y10 ', 'Y12 ', 'Y16 ', and with no"),
        ("GREY", Window(low=0, high=9), "window should be set with fourcc"),
        (None, Window(low=0, high=9), "window should be set with fourcc"),
        ("Y10 ", Window(low=0, high=1024), "window.high should be below 1024: the format has 10"),
    ],
)
def test_a_window_goes_with_a_deep_format(
    fourcc: str | None, window: Window | None, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        camera_of(0, fourcc=fourcc, window=window)


def test_grey_is_two_dimensional(device: type[FakeCapture]) -> None:
    device.image = np.zeros((48, 64, 1), np.uint8)
    camera = camera_of(0, fourcc="GREY")
    camera.open()
    assert capture_of(camera).values[cv2.CAP_PROP_CONVERT_RGB] == 0
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert frame.image.shape == (48, 64)


def test_a_frame_is_a_copy_of_what_opencv_keeps(device: type[FakeCapture]) -> None:
    camera = camera_of(0)
    camera.open()
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert not np.shares_memory(frame.image, device.image)


def test_discovery_leaves_out_devices_without_images(tmp_path: Path) -> None:
    for name, index in (("video0", "0"), ("video1", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text("Webcam C920\n")
        (tmp_path / name / "index").write_text(f"{index}\n")
    (found,) = OpenCvConfig.discover(tmp_path)
    assert (found.identity, found.model) == ("/dev/video0", "Webcam C920")
    assert found.setting == "device: /dev/video0"


def jpeg_of(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A JPEG as OpenCV hands over the bytes of a device."""
    return cv2.imencode(".jpg", image)[1].reshape(1, -1)


@pytest.fixture
def jpeg_device(device: type[FakeCapture]) -> type[FakeCapture]:
    device.fixed = {cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"MJPG"))}
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    device.image = jpeg_of(noise)
    return device


def test_a_jpeg_of_the_device_is_decoded_here(jpeg_device: type[FakeCapture]) -> None:
    expected = cv2.imdecode(jpeg_device.image, cv2.IMREAD_UNCHANGED)
    padded = np.pad(jpeg_device.image, ((0, 0), (0, 9)))
    jpeg_device.image = padded
    camera = camera_of(0)
    camera.open()
    assert capture_of(camera).values[cv2.CAP_PROP_CONVERT_RGB] == 0
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert expected is not None
    assert np.array_equal(frame.image, expected)


def test_half_a_jpeg_is_a_partial_frame(jpeg_device: type[FakeCapture]) -> None:
    whole = jpeg_device.image
    camera = camera_of(0)
    camera.open()
    jpeg_device.image = whole[:, : whole.shape[1] // 2]
    with pytest.raises(PartialFrameError, match="the device lost a part of the frame: check its"):
        read_many(camera)
    jpeg_device.image = whole
    camera.close()


def test_a_device_that_begins_with_a_part_of_a_frame_is_opened(
    jpeg_device: type[FakeCapture],
) -> None:
    whole, half = jpeg_device.image, jpeg_device.image[:, :100]
    images = iter([half, half])

    class Capture(jpeg_device):  # type: ignore[valid-type, misc] # a class of the fixture
        def read(self) -> tuple[bool, np.ndarray[Any, Any] | None]:
            return True, next(images, whole)

    cv2.VideoCapture = Capture  # type: ignore[misc] # the fixture of `device` puts it back
    camera = camera_of(0)
    camera.open()
    assert camera.read(1.0) is not None
    camera.close()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("rtsp://user:hunter2@192.168.0.90/stream1", "take kind: pyav, with the address as url"),
        ("http://192.168.0.90/video", "take kind: pyav, with the address as url"),
        ("udp://@239.0.0.1:1234", "take kind: pyav, with the address as url"),
        ("parts.mp4", "a video file is of kind: replay"),
        ("v4l2src ! appsink", "should be the number of /dev/videoN or a path in /dev"),
    ],
)
def test_only_devices_are_taken(device: str, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)) as caught:
        camera_of(device)
    assert "hunter2" not in str(caught.value)

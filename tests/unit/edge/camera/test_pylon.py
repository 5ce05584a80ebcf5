"""Basler cameras, on pylon's own emulator with its imposed faults."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera import PylonConfig
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    MissingFrameError,
    PartialFrameError,
    WrongFrameError,
)
from edge.camera.genicam import TriggerSettings
from edge.camera.pylon import PylonCamera
from inspection.errors import CameraError
from inspection.images import Window, encode_png
from tests.doubles.cameras import SMALL, require

PATIENT_S = 10.0  # for what comes, on a machine that is busy
SOFTWARE = TriggerSettings(source="Software")


def opened(*, window: Window | None = None, **changes: Any) -> PylonCamera:
    config = PylonConfig(kind="pylon", settings=SMALL.model_copy(update=changes), window=window)
    require(config)
    camera = config.driver()
    assert isinstance(camera, PylonCamera)
    camera.open()
    return camera


@pytest.fixture
def triggered() -> Iterator[PylonCamera]:
    camera = opened(trigger=SOFTWARE)
    yield camera
    camera.close()


def sdk(camera: PylonCamera) -> Any:
    """The InstantCamera inside."""
    return camera._camera


def test_no_trigger_gives_no_frame_and_no_error(triggered: PylonCamera) -> None:
    started = time.monotonic()
    assert triggered.read(0.1) is None
    assert 0.09 < time.monotonic() - started < PATIENT_S


def test_each_software_trigger_is_a_frame(triggered: PylonCamera) -> None:
    for number in range(5):
        triggered.trigger()
        frame = triggered.read(PATIENT_S)
        assert frame is not None
        assert frame.sequence == number
        assert frame.image.shape == (64, 128)
    assert triggered.read(0.05) is None


def test_triggered_frames_wait_for_the_reader_in_order(triggered: PylonCamera) -> None:
    for _ in range(3):
        triggered.trigger()
        time.sleep(0.03)
    frames = [triggered.read(PATIENT_S) for _ in range(3)]
    assert [frame.sequence for frame in frames if frame] == [0, 1, 2]


def test_a_failed_buffer_is_a_partial_frame(triggered: PylonCamera) -> None:
    sdk(triggered).ForceFailedBufferCount.Value = 1
    sdk(triggered).ForceFailedBuffer.Execute()
    triggered.trigger()
    with pytest.raises(PartialFrameError, match=r"pylon 0815-0000: the frame is not whole: .*0x"):
        triggered.read(PATIENT_S)
    triggered.trigger()
    assert triggered.read(PATIENT_S) is not None


def test_an_sdk_that_raises_is_a_lost_camera(triggered: PylonCamera) -> None:
    sdk(triggered).GetStreamGrabberNodeMap().GetNode("ImposedError").SetValue("unplugged")
    triggered.trigger()
    with pytest.raises(
        CameraLostError, match=r"pylon 0815-0000: lost \(.*\); open the camera again"
    ):
        read_some(triggered)
    triggered.open()
    triggered.trigger()
    assert triggered.read(PATIENT_S) is not None


def read_some(camera: PylonCamera) -> None:
    for _ in range(10):
        camera.read(0.2)


def test_a_detached_camera_is_lost(triggered: PylonCamera) -> None:
    sdk(triggered).DetachDevice()
    with pytest.raises(CameraLostError, match="stopped by itself; open the camera again"):
        triggered.read(0.2)


def test_deep_bayer_comes_as_bgr() -> None:
    camera = opened(pixel_format="BayerRG12", window=Window(low=0, high=4095))
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.image.shape == (64, 128, 3)


@pytest.mark.parametrize("pixel_format", ["Mono12", "Mono16"])
def test_deep_pixels_are_those_of_a_16_bit_file(pixel_format: str, tmp_path: Path) -> None:
    """The emulator shows 16-bit files; a format of 12 bits gets the top ones."""
    numbers = np.random.default_rng(1).integers(0, 4096, (64, 128), dtype=np.uint16)
    path, window = tmp_path / "deep.png", Window(low=400, high=3200)
    path.write_bytes(encode_png(numbers << 4 if pixel_format == "Mono12" else numbers))
    features = {"TestImageSelector": "Off", "ImageFilename": str(path), "ImageFileMode": "On"}
    camera = opened(pixel_format=pixel_format, features=features, window=window)
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert np.array_equal(frame.image, window.apply(numbers))
    assert frame.window == window


@pytest.mark.parametrize(
    ("pixel_format", "window", "problem"),
    [
        ("Mono12", None, "Mono12 has values from 0 to 4095 and a model takes 8 bits: set window"),
        ("Mono8", Window(low=1, high=9), "Mono8 has 8 bits, which take no window"),
        ("Mono10", Window(low=1, high=1024), "leaves the values of Mono10, 0 to 1023"),
    ],
)
def test_a_window_that_does_not_fit_the_camera_is_refused_at_open(
    pixel_format: str, window: Window | None, problem: str
) -> None:
    with pytest.raises(CameraSettingError, match=f"pylon 0815-0000: .*{problem}"):
        opened(pixel_format=pixel_format, window=window)


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    path.write_bytes(encode_png(np.full((20, 30), 9, np.uint8)))
    features = {"TestImageSelector": "Off", "ImageFilename": str(path), "ImageFileMode": "On"}
    camera = opened(features=features)
    with pytest.raises(WrongFrameError, match="a frame of 30x20, and the camera is set to 128x64"):
        camera.read(PATIENT_S)
    camera.close()


def test_a_format_without_conversion_is_refused_at_open() -> None:
    with pytest.raises(CameraSettingError, match="pixel format RGB16Packed cannot be converted"):
        opened(pixel_format="RGB16Packed")


def test_refused_settings_are_named() -> None:
    with pytest.raises(CameraSettingError, match=r"Width=9000 \(.*4096.*\); TriggerSource=Line77"):
        opened(width=9000, trigger=TriggerSettings(source="Line77"))


def test_a_wrong_serial_number_names_those_there_are() -> None:
    config = PylonConfig(kind="pylon", serial="4711")
    require(config)
    with pytest.raises(CameraNotFoundError, match=r"4711 was not found; there: 0815-0000 \("):
        config.driver().open()


def test_free_running_a_slow_reader_gets_the_newest_frame_alone() -> None:
    camera = opened(exposure_us=1000.0, frame_rate_hz=20.0)
    assert camera.read(PATIENT_S) is not None
    time.sleep(0.5)  # ten frames, and there are eight buffers
    waited = 0
    while camera.read(0.0) is not None:
        waited += 1
    camera.close()
    assert 1 <= waited < 5  # some may come meanwhile


def test_discovery_finds_the_emulator() -> None:
    require(PylonConfig(kind="pylon"))
    found = PylonConfig.discover()
    assert [(one.identity, one.setting) for one in found] == [("0815-0000", "serial: '0815-0000'")]


def test_settings_are_read_back_by_name() -> None:
    camera = opened(exposure_us=2500.0, user_set="Default")
    described = camera.describe()
    camera.close()
    assert described["ExposureTime"] == 2500.0
    assert described["TriggerMode"] == "Off"


class Result:
    """A good buffer of the SDK."""

    def __init__(self, block_id: int, stride: tuple[bool, int] = (True, 128)) -> None:
        self._block_id = block_id
        self._stride = stride
        self.row_bytes = stride[1] if stride[0] else 128

    def IsValid(self) -> bool:
        return True

    def GrabSucceeded(self) -> bool:
        return True

    def GetBlockID(self) -> int:
        return self._block_id

    def GetStride(self) -> tuple[bool, int]:
        return self._stride

    def GetImageMemoryView(self) -> memoryview:
        rows = np.zeros((64, self.row_bytes), np.uint8)
        rows[:, :128] = np.arange(128)
        return memoryview(rows.tobytes())

    def GetPixelType(self) -> int:
        return 1

    def GetWidth(self) -> int:
        return 128

    def GetHeight(self) -> int:
        return 64

    def GetTimeStamp(self) -> int:
        return 0

    def Release(self) -> None:
        pass


class Nothing(Result):
    def IsValid(self) -> bool:
        return False


class InstantCamera:
    """Stands in for the SDK's camera and gives the results of a test."""

    def __init__(self, *results: Result, is_removed: bool = False, is_ready: bool = True) -> None:
        self._results = list(results)
        self._is_removed = is_removed
        self._is_ready = is_ready

    def RetrieveResult(self, _timeout_ms: int, _handling: object) -> Result:
        return self._results.pop(0)

    def IsCameraDeviceRemoved(self) -> bool:
        return self._is_removed

    def IsGrabbing(self) -> bool:
        return True

    def CanWaitForFrameTriggerReady(self) -> bool:
        return True

    def WaitForFrameTriggerReady(self, _timeout_ms: int, _handling: object) -> bool:
        return self._is_ready


def test_a_buffer_without_a_number_is_the_next_one(
    triggered: PylonCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_number = 2**64 - 1
    instant = InstantCamera(*map(Result, (1, no_number, 4)))
    monkeypatch.setattr(triggered, "_camera", instant)
    frames = [triggered.read(0.1) for _ in range(2)]
    with pytest.raises(MissingFrameError, match="pylon 0815-0000: frame 3 never came"):
        triggered.read(0.1)
    frames.append(triggered.read(0.1))
    monkeypatch.undo()
    assert [frame.sequence for frame in frames if frame] == [0, 1, 3]


@pytest.mark.parametrize("stride", [(True, 160), (False, 0)])
def test_rows_with_padding_are_right(
    triggered: PylonCamera, stride: tuple[bool, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggered, "_camera", InstantCamera(Result(1, stride)))
    frame = triggered.read(0.1)
    monkeypatch.undo()
    assert frame is not None
    assert np.array_equal(frame.image, np.tile(np.arange(128, dtype=np.uint8), (64, 1)))


def test_an_unplugged_camera_is_lost(
    triggered: PylonCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggered, "_camera", InstantCamera(Nothing(0), is_removed=True))
    with pytest.raises(CameraLostError, match="pylon 0815-0000: unplugged or without power; open"):
        triggered.read(0.1)
    monkeypatch.undo()


def test_a_camera_that_is_not_ready_refuses_a_trigger(
    triggered: PylonCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggered, "_camera", InstantCamera(is_ready=False))
    with pytest.raises(CameraError, match="pylon 0815-0000: not ready for a trigger in 1 s"):
        triggered.trigger()
    monkeypatch.undo()

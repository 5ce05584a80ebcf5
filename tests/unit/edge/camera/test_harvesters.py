"""GenTL cameras, on the simulated producer of the package genicam."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edge.camera import HarvestersConfig
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
)
from edge.camera.genicam import GenicamSettings
from edge.camera.harvesters import HarvestersCamera
from tests.doubles.cameras import simulated_producer

PATIENT_S = 10.0  # for what comes, on a machine that is busy


def opened(**settings: Any) -> HarvestersCamera:
    config = HarvestersConfig(
        kind="harvesters",
        producer=simulated_producer(),
        serial="VikyTL_DEV_green",
        settings=GenicamSettings(**settings),
    )
    camera = config.driver()
    assert isinstance(camera, HarvestersCamera)
    camera.open()
    return camera


def acquirer(camera: HarvestersCamera) -> Any:
    return camera._acquirer


def test_frames_of_the_producer() -> None:
    camera = opened(pixel_format="Mono8")
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.image.shape == (400, 400)
    assert frame.source == "harvesters 1"


def test_a_slow_reader_gets_new_frames() -> None:
    camera = opened()
    assert camera.read(PATIENT_S) is not None
    time.sleep(0.4)
    camera.read(PATIENT_S)
    started_ns = time.monotonic_ns()
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.captured_ns > started_ns - 200_000_000


def test_no_frame_is_not_an_error() -> None:
    camera = opened()
    acquirer(camera).remote_device.node_map.AcquisitionStop.execute()
    for _ in range(6):
        camera.read(0.1)
    started = time.monotonic()
    assert camera.read(0.2) is None
    assert 0.15 < time.monotonic() - started < PATIENT_S
    camera.close()


def test_an_incomplete_buffer_is_a_partial_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = opened()
    inner = acquirer(camera)

    def discard(**_: object) -> None:
        inner._emit_callbacks(inner.Events.INCOMPLETE_BUFFER)

    monkeypatch.setattr(inner, "try_fetch", discard)
    with pytest.raises(PartialFrameError, match="harvesters 1: the frame is not whole"):
        camera.read(PATIENT_S)
    monkeypatch.undo()
    assert camera.read(PATIENT_S) is not None
    camera.close()


def test_a_producer_that_fails_is_a_lost_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    gentl = pytest.importorskip("genicam.gentl")
    camera = opened()

    def fail(**_: object) -> None:
        raise gentl.IoException("the device was removed")

    monkeypatch.setattr(acquirer(camera), "try_fetch", fail)
    with pytest.raises(CameraLostError, match=r"lost \(.*removed.*\); open the camera again"):
        camera.read(PATIENT_S)
    camera.close()


def test_refused_settings_are_named() -> None:
    message = r"did not accept PixelFormat=Mono99 \(.*\); ExposureTime=5.0 \(the camera has no such"
    with pytest.raises(CameraSettingError, match=message):
        opened(pixel_format="Mono99", exposure_us=5)


def test_several_cameras_need_a_name() -> None:
    config = HarvestersConfig(kind="harvesters", producer=simulated_producer())
    with pytest.raises(
        CameraNotFoundError, match="3 cameras fit; name one of them in the configuration"
    ):
        config.driver().open()


@pytest.mark.parametrize(("content", "what"), [(None, "no such file"), ("text", "too short")])
def test_a_producer_that_cannot_be_loaded_is_named(
    tmp_path: Path, content: str | None, what: str
) -> None:
    simulated_producer()
    path = tmp_path / "maker.cti"
    if content:
        path.write_text(content)
    config = HarvestersConfig(kind="harvesters", producer=path)
    with pytest.raises(CameraNotFoundError, match=rf"maker\.cti cannot be loaded \(.*{what}"):
        config.driver().open()


def test_discovery_looks_where_producers_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(simulated_producer().parent))
    assert [found.identity for found in HarvestersConfig.discover()] == ["0", "1", "2"]


def test_a_missing_producer_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulated_producer()
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    with pytest.raises(CameraNotFoundError, match=r"no \.cti file in the folders of GENICAM_"):
        HarvestersConfig.discover()


class Buffer:
    """A whole buffer of one grey level."""

    image_offset = 16
    pixel_format = 0x01080001
    width = height = 400
    timestamp_ns = 0

    def __init__(self, parent: Acquirer, level: int) -> None:
        self.parent = parent
        self.frame_id = level
        self.raw_buffer = bytes(16) + bytes([level]) * (400 * 400)


class Acquirer:
    """Has waiting frames, and one more that arrives when the others are taken."""

    num_buffers = 4

    def __init__(self, waiting: int) -> None:
        self.data_streams = [self]
        self.given_back: list[int] = []
        self._waiting = [Buffer(self, level) for level in range(1, waiting + 1)]
        self._coming = [Buffer(self, waiting + 1)]

    @property
    def num_awaiting_delivery(self) -> int:
        return len(self._waiting)

    def try_fetch(self, timeout: float, is_raw: bool) -> Buffer:
        return (self._waiting or self._coming).pop(0)

    def queue_buffer(self, buffer: Buffer) -> None:
        self.given_back.append(buffer.frame_id)


@pytest.mark.parametrize(
    ("waiting", "in_order", "levels"),
    [
        (3, False, [4]),  # the buffers are full: what fills them is old
        (2, False, [2]),
        (3, True, [1, 2, 3, 4]),  # each is a part
    ],
)
def test_of_frames_that_waited_each_part_comes_or_only_the_newest(
    monkeypatch: pytest.MonkeyPatch, waiting: int, in_order: bool, levels: list[int]
) -> None:
    camera = opened(pixel_format="Mono8")
    instead = Acquirer(waiting)
    monkeypatch.setattr(camera, "_acquirer", instead)
    assert camera._acquisition is not None
    monkeypatch.setattr(camera._acquisition, "in_order", in_order)
    frames = [camera.read(0.1) for _ in levels]
    monkeypatch.undo()
    camera.close()
    assert [int(frame.image.max()) for frame in frames if frame] == levels
    assert [int(frame.image.min()) for frame in frames if frame] == levels
    assert instead.given_back == list(range(1, levels[-1] + 1))

"""GenICam cameras: buffers to frames, their order, gaps, other sizes and formats, age."""

from __future__ import annotations

import weakref
from typing import Literal

import numpy as np
import pytest

from edge.camera.faults import (
    CameraSettingError,
    MissingFrameError,
    PartialFrameError,
    StaleFrameError,
    WrongFrameError,
)
from edge.camera.genicam import GenicamSettings, TriggerSettings, Value
from edge.camera.genicam_camera import (
    Acquired,
    Acquisition,
    BlockCounter,
    GenicamCamera,
    GenicamConfig,
)
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError


class Tree:
    """The features that an acquisition asks for."""

    def __init__(self, trigger: str, pixel_format: str = "Mono8") -> None:
        self.values: dict[str, Value] = {
            "TriggerMode": trigger,
            "TriggerSource": "Line1",
            "PixelFormat": pixel_format,
            "Width": 4,
            "Height": 2,
        }

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Value:
        return self.values[name]

    def set(self, name: str, value: Value) -> None:
        self.values[name] = value

    def execute(self, name: str) -> None:
        raise NotImplementedError


def buffer(block_id: int, *, width: int = 4, code: int = 1, stamp_ns: int = 0) -> Acquired:
    raw = np.full(width * 2, block_id % 256, np.uint8)
    return Acquired(raw, code, width, 2, 0, block_id, stamp_ns)


def triggered() -> Acquisition:
    return Acquisition("cam", Tree("On"), None)


def taken(acquisition: Acquisition) -> list[object]:
    """Sequence numbers of the frames, and types of the errors."""
    found: list[object] = []
    while True:
        try:
            frame = acquisition.take()
        except FrameError as error:
            found.append(type(error))
            continue
        if frame is None:
            return found
        found.append(frame.sequence)


def test_triggered_frames_come_all_and_in_order() -> None:
    acquisition = triggered()
    for block_id in (1, 2, 3):
        acquisition.put(buffer(block_id))
    assert taken(acquisition) == [0, 1, 2]


def test_free_running_the_newest_comes() -> None:
    acquisition = Acquisition("cam", Tree("Off"), None)
    for block_id in (1, 2, 7):
        acquisition.put(buffer(block_id))
    frame = acquisition.take()
    assert frame is not None
    assert frame.image[0, 0] == 7
    assert acquisition.take() is None


def test_each_missing_part_is_an_error_in_its_place() -> None:
    acquisition = triggered()
    acquisition.put(buffer(1))
    acquisition.put(buffer(4))
    assert taken(acquisition) == [0, MissingFrameError, MissingFrameError, 3]


def test_a_partial_frame_is_not_missing_too() -> None:
    acquisition = triggered()
    acquisition.put(buffer(1))
    acquisition.put_failed(PartialFrameError("half"), 2)
    acquisition.put(buffer(3))
    assert taken(acquisition) == [0, PartialFrameError, 2]


def test_a_failed_frame_without_number_is_not_missing_too() -> None:
    acquisition = triggered()
    acquisition.put(buffer(1))
    acquisition.put_failed(PartialFrameError("half"))
    acquisition.put(buffer(3))
    assert taken(acquisition) == [0, PartialFrameError, 2]


def test_another_size_is_refused_and_the_camera_goes_on() -> None:
    acquisition = triggered()
    acquisition.put(buffer(1, width=6))
    with pytest.raises(WrongFrameError, match="cam: a frame of 6x2, and the camera is set to 4x2"):
        acquisition.take()
    acquisition.put(buffer(2))
    assert taken(acquisition) == [1]


def test_another_pixel_format_is_refused() -> None:
    acquisition = triggered()
    acquisition.put(buffer(1))
    acquisition.put(buffer(2, code=0x01100003))
    assert acquisition.take() is not None
    with pytest.raises(WrongFrameError, match=r"another pixel format than Mono8 \(0x01100003\)"):
        acquisition.take()


def test_a_late_frame_is_stale_and_captured_earlier() -> None:
    now = [1_000_000_000]
    acquisition = Acquisition("cam", Tree("On"), 200, clock_ns=lambda: now[0])
    acquisition.put(buffer(1, stamp_ns=500_000_000))
    now[0] += 150_000_000  # 50 ms after the camera stamped it
    acquisition.put(buffer(2, stamp_ns=600_000_000))
    now[0] += 400_000_000
    acquisition.put(buffer(3, stamp_ns=700_000_000))
    assert acquisition.take() is not None
    frame = acquisition.take()
    assert isinstance(frame, Frame)
    assert 1_150_000_000 - frame.captured_ns == pytest.approx(50_000_000, rel=0.01)
    with pytest.raises(StaleFrameError, match="cam: the frame is 350 ms late"):
        acquisition.take()


def test_frames_of_a_camera_without_a_clock_are_never_late() -> None:
    now = [1_000_000_000]
    acquisition = Acquisition("cam", Tree("On"), 200, clock_ns=lambda: now[0])
    for block_id in (1, 2):
        acquisition.put(buffer(block_id))
        now[0] += 10_000_000_000
    assert taken(acquisition) == [0, 1]


def test_rows_with_padding_are_passed_on() -> None:
    acquisition = triggered()
    rows = np.arange(12, dtype=np.uint8).reshape(2, 6)
    acquisition.put(Acquired(rows.ravel(), 1, 4, 2, 6, 1, 0))
    frame = acquisition.take()
    assert frame is not None
    assert np.array_equal(frame.image, rows[:, :4])


def test_an_error_that_waits_keeps_no_buffer() -> None:
    acquisition = triggered()
    bad = buffer(1, width=6)
    memory = weakref.ref(bad.raw)
    acquisition.put(bad)
    del bad
    assert memory() is None
    assert taken(acquisition) == [WrongFrameError]


def test_a_format_that_cannot_be_converted_is_refused_at_once() -> None:
    with pytest.raises(CameraSettingError, match="cam: pixel format RGB16 cannot be converted"):
        Acquisition("cam", Tree("On", "RGB16"), None)


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        ([1, 2, 3], [0, 0, 0]),
        ([5, 8], [0, 2]),
        ([65534, 65535, 1, 2], [0, 0, 0, 0]),  # GigE Vision 1.x has no 0
        ([65533, 65535, 2], [0, 1, 1]),
        ([900, 1], [0, 0]),  # the camera counts anew
        ([65535, 65536, 65538], [0, 0, 1]),  # 64-bit ids
        ([7, 7], [0, 0]),
        ([1, 1002], [0, 1000]),
        ([1, 1003], [0, 0]),
    ],
)
def test_gaps_in_the_count_of_the_camera(ids: list[int], missing: list[int]) -> None:
    counter = BlockCounter()
    assert [counter.missing_before(number) for number in ids] == missing


def test_each_missing_frame_is_an_error() -> None:
    counter = BlockCounter()
    assert list(counter.errors_before(10, "cam 1")) == []
    messages = [str(error) for error in counter.errors_before(13, "cam 1")]
    assert [message.partition(";")[0] for message in messages] == [
        "cam 1: frame 11 never came",
        "cam 1: frame 12 never came",
    ]


class FakeConfig(GenicamConfig):
    kind: Literal["fake"] = "fake"

    def driver(self) -> FakeCamera:
        return FakeCamera(self)


FREE = FakeConfig()
TRIGGERED = FakeConfig(settings=GenicamSettings(trigger=TriggerSettings(source="Software")))


class FakeCamera(GenicamCamera):
    """Gives two buffers at the first fetch, and none later."""

    def __init__(self, config: FakeConfig) -> None:
        super().__init__("cam", (OSError,), config)
        self.fetches = 0

    def _connect(self) -> Tree:
        return Tree("Off")

    def _start(self, acquisition: Acquisition) -> None:
        pass

    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        self.fetches += 1
        acquisition.put(buffer(1))
        acquisition.put(buffer(2))

    def _disconnect(self) -> None:
        pass


def test_a_frame_that_waits_is_read_without_another_fetch() -> None:
    camera = TRIGGERED.driver()
    camera.open()
    frames = [camera.read(1.0), camera.read(1.0)]
    assert [frame.sequence for frame in frames if frame] == [0, 1]
    assert camera.fetches == 1


@pytest.mark.parametrize(("config", "runs_free"), [(TRIGGERED, False), (FREE, True)])
def test_only_an_open_camera_without_trigger_runs_free(config: FakeConfig, runs_free: bool) -> None:
    camera = config.driver()
    assert not camera.runs_free
    camera.open()
    assert camera.runs_free == runs_free
    camera.close()
    assert not camera.runs_free


def test_a_closed_camera_is_not_open() -> None:
    camera = TRIGGERED.driver()
    camera.open()
    camera.close()
    for call in (lambda: camera.read(0.0), camera.describe, camera.trigger):
        with pytest.raises(CameraError, match="cam: the camera is not open"):
            call()

"""Buffers of GenICam cameras to frames: order, gaps, other sizes and formats, age."""

import numpy as np
import pytest

from edge.camera.faults import (
    CameraSettingError,
    MissingFrameError,
    PartialFrameError,
    StaleFrameError,
    WrongFrameError,
)
from edge.camera.genicam import Value
from edge.camera.genicam_camera import Acquired, Acquisition, BlockCounter
from edge.part.frame import Frame
from inspection.errors import FrameError


class Tree:
    """The features that an acquisition asks for."""

    def __init__(self, trigger: str, pixel_format: str = "Mono8") -> None:
        self.values: dict[str, Value] = {
            "TriggerMode": trigger,
            "PixelFormat": pixel_format,
            "Width": 4,
            "Height": 2,
        }

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Value:
        return self.values[name]

    def set(self, name: str, value: Value) -> None:
        raise NotImplementedError

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


def test_a_format_that_cannot_be_converted_is_refused_at_once() -> None:
    with pytest.raises(CameraSettingError, match="cam: PixelFormat RGB16 cannot be converted"):
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
        ([1, 65000], [0, 0]),
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

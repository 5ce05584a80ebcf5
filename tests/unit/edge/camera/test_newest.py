"""The newest frame of a stream, and how far a stream lags."""

import queue
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge.camera.faults import CameraLostError, PartialFrameError
from edge.camera.newest import NewestFrame, StreamClock
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from tests.doubles.waiting import wait_for

SECOND = 1_000_000_000
GENEROUS_S = 20.0


class Stream:
    """Gives the frames and errors that a test puts in."""

    def __init__(self) -> None:
        self.items: queue.Queue[Frame | Exception] = queue.Queue()
        self._asked = 0
        self._given = 0

    @property
    def is_settled(self) -> bool:
        """Whether the reader has noted all items, and asks for the next."""
        return self.items.empty() and self._asked > self._given

    def put(self, value: int) -> None:
        self.items.put(Frame(np.full((2, 2), value, np.uint8), value, 0, "cam"))

    def __call__(self) -> Frame:
        self._asked += 1
        item = self.items.get(timeout=GENEROUS_S)
        self._given += 1
        if isinstance(item, Exception):
            raise item
        return item


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def newest(stream: Stream) -> Iterator[NewestFrame]:
    reader = NewestFrame(stream, "cam")
    yield reader
    stream.items.put(CameraError("the end of the test"))
    assert reader.stop(GENEROUS_S)


def test_older_frames_give_way(stream: Stream, newest: NewestFrame) -> None:
    for value in range(5):
        stream.put(value)
    wait_for(lambda: stream.is_settled)
    frame = newest.take(GENEROUS_S)
    assert frame is not None
    assert (frame.captured_ns, frame.sequence) == (4, 0)
    stream.put(9)
    frame = newest.take(GENEROUS_S)
    assert frame is not None
    assert (frame.captured_ns, frame.sequence) == (9, 1)


def test_a_frame_is_given_once(stream: Stream, newest: NewestFrame) -> None:
    stream.put(1)
    assert newest.take(GENEROUS_S) is not None
    started = time.monotonic()
    assert newest.take(0.05) is None
    assert 0.045 < time.monotonic() - started < GENEROUS_S


def test_a_bad_frame_is_raised_once_and_the_stream_goes_on(
    stream: Stream, newest: NewestFrame
) -> None:
    stream.items.put(PartialFrameError("half"))
    with pytest.raises(FrameError, match="half"):
        newest.take(GENEROUS_S)
    stream.put(2)
    assert newest.take(GENEROUS_S) is not None


def test_the_end_stays_the_end(stream: Stream, newest: NewestFrame) -> None:
    stream.put(1)
    stream.items.put(CameraLostError("gone"))
    wait_for(lambda: newest._ended)
    assert newest.take(GENEROUS_S) is not None
    for _ in range(2):
        with pytest.raises(CameraLostError, match="gone"):
            newest.take(GENEROUS_S)


def test_a_fault_of_the_sdk_is_a_lost_camera(stream: Stream, newest: NewestFrame) -> None:
    stream.items.put(OSError(5, "Input/output error"))
    with pytest.raises(CameraLostError, match="cam: the stream failed: OSError"):
        newest.take(GENEROUS_S)


def test_a_thread_that_hangs_is_reported() -> None:
    go_on = threading.Event()

    def hang() -> Frame:
        assert go_on.wait(2 * GENEROUS_S)
        return Frame(np.zeros((1, 1), np.uint8), 0, 0, "cam")

    reader = NewestFrame(hang, "cam")
    started = time.monotonic()
    assert not reader.stop(0.05)
    assert time.monotonic() - started < GENEROUS_S
    go_on.set()
    assert reader.stop(GENEROUS_S)


def test_lag_is_measured_against_the_least_delay() -> None:
    now = [0]
    clock = StreamClock(lambda: now[0])
    lags = []
    for stamp_s, arrives_s in ((0, 100.0), (1, 101.0), (2, 102.5), (3, 103.0), (4, 103.9)):
        now[0] = round(arrives_s * SECOND)
        lags.append(clock.lag_ns(stamp_s * SECOND) / SECOND)
    assert lags == pytest.approx([0, 0, 0.5, 0, 0], abs=0.002)


def test_a_sender_whose_clock_is_slow_does_not_lag() -> None:
    now = [0]
    clock = StreamClock(lambda: now[0])
    for second in range(0, 86_400, 60):
        now[0] = second * SECOND
        lag_ns = clock.lag_ns(round(second * SECOND * (1 - 100e-6)))
    assert lag_ns < 1_000_000


def test_a_queue_that_grows_lags() -> None:
    now = [0]
    clock = StreamClock(lambda: now[0])
    for frame in range(100):
        now[0] = round(frame * 0.05 * SECOND)
        lag_ns = clock.lag_ns(round(frame * 0.04 * SECOND))
    assert lag_ns == pytest.approx(0.99 * SECOND, rel=0.01)


def test_a_clock_that_is_set_back_begins_the_measurement_anew() -> None:
    now = [100 * SECOND]
    clock = StreamClock(lambda: now[0])
    lags = []
    for stamp_s in (0.0, 0.1, 0.2, -1.7, -1.6, -1.5, 5.0, 5.1, 3.0, 3.1):
        lags.append(clock.lag_ns(round((10 + stamp_s) * SECOND)) / SECOND)
        now[0] += SECOND // 10
    assert lags == pytest.approx([0] * 10, abs=0.001)


def test_a_stream_that_lags_does_so_when_its_clock_is_set_forward() -> None:
    now = [0]
    clock = StreamClock(lambda: now[0])
    lags = []
    for arrives_s, stamp_s in ((0.0, 9.0), (0.1, 9.1), (0.6, 9.2), (0.7, 99.3), (0.75, 99.4)):
        now[0] = round(arrives_s * SECOND)
        lags.append(clock.lag_ns(round(stamp_s * SECOND)) / SECOND)
    assert lags == pytest.approx([0, 0, 0.4, 0.4, 0.35], abs=0.001)
    now[0] = round(1.8 * SECOND)  # the frames that wait have arrived
    assert clock.lag_ns(round(100.8 * SECOND)) == pytest.approx(0, abs=SECOND / 1000)


def test_a_stream_that_lags_does_so_when_its_clock_is_set_back() -> None:
    now = [0]
    clock = StreamClock(lambda: now[0])
    lags = []
    for arrives_s, stamp_s in ((0.0, 9.0), (0.1, 9.1), (2.2, 9.2), (2.3, 9.0), (2.4, 9.1)):
        now[0] = round(arrives_s * SECOND)
        lags.append(clock.lag_ns(round(stamp_s * SECOND)) / SECOND)
    now[0] = round(2.4 * SECOND)  # the frames that wait have arrived
    lags.append(clock.lag_ns(round(11.1 * SECOND)) / SECOND)
    assert lags == pytest.approx([0, 0, 2, 2, 2, 0], abs=0.001)

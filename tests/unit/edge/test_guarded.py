"""Time limits around a camera: hung calls are told by name, and close always returns."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from edge.camera.base import Frame
from edge.camera.faults import CameraHungError, CameraLostError
from edge.camera.guarded import GuardedCamera
from edge.errors import CameraError, FrameError

IMAGE = np.zeros((2, 2), np.uint8)


class FakeCamera:
    """Does in each call what a test puts there."""

    waits = False

    def __init__(self) -> None:
        self.on_open: Callable[[], None] = lambda: None
        self.on_read: Callable[[float], Frame | None] = lambda _: Frame(IMAGE, 0, 0, "cam")
        self.on_close: Callable[[], None] = lambda: None
        self.threads: set[str] = set()
        self.triggered = 0

    def open(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.on_open()

    def read(self, timeout_s: float) -> Frame | None:
        self.threads.add(threading.current_thread().name)
        return self.on_read(timeout_s)

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.on_close()

    def describe(self) -> Mapping[str, object]:
        return {"Width": 2}

    def trigger(self) -> None:
        self.triggered += 1


class NoTrigger:
    """A camera without software trigger."""

    waits = False

    def open(self) -> None:
        return

    def close(self) -> None:
        return

    def read(self, timeout_s: float) -> Frame | None:
        return None

    def describe(self) -> Mapping[str, object]:
        return {}


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a hung SDK waits for; set at the end, so that the thread ends."""
    event = threading.Event()
    yield event
    event.set()


def guarded(inner: FakeCamera | NoTrigger) -> GuardedCamera:
    return GuardedCamera(inner, name="camera 'fake'", open_limit_s=0.2, hung_limit_s=0.1)


def read_until_it_raises(camera: GuardedCamera) -> None:
    for _ in range(20):
        assert camera.read(0.05) is None


def test_all_calls_come_from_one_thread() -> None:
    inner = FakeCamera()
    camera = guarded(inner)
    camera.open()
    assert camera.read(0.5) is not None
    camera.close()
    assert inner.threads == {"camera 'fake' sdk"}


def test_hung_open_is_told_and_ends_the_camera(stuck: threading.Event) -> None:
    inner = FakeCamera()
    inner.on_open = lambda: (stuck.wait(), None)[1]
    camera = guarded(inner)
    message = "camera 'fake': the camera's SDK hangs in open, no answer for 0.2 s; end this process"
    with pytest.raises(CameraHungError, match=message):
        camera.open()
    started = time.monotonic()
    for call in (camera.open, lambda: camera.read(0.1), camera.describe):
        with pytest.raises(CameraHungError, match="hangs in open"):
            call()
    camera.close()
    assert time.monotonic() - started < 0.1


def test_hung_read_honours_its_time_and_is_told_later(stuck: threading.Event) -> None:
    inner = FakeCamera()
    inner.on_read = lambda _: (stuck.wait(), None)[1]
    camera = guarded(inner)
    camera.open()
    started = time.monotonic()
    assert camera.read(0.05) is None
    assert time.monotonic() - started < 0.1
    with pytest.raises(CameraHungError, match=r"hangs in read, no answer for 0\.1 s"):
        read_until_it_raises(camera)
    assert 0.14 < time.monotonic() - started < 0.5


def test_a_read_that_overruns_is_taken_up_by_the_next() -> None:
    inner = FakeCamera()
    frame = Frame(IMAGE, 5, 0, "cam")

    def slow(_timeout_s: float) -> Frame:
        time.sleep(0.08)
        return frame

    inner.on_read = slow
    camera = guarded(inner)
    camera.open()
    assert camera.read(0.02) is None
    assert camera.read(0.5) is frame
    camera.close()


def test_no_frame_takes_the_whole_time_and_no_more() -> None:
    inner = FakeCamera()
    inner.on_read = time.sleep
    camera = guarded(inner)
    camera.open()
    for _ in range(4):
        started = time.monotonic()
        assert camera.read(0.05) is None
        assert 0.045 < time.monotonic() - started < 0.15
    camera.close()


def test_hung_close_returns_and_is_logged(
    stuck: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    inner = FakeCamera()
    inner.on_close = lambda: (stuck.wait(), None)[1]
    camera = guarded(inner)
    camera.open()
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        camera.close()
    assert 0.15 < time.monotonic() - started < 0.5
    assert "hangs in close" in caplog.text
    with pytest.raises(CameraHungError, match="hangs in close"):
        camera.open()


@pytest.mark.parametrize("error", [FrameError("bad"), CameraLostError("gone")])
def test_errors_come_through_as_they_are(error: CameraError) -> None:
    inner = FakeCamera()

    def fail(_timeout_s: float) -> None:
        raise error

    inner.on_read = fail
    camera = guarded(inner)
    camera.open()
    with pytest.raises(type(error)) as caught:
        camera.read(0.1)
    assert caught.value is error
    inner.on_read = lambda _: Frame(IMAGE, 0, 1, "cam")
    assert camera.read(0.1) is not None
    camera.close()


def test_a_failed_open_closes_and_may_be_tried_again() -> None:
    inner = FakeCamera()
    closed: list[int] = []
    inner.on_close = lambda: closed.append(1)

    def fail() -> None:
        raise CameraError("not there")

    inner.on_open = fail
    camera = guarded(inner)
    with pytest.raises(CameraError, match="not there"):
        camera.open()
    assert closed == [1]
    inner.on_open = lambda: None
    camera.open()
    assert camera.read(0.1) is not None
    camera.close()


def test_a_trigger_comes_through_while_a_read_waits() -> None:
    inner = FakeCamera()

    def wait(timeout_s: float) -> Frame | None:
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            if inner.triggered:
                return Frame(IMAGE, 0, 0, "cam")
            time.sleep(0.002)
        return None

    inner.on_read = wait
    camera = guarded(inner)
    camera.open()
    threading.Timer(0.03, camera.trigger).start()
    assert camera.read(1.0) is not None
    camera.close()


def test_a_camera_without_software_trigger_says_so() -> None:
    camera = guarded(NoTrigger())
    camera.open()
    with pytest.raises(CameraError, match="has no software trigger"):
        camera.trigger()
    camera.close()


def test_nothing_is_left_running() -> None:
    before = threading.active_count()
    camera = guarded(FakeCamera())
    for _ in range(3):
        camera.open()
        camera.trigger()
        camera.close()
    time.sleep(0.05)
    assert threading.active_count() == before

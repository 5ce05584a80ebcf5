"""Network cameras: MJPEG and RTSP servers that cut frames, hang, end, die."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edge.camera import PyAvConfig
from edge.camera.base import Camera
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    PartialFrameError,
    StaleFrameError,
    WrongFrameError,
)
from tests.doubles.cameras import require, rtsp_server
from tests.doubles.mjpeg import MjpegCamera, mjpeg_camera


@pytest.fixture
def server() -> Iterator[MjpegCamera]:
    require(PyAvConfig(kind="pyav", url="http://127.0.0.1"))
    with mjpeg_camera() as camera:
        yield camera


def opened(url: str, **settings: Any) -> Camera:
    camera = PyAvConfig(kind="pyav", url=url, silent_limit_s=0.5, **settings).driver()
    camera.open()
    return camera


def read_many(camera: Camera) -> None:
    for _ in range(30):
        started = time.monotonic()
        camera.read(0.2)
        assert time.monotonic() - started < 0.4


def test_half_a_jpeg_is_a_partial_frame(server: MjpegCamera) -> None:
    server.half_every = 4
    camera = opened(server.url)
    with pytest.raises(PartialFrameError, match=r"a damaged frame .*; the network loses data"):
        read_many(camera)
    assert camera.read(1.0) is not None
    camera.close()


def test_another_size_is_refused(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(1.0) is not None
    server.size = (128, 64)
    with pytest.raises(WrongFrameError, match="a frame of 128x64, and the stream began with 96x64"):
        read_many(camera)
    camera.close()


def test_a_hung_server_is_lost_in_time(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(1.0) is not None
    server.hanging.set()
    started = time.monotonic()
    with pytest.raises(CameraLostError, match=r"hangs, nothing was sent for 0\.5 s; open it again"):
        read_many(camera)
    assert time.monotonic() - started < 1.0
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < 0.2


def test_close_is_quick_while_the_server_hangs(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(1.0) is not None
    server.hanging.set()
    time.sleep(0.1)
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < 1.5


def test_a_server_that_ends_is_lost(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(1.0) is not None
    server.ending.set()
    with pytest.raises(CameraLostError, match=r"the connection broke|the sender ended the stream"):
        read_many(camera)
    camera.close()


def test_it_opens_again_after_a_hang(server: MjpegCamera) -> None:
    camera = opened(server.url)
    server.hanging.set()
    with pytest.raises(CameraLostError):
        read_many(camera)
    server.hanging.clear()
    camera.open()
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert frame.sequence == 0


def test_a_slow_reader_gets_the_newest(server: MjpegCamera) -> None:
    camera = opened(server.url)
    first = camera.read(1.0)
    time.sleep(0.4)  # ten frames
    second = camera.read(1.0)
    camera.close()
    assert first is not None
    assert second is not None
    assert second.image.mean() - first.image.mean() > 12  # two a frame


def test_grey_is_two_dimensional(server: MjpegCamera) -> None:
    camera = opened(server.url, colour="grey")
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert frame.image.shape == (64, 96)


@pytest.mark.parametrize(
    ("path", "what"), [("no", "404 Not Found"), (":9/video", "Connection refused")]
)
def test_a_camera_that_is_not_there(server: MjpegCamera, path: str, what: str) -> None:
    url = f"http://127.0.0.1{path}" if path.startswith(":") else server.url + path
    with pytest.raises(CameraNotFoundError, match=f"{what}.*; check address, path, user"):
        opened(url)


def test_the_password_stays_secret() -> None:
    require(PyAvConfig(kind="pyav", url="http://127.0.0.1"))
    with pytest.raises(CameraNotFoundError) as caught:
        opened("rtsp://line:secret@127.0.0.1:9/stream")
    assert "secret" not in str(caught.value)
    assert "rtsp://127.0.0.1:9/stream" in str(caught.value)


def test_rtsp_comes_hangs_and_dies() -> None:
    require(PyAvConfig(kind="pyav", url="rtsp://127.0.0.1"))
    with rtsp_server() as (url, process):
        camera = opened(url)
        for number in range(5):
            frame = camera.read(2.0)
            assert frame is not None
            assert frame.sequence == number
            assert frame.image.shape == (120, 160, 3)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(CameraLostError, match="hangs, nothing was sent"):
            read_many(camera)
        process.send_signal(signal.SIGCONT)
        camera.open()
        assert camera.read(2.0) is not None
        process.kill()
        with pytest.raises(CameraLostError, match=r"the sender ended|connection broke|hangs"):
            read_many(camera)
        camera.close()


def test_rtsp_that_stood_still_is_stale() -> None:
    require(PyAvConfig(kind="pyav", url="rtsp://127.0.0.1"))
    with rtsp_server() as (url, process):
        camera = PyAvConfig(kind="pyav", url=url, stale_ms=150).driver()
        camera.open()
        for _ in range(5):
            assert camera.read(2.0) is not None
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        with pytest.raises(StaleFrameError, match=r"the frame is \d+ ms late"):
            read_many(camera)
        camera.close()

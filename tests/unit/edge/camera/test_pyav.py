"""Network cameras: MJPEG and RTSP servers that cut frames, hang, end, die."""

import signal
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
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
from tests.doubles.waiting import wait_for

PATIENT_S = 10.0  # for what comes, on a machine that is busy


@pytest.fixture
def server() -> Iterator[MjpegCamera]:
    require(PyAvConfig(kind="pyav", url="http://127.0.0.1"))
    with mjpeg_camera() as camera:
        yield camera


def opened(url: str, **settings: Any) -> Camera:
    camera = PyAvConfig(kind="pyav", url=url, silent_limit_s=1.0, **settings).driver()
    camera.open()
    return camera


def read_many(camera: Camera) -> None:
    for _ in range(30):
        started = time.monotonic()
        camera.read(0.2)
        assert time.monotonic() - started < PATIENT_S


def test_half_a_jpeg_is_a_partial_frame(server: MjpegCamera) -> None:
    server.half_every = 4
    camera = opened(server.url)
    with pytest.raises(PartialFrameError, match=r"a damaged frame .*; the network loses data"):
        read_many(camera)
    assert camera.read(PATIENT_S) is not None
    camera.close()


def test_another_size_is_refused(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(PATIENT_S) is not None
    server.size = (128, 64)
    with pytest.raises(WrongFrameError, match="a frame of 128x64, and the stream began with 96x64"):
        read_many(camera)
    camera.close()


def test_a_hung_server_is_lost_in_time(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(PATIENT_S) is not None
    server.hang()
    started = time.monotonic()
    with pytest.raises(CameraLostError, match=r"hangs: no data for 1 s; open the camera again"):
        read_many(camera)
    assert time.monotonic() - started < PATIENT_S
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < PATIENT_S


def test_close_is_quick_while_the_server_hangs(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(PATIENT_S) is not None
    server.hang()
    time.sleep(0.1)
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < PATIENT_S


def test_a_server_that_ends_is_lost(server: MjpegCamera) -> None:
    camera = opened(server.url)
    assert camera.read(PATIENT_S) is not None
    server.ending.set()
    with pytest.raises(CameraLostError, match=r"the connection broke|the sender ended the stream"):
        read_many(camera)
    camera.close()


def test_it_opens_again_after_a_hang(server: MjpegCamera) -> None:
    camera = opened(server.url)
    server.hang()
    with pytest.raises(CameraLostError):
        read_many(camera)
    server.wake()
    camera.open()
    frame = camera.read(PATIENT_S)
    camera.close()
    assert frame is not None
    assert frame.sequence == 0


def test_a_slow_reader_gets_the_newest(server: MjpegCamera) -> None:
    camera = opened(server.url)
    first = camera.read(PATIENT_S)
    sent = server.sent
    wait_for(lambda: server.sent >= sent + 20)
    second = camera.read(PATIENT_S)
    camera.close()
    assert first is not None
    assert second is not None
    assert second.image.mean() - first.image.mean() > 12  # two a frame


def test_grey_is_two_dimensional(server: MjpegCamera) -> None:
    camera = opened(server.url, colour="grey")
    frame = camera.read(PATIENT_S)
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
            frame = camera.read(PATIENT_S)
            assert frame is not None
            assert frame.sequence == number
            assert frame.image.shape == (120, 160, 3)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(CameraLostError, match="hangs: no data"):
            read_many(camera)
        process.send_signal(signal.SIGCONT)
        camera.open()
        assert camera.read(PATIENT_S) is not None
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
            assert camera.read(PATIENT_S) is not None
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        with pytest.raises(StaleFrameError, match=r"the frame is \d+ ms late"):
            read_many(camera)
        camera.close()


class Decoded:
    """A frame of PyAV."""

    def __init__(self, time_s: float | None = None, *, is_corrupt: bool = False) -> None:
        self.time = time_s
        self.is_corrupt = is_corrupt
        self.width, self.height = 4, 2

    def to_ndarray(self, format: str) -> np.ndarray[Any, Any]:  # noqa: A002 - PyAV's own name
        return np.zeros((2, 4, 3), np.uint8)


class Packet:
    def __init__(
        self,
        *decoded: Decoded,
        is_keyframe: bool = True,
        is_corrupt: bool = False,
        after_s: float = 0.0,
        log: str = "",
    ) -> None:
        self.log = log
        self.is_keyframe = is_keyframe
        self.is_corrupt = is_corrupt
        self.size = 1
        self.after_s = after_s
        self._decoded = decoded

    def decode(self) -> tuple[Decoded, ...]:
        return self._decoded


class Container:
    """A stream as PyAV opens it, with the packets that a test gives."""

    def __init__(self, *packets: Packet, has_video: bool = True) -> None:
        self.codec = SimpleNamespace(thread_count=0, options={})
        video = SimpleNamespace(codec_context=self.codec)
        self.streams = SimpleNamespace(video=[video] if has_video else [])
        self.is_closed = False
        self._packets = packets

    def demux(self, _video: object) -> Iterator[Packet]:
        for packet in self._packets:
            time.sleep(packet.after_s)
            if packet.log:
                av = pytest.importorskip("av")
                av.logging.log(av.logging.WARNING, "rtsp", packet.log)
            yield packet

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Callable[[Container], dict[str, Any]]:
    """Makes PyAV open a container; returns the arguments of the call."""
    av = pytest.importorskip("av")

    def replace(container: Container) -> dict[str, Any]:
        asked: dict[str, Any] = {}

        def open_container(url: str, **settings: Any) -> Container:
            asked.update(settings, url=url)
            return container

        monkeypatch.setattr(av, "open", open_container)
        return asked

    return replace


Opens = Callable[[Container], dict[str, Any]]
RTSP = "rtsp://127.0.0.1/stream"


def test_settings_go_to_ffmpeg(stream: Opens) -> None:
    container = Container()
    asked = stream(container)
    opened(RTSP, transport="udp", options={"buffer_size": "1"}, open_limit_s=7).close()
    assert asked["options"]["rtsp_transport"] == "udp"
    assert asked["options"]["buffer_size"] == "1"
    assert asked["timeout"] == (7, 1.0)
    assert container.codec.options == {"err_detect": "explode"}
    assert container.codec.thread_count == 1
    asked = stream(Container())
    opened("http://127.0.0.1/video").close()
    assert "rtsp_transport" not in asked["options"]


def test_a_stream_without_video_is_refused_and_closed(stream: Opens) -> None:
    container = Container(has_video=False)
    stream(container)
    with pytest.raises(CameraNotFoundError, match="the stream has no video; check its path"):
        opened(RTSP)
    assert container.is_closed


def test_nothing_is_decoded_before_the_first_key_frame(stream: Opens) -> None:
    stream(Container(Packet(Decoded(), is_keyframe=False)))
    camera = opened(RTSP)
    with pytest.raises(CameraLostError, match="the sender ended the stream"):
        camera.read(PATIENT_S)
    camera.close()


def test_a_frame_with_parts_missing_is_a_partial_frame(stream: Opens) -> None:
    stream(Container(Packet(Decoded(is_corrupt=True))))
    camera = opened(RTSP)
    with pytest.raises(PartialFrameError, match="parts of the frame are missing"):
        camera.read(PATIENT_S)
    camera.close()


def test_frames_behind_lost_packets_wait_for_a_key_frame(stream: Opens) -> None:
    """FFmpeg gives the second frame as whole; only its log knows of the frame before."""
    lost = Packet(Decoded(), is_keyframe=False, after_s=0.5, log="RTP: missed 3 packets")
    stream(Container(Packet(Decoded()), lost, Packet(Decoded(), after_s=0.5), Packet(after_s=1.0)))
    camera = opened(RTSP)
    assert camera.read(PATIENT_S) is not None
    with pytest.raises(PartialFrameError, match="builds on a damaged one, until the next key"):
        camera.read(PATIENT_S)
    assert camera.read(PATIENT_S) is not None
    camera.close()


@pytest.mark.parametrize("url", [RTSP, "http://127.0.0.1/video"])
def test_only_a_stream_with_time_stamps_can_be_late(stream: Opens, url: str) -> None:
    """FFmpeg invents time stamps for MJPEG; by them the second frame is 0.3 s late."""
    stream(Container(Packet(Decoded(0.0)), Packet(Decoded(0.04), after_s=0.3)))
    camera = opened(url, stale_ms=100)
    assert camera.read(PATIENT_S) is not None
    if url == RTSP:
        with pytest.raises(StaleFrameError, match=r"the frame is \d+ ms late"):
            camera.read(PATIENT_S)
    else:
        assert camera.read(PATIENT_S) is not None
    camera.close()

"""GStreamer pipelines: rows with padding, ends, errors, old frames."""

import time

import numpy as np
import pytest

from edge.camera import GstreamerConfig
from edge.camera.base import Camera
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    StaleFrameError,
    WrongFrameError,
)
from edge.camera.gstreamer import GstreamerCamera
from tests.doubles.cameras import require

LIVE = "videotestsrc is-live=true pattern={} ! video/x-raw,width=33,height=20,framerate=50/1"


def opened(pipeline: str, stale_ms: float | None = 500.0) -> Camera:
    config = GstreamerConfig(kind="gstreamer", pipeline=pipeline, stale_ms=stale_ms)
    require(config)
    camera = config.driver()
    camera.open()
    return camera


def read_many(camera: Camera) -> None:
    for _ in range(30):
        camera.read(0.2)


@pytest.mark.parametrize(("caps", "shape"), [("GRAY8", (20, 33)), ("BGR", (20, 33, 3))])
def test_rows_with_padding_are_right(caps: str, shape: tuple[int, ...]) -> None:
    """GStreamer pads rows to four bytes; a row of 33 pixels shows a mistake as a slant."""
    camera = opened(LIVE.format("red") + f" ! videoconvert ! video/x-raw,format={caps}")
    frame = camera.read(2.0)
    camera.close()
    assert frame is not None
    assert frame.image.shape == shape
    assert len(np.unique(frame.image.reshape(20 * 33, -1), axis=0)) == 1


def test_an_end_of_stream_is_a_lost_camera() -> None:
    camera = opened("videotestsrc is-live=true num-buffers=2 ! videoconvert")
    with pytest.raises(CameraLostError, match="the stream ended; open the camera again"):
        read_many(camera)
    camera.close()


def test_an_error_of_an_element_is_a_lost_camera() -> None:
    camera = opened("videotestsrc is-live=true ! identity error-after=3 ! videoconvert")
    with pytest.raises(CameraLostError, match=r"identity0: .*; open the camera again"):
        read_many(camera)
    camera.close()


@pytest.mark.parametrize(
    ("pipeline", "what"),
    [
        ("nosuchsrc ! videoconvert", 'cannot build it: no element "nosuchsrc"'),
        ("videotestsrc ! ! videoconvert", "cannot build it: "),
        ("filesrc location=/missing ! decodebin ! videoconvert", "cannot be started: filesrc0: "),
    ],
)
def test_a_pipeline_that_does_not_run_is_refused(pipeline: str, what: str) -> None:
    with pytest.raises(CameraNotFoundError, match=what):
        opened(pipeline)


def test_no_frame_is_not_an_error() -> None:
    camera = opened(LIVE.format("red") + " ! valve drop=true ! videoconvert")
    started = time.monotonic()
    assert camera.read(0.2) is None
    assert 0.15 < time.monotonic() - started < 0.4
    camera.close()


def test_a_frame_that_was_held_up_is_stale() -> None:
    camera = opened(
        LIVE.format("red") + " ! queue ! identity sleep-time=150000 ! videoconvert", stale_ms=100
    )
    with pytest.raises(StaleFrameError, match=r"the frame is \d+ ms old"):
        read_many(camera)
    camera.close()


def test_a_slow_reader_gets_the_newest() -> None:
    camera = opened(LIVE.format("red") + " ! videoconvert")
    assert camera.read(1.0) is not None
    time.sleep(0.3)
    camera.read(1.0)
    frame = camera.read(1.0)
    camera.close()
    assert frame is not None
    assert time.monotonic_ns() - frame.captured_ns < 100_000_000


def test_a_repeated_frame_is_stale() -> None:
    camera = opened(
        "videotestsrc is-live=true ! video/x-raw,width=32,height=20,framerate=10/1 ! videorate"
        " ! video/x-raw,framerate=30/1 ! videoconvert"
    )
    with pytest.raises(StaleFrameError, match="an element repeats the frame before; take videorat"):
        read_many(camera)
    camera.close()


def test_a_decoder_that_conceals_damage_is_refused() -> None:
    message = "jpegdec gives half a frame as a whole one; take kind: opencv with fourcc: MJPG"
    with pytest.raises(CameraSettingError, match=message):
        opened("videotestsrc is-live=true ! jpegenc ! jpegdec ! videoconvert")


def test_a_decoder_that_decodebin_chose_is_refused() -> None:
    with pytest.raises(CameraSettingError, match="jpegdec gives half a frame as a whole one"):
        read_many(opened("videotestsrc is-live=true ! jpegenc ! decodebin ! videoconvert"))


def test_a_size_that_changes_before_scaling_is_refused() -> None:
    camera = opened(
        "videotestsrc is-live=true ! capsfilter name=camera caps=video/x-raw,width=64,height=40"
        " ! videoscale ! video/x-raw,width=32,height=20 ! videoconvert"
    )
    assert camera.read(2.0) is not None
    assert isinstance(camera, GstreamerCamera)
    changed = camera._gst.Caps.from_string("video/x-raw,width=96,height=60")
    camera._pipeline.get_by_name("camera").set_property("caps", changed)
    with pytest.raises(WrongFrameError, match=r"scales \w+ 96x60.* now, and it began with"):
        read_many(camera)
    camera.close()


def test_no_password_is_shown() -> None:
    pipeline = 'videotestsrc name="u" ! nosuch location=rtsp://u:hunter2@h user-pw="hunter 2"'
    with pytest.raises(CameraNotFoundError) as caught:
        opened(pipeline)
    assert "hunter" not in str(caught.value)
    assert "location=rtsp://h user-pw=***" in str(caught.value)

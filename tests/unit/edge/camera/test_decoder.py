"""The decoder refuses each frame of which FFmpeg would invent a part."""

from pathlib import Path
from typing import Any

import pytest

from edge.camera import ReplayConfig
from edge.camera.base import EndOfRecording
from edge.camera.decoder import StrictDecoder
from edge.camera.faults import PartialFrameError, WrongFrameError

av = pytest.importorskip("av")
from tests.doubles.h264 import write_h264  # noqa: E402 - needs the package


def decoded(path: Path) -> list[str]:
    """The outcome of each frame: `whole`, or the name of its error."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        decoder = StrictDecoder(av, video, "stream", "the network loses data")
        return [one for packet in container.demux(video) for one in outcomes(decoder, packet)]


def outcomes(decoder: StrictDecoder, packet: Any) -> list[str]:
    try:
        frames = decoder.decode(packet)
        for frame in frames:
            decoder.require_whole(frame)
    except (PartialFrameError, WrongFrameError) as error:
        return [type(error).__name__]
    return ["whole"] * len(frames)


def test_a_whole_stream(tmp_path: Path) -> None:
    write_h264(tmp_path / "whole.h264", 20)
    assert decoded(tmp_path / "whole.h264") == ["whole"] * 20


def test_frames_that_build_on_a_damaged_one_are_refused(tmp_path: Path) -> None:
    """FFmpeg itself gives frames 11 to 15, with the damage of frame 10 in them, as whole."""
    write_h264(tmp_path / "damaged.h264", 20, damaged=[10])
    found = decoded(tmp_path / "damaged.h264")
    assert found == ["whole"] * 10 + ["PartialFrameError"] * 6 + ["whole"] * 4


def test_a_stream_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    write_h264(tmp_path / "resized.h264", 8, resized=4)
    assert decoded(tmp_path / "resized.h264") == ["whole"] * 8 + ["WrongFrameError"] * 4


class Video:
    class codec_context:  # noqa: N801 - an attribute of PyAV
        thread_count = 0
        options: dict[str, str] = {}  # noqa: RUF012 - PyAV's own


class Packet:
    def __init__(self, *, is_keyframe: bool = False, is_corrupt: bool = False) -> None:
        self.is_keyframe, self.is_corrupt, self.size = is_keyframe, is_corrupt, 1

    def decode(self) -> list[str]:
        return ["a frame"]


def test_a_packet_that_lost_a_part_is_not_decoded() -> None:
    decoder = StrictDecoder(av, Video, "stream", "the network loses data")
    assert decoder.decode(Packet()) == []
    assert decoder.decode(Packet(is_keyframe=True)) == ["a frame"]
    with pytest.raises(PartialFrameError) as caught:
        decoder.decode(Packet(is_corrupt=True))
    assert str(caught.value) == (
        "stream: a damaged frame (a part of its packets is missing); the network loses data"
    )
    with pytest.raises(PartialFrameError) as caught:
        decoder.decode(Packet())
    assert str(caught.value) == (
        "stream: the frame builds on a damaged one, until the next key frame"
    )
    assert decoder.decode(Packet(is_keyframe=True)) == ["a frame"]


def test_a_recording_refuses_the_same(tmp_path: Path) -> None:
    write_h264(tmp_path / "line.h264", 16, damaged=[10], resized=2)
    camera = ReplayConfig(kind="replay", path=tmp_path / "line.h264").driver()
    camera.open()
    found = []
    for _ in range(18):
        try:
            frame = camera.read(1.0)
            assert frame is not None
            found.append(frame.source)
        except (PartialFrameError, WrongFrameError) as error:
            found.append(type(error).__name__)
    with pytest.raises(EndOfRecording):
        camera.read(1.0)
    camera.close()
    assert found == (
        [f"line.h264#{number}" for number in range(10)]
        + ["PartialFrameError"] * 6
        + ["WrongFrameError"] * 2
    )

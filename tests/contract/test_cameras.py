"""What every camera must do; each kind in `CAMERAS` has a working and a broken example here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.camera import CAMERAS, Camera, EndOfRecording, Frame, ReplayConfig, camera_from_config
from edge.errors import CameraError
from edge.images import encode_png


def replay(folder: Path) -> Camera:
    for number in range(3):
        image = np.full((8, 8, 3), number, np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(image))
    return camera_from_config(ReplayConfig(kind="replay", path=folder))


def broken_replay(folder: Path) -> Camera:
    return camera_from_config(ReplayConfig(kind="replay", path=folder / "missing"))


WORKING: dict[str, Callable[[Path], Camera]] = {"replay": replay}
BROKEN: dict[str, Callable[[Path], Camera]] = {"replay": broken_replay}


@pytest.fixture(params=sorted(CAMERAS))
def camera(request: pytest.FixtureRequest, tmp_path: Path) -> Camera:
    return WORKING[request.param](tmp_path)


def read_some(camera: Camera) -> list[Frame]:
    frames = []
    for _ in range(3):
        try:
            frame = camera.read(2.0)
        except EndOfRecording:
            break
        assert frame is not None
        frames.append(frame)
    return frames


def test_frames_are_images_in_order(camera: Camera) -> None:
    camera.open()
    frames = read_some(camera)
    camera.close()
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert sorted(frame.captured_ns for frame in frames) == [f.captured_ns for f in frames]
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.ndim == 2 or frame.image.shape[2] == 3
        assert frame.image.flags.c_contiguous
        assert frame.source


def test_a_frame_is_the_receivers(camera: Camera) -> None:
    camera.open()
    frames = read_some(camera)
    camera.close()
    assert not np.shares_memory(frames[0].image, frames[1].image)
    frames[0].image[:] = 255
    assert frames[1].image.max() < 255


def test_close_is_safe_without_open_and_twice(camera: Camera) -> None:
    camera.close()
    camera.open()
    camera.close()
    camera.close()


def test_opened_again_it_starts_again(camera: Camera) -> None:
    for _ in range(2):
        camera.open()
        assert read_some(camera)[0].sequence == 0
        camera.close()


def test_read_without_open_is_refused(camera: Camera) -> None:
    with pytest.raises(CameraError, match="is not open"):
        camera.read(0.1)


@pytest.mark.parametrize("kind", sorted(CAMERAS))
def test_what_cannot_be_opened_is_refused(kind: str, tmp_path: Path) -> None:
    broken = BROKEN[kind](tmp_path)
    with pytest.raises(CameraError):
        broken.open()
    broken.close()

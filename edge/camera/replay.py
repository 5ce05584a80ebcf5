"""Replaying recorded frames: a folder, a glob of image files, or a video file."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge.camera.base import EndOfRecording, Frame
from edge.config import ConfigPath, StrictModel
from edge.errors import CameraError, FrameError
from edge.images import list_images, read_image

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"})

Reader = Callable[[], npt.NDArray[np.uint8]]  # may raise FrameError


class ReplayConfig(StrictModel):
    """A recording played as a camera.

    Attributes:
        path: a folder of images, a glob such as `parts/*.png`, or a video file.
        loop: begin again at the end, for ever.
        rate_hz: frames per second; None gives each frame as soon as it is asked for.
    """

    kind: Literal["replay"] = "replay"
    path: ConfigPath
    loop: bool = False
    rate_hz: Annotated[float, Field(gt=0)] | None = None


class ReplayCamera:
    """Gives the frames of a recording in name order; see `edge.camera.base.Camera`.

    A file that cannot be read costs one frame and not the replay. Frames fall due at a fixed rate
    from the first one on, so that a slow reader does not slow the recording down.
    """

    def __init__(self, config: ReplayConfig) -> None:
        self._config = config
        self._frames: Iterator[tuple[str, Reader]] | None = None
        self._sequence = 0
        self._first_due_ns: int | None = None

    @property
    def waits(self) -> bool:
        """Whether the camera waits for its reader: without a rate no frame can be too early."""
        return self._config.rate_hz is None

    def open(self) -> None:
        """Find the frames; CameraError when there are none."""
        self._frames = self._play()
        self._sequence, self._first_due_ns = 0, None

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame when it is due; see `Camera.read`."""
        if self._frames is None:
            raise CameraError("the replay is not open")
        if not self._wait_until_due(timeout_s):
            return None
        following = next(self._frames, None)
        if following is None:
            raise EndOfRecording
        source, reader = following
        sequence, self._sequence = self._sequence, self._sequence + 1
        image = reader()
        return Frame(image, time.monotonic_ns(), sequence, source)

    def close(self) -> None:
        """Forget the recording."""
        self._frames = None

    def _wait_until_due(self, timeout_s: float) -> bool:
        if self._config.rate_hz is None:
            return True
        now = time.monotonic_ns()
        if self._first_due_ns is None:
            self._first_due_ns = now
        due = self._first_due_ns + int(self._sequence * 1e9 / self._config.rate_hz)
        wait_s = (due - now) / 1e9
        time.sleep(min(max(wait_s, 0.0), timeout_s))
        return wait_s <= timeout_s

    def _play(self) -> Iterator[tuple[str, Reader]]:
        path = self._config.path
        if path.suffix.lower() in VIDEO_SUFFIXES:
            once: Callable[[], Iterator[tuple[str, Reader]]] = lambda: _video_frames(path)  # noqa: E731
            first = once()
            return self._repeat(once, first)
        images = _image_files(path)
        once = lambda: ((image.name, _reader_of(image)) for image in images)  # noqa: E731
        return self._repeat(once, once())

    def _repeat(
        self,
        once: Callable[[], Iterator[tuple[str, Reader]]],
        first: Iterator[tuple[str, Reader]],
    ) -> Iterator[tuple[str, Reader]]:
        yield from first
        while self._config.loop:
            yield from once()


def _image_files(path: Path) -> list[Path]:
    if path.is_dir():
        return list_images(path)
    matches = [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207 - absolute globs
    files = [match for match in matches if match.is_file()]
    if not files:
        raise CameraError(f"{path}: no folder, image or video of this name, and no match as a glob")
    return files


def _reader_of(image: Path) -> Reader:
    return lambda: read_image(image)


def _video_frames(path: Path) -> Iterator[tuple[str, Reader]]:
    if not path.is_file():
        raise CameraError(f"{path}: no such video file")
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise CameraError(f"{path}: OpenCV cannot open this video")
    return _decoded(video, path)


def _decoded(video: cv2.VideoCapture, path: Path) -> Iterator[tuple[str, Reader]]:
    """Frames of an open video; a tail that does not decode is an error and no end."""
    promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    index = 0
    try:
        while True:
            decoded, image = video.read()
            if not decoded:
                break
            frame = np.ascontiguousarray(image, dtype=np.uint8)
            yield f"{path.name}#{index}", lambda frame=frame: frame  # type: ignore[misc]
            index += 1
    finally:
        video.release()
    if index < promised:
        yield f"{path.name}#{index}", _broken_tail(path, index, promised)


def _broken_tail(path: Path, index: int, promised: int) -> Reader:
    def refuse() -> npt.NDArray[np.uint8]:
        raise FrameError(
            f"{path}: decoding stopped after {index} of the {promised} frames it promises"
        )

    return refuse

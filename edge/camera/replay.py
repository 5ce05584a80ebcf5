"""A recording in place of a camera: a folder of images, a glob of images, or a video file."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge.camera.base import EndOfRecording
from edge.camera.kind import KindConfig
from edge.part.frame import Frame
from inspection.config.loading import ConfigPath
from inspection.errors import CameraError
from inspection.files import utf8_path
from inspection.images import IMAGE_SUFFIXES, list_images, read_image
from inspection.names import printable


class ReplayConfig(KindConfig):
    """The settings of a recording that takes the place of a camera.

    Attributes:
        path: folder of images, one image, glob of images ("parts/*.png"), or a video file.
        loop: starts again after the last frame.
        rate_hz: frames per second; None gives each frame when the reader asks for it.
    """

    kind: Literal["replay"]
    path: ConfigPath
    loop: bool = False
    rate_hz: Annotated[float, Field(gt=0)] | None = None

    def driver(self) -> ReplayCamera:
        """Implements `KindConfig.driver`."""
        return ReplayCamera(self)


class ReplayCamera:
    """Gives the frames of a recording in name order, or in the order of the video.

    With a rate, every frame has a time in a fixed schedule from `open`, so that the rate does not
    drift; a slow reader gets its late frames at once.

    Args:
        clock_ns: monotonic clock in nanoseconds.
        sleep: waits for a number of seconds of that clock.
    """

    def __init__(
        self,
        config: ReplayConfig,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = config.path
        self._loop = config.loop
        self._period_ns = 1e9 / config.rate_hz if config.rate_hz else 0.0
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._recording: _Recording | None = None
        self._opened_ns = 0
        self._sequence = 0

    @property
    def waits(self) -> bool:
        """True without a rate."""
        return self._period_ns == 0

    def open(self) -> None:
        """Finds the frames."""
        self.close()
        self._recording = _open_recording(self._path)
        self._opened_ns = self._clock_ns()
        self._sequence = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the next frame of the recording.

        Raises:
            FrameError: this image cannot be read; the next call goes on behind it.
            CameraError: the camera is not open, or the video ended before its last frame.
            EndOfRecording: the recording has no further frame and `loop` is not set.
        """
        if self._recording is None:
            raise CameraError(f"{self._path}: the camera is not open")
        if not self._is_due_within(timeout_s):
            return None
        sequence, self._sequence = self._sequence, self._sequence + 1
        try:
            image, name = self._recording.read()
        except EndOfRecording:
            if not self._loop:
                raise
            self._recording.close()
            self._recording = _open_recording(self._path)
            image, name = self._recording.read()
        return Frame(image, self._clock_ns(), sequence, name)

    def close(self) -> None:
        """Closes the recording."""
        if self._recording is not None:
            self._recording.close()
        self._recording = None

    def _is_due_within(self, timeout_s: float) -> bool:
        due_ns = self._opened_ns + self._sequence * self._period_ns
        wait_s = max(0.0, (due_ns - self._clock_ns()) / 1e9)
        self._sleep(min(wait_s, timeout_s))
        return wait_s <= timeout_s


class _Recording(Protocol):
    """One pass over the frames."""

    def read(self) -> tuple[npt.NDArray[np.uint8], str]:
        """Returns the next image and its name; raises EndOfRecording after the last one."""

    def close(self) -> None:
        """Releases the files."""


class _Images:
    def __init__(self, paths: list[Path]) -> None:
        self._paths = iter(paths)

    def read(self) -> tuple[npt.NDArray[np.uint8], str]:
        path = next(self._paths, None)
        if path is None:
            raise EndOfRecording
        return read_image(path), printable(path.name)

    def close(self) -> None:
        pass


class _Video:
    def __init__(self, path: Path) -> None:
        self._path = path
        with utf8_path(path) as readable:
            self._capture = cv2.VideoCapture(readable)
        if not self._capture.isOpened():
            raise CameraError(f"{path}: not a video that OpenCV can open, or damaged")
        # Without an index, a container gives an estimate, or zero or less.
        self._promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._index = 0
        self._first: npt.NDArray[np.uint8] | None = self._decode()
        if self._first is None:
            raise CameraError(f"{path}: no frame of the video can be decoded; record it again")

    def read(self) -> tuple[npt.NDArray[np.uint8], str]:
        image, self._first = self._first, None
        if image is None:
            image = self._decode()
        if image is None:
            if self._index < self._promised:
                raise CameraError(
                    f"{self._path}: ends after {self._index} frames and its header says "
                    f"{self._promised}; the video is cut off or damaged, copy it again"
                )
            raise EndOfRecording
        self._index += 1
        return image, f"{printable(self._path.name)}#{self._index - 1}"

    def close(self) -> None:
        self._capture.release()

    def _decode(self) -> npt.NDArray[np.uint8] | None:
        decoded, image = self._capture.read()
        return np.asarray(image, dtype=np.uint8) if decoded else None


def _open_recording(path: Path) -> _Recording:
    if path.is_dir():
        return _Images(list_images(path))
    if path.is_file():
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        return _Images([path]) if is_image else _Video(path)
    paths = sorted(Path(name) for name in glob.glob(str(path)))  # noqa: PTH207 - may be absolute
    images = [found for found in paths if found.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise CameraError(f"{path}: no such folder, video or image, and no images match it")
    return _Images(images)

"""A recording in place of a camera: a folder of images, a glob of images, or a video file.

Videos need PyAV: OpenCV scales all frames to the size of the first, and conceals damage.
"""

from __future__ import annotations

import glob
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge.camera.base import EndOfRecording
from edge.camera.decoder import StrictDecoder, load_av
from edge.camera.kind import KindConfig
from edge.part.frame import Frame
from inspection.config.claims import Claim
from inspection.config.loading import ConfigPath
from inspection.config.resources import Use, UsedPath
from inspection.errors import CameraError, FrameError, named
from inspection.images import IMAGE_SUFFIXES, Tell, Window, list_images, read_frame
from inspection.names import printable

_log = logging.getLogger(__name__)


class ReplayConfig(KindConfig):
    """The settings of a recording that takes the place of a camera.

    Attributes:
        path: folder of images, one image, glob of images ("parts/*.png", or "parts/**/*.png" with
            those in all subfolders), or a video file (needs linewarden[pyav]).
        window: of 16-bit images; 8-bit images are refused unless this window made them.
        loop: starts again after the last frame.
        rate_hz: frames per second; None gives each frame when the reader asks for it.
    """

    kind: Literal["replay"]
    path: ConfigPath
    loop: bool = False
    rate_hz: Annotated[float, Field(gt=0)] | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the use of the images; several views may have the same recording."""
        yield Claim(("path",), UsedPath(self.path, Use.SOURCE, "a recording"))

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
        self._window = config.window
        self._period_ns = 1e9 / config.rate_hz if config.rate_hz else 0.0
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._recording: _Recording | None = None
        self._opened_ns = 0
        self._sequence = 0
        self._told: set[str] = set()

    @property
    def waits(self) -> bool:
        """True without a rate."""
        return self._period_ns == 0

    def open(self) -> None:
        """Finds the frames."""
        self.close()
        self._recording = _open_recording(self._path, self._window, self._tell)
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
            self._recording = _open_recording(self._path, self._window, self._tell)
            image, name = self._recording.read()
        return Frame(image, self._clock_ns(), sequence, name, self._window)

    def close(self) -> None:
        """Closes the recording."""
        if self._recording is not None:
            self._recording.close()
        self._recording = None

    def _tell(self, sentence: str) -> None:
        """Logs a sentence once, for `loop` opens the recording again and again."""
        if sentence not in self._told:
            _log.warning("%s", sentence)
        self._told.add(sentence)

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
    """Images with their names below `root`, which tell good/000.png from crack/000.png."""

    def __init__(self, paths: list[Path], root: Path, window: Window | None) -> None:
        self._paths = iter(paths)
        self._root = root
        self._window = window

    def read(self) -> tuple[npt.NDArray[np.uint8], str]:
        path = next(self._paths, None)
        if path is None:
            raise EndOfRecording
        return read_frame(path, self._window), printable(path.relative_to(self._root))

    def close(self) -> None:
        pass


class _Video:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._av = load_av("replay")
        try:
            self._container = self._av.open(str(path))
        except (self._av.error.FFmpegError, OSError) as error:
            raise CameraError(
                f"{path}: not a video that FFmpeg can open, or damaged ({error.strerror})"
            ) from error
        videos = self._container.streams.video
        if not videos:
            self.close()
            raise CameraError(f"{path}: the file has no video; record it again")
        self._promised = videos[0].frames  # 0 in a container without an index
        self._decoder = StrictDecoder(self._av, videos[0], str(path), "record it again")
        packets = self._container.demux(videos[0])
        first = next(packets, None)
        if first is None or not first.size:  # the last packet of any video is empty
            self.close()
            raise CameraError(f"{path}: the video has no frame; record it again")
        self._packets: Iterator[Any] = itertools.chain([first], packets)
        self._decoded: deque[Any] = deque()
        self._index = 0  # of the next frame, refused ones too

    def read(self) -> tuple[npt.NDArray[np.uint8], str]:
        while not self._decoded:
            packet = self._next_packet()
            try:
                self._decoded.extend(self._decoder.decode(packet))
            except FrameError:
                self._index += 1
                raise
        frame = self._decoded.popleft()
        self._index += 1
        self._decoder.require_whole(frame)
        image = np.array(frame.to_ndarray(format="bgr24"), np.uint8, order="C")
        return image, f"{printable(self._path.name)}#{self._index - 1}"

    def close(self) -> None:
        self._container.close()

    def _next_packet(self) -> Any:
        try:
            packet = next(self._packets, None)
        except (self._av.error.FFmpegError, OSError) as error:
            raise CameraError(
                f"{self._path}: cannot be read on after {self._index} frames ({error.strerror}); "
                "copy it again"
            ) from error
        if packet is not None:
            return packet
        if self._index < self._promised:
            raise CameraError(
                f"{self._path}: ends after {self._index} frames and its header says "
                f"{self._promised}; the video is cut off or damaged, copy it again"
            )
        raise EndOfRecording


def _open_recording(path: Path, window: Window | None, tell: Tell) -> _Recording:
    if path.is_dir():
        return _Images(list_images(path, tell), path, window)
    if path.is_file():
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        return _Images([path], path.parent, window) if is_image else _video(path, window)
    found = glob.glob(str(path), recursive=True)  # noqa: PTH207 - may be absolute
    files = sorted(file for file in map(Path, found) if file.is_file())
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise CameraError(f"{path}: no such folder, video or image, and no images match it")
    others = [str(file) for file in files if file not in images]
    if others:
        tell(f"{path}: {len(others)} matching files are not images: {named(others)}")
    return _Images(images, _above_the_wildcards(path), window)


def _video(path: Path, window: Window | None) -> _Video:
    if window is not None:
        raise CameraError(f"{path}: the frames of a video have 8 bits, which take no window")
    return _Video(path)


def _above_the_wildcards(pattern: Path) -> Path:
    """Returns the folder in front of the first part of a glob with a wildcard."""
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*fixed)

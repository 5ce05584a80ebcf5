"""The base of the GenICam drivers: a camera with a feature tree and numbered buffers."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    MissingFrameError,
    StaleFrameError,
    WrongFrameError,
)
from edge.camera.genicam import Features, GenicamSettings, apply, readable, words_of
from edge.camera.kind import LiveConfig
from edge.camera.newest import StreamClock
from edge.camera.pixels import PixelConverter
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from inspection.images import Window

_GEV_LAST = 65535  # block ids of GigE Vision 1.x go from 1 to here and start again
_MISSING_MAX = 1000  # a larger gap is no loss of frames
_log = logging.getLogger(__name__)


class GenicamConfig(LiveConfig):
    """The settings of all GenICam cameras.

    Attributes:
        settings: the driver writes them and reads them back at each `open`.
    """

    settings: GenicamSettings = GenicamSettings()


class GenicamCamera(ABC):
    """A `LiveCamera` with a feature tree and numbered buffers.

    A triggered camera gives every frame in order, and an error for each frame that the camera
    counted and that never came. A camera that runs free gives the newest frame only.

    Args:
        name: for errors and `Frame.source`, until `_connect` finds the name of the camera.
        sdk_errors: the exceptions of the SDK.
    """

    waits = False

    def __init__(
        self,
        name: str,
        sdk_errors: tuple[type[Exception], ...],
        config: GenicamConfig,
    ) -> None:
        self._name = name
        self._sdk_errors = sdk_errors
        self._settings = config.settings
        self._stale_ms = config.stale_ms
        self._window = config.window
        self._features: Features | None = None
        self._acquisition: Acquisition | None = None

    @property
    def runs_free(self) -> bool:
        """True when the open camera has no trigger."""
        return self._acquisition is not None and not self._acquisition.in_order

    def open(self) -> None:
        """Finds the camera, writes its settings and starts it."""
        self.close()
        try:
            self._features = self._connect()
            apply(self._features, self._settings, self._name)
            acquisition = Acquisition(
                self._name, self._features, self._stale_ms, window=self._window
            )
            self._start(acquisition)
        except self._sdk_errors as error:
            self.close()
            raise CameraNotFoundError(
                f"{self._name}: cannot be opened ({words_of(error)}); another program may hold it; "
                "a program that crashed holds it until its heartbeat ends, about 3 s"
            ) from error
        except CameraError:
            self.close()
            raise
        self._acquisition = acquisition

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the next frame of a triggered camera, else the newest."""
        if self._acquisition is None:
            raise CameraError(f"{self._name}: the camera is not open")
        if (waiting := self._acquisition.take()) is not None:
            return waiting
        try:
            self._fetch(timeout_s, self._acquisition)
        except self._sdk_errors as error:
            raise self._lost(error) from error
        return self._acquisition.take()

    def close(self) -> None:
        """Releases the camera, without a time limit."""
        try:
            self._disconnect()
        except self._sdk_errors as error:
            _log.warning("%s: cannot be closed in order (%s)", self._name, words_of(error))
        self._features = self._acquisition = None

    def trigger(self) -> None:
        """Executes TriggerSoftware."""
        self._features_open().execute("TriggerSoftware")

    def describe(self) -> Mapping[str, object]:
        """Returns the camera's features by their SFNC names."""
        return readable(self._features_open())

    @abstractmethod
    def _connect(self) -> Features:
        """Finds and opens the camera, and sets `_name`."""

    @abstractmethod
    def _start(self, acquisition: Acquisition) -> None:
        """Starts to grab; the settings are written."""

    @abstractmethod
    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        """Puts every buffer that arrives within `timeout_s` into `acquisition`."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Releases everything that `_connect` and `_start` acquired; either may have failed."""

    def _features_open(self) -> Features:
        if self._features is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._features

    def _lost(self, error: Exception) -> CameraLostError:
        return CameraLostError(f"{self._name}: lost ({words_of(error)}); open the camera again")


class Acquired(NamedTuple):
    """A whole buffer.

    Attributes:
        raw: (N,) bytes, valid until the buffer returns to the camera.
        format_code: of the pixel format, as the SDK numbers it.
        row_bytes: distance between the starts of two rows; 0 for rows without padding.
        block_id: the camera's count; None when the camera sends none.
        stamp_ns: time by the camera's clock; 0 without a clock.
    """

    raw: npt.NDArray[np.uint8]
    format_code: int
    width: int
    height: int
    row_bytes: int
    block_id: int | None
    stamp_ns: int


class Acquisition:
    """The frames and errors of one open camera that wait for the reader.

    Args:
        camera: name for errors and `Frame.source`.
        features: of the camera, with all settings written.
        stale_ms: the largest lag behind the least delayed frame; None accepts any.
        window: conversion of a format of 10 to 16 bits; None takes formats of 8 bits.

    Attributes:
        in_order: the camera is triggered: each frame is a part, and a missing frame is an error.

    Raises:
        CameraSettingError: the camera's pixel format cannot be converted, or the window does not
            fit it.
    """

    def __init__(
        self,
        camera: str,
        features: Features,
        stale_ms: float | None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        *,
        window: Window | None = None,
    ) -> None:
        self.in_order = features.has("TriggerMode") and features.get("TriggerMode") == "On"
        self._camera = camera
        self._format = str(features.get("PixelFormat"))
        self._size = (int(features.get("Width")), int(features.get("Height")))
        self._code: int | None = None
        self._stale_ms = stale_ms
        self._blocks = BlockCounter()
        self._clock_ns = clock_ns
        self._stream_clock = StreamClock(clock_ns)
        self._waiting: deque[Frame | FrameError] = deque()
        self._sequence = 0
        try:
            self._converter = PixelConverter(self._format, *self._size, window)
        except WrongFrameError as error:
            raise CameraSettingError(f"{camera}: {error}") from error

    def put(self, acquired: Acquired) -> None:
        """Adds a whole buffer; copies its pixels."""
        self._count(acquired.block_id)
        try:
            self._waiting.append(self._frame(acquired))
        except FrameError as error:
            self._waiting.append(error.with_traceback(None))  # it keeps the buffer alive

    def put_failed(self, error: FrameError, block_id: int | None = None) -> None:
        """Adds the error of an incomplete buffer; `block_id` None when its number is not known."""
        self._count(block_id)
        self._waiting.append(error)

    def take(self) -> Frame | None:
        """Returns the first waiting frame of a triggered camera, else the last; None without one.

        Raises:
            FrameError: the frame is unusable or missing.
        """
        while len(self._waiting) > 1 and not self.in_order:
            self._waiting.popleft()
        if not self._waiting:
            return None
        first, sequence = self._waiting.popleft(), self._sequence
        self._sequence += 1
        if isinstance(first, FrameError):
            raise first
        return replace(first, sequence=sequence)

    def _count(self, block_id: int | None) -> None:
        if block_id is None:
            self._blocks.skip()
            return
        self._waiting.extend(self._blocks.errors_before(block_id, self._camera))

    def _frame(self, acquired: Acquired) -> Frame:
        captured_ns = self._clock_ns()
        lag_ns = self._stream_clock.lag_ns(acquired.stamp_ns) if acquired.stamp_ns else 0
        self._refuse_other_layout(acquired)
        if self._stale_ms is not None and lag_ns > self._stale_ms * 1e6:
            raise StaleFrameError(
                f"{self._camera}: the frame is {lag_ns / 1e6:.0f} ms late; the link or this "
                "computer is too slow"
            )
        image = self._converter.image(acquired.raw, acquired.row_bytes)
        return Frame(image, captured_ns - lag_ns, 0, self._camera, self._converter.window)

    def _refuse_other_layout(self, acquired: Acquired) -> None:
        size = (acquired.width, acquired.height)
        if size != self._size:
            raise WrongFrameError(
                f"{self._camera}: a frame of {size[0]}x{size[1]}, and the camera is set to "
                f"{self._size[0]}x{self._size[1]}; open the camera again"
            )
        self._code = self._code or acquired.format_code
        if acquired.format_code != self._code:
            raise WrongFrameError(
                f"{self._camera}: a frame in another pixel format than {self._format} "
                f"(0x{acquired.format_code:08x}); open the camera again"
            )


class BlockCounter:
    """Finds gaps in a camera's count of frames."""

    def __init__(self) -> None:
        self._last: int | None = None

    def missing_before(self, block_id: int) -> int:
        """Returns the number of ids between the id of the last call and this one."""
        last, self._last = self._last, block_id
        if last is None or block_id == last + 1:
            return 0
        missing = block_id - last - 1
        if missing < 0 and last <= _GEV_LAST:
            missing %= _GEV_LAST
        return missing if 0 <= missing <= _MISSING_MAX else 0  # else the camera restarted its count

    def skip(self) -> None:
        """Counts a frame without an id as the next one."""
        if self._last is not None:
            self._last += 1

    def errors_before(self, block_id: int, camera: str) -> Iterator[MissingFrameError]:
        """Yields one error for each missing frame: each was a part."""
        missing = self.missing_before(block_id)
        for index in range(missing):
            yield MissingFrameError(
                f"{camera}: frame {block_id - missing + index} never came; the link or this "
                "computer was too slow, or packets were lost"
            )

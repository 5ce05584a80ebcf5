"""From a GenICam camera's buffers to frames, in their order, with what went wrong between them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.camera.faults import CameraSettingError, StaleFrameError, WrongFrameError
from edge.camera.genicam import BlockCounter, Features
from edge.camera.newest import StreamClock
from edge.camera.pixels import FORMATS, image_from_raw
from edge.part.frame import Frame
from inspection.errors import FrameError


class Acquired(NamedTuple):
    """A whole buffer.

    Attributes:
        raw: (N,) bytes, valid until the buffer goes back to the camera.
        format_code: of the pixel format, as the SDK numbers it.
        row_bytes: from row to row; 0 for rows without padding.
        block_id: the camera's count; None when it does not tell.
        stamp_ns: by the camera's clock; 0 when it has none.
    """

    raw: npt.NDArray[np.uint8]
    format_code: int
    width: int
    height: int
    row_bytes: int
    block_id: int | None
    stamp_ns: int


class Acquisition:
    """What came from one opened camera and was not yet read.

    Args:
        camera: name for the errors, and `Frame.source`.
        features: of the camera, all set: pixel format, size and trigger are asked here.
        stale_ms: a frame that lags more behind the least delayed one is refused; None takes it.

    Attributes:
        in_order: the camera is triggered, so each frame is a part, and a missing one an error.

    Raises:
        CameraSettingError: the camera's pixel format cannot be converted.
    """

    def __init__(self, camera: str, features: Features, stale_ms: float | None) -> None:
        self.in_order = features.has("TriggerMode") and features.get("TriggerMode") == "On"
        self._camera = camera
        self._format = str(features.get("PixelFormat"))
        self._size = (int(features.get("Width")), int(features.get("Height")))
        self._code: int | None = None
        self._stale_ms = stale_ms
        self._blocks = BlockCounter()
        self._clock = StreamClock()
        self._waiting: deque[Frame | FrameError] = deque()
        self._sequence = 0
        if self._format not in FORMATS:
            raise CameraSettingError(
                f"{camera}: PixelFormat {self._format} cannot be converted; set pixel_format to "
                "Mono8, BayerRG8 or another of Mono, Bayer, RGB8, BGR8 or YUV422_8"
            )

    def put(self, acquired: Acquired) -> None:
        """Take a whole buffer; its pixels are copied."""
        self._count(acquired.block_id)
        try:
            self._waiting.append(self._frame(acquired))
        except FrameError as error:
            self._waiting.append(error.with_traceback(None))  # it would hold the buffer

    def put_failed(self, error: FrameError, block_id: int | None = None) -> None:
        """Take the error of a buffer that is not whole; `block_id` None when it is not known."""
        self._count(block_id)
        self._waiting.append(error)

    def take(self) -> Frame | None:
        """The first that waits; None when nothing does. Running free: the last, which is newest.

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
        errors = list(self._blocks.errors_before(block_id, self._camera))
        if self.in_order:
            self._waiting.extend(errors)

    def _frame(self, acquired: Acquired) -> Frame:
        captured_ns = time.monotonic_ns()
        lag_ns = self._clock.lag_ns(acquired.stamp_ns) if acquired.stamp_ns else 0
        self._refuse_other_layout(acquired)
        if self._stale_ms is not None and lag_ns > self._stale_ms * 1e6:
            raise StaleFrameError(
                f"{self._camera}: the frame is {lag_ns / 1e6:.0f} ms late; the link or this "
                "computer is too slow"
            )
        image = image_from_raw(acquired.raw, self._format, *self._size, acquired.row_bytes)
        return Frame(image, captured_ns - lag_ns, 0, self._camera)

    def _refuse_other_layout(self, acquired: Acquired) -> None:
        size = (acquired.width, acquired.height)
        if size != self._size:
            raise WrongFrameError(
                f"{self._camera}: a frame of {size[0]}x{size[1]}, and the camera is set to "
                f"{self._size[0]}x{self._size[1]}; open it again"
            )
        self._code = self._code or acquired.format_code
        if acquired.format_code != self._code:
            raise WrongFrameError(
                f"{self._camera}: a frame in another pixel format than {self._format} "
                f"(0x{acquired.format_code:08x}); open the camera again"
            )

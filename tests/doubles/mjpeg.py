"""The simulated network camera with frames of rising brightness, which fails on request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from edge.sim import camera as simulated
from inspection.images import encode_jpeg

RATE_HZ = 25.0
SIZE = (96, 64)  # width, height


class MjpegCamera(simulated.MjpegCamera):
    """Sends grey frames whose mean rises with each frame.

    Attributes:
        sent: number of the newest frame.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.size = SIZE
        self.half_every = 0  # every n-th JPEG is cut in half
        super().__init__(self.jpeg, rate_hz=RATE_HZ)

    def jpeg(self, number: int) -> bytes:
        self.sent = number
        width, height = self.size
        image = np.full((height, width, 3), 30 + 2 * (number % 100), np.uint8)
        noise = np.random.default_rng(number).integers(0, 20, image.shape, dtype=np.uint8)
        content = encode_jpeg(image + noise, quality=95)
        is_half = self.half_every and number % self.half_every == self.half_every - 1
        return content[: len(content) // 2] if is_half else content


@contextmanager
def mjpeg_camera() -> Iterator[MjpegCamera]:
    """Serves a camera at `url` until the end of the block."""
    camera = MjpegCamera()
    try:
        yield camera
    finally:
        camera.close()

"""Encodes frames as image files."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import FrameError
from inspection.images import png
from inspection.images.window import MARK, Window


def encode_png(image: npt.NDArray[np.integer[Any]], window: Window | None = None) -> bytes:
    """Encodes a uint8 or uint16 image, (H, W) grey or (H, W, 3) BGR, as PNG.

    Args:
        window: the window that made the image of a deep one. The file names it, so that nobody
            applies a window again.
    """
    # Level 1 is four times faster than the default.
    encoded, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise FrameError(f"OpenCV cannot encode an image of shape {image.shape} as PNG")
    if window is None:
        return content.tobytes()
    return png.with_text(content.tobytes(), MARK, window.text())


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encodes a uint8 image as JPEG, for viewing only: never train a model with the result."""
    encoded, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise FrameError(f"OpenCV cannot encode an image of shape {image.shape} as JPEG")
    return content.tobytes()

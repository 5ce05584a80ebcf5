"""Pictures of parts for reports."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from inspection.images import encode_jpeg


def jpeg_url(content: bytes) -> str:
    """A JPEG as data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def small_jpeg(picture: npt.NDArray[np.uint8], side: int) -> bytes:
    """JPEG of a picture, (H, W) or (H, W, 3) BGR, whose longer side is `side` pixels at most."""
    scale = side / max(picture.shape[:2])
    if scale < 1:
        size = (round(picture.shape[1] * scale) or 1, round(picture.shape[0] * scale) or 1)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(picture, 80)

"""Masks that people paint over a frame: a PNG, bright where the defect is."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import FrameError
from inspection.images import encode_png, png
from inspection.images.damage import DamageError

MASK_MAX_BYTES = 128 * 1024  # of a PNG; one that a person paints has a few thousand
_SIDE_MAX = 8192
_PIXELS_MAX = 1 << 24  # a small file can claim to be as large as it likes
_BRIGHT = 127


def read_painted(content: bytes) -> npt.NDArray[np.bool_]:
    """Returns the pixels that are bright, (H, W); a colour or an alpha channel does not matter.

    Raises:
        FrameError: it is not a PNG, it is damaged, too large, or nothing is painted in it.
    """
    if len(content) > MASK_MAX_BYTES:
        raise FrameError(f"the mask has {len(content)} bytes, and may have {MASK_MAX_BYTES}")
    try:
        width, height = png.size(content)
        png.check(content)
    except DamageError as error:
        raise FrameError(f"the mask is not a PNG, or damaged ({error})") from error
    except ValueError as error:
        raise FrameError(f"the mask: {error}") from error
    if max(width, height) > _SIDE_MAX or width * height > _PIXELS_MAX:
        raise FrameError(f"the mask is {width}x{height}; paint it over the frame as it is shown")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FrameError("the mask is not a PNG that OpenCV can decode")
    painted = np.asarray(image > _BRIGHT)
    if not painted.any():
        raise FrameError("nothing is painted in the mask")
    return painted


def painted_png(painted: npt.NDArray[np.bool_]) -> bytes:
    """Encodes a mask as PNG of 0 and 255."""
    return encode_png(painted.astype(np.uint8) * np.uint8(255))


def painted_over(painted: npt.NDArray[np.bool_], frame: bytes) -> npt.NDArray[np.bool_]:
    """Returns a mask at the size of the frame that it was painted over.

    Args:
        frame: the PNG; its head alone is read.

    Raises:
        FrameError: the mask has another shape than the frame.
    """
    (height, width), (frame_width, frame_height) = painted.shape, png.size(frame)
    # A picture of another size is rounded to whole pixels.
    if abs(height - frame_height * width / frame_width) > 1:
        raise FrameError(
            f"the mask is {width}x{height} and the frame {frame_width}x{frame_height}: paint it "
            "over the whole frame"
        )
    fitted = cv2.resize(
        painted.astype(np.uint8), (frame_width, frame_height), interpolation=cv2.INTER_NEAREST
    )
    return np.asarray(fitted > 0)

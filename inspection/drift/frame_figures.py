"""Measures figures of a frame that show changes of the line: light, contrast, focus, position."""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

GrayImage = npt.NDArray[np.uint8]  # (H, W)
_FloatImage = npt.NDArray[np.float64]

# Twice the usual side of a model's input: no model sees a blur that is invisible at this size.
_SIDE_PX = 512
_REFERENCE_SIDE_PX = 128


def reduced(frame: npt.NDArray[np.uint8]) -> GrayImage:
    """Returns a frame, (H, W) or (H, W, 3) BGR, as grey with no side above 512 pixels."""
    gray = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return _within(cast("GrayImage", gray), _SIDE_PX)


def reference_from(frame: npt.NDArray[np.uint8]) -> GrayImage:
    """Returns the reference image for positions: grey, no side above 128 pixels."""
    return _within(reduced(frame), _REFERENCE_SIDE_PX)


def frame_figures(
    frame: npt.NDArray[np.uint8], reference: GrayImage | None = None
) -> dict[str, float]:
    """Returns brightness, contrast and sharpness of a frame, and its position to a reference.

    Contrast and sharpness are relative, so that more or less light changes only the brightness:
    contrast is the deviation divided by the mean, sharpness the variance of the Laplacian (Pech-
    Pacheco et al. 2000) divided by the variance. Both are measured on the reduced frame.

    Args:
        frame: (H, W) or (H, W, 3) BGR, of any size.
        reference: image of `reference_from`. With it, `row` and `column` give the shift of the
            content down and to the right, in pixels of the frame. Parts without a common picture
            (plain or random surfaces) have no position: these figures vary so much that their
            charts find nothing.
    """
    gray = reduced(frame)
    image = gray.astype(np.float64)
    brightness, variance = float(image.mean()), float(image.var())
    laplacian = cv2.Laplacian(gray, cv2.CV_64F)
    figures = {
        "brightness": brightness,
        "contrast": math.sqrt(variance) / max(brightness, 1.0),
        "sharpness": float(laplacian.var()) / max(variance, 1.0),
    }
    if reference is not None:
        figures |= position_figures(gray, reference, frame.shape[0], frame.shape[1])
    return figures


def position_figures(
    gray: GrayImage, reference: GrayImage, height: int, width: int
) -> dict[str, float]:
    """Returns `row` and `column` of `frame_figures`, from a reduced frame.

    Args:
        gray: image of `reduced` or of `reference_from`; both give the same result.
        height: height of the frame in pixels.
        width: width of the frame in pixels.
    """
    rows, columns = reference.shape
    small = cv2.resize(gray, (columns, rows), interpolation=cv2.INTER_AREA)
    row, column = phase_shift(cast("GrayImage", small), reference)
    return {"row": row * height / rows, "column": column * width / columns}


def phase_shift(gray: GrayImage, reference: GrayImage) -> tuple[float, float]:
    """Returns the shift of `gray` down and right in pixels, to about 0.2 pixel.

    Phase correlation (Kuglin and Hines 1975); a parabola through the peak gives the fraction. Both
    images have the same size.
    """
    window = np.outer(np.hanning(gray.shape[0]), np.hanning(gray.shape[1]))
    first, second = (np.fft.rfft2((image - image.mean()) * window) for image in (gray, reference))
    cross = first * second.conj()
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), s=gray.shape)
    row, column = (int(place) for place in np.unravel_index(peaks.argmax(), peaks.shape))
    return _peak(peaks[:, column], row), _peak(peaks[row], column)


def _within(gray: GrayImage, side_px: int) -> GrayImage:
    scale = side_px / max(gray.shape)
    if scale >= 1:
        return gray
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    return cast("GrayImage", cv2.resize(gray, size, interpolation=cv2.INTER_AREA))


def _peak(line: _FloatImage, place: int) -> float:
    n = len(line)
    before, at, after = line[place - 1], line[place], line[(place + 1) % n]
    curve = before - 2 * at + after
    shift = place + (0.5 * (before - after) / curve if curve < 0 else 0.0)
    return float(shift - n if shift > n / 2 else shift)

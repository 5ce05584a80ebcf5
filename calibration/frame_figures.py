"""Figures of a frame that tell what moved on the line: light, contrast, focus, position."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.errors import ConfigError

_Gray = npt.NDArray[np.float64]


def frame_figures(
    frame: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8] | None = None
) -> dict[str, float]:
    """Brightness, contrast and sharpness of a frame, and its position against a reference.

    Contrast and sharpness are relative, so that more or less light moves the brightness alone:
    contrast is the deviation divided by the mean, sharpness the variance of the Laplacian (Pech-
    Pacheco et al. 2000) divided by the variance. Cost: some ten passes over the pixels; use
    the preprocessed frame, not the native one.

    Args:
        frame: (H, W) or (H, W, C).
        reference: the same size; with it, `row` and `column` tell by how many pixels the frame is
            shifted down and to the right.

    Raises:
        ConfigError: a reference of another size.
    """
    gray = _gray_from(frame)
    brightness, variance = float(gray.mean()), float(gray.var())
    middle = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * middle
    figures = {
        "brightness": brightness,
        "contrast": math.sqrt(variance) / max(brightness, 1.0),
        "sharpness": float(laplacian.var()) / max(variance, 1.0),
    }
    if reference is not None:
        figures["row"], figures["column"] = phase_shift(gray, _gray_from(reference))
    return figures


def phase_shift(gray: _Gray, reference: _Gray) -> tuple[float, float]:
    """By how many pixels `gray` is shifted down and right: phase correlation, to about 0.2 pixel.

    Kuglin and Hines 1975; a parabola through the peak gives the fraction.
    """
    if gray.shape != reference.shape:
        raise ConfigError(
            f"the reference is {reference.shape[1]}x{reference.shape[0]} and the frame "
            f"{gray.shape[1]}x{gray.shape[0]}: take a reference of the same preprocessing"
        )
    window = np.outer(np.hanning(gray.shape[0]), np.hanning(gray.shape[1]))
    first, second = (np.fft.rfft2((image - image.mean()) * window) for image in (gray, reference))
    cross = first * second.conj()
    peaks = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-9), s=gray.shape)
    row, column = (int(place) for place in np.unravel_index(peaks.argmax(), peaks.shape))
    return _peak(peaks[:, column], row), _peak(peaks[row], column)


def _gray_from(frame: npt.NDArray[np.uint8]) -> _Gray:
    gray = frame.astype(np.float64)
    return gray if gray.ndim == 2 else np.asarray(gray.mean(axis=2))


def _peak(line: _Gray, place: int) -> float:
    n = len(line)
    before, at, after = line[place - 1], line[place], line[(place + 1) % n]
    curve = before - 2 * at + after
    shift = place + (0.5 * (before - after) / curve if curve < 0 else 0.0)
    return float(shift - n if shift > n / 2 else shift)

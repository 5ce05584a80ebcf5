"""Pictures of one part: frame, truth, anomaly map, what was found; one colour scale for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from inspection.overlay import heat_map, overlay
from training.evaluation import Evaluation
from training.inspected import Image, InspectedSample, Truth

SIDE = 220  # px; a square picture's, others have about its area


class ColourScale(NamedTuple):
    """The raw map values of the darkest colour, of the middle and of the brightest."""

    low: float
    threshold: float
    high: float


@dataclass(frozen=True)
class Pictures:
    """A part for people: uint8 (h, w, 3) BGR, all of one size, the frame's proportions.

    Attributes:
        truth: the defect is white; grey all over when nobody drew it.
        heat: the anomaly map over the frame.
        mask: what the artefact found, white.
        outline: the frame with that tinted and outlined.
    """

    frame: Image
    truth: Image
    heat: Image
    mask: Image
    outline: Image


def colour_scale(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> ColourScale:
    """One scale for all pictures: the calibrated pixel threshold is its middle.

    Its lower end is the usual value of good parts, so that their noise stays dark and what exceeds
    the threshold is bright in every picture. The extremes of single images have no part in it.
    """
    judged = [s for s in inspected if s.is_judged]
    shown = [s for s in judged if s.sample.is_good] or judged
    maps = [s.inspection.anomaly_map for s in shown]
    medians = [float(np.median(values)) for values in maps if values is not None]
    threshold = evaluation.threshold_pixel
    usual = float(np.median(medians)) if medians else threshold
    reach = max(threshold - usual, 1e-6 * max(1.0, abs(threshold)))
    return ColourScale(threshold - reach, threshold, threshold + reach)


def pictures(sample: InspectedSample, scale: ColourScale, side: int = SIDE) -> Pictures:
    """Draw the inspected part of a frame; a square one is `side` px wide, others alike in area."""
    region, truth = sample.region()
    height, width = _size(region.shape[0], region.shape[1], side)
    small = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
    colour = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small
    frame = np.asarray(colour, np.uint8)
    inspection = replace(sample.inspection, crop=None)  # the region is what the crop shows
    mask = inspection.native_mask(frame)
    heat = np.full_like(frame, 128)
    if inspection.anomaly_map is not None:
        coloured = heat_map(inspection.anomaly_map, scale.low, scale.high)
        enlarged = cv2.resize(coloured, (width, height), interpolation=cv2.INTER_LINEAR)
        heat = np.asarray(cv2.addWeighted(frame, 0.35, enlarged, 0.65, 0), np.uint8)
    return Pictures(
        frame,
        _black_and_white(_shrunk(truth, height, width), frame),
        heat,
        _black_and_white(mask, frame),
        overlay(_tinted(frame, mask), inspection)[-height:, :width],  # without its caption
    )


def _size(height: int, width: int, side: int) -> tuple[int, int]:
    factor = side / math.sqrt(height * width)
    factor = min(factor, 2 * side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _shrunk(truth: Truth | None, height: int, width: int) -> Truth | None:
    """A pixel is a defect when any of it is: a thin one stays visible."""
    if truth is None:
        return None
    covered = cv2.resize(truth.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered > 0)


def _tinted(frame: Image, mask: Truth) -> Image:
    """A copy, red where the mask is: an outline alone is lost in a small picture."""
    picture = frame.copy()
    picture[mask] = 0.6 * picture[mask] + 0.4 * np.array([0, 0, 255])
    return picture


def _black_and_white(mask: Truth | None, like: Image) -> Image:
    if mask is None:
        return np.full_like(like, 128)
    return np.repeat(mask[..., np.newaxis].astype(np.uint8) * 255, 3, axis=2)

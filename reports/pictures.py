"""Draws one part: frame, ground truth, anomaly map and defect, all parts on one colour scale."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from inspection.images import encode_jpeg
from inspection.inspector import Inspection
from inspection.overlay import draw_zones, heat_map, overlay

Image = npt.NDArray[np.uint8]  # (H, W) grey or (H, W, 3) BGR
Mask = npt.NDArray[np.bool_]  # (H, W)

_DISTANCE = 3  # px from the truth to its border
_TRUTH = (255, 255, 0)  # cyan in BGR: no verdict has it, and no value of a map

SIDE = 220  # px; a square picture's, others have about its area


class ColourScale(NamedTuple):
    """The raw map values of the darkest colour, of the middle and of the brightest."""

    low: float
    pixel: float
    high: float


@dataclass(frozen=True)
class Pictures:
    """A part in pictures of one size, uint8 (h, w, 3) BGR, in the frame's proportions.

    Attributes:
        truth: the defect in white; all grey without ground truth.
        heat: the anomaly map over the frame.
        mask: the defect that the artefact found, in white, with the border of the truth.
        outline: the frame with that defect tinted and outlined, and with the border of the truth.
    """

    frame: Image
    truth: Image
    heat: Image
    mask: Image
    outline: Image


def pictures(
    region: Image,
    truth: Mask | None,
    inspection: Inspection,
    scale: ColourScale,
    side: int = SIDE,
) -> Pictures:
    """Draws the inspected region of a frame; a square one is `side` px wide, others alike in area.

    Args:
        region: the region of the frame that the crop of `inspection` shows.
        truth: the defect in it, of the same size; None without ground truth.
    """
    height, width = _size(region.shape[0], region.shape[1], side)
    frame = as_colour(np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)))
    inspection = replace(inspection, crop=None)
    mask = inspection.native_mask(frame)
    heat = np.full_like(frame, 128)
    if inspection.anomaly_map is not None:
        coloured = heat_map(inspection.anomaly_map, scale.low, scale.high)
        enlarged = cv2.resize(coloured, (width, height), interpolation=cv2.INTER_LINEAR)
        heat = np.asarray(cv2.addWeighted(frame, 0.35, enlarged, 0.65, 0), np.uint8)
    small_truth = _shrunk(truth, height, width)
    return Pictures(
        frame,
        _black_and_white(small_truth, frame),
        heat,
        _bordered(_black_and_white(mask, frame), small_truth),
        _bordered(_outlined(frame, inspection), small_truth),
    )


def small_outline(frame: Image, inspection: Inspection, side: int) -> bytes:
    """Draws the inspected part of a frame with the defect found, at most `side` px, as JPEG.

    The lines are drawn at that size, so that they stay visible.
    """
    region = frame if inspection.crop is None else inspection.crop.of(frame)
    factor = min(1.0, side / max(region.shape[:2]))
    height, width = (max(1, round(length * factor)) for length in region.shape[:2])
    shrunk = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
    frame = as_colour(np.asarray(shrunk, np.uint8))
    return encode_jpeg(_outlined(frame, replace(inspection, crop=None)), 80)


def with_zones(frame: Image, inspection: Inspection) -> Image:
    """Draws the borders of the zones into a copy of the frame; without zones, returns the frame."""
    if inspection.zones is None:
        return frame
    picture = as_colour(frame).copy()
    draw_zones(picture, inspection)
    return picture


def native_heat(frame: Image, inspection: Inspection, low: float, high: float) -> Image | None:
    """Draws the anomaly map in the size of the region that it covers; None without a map.

    Args:
        low, high: raw values of the darkest and of the brightest colour.
    """
    if inspection.anomaly_map is None:
        return None
    shown = frame if inspection.crop is None else inspection.crop.of(frame)
    heat = cv2.resize(heat_map(inspection.anomaly_map, low, high), shown.shape[1::-1])
    return np.asarray(heat, dtype=np.uint8)


def as_colour(image: Image) -> Image:
    """Returns the image as (H, W, 3) BGR; a colour image stays the same object."""
    if image.ndim == 3:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def small_jpeg(picture: Image, side: int) -> bytes:
    """Encodes a picture as JPEG, with a longer side of at most `side` px."""
    scale = side / max(picture.shape[:2])
    if scale < 1:
        size = (round(picture.shape[1] * scale) or 1, round(picture.shape[0] * scale) or 1)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(picture, 80)


def data_url(content: bytes) -> str:
    """Returns a URL that holds the image, from the bytes of a JPEG or PNG."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _size(height: int, width: int, side: int) -> tuple[int, int]:
    factor = side / math.sqrt(height * width)
    factor = min(factor, 2 * side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _shrunk(truth: Mask | None, height: int, width: int) -> Mask | None:
    """Shrinks a mask; any defect in a pixel marks it, so that a thin defect stays visible."""
    if truth is None:
        return None
    covered = cv2.resize(truth.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered > 0)


def _tinted(frame: Image, mask: Mask) -> Image:
    """Tints the mask red in a copy: in a small picture an outline alone is hard to see."""
    picture = frame.copy()
    picture[mask] = 0.6 * picture[mask] + 0.4 * np.array([0, 0, 255])
    return picture


def _outlined(frame: Image, inspection: Inspection) -> Image:
    height, width = frame.shape[:2]
    tinted = _tinted(frame, inspection.native_mask(frame))
    return np.ascontiguousarray(overlay(tinted, inspection)[-height:, :width])  # no caption


def _bordered(picture: Image, truth: Mask | None) -> Image:
    """Draws the border of the ground truth into the picture: where a defect is that was missed."""
    if truth is not None and truth.any():
        # Around the defect: on its edge the line would cover a crack one pixel wide.
        around = np.ones((2 * _DISTANCE + 1, 2 * _DISTANCE + 1), np.uint8)
        grown = cv2.dilate(truth.astype(np.uint8), around)
        contours, _ = cv2.findContours(grown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, _TRUTH, 1)
    return picture


def _black_and_white(mask: Mask | None, like: Image) -> Image:
    if mask is None:
        return np.full_like(like, 128)
    return np.repeat(mask[..., np.newaxis].astype(np.uint8) * 255, 3, axis=2)

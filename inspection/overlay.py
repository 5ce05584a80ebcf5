"""Draws pictures for the operator: heat map, outline of the defect, caption. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from inspection.digits import comparable
from inspection.inspector import Inspection
from inspection.verdict import Verdict

# BGR. They differ in brightness too, for the colour-blind and for black-and-white prints.
_COLOURS = {
    Verdict.PASS: (90, 200, 90),
    Verdict.REVIEW: (60, 220, 255),
    Verdict.REJECT: (60, 60, 235),
    Verdict.NO_VERDICT: (200, 200, 200),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAR = (32, 32, 32)
_ZONE = (255, 190, 120)


def heat_map(
    anomaly_map: npt.NDArray[np.float32], low: float, high: float
) -> npt.NDArray[np.uint8]:
    """Colours a raw anomaly map.

    The caller gives the scale, so that a colour means the same in every picture. A scale per
    picture would make the noise of a good part look like a defect.

    Args:
        anomaly_map: float32 (H, W).
        low: raw value of the darkest colour; smaller values get the same colour.
        high: raw value of the brightest colour, above `low`; larger values get the same colour.

    Returns:
        uint8 (H, W, 3) BGR. NaN is white.
    """
    if not low < high:
        raise ValueError(f"low {low} must be below high {high}")
    undefined = np.isnan(anomaly_map)
    scaled = np.clip((anomaly_map - low) / (high - low), 0.0, 1.0) * 255
    levels = np.where(undefined, 0.0, scaled).round().astype(np.uint8)
    coloured = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), dtype=np.uint8)
    coloured[undefined] = 255
    return coloured


def overlay(frame: npt.NDArray[np.uint8], inspection: Inspection) -> npt.NDArray[np.uint8]:
    """Returns the frame with the outlines of zones and defect, below a caption.

    The caption covers no pixel of the frame. A frame that is too narrow for the caption gets a
    margin on its right; the frame keeps its scale.

    Args:
        frame: uint8 (H, W) grey or (H, W, 3) BGR; stays unchanged.
        inspection: the result for this frame.

    Returns:
        uint8 (H + caption, at least W, 3) BGR. The frame's last row is the picture's last row.
    """
    picture = np.array(frame if frame.ndim == 3 else np.repeat(frame[..., np.newaxis], 3, axis=2))
    colour = _COLOURS[inspection.verdict]
    draw_zones(picture, inspection)
    _outline(picture, inspection.native_mask(frame), colour)
    return _captioned(picture, caption(inspection), colour)


def draw_zones(picture: npt.NDArray[np.uint8], inspection: Inspection) -> None:
    """Draws the border of each zone into a frame (H, W, 3) BGR, where the zone lay in the frame."""
    zones = inspection.native_zones(picture)
    if zones is None:
        return
    thickness = max(2, round(min(zones.shape) / 400))
    for number in range(1, int(zones.max()) + 1):
        inside = (zones == number).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, contours, -1, _ZONE, thickness)


def caption(inspection: Inspection) -> str:
    """Returns the verdict with its reason: `REJECT 3.2 > 2.5`, `NO_VERDICT deadline`."""
    if inspection.cause is not None:
        return f"{inspection.verdict.value} {inspection.cause.value}"
    reject = inspection.thresholds.reject
    relation = ">" if inspection.score > reject else "<="
    is_suspect = inspection.zone and inspection.verdict is not Verdict.PASS
    zone = f" in {inspection.zone}" if is_suspect else ""
    score, threshold = comparable(inspection.score, reject)
    return f"{inspection.verdict.value} {score} {relation} {threshold}{zone}"


def _outline(
    picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], colour: tuple[int, int, int]
) -> None:
    thickness = max(2, round(min(mask.shape) / 250))
    # The line runs around the defect: on its edge it would cover a scratch one pixel wide.
    grown = cv2.dilate(
        mask.astype(np.uint8), np.ones((2 * thickness + 1, 2 * thickness + 1), dtype=np.uint8)
    )
    contours, _ = cv2.findContours(grown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, thickness)


def _captioned(
    picture: npt.NDArray[np.uint8], text: str, colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = max(0.5, min(height, width) / 800)
    thickness = max(1, round(scale * 1.5))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    margin = text_height // 2
    bar = text_height + baseline + 2 * margin
    canvas = np.full((bar + height, max(width, text_width + 2 * margin), 3), _BAR, dtype=np.uint8)
    canvas[bar:, :width] = picture
    cv2.putText(
        canvas,
        text,
        (margin, margin + text_height),
        _FONT,
        scale,
        colour,
        thickness,
        cv2.LINE_AA,
    )
    return canvas

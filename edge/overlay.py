"""Pictures for people: heat maps with a fixed scale, and frames with the defect's contour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge.inspector import Inspection
from edge.verdict import Verdict

Image = npt.NDArray[np.uint8]

COLOURS = {  # BGR
    Verdict.PASS: (80, 175, 76),
    Verdict.REVIEW: (0, 170, 255),
    Verdict.REJECT: (54, 67, 244),
    Verdict.NO_VERDICT: (158, 158, 158),
}


def colour_image(frame: Image) -> Image:
    """A copy as (H, W, 3) BGR."""
    if frame.ndim == 2:
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), np.uint8)
    return frame.copy()


def heat_map(anomaly_map: npt.NDArray[np.float32], low: float, high: float) -> Image:
    """Colours (H, W, 3) BGR for raw map values between `low` (blue) and `high` (red).

    The scale is the caller's and the same for all parts: a scale per image makes good parts look
    hot.
    """
    span = max(high - low, 1e-12)
    level = np.clip((anomaly_map.astype(np.float64) - low) / span, 0.0, 1.0)
    return np.asarray(cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO))


def blend_heat_map(frame: Image, heat: Image, opacity: float = 0.5) -> Image:
    """A heat map (h, w, 3) laid over a frame, at the frame's size."""
    size = (frame.shape[1], frame.shape[0])
    enlarged = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR)
    mixed = cv2.addWeighted(colour_image(frame), 1 - opacity, enlarged, opacity, 0)
    return np.asarray(mixed, np.uint8)


def contour(frame: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """The frame with the outline of a mask (H, W) of the same size drawn in red."""
    picture = colour_image(frame)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(min(frame.shape[:2]) / 250))
    cv2.drawContours(picture, outlines, -1, (0, 0, 255), width)
    return picture


def overlay(frame: Image, inspection: Inspection) -> Image:
    """The frame with the defect's contour and a caption: verdict, score and threshold."""
    picture = contour(frame, inspection.native_mask(frame))
    score = "no score" if np.isnan(inspection.score) else f"{inspection.score:.3g}"
    text = f"{inspection.verdict.value}  {score} / {inspection.threshold:.3g}"
    return caption(picture, text, COLOURS[inspection.verdict])


def caption(picture: Image, text: str, colour: tuple[int, int, int]) -> Image:
    """A picture with a bar of text above it, as wide as the picture."""
    width = picture.shape[1]
    font, base_width = (
        cv2.FONT_HERSHEY_SIMPLEX,
        cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1, 2),
    )
    scale = min(0.9 * width / base_width[0][0], max(0.4, width / 800))
    thickness = max(1, round(2 * scale))
    height = round(34 * scale) + 8
    bar = np.full((height, width, 3), colour, np.uint8)
    origin = (round(8 * scale), height - round(10 * scale) - 2)
    cv2.putText(bar, text, origin, font, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return np.vstack([bar, picture])

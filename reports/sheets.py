"""Draws contact sheets: a row of pictures for each part below its name and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inspection.digits import comparable
from inspection.inspector import Inspection
from inspection.overlay import caption, heat_map
from inspection.verdict import Verdict
from reports.pictures import SIDE, ColourScale, Image, Pictures

_COLOURS = {  # BGR, dark enough for text on white
    Verdict.PASS: (60, 125, 45),
    Verdict.REVIEW: (0, 115, 190),
    Verdict.REJECT: (40, 40, 190),
    Verdict.NO_VERDICT: (110, 110, 110),
}
_INK, _GREY, _PAPER = (35, 35, 35), (115, 115, 115), (255, 255, 255)
_TITLES = ("frame", "ground truth", "anomaly map", "predicted mask", "outline")
_GAP, _MARGIN, _LINE = 6, 24, 26
_WORDS = 650  # px; a panel is at least as wide


@dataclass(frozen=True)
class Panel:
    """One part of a sheet.

    Attributes:
        mistake: kind of wrong verdict; empty for a right one.
    """

    name: str
    inspection: Inspection
    pictures: Pictures
    mistake: str = ""


def draw_panel(panel: Panel) -> Image:
    """Draws a part on white: a row of five pictures below its name, verdict and score."""
    return _drawn(panel, panel.pictures.frame.shape[0], _width([panel]))


def contact_sheet(title: str, choice: str, panels: Sequence[Panel], scale: ColourScale) -> Image:
    """Draws a sheet of parts, with the bar of their colour scale.

    Args:
        title: first line.
        choice: second line: how the parts were chosen. The third names the border of the truth.
    """
    width = _width(panels)
    columns = 2 if len(panels) > 1 and width <= SIDE else 1
    rows = [_row([_titles(width)] * columns)]
    rows += [
        _row_of(panels[first : first + columns], width, columns)
        for first in range(0, len(panels), columns)
    ]
    body = np.vstack(rows)
    heading = np.full((4 * _LINE, body.shape[1], 3), 255, np.uint8)
    _write(heading, title, (_MARGIN, 32), bold=True, scale=0.75)
    _write(heading, choice, (_MARGIN, 60), _GREY)
    _write(heading, "cyan: the border of the ground truth", (_MARGIN, 84), _GREY)
    bar = np.full((3 * _LINE, body.shape[1], 3), 255, np.uint8)
    drawn_bar = colour_bar(scale)
    bar[:, : drawn_bar.shape[1]] = drawn_bar
    return np.asarray(np.vstack([heading, body, bar]), np.uint8)


def colour_bar(scale: ColourScale) -> Image:
    """Draws the colours with their raw values: both ends, and the pixel threshold in the middle."""
    length = 480
    canvas = np.full((3 * _LINE, length + 3 * _MARGIN, 3), 255, np.uint8)
    ramp = np.linspace(scale.low, scale.high, length)[np.newaxis].astype(np.float32)
    canvas[6:24, _MARGIN : _MARGIN + length] = heat_map(ramp, scale.low, scale.high)
    # The first text begins at its mark, the last one ends there: none meets another.
    places = (0, length // 2, length - 1)
    for text, place, share in zip(comparable(*scale), places, (0, 0.5, 1), strict=True):
        canvas[24:29, _MARGIN + place] = _INK
        left = _MARGIN + place - round(share * _text_width(text))
        _write(canvas, text, (left, 44))
    _write(canvas, "anomaly map, raw values; middle: pixel threshold", (_MARGIN, 66), _GREY)
    return canvas


def _width(panels: Sequence[Panel]) -> int:
    """Returns the width of a box for each picture; five of them are as wide as the words."""
    widths: list[int] = [panel.pictures.frame.shape[1] for panel in panels]
    return max([_WORDS // 5, *widths])


def _row_of(panels: Sequence[Panel], width: int, columns: int) -> Image:
    """Draws a row as high as its own highest frame."""
    height = max(panel.pictures.frame.shape[0] for panel in panels)
    blank = np.full((_LINE + height, 5 * (width + _GAP), 3), 255, np.uint8)
    drawn = [_drawn(panel, height, width) for panel in panels]
    return _row([*drawn, *[blank] * (columns - len(drawn))])


def _drawn(panel: Panel, height: int, width: int) -> Image:
    """Draws a panel whose pictures have boxes of one size, so that columns of panels align."""
    canvas = np.full((_LINE + height, 5 * (width + _GAP), 3), 255, np.uint8)
    colour = _COLOURS[panel.inspection.verdict]
    x = _write(canvas, caption(panel.inspection), (0, 17), colour, bold=True)
    if panel.mistake:
        mistake = panel.mistake.upper()
        x = _write(canvas, mistake, (x + 16, 17), _COLOURS[Verdict.REJECT], bold=True)
    _write(canvas, panel.name, (x + 16, 17))
    drawn = panel.pictures
    row = (drawn.frame, drawn.truth, drawn.heat, drawn.mask, drawn.outline)
    for column, picture in enumerate(row):
        h, w = picture.shape[:2]
        left = column * (width + _GAP) + (width - w) // 2
        canvas[_LINE : _LINE + h, left : left + w] = picture
    return canvas


def _titles(width: int) -> Image:
    canvas = np.full((_LINE, 5 * (width + _GAP), 3), 255, np.uint8)
    for column, title in enumerate(_TITLES):
        _write(canvas, title, (column * (width + _GAP), 17), _GREY)
    return canvas


def _row(panels: Sequence[Image]) -> Image:
    framed = [
        cv2.copyMakeBorder(p, 4, 8, _MARGIN, 0, cv2.BORDER_CONSTANT, value=_PAPER) for p in panels
    ]
    return np.asarray(np.hstack(framed), np.uint8)


def _text_width(text: str, scale: float = 0.5, thickness: int = 1) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    return int(width)


def _write(
    canvas: Image,
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int] = _INK,
    *,
    bold: bool = False,
    scale: float = 0.5,
) -> int:
    """Writes on a canvas from `at` (x, y of the base line); returns the end of the text in px."""
    plain = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    thickness = 2 if bold else 1
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, plain, at, font, scale, colour, thickness, cv2.LINE_AA)
    return at[0] + _text_width(plain, scale, thickness)

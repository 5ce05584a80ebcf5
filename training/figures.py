"""Contact sheets: a row of pictures per part below its name and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import cv2
import numpy as np

from inspection.overlay import caption, heat_map
from inspection.verdict import Verdict
from training.evaluation import Evaluation
from training.inspected import Image, InspectedSample
from training.pictures import SIDE, ColourScale, Pictures, colour_scale, pictures

COLOURS = {  # BGR, dark enough for text on white
    Verdict.PASS: (60, 125, 45),
    Verdict.REVIEW: (0, 115, 190),
    Verdict.REJECT: (40, 40, 190),
    Verdict.NO_VERDICT: (110, 110, 110),
}
_INK, _GREY, _PAPER = (35, 35, 35), (115, 115, 115), (255, 255, 255)
_TITLES = ("frame", "ground truth", "anomaly map", "predicted mask", "outline")
_GAP, _MARGIN, _LINE = 6, 24, 26
_WORDS = 650  # px; a panel is at least as wide


def panel(sample: InspectedSample, scale: ColourScale) -> Image:
    """One part as a row of five pictures below its name, verdict and score; a white background."""
    drawn = pictures(sample, scale)
    return _panel(sample, drawn, *_box([drawn]))


def figure_sheet(
    inspected: Sequence[InspectedSample], evaluation: Evaluation, limit: int = 24
) -> Image:
    """A contact sheet of the parts that `choose` takes, with one colour scale and its bar."""
    scale = colour_scale(inspected, evaluation)
    chosen = choose(inspected, limit)
    drawn = [pictures(sample, scale) for sample in chosen]
    height, width = _box(drawn)
    panels = [_panel(s, d, height, width) for s, d in zip(chosen, drawn, strict=True)]
    columns = 2 if len(panels) > 1 and width <= SIDE else 1
    blank = np.full((_LINE + height, 5 * (width + _GAP), 3), 255, np.uint8)
    panels += [blank] * (-len(panels) % columns)
    titles = _titles(width)
    rows = [_row([titles] * columns)]
    rows += [_row(panels[i : i + columns]) for i in range(0, len(panels), columns)]
    body = np.vstack(rows)
    heading = _heading(inspected, chosen, evaluation, body.shape[1])
    bar = np.full((3 * _LINE, body.shape[1], 3), 255, np.uint8)
    drawn_bar = colour_bar(scale)
    bar[:, : drawn_bar.shape[1]] = drawn_bar
    return np.asarray(np.vstack([heading, body, bar]), np.uint8)


def choose(inspected: Sequence[InspectedSample], limit: int) -> list[InspectedSample]:
    """Wrong verdicts first, the worst ahead, in up to half of the places; then from each class the
    highest, the lowest and the median score, in this order when places are short.
    """
    judged = [s for s in inspected if s.is_judged]
    first = wrong_verdicts(judged)[: limit // 2]
    classes: dict[str, list[InspectedSample]] = {}
    for sample in sorted(judged, key=lambda s: -s.inspection.score):
        classes.setdefault(sample.sample.defect, []).append(sample)
    order = sorted(classes)
    typical = [classes[name][0] for name in order]
    typical += [classes[name][-1] for name in order]
    typical += [classes[name][len(classes[name]) // 2] for name in order]
    others = [s for s in dict.fromkeys(typical) if s not in first][: limit - len(first)]
    return first + sorted(others, key=lambda s: (s.sample.defect, -s.inspection.score))


def wrong_verdicts(inspected: Sequence[InspectedSample]) -> list[InspectedSample]:
    """False rejects and escapes in turn, the farthest from the threshold first."""
    ordered = sorted(inspected, key=threshold_distance, reverse=True)
    rejects = [s for s in ordered if s.is_false_reject]
    escapes = [s for s in ordered if s.is_escape]
    return [s for pair in zip_longest(rejects, escapes) for s in pair if s is not None]


def threshold_distance(sample: InspectedSample) -> float:
    """How far the score is from the threshold, in raw units; NaN without a score."""
    return abs(sample.inspection.score - sample.inspection.thresholds.reject)


def colour_bar(scale: ColourScale) -> Image:
    """The colours with their raw values: both ends, and the pixel threshold in the middle."""
    length = 480
    canvas = np.full((3 * _LINE, length + 3 * _MARGIN, 3), 255, np.uint8)
    ramp = np.linspace(scale.low, scale.high, length)[np.newaxis].astype(np.float32)
    canvas[6:24, _MARGIN : _MARGIN + length] = heat_map(ramp, scale.low, scale.high)
    for value, place in zip(scale, (0, length // 2, length - 1), strict=True):
        canvas[24:29, _MARGIN + place] = _INK
        _write(canvas, f"{value:.4g}", (_MARGIN + place, 44))
    _write(canvas, "anomaly map, raw; middle: pixel threshold", (_MARGIN, 66), _GREY)
    return canvas


def _box(drawn: Sequence[Pictures]) -> tuple[int, int]:
    """Height and width in which each picture finds room, and the words above a panel too."""
    height = max((d.frame.shape[0] for d in drawn), default=SIDE)
    return height, max([_WORDS // 5, *(d.frame.shape[1] for d in drawn)])


def _panel(sample: InspectedSample, drawn: Pictures, height: int, width: int) -> Image:
    """A panel whose pictures stand in boxes of one size, so that columns of panels align."""
    canvas = np.full((_LINE + height, 5 * (width + _GAP), 3), 255, np.uint8)
    colour = COLOURS[sample.inspection.verdict]
    wrong = "FALSE REJECT" if sample.is_false_reject else "ESCAPE" if sample.is_escape else ""
    x = _write(canvas, caption(sample.inspection), (0, 17), colour, bold=True)
    if wrong:
        x = _write(canvas, wrong, (x + 16, 17), COLOURS[Verdict.REJECT], bold=True)
    _write(canvas, sample.name, (x + 16, 17))
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


def _heading(
    inspected: Sequence[InspectedSample],
    chosen: Sequence[InspectedSample],
    evaluation: Evaluation,
    width: int,
) -> Image:
    canvas = np.full((3 * _LINE, width, 3), 255, np.uint8)
    wrong = sum(s.is_false_reject or s.is_escape for s in inspected)
    shown = sum(s.is_false_reject or s.is_escape for s in chosen)
    title = f"{evaluation.data_set}: {evaluation.model}, recipe {evaluation.recipe}"
    _write(canvas, title, (_MARGIN, 32), bold=True, scale=0.75)
    choice = f"{len(chosen)} of {len(inspected)} test images: {shown} of {wrong} wrong verdicts, "
    choice += "then highest, median and lowest score of each class"
    _write(canvas, choice, (_MARGIN, 60), _GREY)
    return canvas


def _write(
    canvas: Image,
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int] = _INK,
    *,
    bold: bool = False,
    scale: float = 0.5,
) -> int:
    """Write on a canvas from `at` (x, y of the base line); returns where the text ends, px."""
    plain = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    thickness = 2 if bold else 1
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, plain, at, font, scale, colour, thickness, cv2.LINE_AA)
    return at[0] + int(cv2.getTextSize(plain, font, scale, thickness)[0][0])

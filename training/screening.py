"""Screening of the learnt good images: marks, other parts and defects that nobody saw.

Calibration screens the images that it judges. Of many good images it never sees the learnt ones:
here a model of nine tenths of them judges the others, in turn. Nothing is left out: a person looks
at the images that stand out and decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from inspection.errors import named
from inspection.files import write_bytes
from inspection.images import encode_jpeg
from inspection.overlay import heat_map
from reports.spreads import FEWEST, standing_out
from training.closed_form import Views
from training.models.base import ClosedFormModel

_FONT, _TEXT_SCALE, _TEXT_LEFT, _INK = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 4, (35, 35, 35)
SHEET = "standing-out.jpg"  # in a run folder
_GROUPS = 10
_SHOWN = 8
_QUALITY = 85
_HEAT = 0.5  # weight over the image
_CAPTION = 24  # px

Image = npt.NDArray[np.uint8]  # (H, W, 3) BGR


class Outlier(NamedTuple):
    """An image that stands out: its place in the order of learning, its file's name, its distance.

    Attributes:
        spreads: distance from the median of the scores, in spreads.
    """

    number: int
    name: str
    spreads: float


class Remarkable(NamedTuple):
    """The images that stand out, judged by a model of all others.

    Attributes:
        outliers: the highest first.
        screened: number of screened images.
        held_out: highest score of the held-out images, by the model of all images and by that of
            the others.
        sheet: each image beside its anomaly map.
    """

    outliers: tuple[Outlier, ...]
    screened: int
    held_out: tuple[float, float]
    sheet: Image

    def doubt(self) -> str:
        """Names the images, as a line for the user."""
        images = [
            f"{one.name} ({one.spreads:.1f} spreads above the median)" for one in self.outliers
        ]
        before, after = self.held_out
        return (
            f"{len(images)} of {self.screened} learnt good images stand out and count all the "
            f"same: {named(images)}; with them the highest held-out score is {before:.6g}, without "
            f"{after:.6g}; look at {SHEET} in the run, and leave out those that are not good: "
            "--without FILE of linewarden teach, or data.without"
        )


class Screening(NamedTuple):
    """Scores of learnt images, in the order of learning, and the images that stand out."""

    scores: tuple[float, ...] = ()
    remarkable: Remarkable | None = None

    @property
    def doubts(self) -> list[str]:
        """Returns the doubts about the images, as lines for the user."""
        return [self.remarkable.doubt()] if self.remarkable is not None else []

    def save(self, run: Path) -> None:
        """Writes the pictures of images that stand out, if any, into a run folder."""
        if self.remarkable is not None:
            write_bytes(run / SHEET, encode_jpeg(self.remarkable.sheet, _QUALITY))


@torch.no_grad()
def screen(
    model: ClosedFormModel,
    learnt: Views,
    held_out: Callable[[], Views],
    *,
    first: int = 0,
    known: Sequence[float] = (),
) -> Screening:
    """Judges learnt images by models without a tenth of them, which has the judged one.

    Args:
        model: finished.
        learnt: in the order of learning, from `first` on.
        held_out: returns good images that the model has not learnt.
        known: scores of learnt images that are not in `learnt`.

    Returns:
        no scores when they are too few to have a spread.
    """
    numbers = range(first, len(learnt))
    if len(numbers) + len(known) < FEWEST:
        return Screening()
    judged: dict[int, float] = {}
    for start in range(min(_GROUPS, len(numbers))):
        group = [learnt.of(number) for number in numbers[start::_GROUPS]]
        others = model.without(group)
        judged |= {one.number: float(others.predict(one.views[0]).scores) for one in group}
    scores = {number: judged[number] for number in numbers}
    everything = {**scores, **{-1 - place: score for place, score in enumerate(known)}}
    outliers = tuple(
        Outlier(number, learnt.name(number), spreads)
        for number, spreads in standing_out(everything).items()
        if number >= 0
    )
    found = _look(model, learnt, held_out(), outliers, len(everything)) if outliers else None
    return Screening(tuple(scores.values()), found)


def _look(
    model: ClosedFormModel,
    learnt: Views,
    held_out: Views,
    outliers: tuple[Outlier, ...],
    count: int,
) -> Remarkable:
    """Compares the model with one that has not learnt the images that stand out."""
    others = model.without([learnt.of(one.number) for one in outliers])
    usual = [held_out.of(number).views[0] for number in range(len(held_out))]
    before = max(float(model.predict(features).scores) for features in usual)
    after = [others.predict(features) for features in usual]
    low = float(np.median([float(one.maps.median()) for one in after]))
    high = max(float(one.maps.max()) for one in after)
    high = max(high, low + 1e-6 * max(1.0, abs(low)))  # copies of learnt images have empty maps
    captions = [f"{one.name}: {one.spreads:.1f} spreads" for one in outliers[:_SHOWN]]
    width = max(map(_text_width, captions))
    rows = [
        _row(
            learnt.image(one.number),
            others.predict(learnt.of(one.number).views[0]).maps[0].float().cpu().numpy(),
            text,
            (low, high),
            least_width=width,
        )
        for one, text in zip(outliers, captions, strict=False)
    ]
    highest = max(float(one.scores) for one in after)
    return Remarkable(outliers, count, (before, highest), np.vstack(rows))


def _row(
    image: Image,
    anomaly_map: npt.NDArray[np.float32],
    text: str,
    scale: tuple[float, float],
    *,
    least_width: int,
) -> Image:
    """Draws an image and its map below a caption; held-out good images are not brighter.

    Args:
        least_width: of the row, px; white fills it beside narrow images.
    """
    heat = heat_map(anomaly_map, *scale)
    row = np.hstack([image, cv2.addWeighted(image, 1 - _HEAT, heat, _HEAT, 0)])
    drawn = np.full((_CAPTION + len(row), max(row.shape[1], least_width), 3), 255, np.uint8)
    drawn[_CAPTION:, : row.shape[1]] = row
    cv2.putText(drawn, text, (_TEXT_LEFT, 17), _FONT, _TEXT_SCALE, _INK, 1, cv2.LINE_AA)
    return drawn


def _text_width(text: str) -> int:
    (width, _), _ = cv2.getTextSize(text, _FONT, _TEXT_SCALE, 1)
    return int(width) + 2 * _TEXT_LEFT

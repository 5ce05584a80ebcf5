"""The pictures of a comparison: good images to learn, others to judge, defects drawn on these."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inspection.images import read_image
from inspection.preprocess import Preprocessing, preprocess
from training.data.survey import SurveyedSample
from training.drawn_defects import CONTRASTS, KINDS, DrawnDefect, draw_defect, part_of
from training.input_size import Size
from training.inspected import truth_at_map_size

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_MOST_LEARNT, _MOST_COMPARED = 60, 24  # good images


class Wanted(NamedTuple):
    """A defect to draw.

    Attributes:
        kind, contrast: names in `training.drawn_defects`.
        number: starts the random numbers.
    """

    kind: str
    contrast: str
    number: int


class Division(NamedTuple):
    """Good images that candidates learn, and good images to compare them on."""

    learnt: tuple[SurveyedSample, ...]
    compared: tuple[SurveyedSample, ...]


class Pictures(NamedTuple):
    """Model inputs of one size, uint8 (H, W, 3), and masks (H, W) of the drawn defects."""

    learnt: list[Image]
    good: list[Image]
    drawn: list[Image]
    masks: list[Mask]


def divided(samples: Sequence[SurveyedSample]) -> Division:
    """Divides good images, of which there are two or more: a third is to compare on.

    The numbers are limited, so that a comparison of many images takes no longer.
    """
    count = max(1, min(len(samples) // 3, _MOST_COMPARED))
    return Division(tuple(samples[count : count + _MOST_LEARNT]), tuple(samples[:count]))


def wanted_defects(
    images: int, count: int, contrasts: Sequence[str] = tuple(CONTRASTS)
) -> list[list[Wanted]]:
    """Deals `count` defects out to a number of images: all kinds at all contrasts in turn."""
    pairs = islice(cycle(product(KINDS, contrasts)), count)
    wanted = [Wanted(*pair, number) for number, pair in enumerate(pairs)]
    # Shuffled, so that no image gets all the faint ones.
    dealt = [wanted[index] for index in np.random.default_rng(0).permutation(count)]
    return [dealt[image::images] for image in range(images)]


def drawn_on(
    frame: Image, wanted: Sequence[Wanted], *, seed: int, width: float | None = None
) -> list[DrawnDefect]:
    """Draws each of `wanted` on a copy of a good frame.

    Args:
        width: thickness of scratches in native px; None takes a share of the frame's side.
    """
    part = part_of(frame)
    return [
        draw_defect(
            one.kind,
            frame,
            part,
            np.random.default_rng((seed, one.number)),
            CONTRASTS[one.contrast],
            width=width,
        )
        for one in wanted
    ]


def read_pictures(
    division: Division,
    sizes: Sequence[Size],
    preprocessing: Preprocessing,
    wanted: Sequence[Sequence[Wanted]],
    *,
    seed: int,
    width: float | None,
) -> dict[Size, Pictures]:
    """Reads the images once and prepares them at each size.

    Args:
        preprocessing: from frames to an input of any size; its own size is not used.
        wanted: defects to draw on each of the images to compare on.
        width: as for `drawn_on`.
    """
    ways = {
        size: preprocessing.model_copy(update={"height": size[0], "width": size[1]})
        for size in sizes
    }
    pictures = {size: Pictures([], [], [], []) for size in sizes}
    for sample in division.learnt:
        frame = read_image(sample.sample.path)
        for size, way in ways.items():
            pictures[size].learnt.append(preprocess(frame, way))
    for sample, defects_of_it in zip(division.compared, wanted, strict=True):
        frame = read_image(sample.sample.path)
        defects = drawn_on(frame, defects_of_it, seed=seed, width=width)
        for size, way in ways.items():
            pictures[size].good.append(preprocess(frame, way))
            pictures[size].drawn.extend(preprocess(defect.frame, way) for defect in defects)
            pictures[size].masks.extend(truth_at_map_size(defect.mask, way) for defect in defects)
    return pictures

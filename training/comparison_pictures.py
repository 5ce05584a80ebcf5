"""The pictures of a comparison: good images, and defects drawn on those that are judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle, islice, product
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inspection.preprocess import Crop, Preprocessing, preprocess
from training.data.survey import SurveyedSample
from training.drawn_defects import CONTRASTS, KINDS, DrawnDefect, draw_defect
from training.input_size import Size
from training.part_mask import Ground, ground_of, part_on

Image = npt.NDArray[np.uint8]

_MOST_LEARNT, _MOST_JUDGED = 48, 24  # good images
_FOLDS = 3
_GROUND_FRAMES = 12


class Wanted(NamedTuple):
    """A defect to draw.

    Attributes:
        kind, contrast: names in `training.drawn_defects`.
        number: starts the random numbers.
    """

    kind: str
    contrast: str
    number: int


class Fold(NamedTuple):
    """Indices of good images that a model learns, and of others that it judges."""

    learnt: tuple[int, ...]
    judged: tuple[int, ...]


class Pictures(NamedTuple):
    """Model inputs of one size, uint8 (H, W, 3).

    Attributes:
        good: in the order of the samples.
        drawn: the same with a defect each.
    """

    good: list[Image]
    drawn: list[Image]


class Drawn(NamedTuple):
    """Defects to draw, in the order of `Pictures.drawn`, and the index of the image below each."""

    wanted: list[Wanted]
    images: list[int]


def folds(images: int, *, one: bool = False) -> list[Fold]:
    """Divides good images so that a model judges only images that it has not learnt.

    Of few images, each is judged once; of many, enough for a comparison, so that it takes no
    longer.

    Args:
        images: two or more.
        one: whether there is time for only one model.
    """
    if images >= _MOST_LEARNT + _MOST_JUDGED or one:
        judged = max(1, min(images // _FOLDS, _MOST_JUDGED))
        learnt = range(judged, min(images, judged + _MOST_LEARNT))
        return [Fold(tuple(learnt), tuple(range(judged)))]
    count = min(_FOLDS, images)
    return [
        Fold(
            tuple(n for n in range(images) if n % count != fold),
            tuple(range(fold, images, count)),
        )
        for fold in range(count)
    ]


def wanted_defects(count: int, contrasts: Sequence[str] = tuple(CONTRASTS)) -> list[Wanted]:
    """Lists `count` defects, all kinds at all contrasts in turn, in a random order."""
    pairs = islice(cycle(product(KINDS, contrasts)), count)
    wanted = [Wanted(*pair, number) for number, pair in enumerate(pairs)]
    # Shuffled, so that no image gets all the faint ones.
    return [wanted[index] for index in np.random.default_rng(0).permutation(count)]


def dealt(wanted: Sequence[Wanted], images: Iterable[int]) -> Drawn:
    """Deals defects out to images in turn; sorts them by image."""
    pairs = sorted(zip(islice(cycle(images), len(wanted)), wanted, strict=False), key=itemgetter(0))
    return Drawn([one for _, one in pairs], [number for number, _ in pairs])


def drawn_on(
    frame: Image, ground: Ground | None, wanted: Wanted, *, seed: int, smallest_px: float
) -> DrawnDefect:
    """Draws a defect on a copy of a good frame."""
    random = np.random.default_rng((seed, wanted.number))
    part = part_on(frame, ground)
    return draw_defect(wanted.kind, frame, part, random, wanted.contrast, smallest_px=smallest_px)


def read_pictures(
    samples: Sequence[SurveyedSample],
    drawn: Drawn,
    sizes: Iterable[Size],
    crop: Crop | None,
    *,
    seed: int,
    smallest_px: float,
) -> dict[Size, Pictures]:
    """Reads the good images once, draws on them, and prepares all at each size.

    Args:
        drawn: the defects; their images are indices of `samples`.
        crop: inspected part of the frames.
        smallest_px: as for `draw_defect`.
    """
    ground = ground_of(_inspected(one, crop) for one in samples[:_GROUND_FRAMES])
    pictures = {size: Pictures([], []) for size in sizes}
    of_image: dict[int, list[Wanted]] = {}
    for wanted, number in zip(drawn.wanted, drawn.images, strict=True):
        of_image.setdefault(number, []).append(wanted)
    for number, sample in enumerate(samples):
        frame = _inspected(sample, crop)
        defective = [
            drawn_on(frame, ground, wanted, seed=seed, smallest_px=smallest_px).frame
            for wanted in of_image.get(number, [])
        ]
        for size, (good, with_defect) in pictures.items():
            way = _way(frame, size)
            good.append(preprocess(frame, way))
            with_defect.extend(preprocess(one, way) for one in defective)
    return pictures


def _inspected(sample: SurveyedSample, crop: Crop | None) -> Image:
    frame = sample.read()
    return frame if crop is None else crop.of(frame)


def _way(frame: Image, size: Size) -> Preprocessing:
    height, width = frame.shape[:2]
    return Preprocessing(
        frame_height=(height, height),
        frame_width=(width, width),
        channels=1 if frame.ndim == 2 else 3,
        height=size[0],
        width=size[1],
    )

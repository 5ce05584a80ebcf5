"""Judges whether an image is fit to teach with: its focus, its exposure, and how new it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

REFERENCES = 3  # collected images from which on an image is compared with them
FOCUS_GOOD, FOCUS_BAD = 0.75, 0.5  # of the median sharpness of the collected images
CLIPPED_GOOD, CLIPPED_BAD = 0.01, 0.05  # share of pixels, above the median of the collected images
SAME = 0.5  # grey levels between thumbnails of the same brightness, on average

_SIDE = 32


class Light(str, Enum):
    """A traffic light; UNKNOWN when there is nothing to compare with."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Measures:
    """The measures of an image.

    Attributes:
        sharpness: variance of its Laplacian (Pech-Pacheco et al. 2000), which falls out of focus.
        black, white: shares of pixels that are 0, and 255 in any channel: their detail is lost.
        thumbnail: grey, 32 x 32, float16: steps of whole levels would hide that parts are the same.
    """

    sharpness: float
    black: float
    white: float
    thumbnail: npt.NDArray[np.float16]

    @property
    def clipped(self) -> float:
        """Share of pixels without detail."""
        return self.black + self.white


@dataclass(frozen=True)
class Judgement:
    """The judgement about an image.

    Attributes:
        focus_ratio: its sharpness relative to that of the collected images; None without them.
        clipped: share of pixels without detail.
        near: the collected image that it nearly repeats; None when it is new.
        difference: to the nearest collected image, in grey levels; None without one.
    """

    focus: Light
    focus_ratio: float | None
    exposure: Light
    clipped: float
    is_dark: bool
    near: str | None
    difference: float | None


def measure(image: npt.NDArray[np.uint8]) -> Measures:
    """Measures an image: (H, W) grey or (H, W, 3) BGR, uint8."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    brightest = image if image.ndim == 2 else image.max(axis=2)
    # The one copy of four bytes a pixel, which ends here: images are large, and memory is not.
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    _mean, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return Measures(
        float(deviation[0, 0]) ** 2,
        float((brightest == 0).mean()),
        float((brightest == 255).mean()),
        np.asarray(small, dtype=np.float16),
    )


def judge(image: Measures, collected: Mapping[str, Measures]) -> Judgement:
    """Judges an image against those collected before, by name."""
    others = list(collected.values())
    ratio = _focus_ratio(image, others)
    usual = median(one.clipped for one in others) if len(others) >= REFERENCES else 0.0
    near, difference = _nearest(image, collected)
    return Judgement(
        focus=Light.UNKNOWN if ratio is None else _light(-ratio, -FOCUS_GOOD, -FOCUS_BAD),
        focus_ratio=ratio,
        exposure=_light(image.clipped - usual, CLIPPED_GOOD, CLIPPED_BAD),
        clipped=image.clipped,
        is_dark=image.black > image.white,
        near=near if difference is not None and difference < SAME else None,
        difference=difference,
    )


def _focus_ratio(image: Measures, others: Sequence[Measures]) -> float | None:
    if len(others) < REFERENCES:
        return None
    usual = median(one.sharpness for one in others)
    return image.sharpness / usual if usual > 0 else None


def _light(value: float, good: float, bad: float) -> Light:
    """Returns the light of a value that should be low."""
    if value <= good:
        return Light.GOOD
    return Light.DOUBTFUL if value <= bad else Light.BAD


def _nearest(image: Measures, collected: Mapping[str, Measures]) -> tuple[str | None, float | None]:
    if not collected:
        return None, None
    thumbnails = np.stack([one.thumbnail for one in collected.values()]).astype(np.float32)
    change = thumbnails - image.thumbnail.astype(np.float32)
    change -= change.mean(axis=(1, 2), keepdims=True)  # the lamp may be a little brighter
    differences = np.abs(change).mean(axis=(1, 2))
    place = int(differences.argmin())
    return list(collected)[place], float(differences[place])

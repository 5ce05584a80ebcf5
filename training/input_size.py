"""Sizes of a model's input that keep the proportions of the frames.

In a square, a long frame would lose thin defects across its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inspection.errors import ConfigError
from training.data.survey import SurveyedSample

Size = tuple[int, int]  # height, width, px

MULTIPLE = 32  # of the sides: the stride of the deepest layer that a backbone may use
_SHORTEST, _LONGEST = 96, 1024
_AREA, _LARGE_AREA = 256 * 256, 384 * 384  # px
_SMALL_AREAS = (128 * 128, 192 * 192)  # for a limit of the time per part
_SEEN = 2.0  # px of the input that the smallest defect must cover along each side


def typical_size(samples: Sequence[SurveyedSample]) -> Size:
    """Returns the median height and the median width of the frames."""
    height, width = (int(np.median(side)) for side in zip(*(s.size for s in samples), strict=True))
    return height, width


def sizes_to_compare(
    frame: Size, *, smallest_defect_px: float | None = None, is_time_limited: bool = False
) -> list[Size]:
    """Returns the input sizes to compare, smallest first; each is in the frame's proportions.

    Args:
        frame: height and width of the frames.
        smallest_defect_px: the smallest defect that matters, in native px. The one size then shows
            it with two pixels, or is the frame's size; None compares two areas.
        is_time_limited: whether to offer smaller sizes too, because a part may not take long.

    Raises:
        ConfigError: the smallest defect would vanish at the largest size that a model takes.
    """
    native = frame[0] * frame[1]
    if smallest_defect_px is not None:
        return [_size_for_defect(frame, smallest_defect_px)]
    areas = [*(_SMALL_AREAS if is_time_limited else ()), _AREA]
    if native >= _LARGE_AREA:
        areas.append(_LARGE_AREA)
    return list(dict.fromkeys(proportional(frame, area) for area in areas))


def checked_size(size: Sequence[int]) -> Size:
    """Returns a given height and width.

    Raises:
        ConfigError: a side is not a multiple of MULTIPLE, or out of range.
    """
    height, width = size
    for side in (height, width):
        if side % MULTIPLE or not _SHORTEST <= side <= _LONGEST:
            raise ConfigError(
                f"--size {height} {width}: each side must be a multiple of {MULTIPLE} between "
                f"{_SHORTEST} and {_LONGEST}, such as {_rounded(height)} {_rounded(width)}"
            )
    return height, width


def proportional(frame: Size, area: float) -> Size:
    """Returns a size in the proportions of the frame, of about `area` px."""
    height, width = frame
    side = math.sqrt(area * height / width)
    return _rounded(side), _rounded(area / side)


def _size_for_defect(frame: Size, smallest_defect_px: float) -> Size:
    scale = min(1.0, _SEEN / smallest_defect_px)
    size = proportional(frame, scale**2 * frame[0] * frame[1])
    seen = smallest_defect_px * min(n / of for n, of in zip(size, frame, strict=True))
    if seen < min(1.0, smallest_defect_px):
        raise ConfigError(
            f"--smallest-defect-px {smallest_defect_px:g}: the largest input, "
            f"{size[0]}x{size[1]}, shows such a defect of a {frame[0]}x{frame[1]} frame with "
            f"{seen:.1f} px; let the camera see less of the part, or give a larger defect"
        )
    return size


def _rounded(side: float) -> int:
    multiple = MULTIPLE * max(1, round(side / MULTIPLE))
    return min(max(multiple, _SHORTEST), _LONGEST)

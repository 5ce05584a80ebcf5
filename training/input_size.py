"""Sizes of a model's input that keep the proportions of the frames.

In a square, a long frame would lose thin defects across its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from inspection.errors import ConfigError
from training.data.survey import SurveyedSample

Size = tuple[int, int]  # height, width, px


class BudgetError(ConfigError):
    """The backbone takes longer than allowed."""


_MULTIPLE = 32  # of the sides: the stride of the deepest layer that a backbone may use
_SHORTEST, _LONGEST = 96, 4096  # the longest that data.image_size takes
AREA = 256 * 256  # px of the input, unless told
_SMALLER_AREAS = (192 * 192, 128 * 128)  # for a limit of the time per part
_SEEN = 2.0  # px of the input that the smallest defect must cover along each side


def finest_px(frame: Size, size: Size) -> float:
    """Returns the smallest defect, in native px, that an input shows with two pixels."""
    return _SEEN * max(of / n for n, of in zip(size, frame, strict=True))


def typical_size(samples: Sequence[SurveyedSample]) -> Size:
    """Returns the median height and the median width of the frames."""
    height, width = (int(np.median(side)) for side in zip(*(s.size for s in samples), strict=True))
    return height, width


def choose_size(
    frame: Size,
    measure_ms: Callable[[Size], float],
    *,
    smallest_defect_px: float | None = None,
    budget_ms: float | None = None,
) -> Size:
    """Chooses the input size, in the frame's proportions.

    Args:
        frame: height and width of the frames, or of the inspected part of them.
        measure_ms: measures the time of an image at a size; called only with a budget.
        smallest_defect_px: the smallest defect that matters, in native px: the input shows it with
            two pixels, or has the frame's size. None takes about 256 x 256 px.
        budget_ms: most time for an image. Without a smallest defect, the input may shrink for it.

    Raises:
        ConfigError: the smallest defect would vanish at the largest size that a model takes.
        BudgetError: no size keeps the budget.
    """
    if smallest_defect_px is not None:
        sizes = [_size_for_defect(frame, smallest_defect_px)]
    else:
        areas = (AREA, *_SMALLER_AREAS) if budget_ms is not None else (AREA,)
        sizes = list(dict.fromkeys(proportional(frame, area) for area in areas))
    if budget_ms is None:
        return sizes[0]
    times = []
    for size in sizes:
        times.append(measure_ms(size))
        if times[-1] <= budget_ms:
            return size
    raise BudgetError(_over_budget(sizes[-1], times[-1], budget_ms, smallest_defect_px))


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


def _over_budget(
    size: Size, measured_ms: float, budget_ms: float, smallest_defect_px: float | None
) -> str:
    problem = (
        f"--budget-ms {budget_ms:g}: the backbone takes {measured_ms:.1f} ms for an image of "
        f"{size[0]}x{size[1]} on this machine"
    )
    if smallest_defect_px is None:
        return f"{problem}, the smallest that is tried; allow more, or choose data.image_size"
    # The time grows with the area, and the area with the inverse square of the defect.
    possible = math.ceil(smallest_defect_px * math.sqrt(measured_ms / budget_ms))
    return (
        f"{problem}, and --smallest-defect-px {smallest_defect_px:g} needs this size; allow more, "
        f"or give a larger defect: about {possible} px"
    )


def _rounded(side: float) -> int:
    multiple = _MULTIPLE * max(1, round(side / _MULTIPLE))
    return min(max(multiple, _SHORTEST), _LONGEST)

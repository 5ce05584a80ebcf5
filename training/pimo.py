"""Per-image recall while almost nothing fires on good parts: PIMO and AUPIMO.

Bertoldo, Ortega, Ameln, Ahmad, Akcay, BMVC 2024 (arXiv 2401.01984). Unlike AUPRO it looks at the
few false positives that a line can afford, counts them on good parts alone, and gives one value per
image, so that a mean cannot hide the images in which nothing was found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.metrics import Labels, Scores, UndefinedMetricError

LOWEST, HIGHEST = 1e-5, 1e-4
_THRESHOLDS = 300_000
_FEWEST = 30


class Pimo(NamedTuple):
    """Curves over descending false positive rates, and the normalised area below each.

    Attributes:
        false_positive_rate: (K,) mean share of pixels of good images at or above each threshold.
        recall: (M, K) share of each defective image's defect pixels at or above it.
        areas: (M,) AUPIMO of each defective image, 0 to 1.
    """

    false_positive_rate: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]


def pimo(
    maps: Scores,
    masks: Labels,
    bounds: tuple[float, float] = (LOWEST, HIGHEST),
    *,
    thresholds: int = _THRESHOLDS,
    force: bool = False,
) -> Pimo:
    """Recall of each defective image over the false positive rates within `bounds`.

    Args:
        maps: (N, H, W) raw scores.
        masks: (N, H, W) ground truth; an image is good when it has no defect pixel.
        bounds: lowest and highest false positive rate of the integral, which runs over their
            logarithm.
        thresholds: so many, linear between the extremes of the good images' maps.
        force: measure also what too few thresholds or pixels make uncertain.

    Raises:
        UndefinedMetricError: no good or no defective image, maps that are constant, or too few good
            pixels for such low false positive rates.
    """
    defective = masks.any(axis=(1, 2))
    if defective.all() or not defective.any():
        raise UndefinedMetricError("both good and defective images are needed")
    good = np.sort(maps[~defective], axis=None).astype(np.float64)
    if good[0] == good[-1]:
        raise UndefinedMetricError("the maps of the good images are constant")
    levels = np.linspace(good[0], good[-1], thresholds)
    rates = _share_at_or_above(good, levels)
    first, last = _within(rates, bounds)
    if not force:
        _refuse_uncertain(rates, bounds, last - first + 1)
    levels, rates = levels[first : last + 1], rates[first : last + 1]
    recall = np.stack(
        [
            _share_at_or_above(np.sort(scores[mask]).astype(np.float64), levels)
            for scores, mask in zip(maps[defective], masks[defective], strict=True)
        ]
    )
    width = np.log(bounds[1] / bounds[0])
    areas = np.trapezoid(recall[:, ::-1], np.log(rates[::-1]), axis=1) / width
    return Pimo(rates, recall, np.clip(areas, 0.0, 1.0))


def _share_at_or_above(
    ordered: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return 1 - np.searchsorted(ordered, levels, side="left") / len(ordered)


def _within(rates: npt.NDArray[np.float64], bounds: tuple[float, float]) -> tuple[int, int]:
    """First and last index of the thresholds whose rates are nearest to the bounds."""
    low, high = bounds
    first = int(np.flatnonzero(rates == 1)[-1]) if high == 1 else _nearest(rates, high)
    return first, _nearest(rates, low)


def _refuse_uncertain(
    rates: npt.NDArray[np.float64], bounds: tuple[float, float], inside: int
) -> None:
    low, high = bounds
    if rates[-1] > low:
        raise UndefinedMetricError(
            "the lowest false positive rate that these good images can show is "
            f"{rates[-1]:.1e}, above {low:g}: more of them are needed"
        )
    if inside < _FEWEST:
        raise UndefinedMetricError(
            f"{inside} thresholds between the false positive rates {low:g} and {high:g}: "
            f"{_FEWEST} are needed"
        )


def _nearest(rates: npt.NDArray[np.float64], rate: float) -> int:
    return int(np.argmin(np.abs(rates - rate)))

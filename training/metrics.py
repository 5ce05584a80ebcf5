"""Detection and localisation metrics on raw scores, exact and in float64.

Higher scores are more anomalous, and a score at or above a threshold is a detection. These metrics
do not clamp, normalise or bin: others that squash scores into [0, 1] first have given AUROC 0.5 to
perfect detectors (torchmetrics issue 2819, anomalib issue 3407).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Labels = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.float64]

LOWEST, HIGHEST = 1e-5, 1e-4  # false positive rates of AUPIMO
_PIMO_THRESHOLDS = 300_000
_FEWEST_PIMO_THRESHOLDS = 30


class UndefinedMetricError(ValueError):
    """The samples do not define the metric: one class or every region is missing."""


class BestF1(NamedTuple):
    """The highest F1 over all thresholds. It uses the labels, so it cannot set a threshold."""

    f1: float
    threshold: float


class Curve(NamedTuple):
    """Detections at each distinct score of a defect, descending.

    Between two of them good samples alone pass the threshold. So these few have each figure
    exactly: a data set has many times more good pixels than pixels of defects.

    Attributes:
        thresholds: (K,) float64.
        true: (K,) defects at or above each.
        false: (K,) good samples at or above each; `false_above` above each.
        good: number of good samples.
    """

    thresholds: Counts
    true: Counts
    false: Counts
    false_above: Counts
    good: int

    def auroc(self) -> float:
        """Returns the area under the ROC curve; ties count half."""
        below = self.good - (self.false + self.false_above) / 2
        return float(np.sum(np.diff(self.true, prepend=0) * below) / (self.true[-1] * self.good))

    def average_precision(self) -> float:
        """Returns the mean precision over the detections: sum of (R_n - R_(n-1)) P_n."""
        precision = self.true / (self.true + self.false)
        return float(np.sum(np.diff(self.true, prepend=0) * precision) / self.true[-1])

    def best_f1(self) -> BestF1:
        """Returns the highest F1 with the lowest threshold that gives it."""
        f1 = 2 * self.true / (self.true + self.false + self.true[-1])
        last = len(f1) - 1 - int(np.argmax(f1[::-1]))  # thresholds descend: the last is the lowest
        return BestF1(float(f1[last]), float(self.thresholds[last]))


def curve(scores: Scores, labels: Labels) -> Curve:
    """Counts detections at the scores of the defects.

    Args:
        scores: (N,), or maps (N, H, W).
        labels: the same shape, True for defects.

    Raises:
        UndefinedMetricError: there is only one class.
    """
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    _refuse_one_class(labels)
    levels = _levels(scores, labels)
    return Curve(
        levels.thresholds.astype(np.float64),
        (levels.last + 1).astype(np.float64),
        levels.false,
        levels.false_above,
        levels.good,
    )


def auroc(scores: Scores, labels: Labels) -> float:
    """Returns the chance that a defect scores above a good sample; ties count half."""
    return curve(scores, labels).auroc()


def average_precision(scores: Scores, labels: Labels) -> float:
    """Returns the mean precision over the detections of `curve`."""
    return curve(scores, labels).average_precision()


def best_f1(scores: Scores, labels: Labels) -> BestF1:
    """Returns the highest F1 over all thresholds of `curve`."""
    return curve(scores, labels).best_f1()


def detected_at_false_positive_rate(scores: Scores, labels: Labels, rate: float = 0.05) -> float:
    """Returns the share of defects found with `rate` of the good rejected: PB5 (arXiv 2503.23451).

    The threshold is the linearly interpolated (1 - rate)-quantile of the good scores.
    """
    good, defective = _good_and_defective(scores, labels)
    return float(np.mean(defective > np.quantile(good, 1 - rate)))


def passed_at_miss_rate(scores: Scores, labels: Labels, rate: float = 0.05) -> float:
    """Returns the share of good passed with `rate` of defects missed: PG5 (arXiv 2503.23451)."""
    good, defective = _good_and_defective(scores, labels)
    return float(np.mean(good < np.quantile(defective, rate)))


class OverlapCurve(NamedTuple):
    """Per-region overlap over the false positive rate: its corners.

    Overlap rises at the scores of defects alone, so that there are two corners for each of these:
    above it, and at it.
    """

    false_positive_rate: Counts
    overlap: Counts

    def area(self, limit: float) -> float:
        """Returns the area up to a false positive rate, divided by that rate."""
        inside = self.false_positive_rate <= limit
        at_limit = np.interp(limit, self.false_positive_rate, self.overlap)
        x = np.append(self.false_positive_rate[inside], limit)
        y = np.append(self.overlap[inside], at_limit)
        return float(np.trapezoid(y, x) / limit)


def overlap_curve(maps: Scores, masks: Labels) -> OverlapCurve:
    """Computes the exact curve over all scores (Bergmann et al., IJCV 2021).

    All regions count the same: the pixels of a region together weigh one.

    Args:
        maps: (N, H, W) raw scores.
        masks: (N, H, W) ground truth; regions are 8-connected.

    Raises:
        UndefinedMetricError: there is no region, or no background.
    """
    _require_bool(masks)
    if not masks.any() or masks.all():
        raise UndefinedMetricError("AUPRO needs at least one defect region and one good pixel")
    levels = _levels(maps, masks)
    found = np.cumsum(_region_weights(masks)[levels.order])[levels.last]
    found /= found[-1]
    rates = np.stack([levels.false_above, levels.false], axis=1) / levels.good
    overlap = np.stack([np.append(0.0, found[:-1]), found], axis=1)
    return OverlapCurve(rates.ravel(), overlap.ravel())


def aupro(maps: Scores, masks: Labels, fpr_limit: float = 0.3) -> float:
    """Returns the area under `overlap_curve` up to a false positive rate."""
    return overlap_curve(maps, masks).area(fpr_limit)


class Pimo(NamedTuple):
    """Recall while almost nothing fires on good parts, one curve per image, and the area below it.

    Bertoldo, Ortega, Ameln, Ahmad, Akcay, BMVC 2024 (arXiv 2401.01984). Unlike AUPRO it looks at
    the few false positives that a line can afford, and counts them on good parts alone. It gives
    one value per image, so that a mean cannot hide images without any detection.

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
    thresholds: int = _PIMO_THRESHOLDS,
    force: bool = False,
) -> Pimo:
    """Computes the recall of each defective image over the false positive rates within `bounds`.

    Args:
        maps: (N, H, W) raw scores.
        masks: (N, H, W) ground truth; an image is good when it has no defect pixel.
        bounds: lowest and highest false positive rate of the integral, which runs over their
            logarithm.
        thresholds: their number; they are linear between the extremes of the good images' maps.
        force: measure also with too few thresholds or pixels.

    Raises:
        UndefinedMetricError: there is no good or no defective image, a map is constant, or there
            are too few good pixels for such low false positive rates.
    """
    _require_bool(masks)
    defective = masks.any(axis=(1, 2))
    if defective.all() or not defective.any():
        raise UndefinedMetricError("both good and defective images are needed")
    good = np.sort(maps[~defective], axis=None).astype(np.float64)
    if good[0] == good[-1]:
        raise UndefinedMetricError("the maps of the good images are constant")
    levels = np.linspace(good[0], good[-1], thresholds)
    rates = _share_at_or_above(good, levels)
    first, last = _index_range(rates, bounds)
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


def _good_and_defective(scores: Scores, labels: Labels) -> tuple[Scores, Scores]:
    _refuse_one_class(labels)
    return scores[~labels], scores[labels]


def _require_bool(labels: Labels) -> None:
    if labels.dtype != np.bool_:  # ~ of integers gives others, which index in silence
        raise TypeError(f"labels and masks are bool, not {labels.dtype}")


def _refuse_one_class(labels: Labels) -> None:
    _require_bool(labels)
    if labels.all() or not labels.any():
        raise UndefinedMetricError("both good samples and defects are needed")


class _Levels(NamedTuple):
    """The distinct scores of defects, descending, and the good samples that reach them.

    Attributes:
        order: (M,) of the defects by their scores, descending.
        last: (K,) last position of each distinct score in `order`.
        false: (K,) good samples at or above each; `false_above` above each.
        good: number of good samples.
    """

    thresholds: Scores
    order: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    false: Counts
    false_above: Counts
    good: int


def _levels(scores: Scores, labels: Labels) -> _Levels:
    if not np.isfinite(scores).all():
        raise ValueError("the scores hold values that are not finite")
    good, defective = np.sort(scores[~labels]), scores[labels]
    order = np.argsort(-defective, kind="stable")
    ordered = defective[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    thresholds = ordered[last]
    false = len(good) - np.searchsorted(good, thresholds, side="left").astype(np.float64)
    false_above = len(good) - np.searchsorted(good, thresholds, side="right").astype(np.float64)
    return _Levels(thresholds, order, last, false, false_above, len(good))


def _region_weights(masks: Labels) -> Counts:
    """Returns one over the size of its region for each pixel of a defect, in the order of masks."""
    weights = []
    for mask in masks:
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        inside = labels[mask]
        weights.append(1 / np.bincount(inside, minlength=count)[inside])
    return np.concatenate(weights)


def _share_at_or_above(
    ordered: npt.NDArray[np.float64], levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return 1 - np.searchsorted(ordered, levels, side="left") / len(ordered)


def _index_range(rates: npt.NDArray[np.float64], bounds: tuple[float, float]) -> tuple[int, int]:
    """Returns the first and last index of the thresholds with the rates nearest to the bounds."""
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
            f"{rates[-1]:.1e}, above {low:g}: take more of them"
        )
    if inside < _FEWEST_PIMO_THRESHOLDS:
        raise UndefinedMetricError(
            f"{inside} thresholds between the false positive rates {low:g} and {high:g}: "
            f"{_FEWEST_PIMO_THRESHOLDS} are needed"
        )


def _nearest(rates: npt.NDArray[np.float64], rate: float) -> int:
    return int(np.argmin(np.abs(rates - rate)))

"""Detection and localisation metrics on raw scores, exact and in float64.

Higher scores are more anomalous, and a score at or above a threshold is a detection. Nothing is
clamped, normalised or binned: metrics that squash scores into [0, 1] first have given AUROC 0.5 for
perfect detectors (torchmetrics issue 2819, anomalib issue 3407).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Labels = npt.NDArray[np.bool_]


class UndefinedMetricError(ValueError):
    """The samples do not define the metric: one class or every region is missing."""


class BestF1(NamedTuple):
    """The highest F1 over all thresholds; it knows the labels, so no threshold can be set by it."""

    f1: float
    threshold: float


class Curve(NamedTuple):
    """Counts of detections at each distinct threshold, descending, after a first zero."""

    true: npt.NDArray[np.float64]
    false: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]

    def auroc(self) -> float:
        """See the function `auroc`."""
        return float(np.trapezoid(self.true / self.true[-1], self.false / self.false[-1]))

    def average_precision(self) -> float:
        """See the function `average_precision`."""
        true, found = self.true[1:], self.true[1:] + self.false[1:]
        return float(np.sum(np.diff(self.true) * true / found) / self.true[-1])

    def best_f1(self) -> BestF1:
        """See the function `best_f1`."""
        true, found = self.true[1:], self.true[1:] + self.false[1:]
        f1 = 2 * true / (found + self.true[-1])
        last = len(f1) - 1 - int(np.argmax(f1[::-1]))  # thresholds descend: the last is the lowest
        return BestF1(float(f1[last]), float(self.thresholds[last]))


def curve(scores: Scores, labels: Labels) -> Curve:
    """What is detected at every threshold.

    Args:
        scores: (N,), or maps (N, H, W).
        labels: the same shape, True for defects.

    Raises:
        UndefinedMetricError: only one class is there.
    """
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    _both(scores, labels)
    order, last = _descending(scores)
    hits = labels.ravel()[order].astype(bool)
    true = np.append(0.0, np.cumsum(hits)[last])
    false = np.append(0.0, np.cumsum(~hits)[last])
    return Curve(true, false, scores.ravel()[order][last].astype(np.float64))


def auroc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve: the chance that a defect scores above a good one, ties count half.

    See `curve`.
    """
    return curve(scores, labels).auroc()


def average_precision(scores: Scores, labels: Labels) -> float:
    """Mean precision over the detections, sum of (R_n - R_(n-1)) P_n; see `curve`."""
    return curve(scores, labels).average_precision()


def best_f1(scores: Scores, labels: Labels) -> BestF1:
    """Highest F1 over all thresholds, the lowest such threshold; see `curve`."""
    return curve(scores, labels).best_f1()


def detected_at_false_positive_rate(scores: Scores, labels: Labels, rate: float = 0.05) -> float:
    """Share of defects found when `rate` of the good ones are rejected: PB5 (arXiv 2503.23451).

    The threshold is the linearly interpolated (1 - rate)-quantile of the good scores.
    """
    good, defective = _both(scores, labels)
    return float(np.mean(defective > np.quantile(good, 1 - rate)))


def passed_at_miss_rate(scores: Scores, labels: Labels, rate: float = 0.05) -> float:
    """Share of good ones passed when `rate` of the defects are missed: PG5 (arXiv 2503.23451)."""
    good, defective = _both(scores, labels)
    return float(np.mean(good < np.quantile(defective, rate)))


class OverlapCurve(NamedTuple):
    """Per-region overlap over the false positive rate, at every distinct threshold."""

    false_positive_rate: npt.NDArray[np.float64]
    overlap: npt.NDArray[np.float64]

    def area(self, limit: float) -> float:
        """Area up to a false positive rate, divided by that rate."""
        inside = self.false_positive_rate <= limit
        at_limit = np.interp(limit, self.false_positive_rate, self.overlap)
        x = np.append(self.false_positive_rate[inside], limit)
        y = np.append(self.overlap[inside], at_limit)
        return float(np.trapezoid(y, x) / limit)


def overlap_curve(maps: Scores, masks: Labels) -> OverlapCurve:
    """The exact curve over all scores (Bergmann et al., IJCV 2021).

    A region counts the same whatever its size; its pixels together weigh one.

    Args:
        maps: (N, H, W) raw scores.
        masks: (N, H, W) ground truth; regions are 8-connected.

    Raises:
        UndefinedMetricError: there is no region, or no background.
    """
    weights, regions = _region_weights(masks)
    background = masks.size - int(masks.sum())
    if not regions or not background:
        raise UndefinedMetricError("AUPRO needs at least one defect region and one good pixel")
    order, last = _descending(maps)
    false = np.cumsum(~masks.ravel()[order])[last] / background
    overlap = np.cumsum(weights.ravel()[order])[last] / regions
    return OverlapCurve(np.append(0.0, false), np.append(0.0, overlap))


def aupro(maps: Scores, masks: Labels, fpr_limit: float = 0.3) -> float:
    """Area under the per-region overlap curve up to a false positive rate; see `overlap_curve`."""
    return overlap_curve(maps, masks).area(fpr_limit)


def _both(scores: Scores, labels: Labels) -> tuple[Scores, Scores]:
    if labels.all() or not labels.any():
        raise UndefinedMetricError("both good samples and defects are needed")
    return scores[~labels], scores[labels]


def _descending(scores: Scores) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Order of descending scores, and the position of the last of each group of equal ones."""
    flat = scores.ravel()
    if not np.isfinite(flat).all():
        raise ValueError("the scores hold values that are not finite")
    order = np.argsort(-flat, kind="stable")
    ordered = flat[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    return order, last.astype(np.intp)


def _region_weights(masks: Labels) -> tuple[npt.NDArray[np.float64], int]:
    """For each pixel one over the size of its region, zero outside; and the number of regions."""
    weights = np.zeros(masks.shape)
    regions = 0
    for mask, weight in zip(masks, weights, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        sizes = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
        weight[:] = np.where(mask, 1 / sizes[labels], 0.0)
        regions += count - 1
    return weights, regions

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


def auroc(scores: Scores, labels: Labels) -> float:
    """Area under the ROC curve: the chance that a defect scores above a good one, ties count half.

    Args:
        scores: (N,), or maps (N, H, W).
        labels: the same shape, True for defects.

    Raises:
        UndefinedMetricError: only one class is there.
    """
    curve = _curve(scores, labels)
    return float(np.trapezoid(curve.true / curve.true[-1], curve.false / curve.false[-1]))


def average_precision(scores: Scores, labels: Labels) -> float:
    """Mean precision over the detections, sum of (R_n - R_(n-1)) P_n; see `auroc`."""
    curve = _curve(scores, labels)
    true, found = curve.true[1:], curve.true[1:] + curve.false[1:]
    return float(np.sum(np.diff(curve.true) * true / found) / curve.true[-1])


def best_f1(scores: Scores, labels: Labels) -> BestF1:
    """Highest F1 over all thresholds, the lowest such threshold; see `auroc`."""
    curve = _curve(scores, labels)
    true, found = curve.true[1:], curve.true[1:] + curve.false[1:]
    f1 = 2 * true / (found + curve.true[-1])
    last = len(f1) - 1 - int(np.argmax(f1[::-1]))  # thresholds descend: the last is the lowest
    return BestF1(float(f1[last]), float(curve.thresholds[last]))


def aupro(maps: Scores, masks: Labels, fpr_limit: float = 0.3) -> float:
    """Area under the per-region overlap curve up to a false positive rate, divided by that rate.

    The exact curve over all scores (Bergmann et al., IJCV 2021): a region counts the same whatever
    its size, and its pixels together weigh one.

    Args:
        maps: (N, H, W) raw scores.
        masks: (N, H, W) ground truth; regions are 8-connected.
        fpr_limit: the false positive rate over all background pixels up to which it integrates.

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
    false, overlap = np.append(0.0, false), np.append(0.0, overlap)
    inside = false <= fpr_limit
    at_limit = np.interp(fpr_limit, false, overlap)
    x = np.append(false[inside], fpr_limit)
    y = np.append(overlap[inside], at_limit)
    return float(np.trapezoid(y, x) / fpr_limit)


class _Curve(NamedTuple):
    """Counts of detections at each distinct threshold, descending, after a first zero."""

    true: npt.NDArray[np.float64]
    false: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]


def _curve(scores: Scores, labels: Labels) -> _Curve:
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if labels.all() or not labels.any():
        raise UndefinedMetricError("both good samples and defects are needed")
    order, last = _descending(scores)
    hits = labels.ravel()[order].astype(bool)
    true = np.append(0.0, np.cumsum(hits)[last])
    false = np.append(0.0, np.cumsum(~hits)[last])
    return _Curve(true, false, scores.ravel()[order][last].astype(np.float64))


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

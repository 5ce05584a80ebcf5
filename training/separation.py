"""Separation of good parts from defective ones by scores and maps, without a threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from inspection.config.loading import StrictModel
from training.inspected import InspectedSample
from training.metrics import (
    UndefinedMetricError,
    curve,
    detected_at_false_positive_rate,
    overlap_curve,
    passed_at_miss_rate,
    pimo,
)

AUPRO_LIMIT, AUPRO_STRICT_LIMIT = 0.3, 0.05
RATE = 0.05

Metric = Callable[[], object]  # may raise UndefinedMetricError


class Separation(StrictModel):
    """Figures of scores and maps alone. A figure that the images do not define is None.

    Attributes:
        best_f1_oracle: over all thresholds. It uses the labels: an upper limit, not a result.
        detected_at_5_percent: share of the defects found with 5 % of the good parts rejected (PB5);
            an oracle too.
        passed_at_5_percent: share of the good parts passed with 5 % of the defects missed (PG5);
            an oracle too.
        aupro: exact, up to a false positive rate of AUPRO_LIMIT; `aupro_strict` up to
            AUPRO_STRICT_LIMIT.
        aupimo: mean over the defective images, false positive rates 1e-5 to 1e-4;
            `aupimo_zero` is the share of them with zero area.
    """

    image_auroc: float | None
    image_average_precision: float | None
    best_f1_oracle: float | None
    detected_at_5_percent: float | None
    passed_at_5_percent: float | None
    pixel_auroc: float | None
    pixel_average_precision: float | None
    pixel_best_f1_oracle: float | None
    aupro: float | None
    aupro_strict: float | None
    aupimo: float | None
    aupimo_zero: float | None


def separation(judged: Sequence[InspectedSample]) -> dict[str, Metric]:
    """Returns the figures of `Separation` by name; each call computes one."""
    scores = np.array([s.inspection.score for s in judged])
    labels = np.array([not s.sample.is_good for s in judged], dtype=np.bool_)
    maps, masks = _maps_and_masks(judged)
    images, pixels = cache(lambda: curve(scores, labels)), cache(lambda: curve(maps, masks))
    overlap, areas = cache(lambda: overlap_curve(maps, masks)), cache(lambda: pimo(maps, masks))
    return {
        "image_auroc": lambda: images().auroc(),
        "image_average_precision": lambda: images().average_precision(),
        "best_f1_oracle": lambda: images().best_f1().f1,
        "detected_at_5_percent": lambda: detected_at_false_positive_rate(scores, labels, RATE),
        "passed_at_5_percent": lambda: passed_at_miss_rate(scores, labels, RATE),
        "pixel_auroc": lambda: pixels().auroc(),
        "pixel_average_precision": lambda: pixels().average_precision(),
        "pixel_best_f1_oracle": lambda: pixels().best_f1().f1,
        "aupro": lambda: overlap().area(AUPRO_LIMIT),
        "aupro_strict": lambda: overlap().area(AUPRO_STRICT_LIMIT),
        "aupimo": lambda: float(areas().areas.mean()),
        "aupimo_zero": lambda: float((areas().areas == 0).mean()),
    }


def by_category(judged: Sequence[InspectedSample]) -> dict[str, Separation]:
    """Computes the figures of each class of product, for a data set of several."""
    names = sorted({s.sample.category for s in judged if s.sample.category is not None})
    return {
        name: Separation(**computed(separation(_of_category(judged, name)))[0])
        for name in names
        if len(names) > 1
    }


def computed(metrics: Mapping[str, Metric]) -> tuple[dict[str, Any], dict[str, str]]:
    """Computes the values by name, and the reasons for those that are None."""
    values: dict[str, Any] = {}
    undefined: dict[str, str] = {}
    for name, metric in metrics.items():
        try:
            values[name] = metric()
        except UndefinedMetricError as error:
            values[name] = None
            undefined[name] = str(error)
    return values, undefined


def _of_category(judged: Sequence[InspectedSample], category: str) -> list[InspectedSample]:
    return [s for s in judged if s.sample.category == category]


def _maps_and_masks(
    judged: Sequence[InspectedSample],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    pairs = [
        (s.inspection.anomaly_map, s.truth)
        for s in judged
        if s.truth is not None
        and s.inspection.anomaly_map is not None
        and (s.sample.is_good or s.truth.any())  # a defect too small for the map counts as neither
    ]
    if not pairs:
        return np.zeros((0, 1, 1), np.float32), np.zeros((0, 1, 1), np.bool_)
    return np.stack([m for m, _ in pairs]), np.stack([t for _, t in pairs])

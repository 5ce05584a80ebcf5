"""The good parts that a calibration keeps: their scores and the curve of the slider."""

from __future__ import annotations

from calibration.curve import ThresholdCurve
from calibration.learnt import has_bound
from calibration.tolerance import part_scores
from inspection.bundle.calibration_file import Calibration


def good_part_scores(calibration: Calibration) -> dict[str, float]:
    """Returns the score of each good part: the highest of its images."""
    names = [_part(calibration, image) for image in calibration.scores]
    return part_scores(list(calibration.scores.values()), names)


def good_part_values(calibration: Calibration) -> dict[str, tuple[float, ...]]:
    """Returns the value of each good part in each zone: the highest of its images."""
    values: dict[str, tuple[float, ...]] = {}
    for image, score in calibration.scores.items():
        part, found = _part(calibration, image), calibration.zone_scores.get(image, (score,))
        values[part] = tuple(map(max, found, values.get(part, found)))
    return values


def reject_by_zone(calibration: Calibration) -> tuple[float, ...]:
    """Returns the threshold of each zone; a single one without zones."""
    zones = calibration.zone_thresholds.values() or (calibration.thresholds,)
    return tuple(zone.reject for zone in zones)


def curve_of(calibration: Calibration) -> ThresholdCurve | None:
    """Rebuilds the curve of the sensitivity slider.

    None when the calibration keeps no scores, when its parts came in lots and are not independent,
    or when they give no bound, see `calibration.learnt`.
    """
    values = list(good_part_values(calibration).values())
    if not values or calibration.lots or not has_bound(calibration.judged, len(values)):
        return None
    return ThresholdCurve.of_zones(values, confidence=calibration.confidence)


def _part(calibration: Calibration, image: str) -> str:
    return calibration.parts.get(image, image)

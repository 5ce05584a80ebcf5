"""The sensitivity slider of a calibrated recipe: other thresholds, from the scores it keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from calibration.curve import SliderPoint, ThresholdCurve
from calibration.good_parts import curve_of, reject_by_zone
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import ConfigError
from inspection.verdict import score_of_zones


def slider_of(calibration: Calibration) -> ThresholdCurve:
    """The curve that the slider moves along.

    Raises:
        ConfigError: the calibration keeps no scores, or its parts came in lots.
    """
    curve = curve_of(calibration)
    if curve is None:
        why = "its parts came in lots" if calibration.lots else "it keeps no scores of good parts"
        raise ConfigError(
            f"the calibration {calibration.moment} has no sensitivity slider, because {why}: "
            "calibrate again with another --false-reject-rate"
        )
    return curve


def place_of(calibration: Calibration) -> SliderPoint:
    """Where the slider stands.

    Raises:
        ConfigError: see `slider_of`.
    """
    return slider_of(calibration).point_of(*reject_by_zone(calibration))


def move_slider(
    bundle: Bundle, active: Calibration, position: float, *, author: str, reason: str
) -> Calibration:
    """Take the thresholds at a place of the slider, as a new calibration of the recipe.

    The thresholds of the mask stay. The bound is that of this place by itself.

    Args:
        active: the active calibration of the recipe.
        position: 0 rejects least, 1 most.

    Raises:
        ConfigError: no reason, a position outside 0 to 1, nothing left of the review band, or what
            `slider_of` refuses.
        BundleError: the bundle holds another artefact than the one calibrated.
    """
    if not reason.strip():
        raise ConfigError("moving the slider needs a reason: say why with --reason TEXT")
    bundle.calibration(active.recipe, active.artefact)  # refuses another artefact
    point = slider_of(active).at(position)
    moved = {
        name: replace(zone, reject=threshold)
        for (name, zone), threshold in zip(
            active.zone_thresholds.items(), point.reject_by_zone, strict=False
        )
    }
    limits = [(zone.review, zone.reject) for zone in moved.values()] or [
        (active.thresholds.review, point.reject)
    ]
    if active.thresholds.review is not None and not any(
        review is not None and review < reject for review, reject in limits
    ):
        raise ConfigError(
            f"at {position} parts are rejected from {point.reject:.6g} on, and the review band "
            f"begins at {active.thresholds.review:.6g}: nothing would be left of it; calibrate "
            "again with other rates"
        )
    scores = {
        image: score_of_zones(values, point.reject_by_zone)
        for image, values in active.zone_scores.items()
    }
    renewed = {
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "author": author,
        "reason": f"sensitivity {position:g}: {reason}",
        "false_reject_rate_target": point.expected,
        "false_reject_rate_bound": point.bound,
        "thresholds": replace(active.thresholds, reject=point.reject),
        "zone_thresholds": moved,
        "scores": scores or active.scores,
        "modelled_rate": None,
    }
    bundle.add_calibration(active.model_copy(update=renewed))
    return bundle.calibration(active.recipe, active.artefact)

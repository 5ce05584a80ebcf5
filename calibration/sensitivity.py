"""Moves the sensitivity slider of a recipe: other thresholds from the scores that it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from calibration.activation import activate, require_reason
from calibration.curve import SliderPoint, ThresholdCurve
from calibration.good_parts import curve_of, reject_by_zone
from calibration.tolerance import target_of
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.digits import comparable
from inspection.drift.baseline import Baseline
from inspection.errors import ConfigError
from inspection.verdict import Thresholds, score_of_zones


def slider_of(calibration: Calibration) -> ThresholdCurve:
    """Returns the curve that the slider moves along.

    Raises:
        ConfigError: the calibration keeps no scores, or its parts came in lots.
    """
    curve = curve_of(calibration)
    if curve is None:
        raise ConfigError(
            f"the calibration {calibration.moment} has no sensitivity slider, because "
            f"{_reason_against(calibration)}"
        )
    return curve


def _reason_against(calibration: Calibration) -> str:
    if calibration.scores and not calibration.lots:
        return (
            "it has too few good parts for a bound, all of which the model has learnt: add some "
            "with linewarden teach --add"
        )
    why = "its parts came in lots" if calibration.lots else "it keeps no scores of good parts"
    return f"{why}: calibrate again with another --false-reject-rate"


def place_of(calibration: Calibration) -> SliderPoint:
    """Returns the present position of the slider.

    Raises:
        ConfigError: as for `slider_of`.
    """
    return slider_of(calibration).point_of(*reject_by_zone(calibration))


def move_slider(
    bundle: Bundle, active: Calibration, position: float, *, author: str, reason: str
) -> Calibration:
    """Takes the thresholds at a position of the slider, as a new calibration of the recipe.

    The pixel thresholds stay. The bound holds for this position by itself.

    Args:
        active: the active calibration of the recipe.
        position: 0 rejects least, 1 most.

    Raises:
        ConfigError: there is no reason, the position is outside 0 to 1, nothing is left of the
            review band, or as for `slider_of`.
        BundleError: another calibration is active by now, or the artefact of the bundle is not the
            one of the calibration.
    """
    require_reason(reason, "moving the slider")
    bundle.calibration(active.recipe, active.artefact)  # refuses another artefact
    point = slider_of(active).at(position)
    whole, moved = _thresholds_at(active, point, position)
    scores = {
        image: score_of_zones(values, point.reject_by_zone)
        for image, values in active.zone_scores.items()
    }
    moved_there = {
        "false_reject_rate_target": target_of(point.bound),
        "false_reject_rate_bound": point.bound,
        "false_reject_rate_average": point.expected,
        "thresholds": whole,
        "zone_thresholds": moved,
        "scores": scores or active.scores,
        "drift": _with_scores(active.drift, scores),
        "modelled_rate": None,
    }
    return activate(
        bundle,
        active.model_copy(update=moved_there),
        author=author,
        reason=f"sensitivity {position:g}: {reason}",
        replaces=active.seal,
    )


def _with_scores(drift: Baseline | None, scores: Mapping[str, float]) -> Baseline | None:
    """Returns the baseline with the scores that the line gives the good parts from now on.

    The score of a part with several zones depends on their thresholds, see `score_of_zones`.
    """
    if drift is None or not scores:
        return drift
    values = {**drift.values, "score": tuple(sorted(scores.values()))}
    return drift.model_copy(update={"values": values})


def refusal_at(active: Calibration, point: SliderPoint, position: float) -> str:
    """Returns why `move_slider` would refuse a position of the slider; empty when it would not."""
    try:
        _thresholds_at(active, point, position)
    except ConfigError as error:
        return str(error)
    return ""


def _thresholds_at(
    active: Calibration, point: SliderPoint, position: float
) -> tuple[Thresholds, dict[str, Thresholds]]:
    """Returns the thresholds of the whole part and of each zone at a point of the slider."""
    moved = {
        name: replace(zone, reject=threshold)
        for (name, zone), threshold in zip(
            active.zone_thresholds.items(), point.reject_by_zone, strict=False
        )
    }
    whole = replace(active.thresholds, reject=point.reject)
    _require_review_band(whole, moved.values() or (whole,), position)
    return whole, moved


def _require_review_band(whole: Thresholds, zones: Iterable[Thresholds], position: float) -> None:
    """Refuses a position that leaves no zone a review band, where the recipe has one."""
    if whole.review is None:
        return
    if not any(zone.review is not None and zone.review < zone.reject for zone in zones):
        reject, review = comparable(whole.reject, whole.review, digits=6)
        raise ConfigError(
            f"at {position} the line rejects above {reject}, and the review band begins at "
            f"{review}: nothing would be left of it; calibrate again with other rates"
        )

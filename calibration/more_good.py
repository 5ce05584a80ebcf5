"""What further good parts would do to the threshold of a recipe, by the scores that it keeps."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.good_parts import good_part_values
from calibration.learnt import has_bound
from calibration.tolerance import ToleranceLimit, zone_limit
from inspection.bundle.calibration_file import Calibration
from inspection.errors import ConfigError


def limit_with(calibration: Calibration, scores: Sequence[float]) -> ToleranceLimit:
    """Returns the limit for reject of the same targets with more good parts.

    It is that of `linewarden calibrate` with the images of these parts in --more-good, as long as
    the artefact is the one that gave the scores.

    Args:
        scores: raw scores of independent good parts that are not in the calibration yet; may be
            empty.

    Raises:
        ConfigError: the calibration keeps no scores, or its threshold is not an order statistic of
            one value for each part.
    """
    if reason := _reason_against(calibration):
        raise ConfigError(
            f"the calibration {calibration.moment} cannot tell what more good parts would do, "
            f"because {reason}: calibrate with their images"
        )
    values = [*good_part_values(calibration).values(), *((score,) for score in scores)]
    return zone_limit(
        values,
        false_reject_rate=calibration.false_reject_rate_target,
        confidence=calibration.confidence,
    ).limit


def _reason_against(calibration: Calibration) -> str:
    reasons = {
        "it keeps no scores of good parts": not calibration.scores,
        "its parts came in lots": bool(calibration.lots),
        "each of its zones has a score, and a record only that of the part": (
            len(calibration.zone_thresholds) > 1
        ),
        "its threshold is that of a model of the highest scores": (
            calibration.modelled_rate is not None
        ),
        "it was made of too few images that the model has learnt": not has_bound(
            calibration.judged, len(good_part_values(calibration))
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")

"""The sensitivity slider of a recipe as values for a page or a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from calibration.curve import SliderPoint, ThresholdCurve
from calibration.good_parts import good_part_scores, reject_by_zone
from calibration.history import history
from calibration.sensitivity import place_of, refusal_at, slider_of
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration

_STEPS = 100


def slider_view(bundle: Bundle, active: Calibration) -> dict[str, Any]:
    """Returns the slider of the active calibration as JSON values.

    Keys: "recipe", "seal", "created_utc", "author", "reason", "artefact", "confidence";
    "is_approximate", whether bounds take scores as independent that are not quite so, see
    `calibration.learnt`; "zones", their names; "review", threshold of the review band or None;
    "scores" of the good parts; "now", the point in force; "points" along the slider that differ,
    from the one that rejects least, each with "refusal", why it cannot be taken, or nothing;
    "comparable", thresholds of each zone by the seal of every calibration whose scores are on the
    same scale.

    Raises:
        ConfigError: the calibration has no slider, see `slider_of`.
    """
    curve = slider_of(active)
    return {
        "recipe": active.recipe,
        "seal": active.seal,
        "created_utc": active.created_utc,
        "author": active.author,
        "reason": active.reason,
        "artefact": active.artefact,
        "confidence": active.confidence,
        "is_approximate": active.judged is not None,
        "zones": list(active.zone_thresholds),
        "review": active.thresholds.review,
        "scores": sorted(good_part_scores(active).values()),
        "now": asdict(place_of(active)),
        "points": list(_points(active, curve)),
        "comparable": _comparable(bundle, active),
    }


def _points(active: Calibration, curve: ThresholdCurve) -> Iterator[dict[str, Any]]:
    before: SliderPoint | None = None
    for step in range(_STEPS + 1):
        position = step / _STEPS
        point = curve.at(position)
        if point != before:
            refusal = refusal_at(active, point, position)
            yield {**asdict(point), "position": position, "refusal": refusal}
        before = point


def _comparable(bundle: Bundle, active: Calibration) -> dict[str, tuple[float, ...]]:
    found = (entry.calibration for entry in history(bundle, active.recipe))
    return {
        one.seal: reject_by_zone(one)
        for one in found
        if one is not None
        and one.artefact_sha256 == active.artefact_sha256
        and one.fits_engine(active.engine)
        and one.layout == active.layout
    }

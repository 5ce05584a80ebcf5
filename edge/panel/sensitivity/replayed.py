"""Recorded parts under other thresholds: which would be rejected, and from which point of a slider.

A record has one score for all zones, which tells how far the worst zone is from its threshold, but
not which zone that is. So with several zones there are points where the verdict is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.panel.sensitivity.calibrations import Slider, SliderPoint
from edge.store.reader import StoredRecord
from inspection.verdict import Verdict


@dataclass(frozen=True)
class Replayed:
    """A recorded part on a slider. A place beyond the last point stands for none.

    Attributes:
        score: of its view with the calibration of the slider.
        is_rejected: as the line judged it.
        rejected_from: first point of the slider that rejects it for certain.
        passed_before: every point before this one does not reject it, for certain.
    """

    trigger: str
    score: float
    is_rejected: bool
    rejected_from: int
    passed_before: int
    label: str | None
    images: tuple[str, ...]


def replayed(parts: Sequence[StoredRecord], slider: Slider) -> list[Replayed]:
    """Returns the parts with a verdict whose scores are on the scale of the slider."""
    limits = {
        seal: [_limits(point, before) for point in slider.points]
        for seal, before in slider.comparable.items()
    }
    found = (_replayed(part, limits) for part in parts)
    return [part for part in found if part is not None]


@dataclass(frozen=True)
class _Limits:
    """A recorded score up to `lower` is surely not rejected at a point; above `upper` it surely is.

    They are equal for a single zone.
    """

    lower: float
    upper: float


def _limits(point: SliderPoint, before: Sequence[float]) -> _Limits:
    # `score_of_zones` shifts every zone's value so that its threshold becomes the highest one.
    highest = max(before)
    shifted = [
        threshold + (highest - then)
        for threshold, then in zip(point.reject_by_zone, before, strict=True)
    ]
    return _Limits(min(shifted), max(shifted))


def _replayed(part: StoredRecord, limits: Mapping[str, Sequence[_Limits]]) -> Replayed | None:
    record = part.record
    scored = [
        (view.score, limits[view.calibration_seal])
        for view in record.views
        if view.score is not None and view.calibration_seal in limits
    ]
    if record.verdict is Verdict.NO_VERDICT or not scored:
        return None
    stays_rejected = any(
        view.verdict is Verdict.REJECT and view.calibration_seal not in limits
        for view in record.views
    )
    places = [(0, 0)] if stays_rejected else [_places(*one) for one in scored]
    return Replayed(
        trigger=record.trigger_id,
        score=max(score for score, _ in scored),
        is_rejected=record.verdict is Verdict.REJECT,
        rejected_from=min(surely for surely, _ in places),
        passed_before=min(possibly for _, possibly in places),
        label=part.label,
        images=record.images,
    )


def _places(score: float, limits: Sequence[_Limits]) -> tuple[int, int]:
    """Returns the first point that surely rejects a score, and the first that may."""
    surely = next((n for n, limit in enumerate(limits) if score > limit.upper), len(limits))
    possibly = next((n for n, limit in enumerate(limits) if score > limit.lower), len(limits))
    return surely, possibly

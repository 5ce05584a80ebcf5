"""What is kept of every trigger, and its JSON form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from edge.calibrated import Calibration
from edge.inspector import Inspection
from edge.triggers import Settled, Trigger, no_verdict
from edge.verdict import Cause, Verdict


class _Frozen(BaseModel):
    # JSON has no NaN and no Infinity.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LatencyMs(_Frozen):
    """Where the time went, in milliseconds; None for a stage that was not reached.

    Attributes:
        total: from the complete frame to the verdict's way out to the line.
    """

    preprocess: float | None
    infer: float | None
    decide: float | None
    total: float


class InspectionRecord(_Frozen):
    """One trigger and what became of it.

    `model_dump_json` gives its JSON form.

    Attributes:
        trigger_id: unique over all runs.
        part_id: what the line calls the part; None when it did not say.
        captured_utc: when the frame was complete.
        source: file name or serial number of the camera; None when the camera gave no frame.
        cause: why there is no verdict; None when there is one.
        message: what went wrong, for people.
        score: raw score; None when there is none or it is not finite.
        threshold: raw score above which the part is rejected.
        threshold_review: raw score above which it is reviewed; None without a review band.
        threshold_pixel: value of the anomaly map above which a pixel belongs to the mask.
        artefact_sha256: the model file that gave the score.
        calibration_seal: the calibration that gave the threshold.
        images: files handed to the archive, relative to its folder. The quota removes them in
            time, and a failed write is in the log.
        line_errors: the outputs that did not take the verdict. Known only after the delivery, so
            always empty in what an output sends.
    """

    trigger_id: str
    part_id: str | None = None
    captured_utc: datetime
    source: str | None
    recipe: str
    verdict: Verdict
    cause: Cause | None
    message: str
    score: float | None
    threshold: float
    threshold_review: float | None = None
    threshold_pixel: float | None = None
    artefact_sha256: str
    calibration_seal: str
    latency_ms: LatencyMs
    deadline_ms: float
    images: tuple[str, ...] = ()
    line_errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecipeIdentity:
    """What a verdict rests on, for its record."""

    recipe: str
    threshold: float
    artefact_sha256: str
    calibration_seal: str
    threshold_review: float | None = None
    threshold_pixel: float | None = None


def identity_from_calibration(calibration: Calibration) -> RecipeIdentity:
    """The identity of a calibrated recipe."""
    return RecipeIdentity(
        calibration.recipe,
        calibration.threshold_score,
        calibration.artefact_sha256,
        calibration.seal,
        calibration.threshold_review,
        calibration.threshold_pixel,
    )


def record_from_settled(
    settled: Settled, identity: RecipeIdentity, images: tuple[str, ...] = ()
) -> InspectionRecord:
    """The record of a settled trigger."""
    trigger, inspection = settled.trigger, settled.inspection
    return InspectionRecord(
        trigger_id=trigger.trigger_id,
        part_id=trigger.part_id,
        captured_utc=trigger.captured_utc,
        source=trigger.frame.source if trigger.frame is not None else None,
        recipe=identity.recipe,
        verdict=inspection.verdict,
        cause=inspection.cause,
        message=inspection.message,
        score=inspection.score if math.isfinite(inspection.score) else None,
        threshold=identity.threshold,
        threshold_review=identity.threshold_review,
        threshold_pixel=identity.threshold_pixel,
        artefact_sha256=identity.artefact_sha256,
        calibration_seal=identity.calibration_seal,
        latency_ms=_latency(settled, inspection),
        deadline_ms=(trigger.deadline_ns - trigger.captured_ns) / 1e6,
        images=images,
    )


def interrupted_record(trigger: Trigger, identity: RecipeIdentity) -> InspectionRecord:
    """The record of a trigger whose process dies before it has another; without its latency."""
    message = "the process died before the part had its record; whether the line was told is open"
    nothing = no_verdict(Cause.INTERRUPTED, message)
    return record_from_settled(Settled(trigger, nothing, trigger.captured_ns), identity)


def _latency(settled: Settled, inspection: Inspection) -> LatencyMs:
    times = inspection.times
    reached = times.infer_ns > 0
    return LatencyMs(
        preprocess=times.preprocess_ns / 1e6 if reached else None,
        infer=times.infer_ns / 1e6 if reached else None,
        decide=times.decide_ns / 1e6 if reached else None,
        total=(settled.taken_ns - settled.trigger.captured_ns) / 1e6,
    )

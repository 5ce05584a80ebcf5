"""The record of one inspection: one per trigger, whatever happened."""

from __future__ import annotations

import math
from datetime import datetime, timezone

from edge.config import StrictModel
from edge.inspector import Inspection
from edge.verdict import Cause, Verdict


class InspectionRecord(StrictModel):
    """What is known of one trigger; durations in milliseconds on the monotonic clock.

    Attributes:
        trigger_id: counts the triggers of this process, from 1.
        score: raw score; None when there is none.
        calibration: seal of the calibration that the thresholds come from.
        total_ms: from the trigger to the verdict.
        images: names of the image files that were accepted for writing.
    """

    trigger_id: int
    time_utc: str
    source: str
    recipe: str
    verdict: Verdict
    cause: Cause | None
    message: str
    score: float | None
    threshold: float
    artefact_sha256: str
    calibration: str
    preprocess_ms: float
    infer_ms: float
    decide_ms: float
    total_ms: float
    deadline_ms: float
    images: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line of JSON."""
        return self.model_dump_json()


def finite(value: float) -> float | None:
    """None for what JSON cannot say."""
    return value if math.isfinite(value) else None


def utc_now() -> str:
    """The wall clock as ISO 8601 in UTC with milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def stage_ms(inspection: Inspection) -> dict[str, float]:
    """Durations of the stages of an inspection."""
    times = inspection.times
    return {
        "preprocess_ms": times.preprocess_ns / 1e6,
        "infer_ms": times.infer_ns / 1e6,
        "decide_ms": times.decide_ns / 1e6,
    }

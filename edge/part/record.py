"""The record of a trigger, and its JSON form."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from edge.part.result import Settled, ViewResult
from edge.part.trigger import Trigger
from inspection.inspector import Inspection, no_verdict
from inspection.verdict import Cause, Verdict


class _Frozen(BaseModel):
    # JSON has no NaN and no Infinity.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LatencyMs(_Frozen):
    """Durations in milliseconds; None for a stage that was not reached.

    Attributes:
        total: from the trigger to the verdict's way out to the line; of a view, to its result.
    """

    preprocess: float | None
    infer: float | None
    decide: float | None
    total: float


class _Announced(_Frozen):
    """The announcement of a part."""

    trigger_id: str
    part_id: str | None = None
    triggered_utc: datetime


class _Judged(_Frozen):
    """A verdict with its evidence.

    Attributes:
        view: the name of the view; "main" where the line has one camera.
        source: file name or serial number of the camera; None when the camera gave no frame.
        recipe_number: number that a PLC requests; None where recipes have no numbers.
        cause: why there is no verdict; None when there is one.
        message: the reason in words.
        score: raw score; None when there is none or it is not finite.
        threshold: raw score above which the part is rejected.
        threshold_review: raw score above which it is reviewed; None without a review band.
        threshold_pixel: value of the anomaly map above which a pixel belongs to the mask.
        artefact_sha256: the model file that gave the score; for a part that a first stage passed,
            or did not judge because it failed, the hash of its file, engine and precision.
        calibration_seal: the calibration that gave the threshold.
    """

    view: str
    source: str | None
    recipe: str
    recipe_number: int | None = None
    verdict: Verdict
    cause: Cause | None
    message: str
    score: float | None
    threshold: float
    threshold_review: float | None
    threshold_pixel: float | None
    artefact_sha256: str
    calibration_seal: str
    latency_ms: LatencyMs


NOT_KNOWN = "whether it was told is not known: the process died before its answer"


class Told(_Frozen):
    """The verdict that one output was told.

    Attributes:
        output: its name; empty in records of versions that noted errors alone.
        verdict: what the output took: NO_VERDICT where the verdict came to it too late; None when
            it took nothing, or it is not known.
        error: why it took nothing; empty when it took the verdict.
    """

    output: str
    verdict: Verdict | None = None
    error: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the output has answered."""
        return self.verdict is not None or self.error != NOT_KNOWN


class ViewRecord(_Judged):
    """The result of one view."""


class InspectionRecord(_Judged, _Announced):
    """One trigger with its verdict; of several views, the figures of the one that decided.

    `model_dump_json` gives its JSON form.

    Attributes:
        trigger_id: unique over all runs.
        part_id: the line's name for the part; None when it gave none.
        triggered_utc: when the part was announced; see `edge.part.trigger.Trigger`.
        views: the result of each view, in the order of the configuration.
        images: files handed to the archive, relative to its folder. The quota removes them in
            time, and a failed write is in the log.
        told: what each output was told, in the order of the configuration. It is known after the
            delivery, so an output always sends an empty list.
    """

    deadline_ms: float
    views: tuple[ViewRecord, ...]
    images: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _errors_alone(cls, values: Any) -> Any:
        """Reads records of earlier versions, which noted the errors of the outputs alone."""
        if isinstance(values, dict) and "line_errors" in values:
            others = {name: one for name, one in values.items() if name != "line_errors"}
            told = [{"output": "", "error": error} for error in values["line_errors"]]
            return {**others, "told": told}
        return values

    @property
    def line_errors(self) -> tuple[str, ...]:
        """The errors of the outputs that did not take the verdict."""
        return tuple(one.error for one in self.told if one.verdict is None)


def record_from_settled(settled: Settled, images: tuple[str, ...] = ()) -> InspectionRecord:
    """Returns the record of a settled trigger."""
    trigger = settled.trigger
    return InspectionRecord(
        trigger_id=trigger.trigger_id,
        part_id=trigger.part_id,
        triggered_utc=trigger.triggered_utc,
        **_judged(settled.decisive, settled.inspection, settled.taken_ns - trigger.triggered_ns),
        deadline_ms=(trigger.deadline_ns - trigger.triggered_ns) / 1e6,
        views=tuple(
            ViewRecord(
                **_judged(result, result.inspection, result.judged_ns - trigger.triggered_ns)
            )
            for result in settled.views
        ),
        images=images,
    )


def interrupted_record(trigger: Trigger) -> InspectionRecord:
    """Returns the record of a trigger whose process died before it wrote one; without latency."""
    message = "the process died before the part had its verdict; no output was told one"
    nothing = no_verdict(Cause.INTERRUPTED, message)
    views = tuple(
        ViewResult(view, recipe, None, nothing, trigger.triggered_ns)
        for view, recipe in trigger.recipes.items()
    )
    return record_from_settled(Settled(trigger, nothing, views, trigger.triggered_ns))


def _judged(result: ViewResult, inspection: Inspection, total_ns: int) -> dict[str, Any]:
    """Returns the fields that a part and a view have in common."""
    times, recipe = inspection.times, result.recipe
    is_inferred = times.infer_ns > 0
    return {
        "view": result.view,
        "source": result.frame.source if result.frame is not None else None,
        "recipe": recipe.recipe,
        "recipe_number": recipe.recipe_number,
        "verdict": inspection.verdict,
        "cause": inspection.cause,
        "message": inspection.message,
        "score": inspection.score if math.isfinite(inspection.score) else None,
        "threshold": recipe.thresholds.reject,
        "threshold_review": recipe.thresholds.review,
        "threshold_pixel": recipe.thresholds.pixel,
        "artefact_sha256": recipe.early_sha256 if inspection.is_early else recipe.artefact_sha256,
        "calibration_seal": recipe.calibration_seal,
        "latency_ms": LatencyMs(
            preprocess=times.preprocess_ns / 1e6 if is_inferred else None,
            infer=times.infer_ns / 1e6 if is_inferred else None,
            decide=times.decide_ns / 1e6 if is_inferred else None,
            total=total_ns / 1e6,
        ),
    }

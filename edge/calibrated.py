"""The thresholds of a recipe, as they stand in a bundle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edge.drift import Baseline
from edge.sealed import Sha256, Vouched
from edge.verdict import Thresholds


@dataclass(frozen=True)
class RecipeIdentity:
    """What a verdict rests on, for its record."""

    recipe: str
    threshold: float
    artefact_sha256: str
    calibration_seal: str
    threshold_review: float | None = None
    threshold_pixel: float | None = None


class Calibration(Vouched):
    """Thresholds of one recipe with the evidence they rest on; see `calibration.threshold`.

    Attributes:
        artefact: file in the bundle through which the scores were measured, and its hash.
        false_reject_rate_target: what was asked for.
        false_reject_rate_bound: upper bound of the false reject rate of independent good parts
            that these scores support at `confidence`; it is above the target when there were too
            few.
        review_rate_bound: likewise of parts reviewed or rejected, when there is a review band.
        mask_rate_bound: likewise of good parts whose map, cut at `threshold_pixel` and cleared of
            regions smaller than `minimum_area_px`, is not empty.
        scores: the raw scores of the good images, by image hash.
        parts: which part an image shows, by image hash, where parts were seen several times.
        author, reason: who calibrated, and why; empty when nobody said.
        previous_seal: the calibration that this one replaced; None for the first of its recipe, or
            when the replaced file was damaged.
        data_sha256: over the sorted image hashes; None in calibrations made before it was kept.
        drift: what the line is watched against; None with too few parts, or in older ones.
    """

    schema_version: Literal[1] = 1
    recipe: str
    created_utc: str
    artefact: str
    artefact_sha256: Sha256
    false_reject_rate_target: float
    confidence: float
    false_reject_rate_bound: float
    threshold_score: float
    threshold_pixel: float
    threshold_review: float | None = None
    review_rate_bound: float | None = None
    mask_rate_bound: float | None = None
    minimum_area_px: int = 1
    scores: dict[Sha256, float]
    parts: dict[Sha256, str] = Field(default_factory=dict)
    author: str = ""
    reason: str = ""
    previous_seal: str | None = None
    data_sha256: Sha256 | None = None
    drift: Baseline | None = None

    @model_serializer(mode="wrap")
    def _without_unknown_origin(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out an origin that is not known, so that the seal of an older one stays right."""
        content: dict[str, Any] = serialise(self)
        origin = {"author", "reason", "previous_seal", "data_sha256", "drift"}
        return {key: value for key, value in content.items() if value or key not in origin}

    @property
    def moment(self) -> str:
        """When it was made, as a file name: `20261121T041401Z`."""
        return re.sub(r"[^0-9T]", "", self.created_utc[:19]) + "Z"

    def thresholds(self) -> Thresholds:
        """The limits for `edge.verdict.decide`."""
        return Thresholds(
            self.threshold_score,
            self.threshold_pixel,
            self.threshold_review,
            self.minimum_area_px,
        )

    def identity(self) -> RecipeIdentity:
        """What the verdicts that are given by this calibration rest on."""
        return RecipeIdentity(
            self.recipe,
            self.threshold_score,
            self.artefact_sha256,
            self.seal,
            self.threshold_review,
            self.threshold_pixel,
        )

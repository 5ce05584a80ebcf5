"""The thresholds of a recipe, as they stand in a bundle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from inspection.drift.baseline import Baseline
from inspection.layout import Layout
from inspection.trust.sealed import Sha256, Strict, Vouched
from inspection.verdict import Thresholds

# Left out when empty.
_ADDED = frozenset(
    [
        "author",
        "reason",
        "previous_seal",
        "data_sha256",
        "drift",
        "layout",
        "zone_thresholds",
        "zone_scores",
        "lots",
        "modelled_rate",
    ]
)


class ZoneThresholds(Strict):
    """Thresholds of one zone; see `inspection.verdict.Thresholds`."""

    score: float
    pixel: float
    review: float | None = None
    minimum_area_px: int = 1


@dataclass(frozen=True)
class RecipeIdentity:
    """What a verdict rests on, for its record.

    Attributes:
        recipe_number: under which the line asked for it; None where it has no numbered recipes.
    """

    recipe: str
    threshold: float
    artefact_sha256: str
    calibration_seal: str
    threshold_review: float | None = None
    threshold_pixel: float | None = None
    recipe_number: int | None = None


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
        layout: the zones and the alignment that the thresholds hold with; None for the whole frame.
        zone_thresholds: of each zone of the layout, by name, in its order. The rates hold for all
            zones together. `threshold_score`, `threshold_review` and `threshold_pixel` are the
            highest of them, and `scores` are those of `inspection.verdict.score_of_zones`.
        zone_scores: the value of each zone, by image hash, where there are zones.
        lots: which lot the part of an image came from, by image hash, where lots were told apart.
        modelled_rate: false reject rate that a model of the tail of the scores, not a promise,
            gives `threshold_score`; None when it is an order statistic.
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
    layout: Layout | None = None
    zone_thresholds: dict[str, ZoneThresholds] = Field(default_factory=dict)
    zone_scores: dict[Sha256, tuple[float, ...]] = Field(default_factory=dict)
    lots: dict[Sha256, str] = Field(default_factory=dict)
    modelled_rate: float | None = None

    @model_validator(mode="after")
    def _thresholds_are_those_of_the_zones(self) -> Calibration:
        names = self.layout.zone_names if self.layout is not None else ()
        if tuple(self.zone_thresholds) != names:
            raise ValueError("there must be thresholds for every zone of the layout, in its order")
        return self

    @model_serializer(mode="wrap")
    def _without_unknown(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not known or not used: the seal of an older one stays right."""
        content: dict[str, Any] = serialise(self)
        return {key: value for key, value in content.items() if value or key not in _ADDED}

    @property
    def moment(self) -> str:
        """When it was made, as a file name: `20261121T041401Z`."""
        return re.sub(r"[^0-9T]", "", self.created_utc[:19]) + "Z"

    def thresholds(self) -> Thresholds:
        """The limits for `inspection.verdict.decide`."""
        return Thresholds(
            self.threshold_score,
            self.threshold_pixel,
            self.threshold_review,
            self.minimum_area_px,
        )

    def identity(self, recipe_number: int | None = None) -> RecipeIdentity:
        """What the verdicts that are given by this calibration rest on."""
        return RecipeIdentity(
            self.recipe,
            self.threshold_score,
            self.artefact_sha256,
            self.seal,
            self.threshold_review,
            self.threshold_pixel,
            recipe_number,
        )

    def thresholds_of_zones(self) -> tuple[Thresholds, ...]:
        """The limits for `inspection.verdict.decide_by_zone`; empty when the whole map counts."""
        return tuple(
            Thresholds(zone.score, zone.pixel, zone.review, zone.minimum_area_px)
            for zone in self.zone_thresholds.values()
        )

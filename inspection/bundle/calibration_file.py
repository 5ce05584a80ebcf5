"""The calibration file of a recipe in a bundle: thresholds and the evidence behind them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from inspection.drift.baseline import Baseline
from inspection.layout import Layout
from inspection.trust.sealed import Sha256, Vouched
from inspection.verdict import Thresholds

# A model of all other images judged each image; or the model of a single image its mirrored copies.
Judged = Literal["without_itself", "mirrored"]

# The file leaves these out when they are empty, so that the seals of older files stay right.
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
        "false_reject_rate_average",
        "judged",
        "engine",
        "outliers",
        "without",
    ]
)

# Keys of schema 1 for the attributes of `Thresholds`: of the whole part, and of a zone.
_PART_KEYS = {
    "reject": "threshold_score",
    "pixel": "threshold_pixel",
    "review": "threshold_review",
    "minimum_area_px": "minimum_area_px",
}
_ZONE_KEYS = {"reject": "score"}


def _in_file(thresholds: Thresholds, keys: dict[str, str]) -> dict[str, Any]:
    return {keys.get(name, name): value for name, value in asdict(thresholds).items()}


def _zone_from_file(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {"reject" if key == "score" else key: value for key, value in content.items()}


_ZoneThresholds = Annotated[
    Thresholds,
    BeforeValidator(_zone_from_file),
    PlainSerializer(lambda zone: _in_file(zone, _ZONE_KEYS)),
]


@dataclass(frozen=True)
class RecipeIdentity:
    """The recipe, thresholds and artefact behind a verdict, for its record.

    Attributes:
        recipe_number: number by which the line selects the recipe; None without numbered recipes.
        early_sha256: identity of the stage that passes clearly good parts; empty without one.
    """

    recipe: str
    thresholds: Thresholds
    artefact_sha256: str
    calibration_seal: str
    recipe_number: int | None = None
    early_sha256: str = ""


class Calibration(Vouched):
    """Thresholds of one recipe with the evidence behind them; see `calibration.tolerance`.

    Attributes:
        artefact: file in the bundle that gave the scores; `artefact_sha256` is its hash.
        engine: engine that ran it, where the scores depend on that; empty for the FP32 graph, for
            plans, and in files of older releases.
        false_reject_rate_target: the requested rate; that of the bound where the slider set it.
        false_reject_rate_bound: upper bound of the false reject rate of independent good parts
            that these scores support at `confidence`; above the target with too few parts.
        thresholds: thresholds of the whole map; with zones, the highest of them and the smallest
            area.
        review_rate_bound: upper bound of the share of good parts reviewed or rejected; None without
            a review band.
        mask_rate_bound: upper bound of the share of good parts whose map, cut at `thresholds.pixel`
            and cleared of regions smaller than `thresholds.minimum_area_px`, is not empty.
        scores: raw scores of the good images, by image hash; with zones, those of
            `inspection.verdict.score_of_zones`.
        parts: part of each image, by image hash, where parts have several images.
        author, reason: author of the calibration and the reason for it; may be empty.
        previous_seal: the calibration that this one replaced; None for the first of its recipe, or
            when the replaced file was damaged.
        data_sha256: SHA-256 over the sorted image hashes; None in files of older releases.
        drift: baseline of the drift charts; None with too few parts, or in older files.
        layout: zones and alignment that belong to the thresholds; None for the whole frame.
        zone_thresholds: thresholds of each zone of the layout, by name, in its order. The rates
            hold for all zones together.
        zone_scores: value of each zone, by image hash, where there are zones.
        lots: lot of each image, by image hash, where the parts came in named lots.
        false_reject_rate_average: upper bound of the false reject rate on average over draws of as
            many good parts; None for lots, and in files of older releases.
        judged: judge of images that the model has learnt, see `Judged`; None
            when the artefact judged images that it has not.
        outliers: images that stand out and count all the same, by image hash: distance of the score
            from the median in spreads, see `calibration.outliers`.
        without: files that a person left out, by image hash.
        modelled_rate: false reject rate of `thresholds.reject` by a model of the tail of the
            scores, which is not a promise; None when the threshold is an order statistic.
    """

    schema_version: Literal[1] = 1
    recipe: str
    created_utc: str
    artefact: str
    artefact_sha256: Sha256
    false_reject_rate_target: float
    confidence: float
    false_reject_rate_bound: float
    thresholds: Thresholds
    review_rate_bound: float | None = None
    mask_rate_bound: float | None = None
    scores: dict[Sha256, float]
    parts: dict[Sha256, str] = Field(default_factory=dict)
    author: str = ""
    reason: str = ""
    previous_seal: str | None = None
    data_sha256: Sha256 | None = None
    drift: Baseline | None = None
    layout: Layout | None = None
    zone_thresholds: dict[str, _ZoneThresholds] = Field(default_factory=dict)
    zone_scores: dict[Sha256, tuple[float, ...]] = Field(default_factory=dict)
    lots: dict[Sha256, str] = Field(default_factory=dict)
    modelled_rate: float | None = None
    false_reject_rate_average: float | None = None
    judged: Judged | None = None
    engine: str = ""
    outliers: dict[Sha256, float] = Field(default_factory=dict)
    without: dict[Sha256, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _thresholds_from_file(cls, content: Any) -> Any:
        keys = set(_PART_KEYS.values())
        if not isinstance(content, dict) or keys.isdisjoint(content):
            return content
        found = {name: content[key] for name, key in _PART_KEYS.items() if key in content}
        others = {key: value for key, value in content.items() if key not in keys}
        return {**others, "thresholds": found}

    @model_validator(mode="after")
    def _thresholds_are_those_of_the_zones(self) -> Calibration:
        names = self.layout.zone_names if self.layout is not None else ()
        if tuple(self.zone_thresholds) != names:
            raise ValueError("there must be thresholds for every zone of the layout, in its order")
        return self

    @model_serializer(mode="wrap")
    def _file_form(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in serialise(self).items():
            if key == "thresholds":
                content |= _in_file(self.thresholds, _PART_KEYS)
            elif value or key not in _ADDED:
                content[key] = value
        return content

    @property
    def part_count(self) -> int:
        """Number of good parts behind the thresholds."""
        return len({self.parts.get(image, image) for image in self.scores})

    @property
    def moment(self) -> str:
        """Time of the calibration, as a file name: `20261121T041401Z`."""
        return re.sub(r"[^0-9T]", "", self.created_utc[:19]) + "Z"

    @property
    def has_zones(self) -> bool:
        """Whether zones decide: by single values of the map, where no first stage has a margin."""
        return bool(self.zone_thresholds)

    def fits_engine(self, engine: str) -> bool:
        """Returns whether its scores are on the scale of an engine; empty for one not known."""
        return not (self.engine and engine) or self.engine == engine

    def identity(self, recipe_number: int | None = None, early_sha256: str = "") -> RecipeIdentity:
        """Returns the identity that the verdicts of this calibration carry."""
        return RecipeIdentity(
            self.recipe,
            self.thresholds,
            self.artefact_sha256,
            self.seal,
            recipe_number,
            early_sha256,
        )

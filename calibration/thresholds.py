"""Sets all thresholds of a calibration from the scores and map summaries of good images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.lots import LotLimit, lot_limit
from calibration.pixels import WHOLE, MapSummary, PixelLimit, part_summary, pixel_limits
from calibration.scores import GoodScore
from calibration.tail import TailModel, tail_model
from calibration.tolerance import ToleranceLimit, review_limits, zone_limit
from inspection.errors import ConfigError
from inspection.layout.zones import Zone
from inspection.verdict import Thresholds


@dataclass(frozen=True)
class CalibrationTargets:
    """The promises that a calibration is asked for.

    Attributes:
        false_reject_rate: share of good parts that may be rejected.
        confidence: probability that each promise holds, over draws of good parts.
        review_rate: share of good parts that may be reviewed or rejected; None for no review band.
        minimum_area_px: smallest region of the mask, in pixels of the anomaly map; None chooses it.
            The area of a zone takes precedence.
        part_of: names the part that an image shows; None when every image is another part.
        lot_of: names the lot that a part came from; None when parts do not come in lots.
        extrapolate: true to take the threshold of a tail model where the number of parts cannot
            promise the rate.
    """

    false_reject_rate: float
    confidence: float = 0.95
    review_rate: float | None = None
    minimum_area_px: int | None = None
    part_of: Callable[[Path], str] | None = None
    lot_of: Callable[[Path], str] | None = None
    extrapolate: bool = False


@dataclass(frozen=True)
class PromisedThresholds:
    """The thresholds of a calibration with their promises.

    Attributes:
        reject: threshold of each zone; a single one for the whole map.
        reject_limit: the promise about rejected parts, in all zones together.
        pixels: of each zone; a single one for the whole map.
        review: like `reject`; None without a review band.
        review_limit: the promise about parts reviewed or rejected.
        tail: the model whose threshold is taken; None when `reject_limit` has it.
    """

    reject: tuple[float, ...]
    reject_limit: ToleranceLimit | LotLimit
    pixels: tuple[PixelLimit, ...]
    review: tuple[float, ...] | None = None
    review_limit: ToleranceLimit | None = None
    tail: TailModel | None = None

    def of_part(self) -> Thresholds:
        """Returns the thresholds of the whole part: the highest of all zones, the smallest area."""
        return Thresholds(
            reject=max(self.reject),
            pixel=max(zone.pixel for zone in self.pixels),
            review=max(self.review) if self.review else None,
            minimum_area_px=min(zone.minimum_area_px for zone in self.pixels),
        )

    def of_zones(self, names: Sequence[str]) -> dict[str, Thresholds]:
        """Returns the thresholds of each zone by its name; empty without names."""
        return {
            name: Thresholds(
                reject=self.reject[place],
                pixel=self.pixels[place].pixel,
                review=self.review[place] if self.review else None,
                minimum_area_px=self.pixels[place].minimum_area_px,
            )
            for place, name in enumerate(names)
        }

    @property
    def mask_rate_bound(self) -> float | None:
        """Upper bound of the share of good parts that show a mask in any zone.

        None for parts in lots: the bound holds for independent parts only.
        """
        if isinstance(self.reject_limit, LotLimit):
            return None
        return min(1.0, sum(pixel.mask_rate_bound for pixel in self.pixels))

    @property
    def parts_missing(self) -> int | None:
        """Number of good parts to add until the target can be promised; None if not known."""
        return (
            self.reject_limit.parts_needed - self.reject_limit.parts
            if isinstance(self.reject_limit, ToleranceLimit)
            else None
        )


def thresholds_for(
    scores: Sequence[GoodScore], targets: CalibrationTargets, zones: Sequence[Zone]
) -> PromisedThresholds:
    """Finds the thresholds that keep the targets, or come nearest to them.

    Raises:
        ConfigError: a rate is outside its range, there are too few parts, or targets exclude each
            other.
    """
    _require_compatible(targets, len(scores[0].values))
    parts: dict[str, list[GoodScore]] = {}
    for score in scores:
        parts.setdefault((targets.part_of or str)(score.path), []).append(score)
    values = [_highest(frames) for frames in parts.values()]
    pixels = _pixel_limits(parts.values(), targets, zones)
    rates = {"false_reject_rate": targets.false_reject_rate, "confidence": targets.confidence}
    if targets.lot_of is not None:
        lot = lot_limit([value for (value,) in values], _lots(parts, targets.lot_of), **rates)
        return PromisedThresholds((lot.threshold,), lot, pixels)
    if targets.review_rate is not None:
        reject, review = review_limits(values, review_rate=targets.review_rate, **rates)
        return PromisedThresholds(
            reject.thresholds, reject.limit, pixels, review.thresholds, review.limit
        )
    found = zone_limit(values, **rates)
    if not targets.extrapolate:
        return PromisedThresholds(found.thresholds, found.limit, pixels)
    tail = tail_model(
        [value for (value,) in values],
        false_reject_rate=targets.false_reject_rate,
        confidence=targets.confidence,
    )
    # Never below what is promised, so that the bound holds even if the model does not.
    highest = max(tail.upper, *found.thresholds)
    return PromisedThresholds((highest,), found.limit, pixels, tail=tail)


def _pixel_limits(
    parts: Iterable[Sequence[GoodScore]], targets: CalibrationTargets, zones: Sequence[Zone]
) -> tuple[PixelLimit, ...]:
    """Sets the limits of each zone, or of the whole map."""
    areas = [zone.minimum_area_px or targets.minimum_area_px for zone in zones]
    limits = pixel_limits(
        [_summaries(frames) for frames in parts],
        mask_rate=targets.false_reject_rate,
        confidence=targets.confidence,
        minimum_areas_px=dict(enumerate(areas or [targets.minimum_area_px], start=WHOLE)),
    )
    return tuple(limits.values())


def _require_compatible(targets: CalibrationTargets, zones: int) -> None:
    """Refuses targets that no promise covers together."""
    single = {"lots": targets.lot_of is not None, "a model of the tail": targets.extrapolate}
    chosen = [name for name, is_asked in single.items() if is_asked]
    if targets.review_rate is not None:
        chosen.append("a review band")
    if zones > 1 and any(single.values()):
        raise ConfigError(
            f"{chosen[0]} and {zones} zones do not go together: draw the polygons as one zone with "
            "one threshold"
        )
    if any(single.values()) and len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} do not go together: ask for one of them")


def _highest(frames: Sequence[GoodScore]) -> tuple[float, ...]:
    """Returns the values of a part: in each zone the highest of its frames."""
    return tuple(max(values) for values in zip(*(frame.values for frame in frames), strict=True))


def _summaries(frames: Sequence[GoodScore]) -> Mapping[int, MapSummary]:
    return {
        zone: part_summary([frame.summaries[zone] for frame in frames])
        for zone in frames[0].summaries
    }


def _lots(parts: Mapping[str, Sequence[GoodScore]], lot_of: Callable[[Path], str]) -> list[str]:
    """Returns the lot of each part.

    Raises:
        ConfigError: frames of a part name different lots.
    """
    lots = []
    for part, frames in parts.items():
        names = sorted({lot_of(frame.path) for frame in frames})
        if len(names) > 1:
            raise ConfigError(f"the images of part {part} name several lots: {', '.join(names)}")
        lots.append(names[0])
    return lots

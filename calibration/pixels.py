"""Pixel threshold and minimum defect area from the anomaly maps of good parts.

For a minimum area of a pixels, a good part shows a non-empty mask when its map has a connected
region of at least a pixels above the pixel threshold. The highest threshold at which it has one is
a single number for each part. So the pixel threshold is a tolerance limit of those numbers, for any
a, and makes the same distribution-free promise as the threshold of scores.

`summarise_map` reduces each map to about a kilobyte per zone: no map is kept. Regions are
8-connected and do not cross the border of a zone. Code that applies the limits must count regions
the same way, as `inspection.verdict.remove_small_regions` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from calibration.tolerance import ToleranceLimit, parts_needed, require_share, tolerance_limit
from inspection.errors import CameraError, ConfigError
from inspection.layout.zones import IGNORED, AreaPx

AREAS: tuple[int, ...] = get_args(AreaPx)
WHOLE = 1  # the zone of a map without zones
_EIGHT = np.ones((3, 3), dtype=np.int8)
_SHARES = np.geomspace(0.5, 1e-6, 80)

_Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MapSummary:
    """One zone of one anomaly map, reduced to its answer to every pixel threshold.

    Attributes:
        pixels: number of pixels of the zone.
        region_values: for each of `AREAS`, the highest threshold below which the map has a region
            of that many pixels; falls with the area.
        share_values: for each of a falling series of shares, the value that at most that share of
            the pixels exceeds.
    """

    pixels: int
    region_values: tuple[float, ...]
    share_values: tuple[float, ...]

    def share_above(self, threshold: float) -> float:
        """Returns the share of pixels above a threshold, rounded up to the next kept share."""
        above = np.searchsorted(np.asarray(self.share_values), threshold, side="right")
        if above == 0:
            return 1.0
        return 0.0 if threshold >= self.region_values[0] else float(_SHARES[above - 1])


@dataclass(frozen=True)
class PixelLimit:
    """Pixel threshold and minimum area of one zone.

    Attributes:
        pixel: anomaly-map values above it belong to the mask.
        minimum_area_px: the mask leaves out regions of fewer pixels, at map resolution.
        pixel_rate: share of the pixels of good parts above the threshold, all regions included.
        mask_rate_bound: upper bound, at `confidence`, of the share of good parts that show a
            non-empty mask in this zone.
        parts_needed: smallest number of good parts with which the target can be promised.
    """

    pixel: float
    minimum_area_px: int
    pixel_rate: float
    mask_rate_bound: float
    mask_rate_target: float
    confidence: float
    parts: int
    parts_needed: int

    @property
    def is_met(self) -> bool:
        """True when the target is promised at the confidence."""
        return self.mask_rate_bound <= self.mask_rate_target


def summarise_map(
    anomaly_map: _Map, zones: npt.NDArray[np.integer] | None = None
) -> dict[int, MapSummary]:
    """Summarises the map of one good frame for each zone.

    Args:
        anomaly_map: (H, W) raw values, higher is more anomalous.
        zones: (H, W) number of the zone of each pixel, 0 for ignored; None for one zone 1.

    Raises:
        ConfigError: the zones have another size, or ignore every pixel.
        CameraError: the map has a value that is not finite.
    """
    if not np.isfinite(anomaly_map).all():
        raise CameraError("an anomaly map has values that are not finite: leave this frame out")
    if zones is None:
        zones = np.full(anomaly_map.shape, WHOLE, dtype=np.uint8)
    if zones.shape != anomaly_map.shape:
        raise ConfigError(
            f"the zones are {zones.shape[1]}x{zones.shape[0]} pixels and the anomaly map is "
            f"{anomaly_map.shape[1]}x{anomaly_map.shape[0]}: draw them at the size of the map"
        )
    names = [int(name) for name in np.unique(zones) if name != IGNORED]
    if not names:
        raise ConfigError("the zones ignore every pixel: leave at least one zone to inspect")
    return {name: _summarise_zone(anomaly_map, zones == name) for name in names}


def part_summary(frames: Sequence[MapSummary]) -> MapSummary:
    """Combines the summaries of the frames of a part: it shows a mask when any frame does."""
    return MapSummary(
        frames[0].pixels,
        tuple(np.max([frame.region_values for frame in frames], axis=0).tolist()),
        tuple(np.max([frame.share_values for frame in frames], axis=0).tolist()),
    )


def pixel_limit(
    summaries: Sequence[MapSummary],
    *,
    mask_rate: float,
    confidence: float,
    pixel_rate: float = 1e-4,
    minimum_area_px: int | None = None,
) -> PixelLimit:
    """Sets pixel threshold and minimum area of one zone from good parts.

    With a given minimum area (the smallest defect that matters), the threshold is the lowest that
    keeps the mask of good parts empty. Without one, the threshold is the lowest that keeps the
    pixelwise rate, and the area the smallest of `AREAS` that keeps the mask empty there; if none
    does, the threshold rises until the largest does. The test for an empty mask goes from large
    areas to small ones and stops at the first failure, so that the promise needs no correction for
    the choice of the area (fixed sequence; Bates et al. 2021). It takes the pixelwise threshold,
    which rests on very many pixels, as known.

    Args:
        summaries: those of independent good parts that the model was not fitted to.
        mask_rate: highest share of good parts that may show a non-empty mask.
        pixel_rate: highest mean share of pixels of good parts above the threshold.
        minimum_area_px: in pixels of the map, one of `AREAS`.

    Raises:
        ConfigError: the area is not one of `AREAS`, or as for `tolerance_limit`.
    """
    require_share("pixel rate", pixel_rate)
    limits = _limits_by_area(summaries, mask_rate, confidence)
    if minimum_area_px is not None:
        number = _place_of_area(minimum_area_px)
        threshold = limits[number].threshold
    else:
        wanted = _threshold_of(pixel_rate, summaries)
        empty = [limit.threshold <= wanted for limit in limits]
        number = empty.index(True) if any(empty) else len(AREAS) - 1
        threshold = max(wanted, limits[number].threshold)
    return PixelLimit(
        pixel=threshold,
        minimum_area_px=AREAS[number],
        pixel_rate=float(np.mean([summary.share_above(threshold) for summary in summaries])),
        mask_rate_bound=limits[number].bound,
        mask_rate_target=mask_rate,
        confidence=confidence,
        parts=len(summaries),
        parts_needed=parts_needed(mask_rate, confidence),
    )


def _limits_by_area(
    summaries: Sequence[MapSummary], mask_rate: float, confidence: float
) -> list[ToleranceLimit]:
    """Returns for each of `AREAS` the pixel threshold that keeps masks of that area empty."""
    return [
        tolerance_limit(
            [summary.region_values[number] for summary in summaries],
            false_reject_rate=mask_rate,
            confidence=confidence,
        )
        for number in range(len(AREAS))
    ]


def _place_of_area(area_px: int) -> int:
    if area_px not in AREAS:
        known = ", ".join(map(str, AREAS))
        raise ConfigError(f"the minimum area cannot be {area_px} px: choose one of {known}")
    return AREAS.index(area_px)


def pixel_limits(
    parts: Iterable[Mapping[int, MapSummary]],
    *,
    mask_rate: float,
    confidence: float,
    pixel_rate: float = 1e-4,
    minimum_areas_px: Mapping[int, int | None] | None = None,
) -> dict[int, PixelLimit]:
    """Sets the limits of every zone: at most `mask_rate` of good parts show a mask in any zone.

    Each zone gets an equal part of the rate and of the error probability (union bound), so more
    zones need more good parts.

    Args:
        parts: for each good part, the summary of each zone; the same zones for all.
        minimum_areas_px: by zone, for zones with a given area; see `pixel_limit`.
    """
    require_share("confidence", confidence)
    zones: dict[int, list[MapSummary]] = {}
    for part in parts:
        for zone, summary in part.items():
            zones.setdefault(zone, []).append(summary)
    if len({len(summaries) for summaries in zones.values()}) != 1:
        raise ConfigError("the good parts do not all have the same zones, or have none")
    return {
        zone: pixel_limit(
            summaries,
            mask_rate=mask_rate / len(zones),
            confidence=1 - (1 - confidence) / len(zones),
            pixel_rate=pixel_rate,
            minimum_area_px=(minimum_areas_px or {}).get(zone),
        )
        for zone, summaries in sorted(zones.items())
    }


def _threshold_of(pixel_rate: float, summaries: Sequence[MapSummary]) -> float:
    """Finds the lowest value in the summaries whose mean share of pixels keeps the rate."""
    values = np.unique([[s.region_values[0], *s.share_values] for s in summaries])
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if np.mean([summary.share_above(values[middle]) for summary in summaries]) <= pixel_rate:
            high = middle
        else:
            low = middle + 1
    return float(values[high])


def _summarise_zone(anomaly_map: _Map, inside: npt.NDArray[np.bool_]) -> MapSummary:
    values = np.sort(anomaly_map[inside])[::-1]
    places = np.minimum(np.floor(_SHARES * len(values)).astype(int), len(values) - 1)
    rows, columns = ndimage.find_objects(inside.astype(np.int8))[0]
    cut = np.where(inside, anomaly_map, -np.inf)[rows, columns]
    regions = []
    place = 0
    for area in AREAS:
        place = _place_of_region(cut, values, area, max(place, area - 1))
        regions.append(float(values[place]))
    return MapSummary(len(values), tuple(regions), tuple(values[places].tolist()))


def _place_of_region(cut: _Map, values: _Map, area: int, low: int) -> int:
    """Finds the first of the falling values that completes a region with those above it."""
    last = len(values) - 1
    if area == 1 or low >= last:
        return min(low, last)
    step, high = 1, low
    while high < last and _largest_region(cut >= values[high]) < area:
        low, high, step = high + 1, min(high + step, last), 2 * step
    while low < high:
        middle = (low + high) // 2
        if _largest_region(cut >= values[middle]) >= area:
            high = middle
        else:
            low = middle + 1
    return high


def _largest_region(mask: npt.NDArray[np.bool_]) -> int:
    regions, count = ndimage.label(mask, _EIGHT)
    return int(np.bincount(regions.ravel())[1:].max()) if count else 0

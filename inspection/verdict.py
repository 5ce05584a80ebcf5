"""Derives a verdict from score and anomaly map: pure functions without state or I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt


class Verdict(str, Enum):
    """The result of one part, as the line receives it."""

    PASS = "PASS"  # noqa: S105 - not a password
    REVIEW = "REVIEW"
    REJECT = "REJECT"
    NO_VERDICT = "NO_VERDICT"


# The verdict on a part is the last of these among its views. A defect that one view shows is one
# whatever another view would show, so REJECT outranks NO_VERDICT: the fail-safe action for a part
# without verdict must not let a known defect pass. A side without verdict may hide a defect, so
# NO_VERDICT outranks REVIEW.
OF_SEVERAL_VIEWS = (Verdict.PASS, Verdict.REVIEW, Verdict.NO_VERDICT, Verdict.REJECT)


class Cause(str, Enum):
    """The reason for a missing verdict.

    The position of a member is its number on Modbus: append new members at the end.
    """

    CAMERA = "camera"
    FRAME = "frame"
    ENGINE = "engine"
    NOT_FINITE = "not_finite"
    DEADLINE = "deadline"
    OVERTRIGGER = "overtrigger"
    STOPPING = "stopping"
    NO_FRAME = "no_frame"
    VIEW_MISSING = "view_missing"
    INTERRUPTED = "interrupted"  # the process died before the part had its record
    PART_NOT_FOUND = "part_not_found"


# Up to this many zones, one comparison of the map per zone is faster than one pass over an index
# (256x256 pixels).
_FEW_ZONES = 8
_SEVERITY = (Verdict.PASS, Verdict.REVIEW, Verdict.REJECT)


@dataclass(frozen=True)
class Thresholds:
    """Limits in raw score units, calibrated through one artefact.

    Attributes:
        reject: a score above it rejects the part.
        review: a score above it, up to `reject`, asks for review; None for no review band.
        pixel: anomaly-map values above it belong to the defect mask.
        minimum_area_px: the mask leaves out 8-connected regions of fewer pixels, at the resolution
            of the map.
    """

    reject: float
    pixel: float
    review: float | None = None
    minimum_area_px: int = 1


@dataclass(frozen=True)
class Decision:
    """A verdict with its evidence.

    Attributes:
        mask: (H, W) bool at the resolution of the anomaly map; empty (all False) on PASS.
        zone: index of the zone that decided, from 0; None for the whole map.
    """

    verdict: Verdict
    score: float
    mask: npt.NDArray[np.bool_]
    cause: Cause | None = None
    zone: int | None = None


def decide(score: float, anomaly_map: npt.NDArray[np.float32], thresholds: Thresholds) -> Decision:
    """Applies thresholds to one part's raw score and anomaly map (H, W).

    A score equal to a threshold does not exceed it: calibration takes the threshold from the scores
    of good parts, and the good part that set it passes. A score or map that is not finite gives
    NO_VERDICT.
    """
    # A comparison with NaN is false and would pass the part.
    if not (np.isfinite(score) and np.isfinite(anomaly_map).all()):
        empty = np.zeros(anomaly_map.shape, dtype=np.bool_)
        return Decision(Verdict.NO_VERDICT, score, empty, Cause.NOT_FINITE)
    verdict = _verdict(score, thresholds)
    if verdict is Verdict.PASS:
        return Decision(verdict, score, np.zeros(anomaly_map.shape, dtype=np.bool_))
    mask = remove_small_regions(anomaly_map > thresholds.pixel, thresholds.minimum_area_px)
    return Decision(verdict, score, mask)


def decide_by_zone(
    score: float,
    anomaly_map: npt.NDArray[np.float32],
    zones: npt.NDArray[np.uint8],
    thresholds: Sequence[Thresholds],
) -> Decision:
    """Applies the thresholds of each zone to the highest value of the map in that zone.

    One rejected zone rejects the part; otherwise one zone in review puts the part in review. The
    graph's score may come from anywhere in the frame, so it only has to be finite. The decision
    carries the score of `score_of_zones`. The mask of a part that does not pass covers all zones,
    and its regions end at the zone borders.

    Args:
        zones: (H, W), for each pixel the number of its zone in `thresholds`, from 1; 0 is ignored.
    """
    if not (np.isfinite(score) and np.isfinite(anomaly_map).all()):
        empty = np.zeros(anomaly_map.shape, dtype=np.bool_)
        return Decision(Verdict.NO_VERDICT, score, empty, Cause.NOT_FINITE)
    values = zone_values(anomaly_map, zones, len(thresholds))
    verdicts = [_verdict(value, limits) for value, limits in zip(values, thresholds, strict=True)]
    worst = max(
        range(len(values)),
        key=lambda n: (_SEVERITY.index(verdicts[n]), values[n] - thresholds[n].reject),
    )
    combined = score_of_zones(values, [limits.reject for limits in thresholds])
    if verdicts[worst] is Verdict.PASS:
        mask = np.zeros(anomaly_map.shape, dtype=np.bool_)
    else:
        mask = _mask_by_zone(anomaly_map, zones, thresholds)
    return Decision(verdicts[worst], combined, mask, zone=worst)


def _mask_by_zone(
    anomaly_map: npt.NDArray[np.float32],
    zones: npt.NDArray[np.uint8],
    thresholds: Sequence[Thresholds],
) -> npt.NDArray[np.bool_]:
    """Returns the defect mask of all zones; its regions end at the zone borders."""
    limits = np.array([np.inf, *(zone.pixel for zone in thresholds)], dtype=np.float32)
    mask = anomaly_map > limits[zones]
    for number in np.unique(zones[mask]):
        minimum_area_px = thresholds[number - 1].minimum_area_px
        if minimum_area_px > 1:
            inside = zones == number
            mask[inside] = remove_small_regions(mask & inside, minimum_area_px)[inside]
    return mask


def zone_values(
    anomaly_map: npt.NDArray[np.float32], zones: npt.NDArray[np.uint8], count: int
) -> tuple[float, ...]:
    """Returns the highest value of the map in each of `count` zones, none of which is empty."""
    if count <= _FEW_ZONES:
        return tuple(float(anomaly_map[zones == number].max()) for number in range(1, count + 1))
    highest = np.full(count + 1, -np.inf, dtype=np.float32)
    np.maximum.at(highest, zones.ravel().astype(np.intp), anomaly_map.ravel())
    return tuple(map(float, highest[1:]))


def score_of_zones(values: Sequence[float], thresholds: Sequence[float]) -> float:
    """Returns one score for a part; it exceeds the highest threshold when a zone exceeds its own.

    The function shifts the values and does not scale them, so that the score stays in raw units.
    With a single zone the score is the value of that zone.
    """
    highest = max(thresholds)
    return max(v + (highest - t) for v, t in zip(values, thresholds, strict=True))


def remove_small_regions(mask: npt.NDArray[np.bool_], minimum_area: int) -> npt.NDArray[np.bool_]:
    """Returns the mask (H, W) without 8-connected regions of fewer than `minimum_area` pixels."""
    if minimum_area <= 1:
        return mask
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    large = statistics[:, cv2.CC_STAT_AREA] >= minimum_area
    large[0] = False  # the background
    return np.asarray(large[regions])


def _verdict(score: float, thresholds: Thresholds) -> Verdict:
    if score > thresholds.reject:
        return Verdict.REJECT
    if thresholds.review is not None and score > thresholds.review:
        return Verdict.REVIEW
    return Verdict.PASS

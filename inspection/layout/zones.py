"""Defines zones, the inspected and ignored parts of a frame, as polygons. Pure functions.

Corners are native pixels (x, y) from the upper left corner of the frame: the pixel in column c and
row r covers c to c + 1 and r to r + 1, so that a 640x480 frame ends at (640, 480).

A pixel of the anomaly map belongs to a zone when its centre lies in a polygon of the zone and in no
ignored polygon. Every polygon applies the same half-open rule to the centre, so that zones with a
common edge share no pixel and leave none out. Where zones overlap, the first one gets the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from inspection.config.strict import StrictModel

Affine = npt.NDArray[np.float64]  # (2, 3): (x, y, 1) to (x, y)
Corners = npt.NDArray[np.float64]  # (n, 2)
ZoneMap = npt.NDArray[np.uint8]  # (H, W), the zone of each pixel counted from 1, or IGNORED

AreaPx = Literal[1, 2, 4, 8, 16, 32, 64, 128]

IGNORED = 0
_MOST_CORNERS = 1000
_MOST_ZONES = 255


Coordinate = Annotated[float, Field(allow_inf_nan=False)]


def _simple(corners: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """Refuses a polygon whose inside is not one area."""
    here = np.asarray(corners, dtype=np.float64)
    after = np.roll(here, -1, axis=0)
    if (short := np.flatnonzero((here == after).all(axis=1))).size:
        second = (int(short[0]) + 1) % len(corners)
        raise ValueError(
            f"corner {second + 1} repeats corner {int(short[0]) + 1}: leave one of them out"
        )
    before = np.roll(here, 1, axis=0)
    folded = (_turn(before, here, after) == 0) & (((before - here) * (after - here)).sum(1) > 0)
    if folded.any():
        raise ValueError(f"folds back on itself at corner {int(folded.argmax()) + 1}")
    crossing = np.argwhere(_edges_that_meet(here, after))
    if len(crossing):
        first, second = (int(edge) + 1 for edge in crossing[0])
        raise ValueError(
            f"crosses or touches itself: the edges after corners {first} and {second} meet"
        )
    return corners


Polygon = Annotated[
    tuple[tuple[Coordinate, Coordinate], ...],
    Field(min_length=3, max_length=_MOST_CORNERS),
    AfterValidator(_simple),
]


def _some(polygons: tuple[Polygon, ...]) -> tuple[Polygon, ...]:
    if not polygons:
        raise ValueError("names no polygon: draw one, or leave the zone out")
    return polygons


class Zone(StrictModel):
    """A part of the frame with separate thresholds.

    Attributes:
        polygons: areas of the zone; they share its thresholds.
        minimum_area_px: smallest region of the defect mask, in pixels of the anomaly map; None lets
            calibration choose it from the good parts.
    """

    name: Annotated[str, Field(min_length=1, max_length=64, coerce_numbers_to_str=True)]
    polygons: Annotated[tuple[Polygon, ...], AfterValidator(_some)]
    minimum_area_px: AreaPx | None = None


def _different_names(zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
    names = [zone.name for zone in zones]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"the name {repeated[0]!r} occurs twice: give one zone several polygons, or two names"
        )
    return zones


Zones = Annotated[tuple[Zone, ...], Field(max_length=_MOST_ZONES), AfterValidator(_different_names)]


def zone_map(
    zones: Sequence[Sequence[Corners]],
    ignored: Sequence[Corners],
    height: int,
    width: int,
) -> ZoneMap:
    """Returns the zone of each pixel of a map (height, width).

    Args:
        zones: polygons of each zone, in pixels of the map; without any, the whole map is zone 1.
        ignored: polygons to leave out of all zones, in pixels of the map.
    """
    labels = np.full((height, width), IGNORED if zones else 1, dtype=np.uint8)
    for number in range(len(zones), 0, -1):
        for polygon in zones[number - 1]:
            labels[polygon_mask(polygon, height, width)] = number
    for polygon in ignored:
        labels[polygon_mask(polygon, height, width)] = IGNORED
    return labels


def polygon_mask(corners: Corners, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Returns (height, width): True where the pixel's centre lies in the polygon (even-odd rule).

    A row meets an edge when its centre line is at or below the upper end and above the lower end.
    An edge counts for the centres left of it.
    """
    # OpenCV's `fillPoly` draws the outline too, half a pixel too wide on each side.
    starts, ends = corners, np.roll(corners, -1, axis=0)
    rising = (starts[:, 1] > ends[:, 1])[:, np.newaxis]
    upper, lower = np.where(rising, ends, starts), np.where(rising, starts, ends)
    centres = np.arange(height)[:, np.newaxis] + 0.5
    rows, edges = np.nonzero((upper[:, 1] <= centres) & (centres < lower[:, 1]))
    (x, y), (dx, dy) = upper[edges].T, (lower - upper)[edges].T
    crossings = x + (rows + 0.5 - y) * dx / dy
    left_of = np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)  # centres left of it
    counts = np.bincount(rows * (width + 1) + left_of, minlength=height * (width + 1))
    to_the_right = counts.reshape(height, width + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.asarray(to_the_right[:, 1:] % 2 == 1)


def moved(corners: Corners, by: Affine) -> Corners:
    """Returns corners (n, 2) after an affine map."""
    return np.asarray(corners @ by[:, :2].T + by[:, 2])


def _turn(a: Corners, b: Corners, c: Corners) -> npt.NDArray[np.float64]:
    """Returns the cross product of b - a and c - a: its sign gives c's side of the line."""
    first, second = b - a, c - a
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _edges_that_meet(here: Corners, after: Corners) -> npt.NDArray[np.bool_]:
    """Returns (n, n): True where two edges that are not neighbours have a point in common."""
    n = len(here)
    a, b, c, d = here[:, np.newaxis], after[:, np.newaxis], here[np.newaxis], after[np.newaxis]
    apart = (np.minimum(a, b) > np.maximum(c, d)) | (np.minimum(c, d) > np.maximum(a, b))
    meet = ~apart.any(axis=-1)
    meet &= np.sign(_turn(a, b, c)) * np.sign(_turn(a, b, d)) <= 0
    meet &= np.sign(_turn(c, d, a)) * np.sign(_turn(c, d, b)) <= 0
    distance = (np.arange(n)[:, np.newaxis] - np.arange(n)) % n
    return np.asarray(meet & (distance > 1) & (distance < n - 1))

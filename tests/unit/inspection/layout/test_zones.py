"""Tests zones: from polygons on the native frame to pixels of the map."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from inspection.inspector import Inspection
from inspection.layout.zones import Polygon, polygon_mask, zone_map
from inspection.preprocess import Crop
from inspection.verdict import (
    Thresholds,
    Verdict,
    decide_by_zone,
    remove_small_regions,
    score_of_zones,
    zone_values,
)

# Quarters put corners on pixel centres, on pixel borders, and between.
PLACES = st.integers(-8, 72).map(lambda n: n / 4)
# Values like those of a graph. A library in the same process may have switched subnormal numbers
# off, and then hypothesis cannot make floats around zero.
VALUES = st.integers(-(10**6), 10**6).map(lambda n: float(np.float32(n / 1000)))
TRIANGLES = st.lists(st.tuples(PLACES, PLACES), min_size=3, max_size=3)


def corners(points: object) -> np.ndarray:
    return np.asarray(points, dtype=np.float64)


@settings(deadline=None)  # 256 pixels for each example, on a machine that is busy
@given(TRIANGLES)
def test_a_pixel_is_inside_when_its_centre_is(points: list[tuple[float, float]]) -> None:
    mask = polygon_mask(corners(points), 16, 16)
    outline = corners(points).astype(np.float32)
    for row, column in np.ndindex(16, 16):
        side = cv2.pointPolygonTest(outline, (column + 0.5, row + 0.5), measureDist=True)
        if abs(side) > 1e-3:  # a centre on an edge belongs to one of its sides
            assert mask[row, column] == (side > 0)


@given(TRIANGLES)
def test_polygons_that_share_edges_share_no_pixel_and_leave_none_out(
    points: list[tuple[float, float]],
) -> None:
    """Four triangles around any inner point cover the frame exactly once."""
    x, y = (min(max(place, 0.25), 15.75) for place in points[0])
    frame = [(0, 0), (16, 0), (16, 16), (0, 16)]
    fan = [[frame[n], frame[(n + 1) % 4], (x, y)] for n in range(4)]
    covered = sum(polygon_mask(corners(piece), 16, 16).astype(int) for piece in fan)
    assert np.array_equal(covered, np.ones((16, 16), int))


@given(TRIANGLES, st.sampled_from([(1, 1), (2, 3), (4, 4)]))
def test_drawn_on_the_frame_and_enlarged_is_drawn_on_the_map(
    points: list[tuple[float, float]], scale: tuple[int, int]
) -> None:
    """A native pixel is in a zone exactly when the centre of its map pixel is."""
    down, right = scale
    native = corners(points) * [right, down]
    zones = zone_map([[corners(points)]], [], 16, 16)
    crop = Crop(top=3, left=5, height=16 * down, width=16 * right)
    frame = np.zeros((80, 80), np.uint8)
    inspection = Inspection(
        verdict=Verdict.PASS,
        score=0.0,
        thresholds=Thresholds(1.0, 1.0),
        anomaly_map=None,
        mask=zones > 0,
        crop=crop,
        zones=zones,
    )
    shown = inspection.native_zones(frame)
    assert shown is not None
    assert np.array_equal(shown > 0, inspection.native_mask(frame))
    inside = crop.of(shown)
    exact = polygon_mask(native, 16 * down, 16 * right)
    centres = exact[down // 2 :: down, right // 2 :: right] if down % 2 and right % 2 else None
    if centres is not None:  # the middle pixel of a block has the same centre
        assert np.array_equal(centres, inside[::down, ::right] > 0)
    assert np.array_equal(inside, np.kron(zones, np.ones(scale, np.uint8)))
    assert not shown[:3].any()


def test_the_first_zone_has_the_overlap_and_ignored_is_taken_from_all() -> None:
    def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
        return corners([(left, top), (right, top), (right, bottom), (left, bottom)])

    zones = zone_map(
        [[box(0, 0, 4, 4)], [box(2, 0, 6, 4), box(0, 5, 1, 6)]], [box(3, 0, 5, 1)], 6, 6
    )
    assert zones.tolist() == [
        [1, 1, 1, 0, 0, 2],
        [1, 1, 1, 1, 2, 2],
        [1, 1, 1, 1, 2, 2],
        [1, 1, 1, 1, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert zone_map([], [box(0, 0, 6, 5)], 6, 6).tolist() == [[0] * 6] * 5 + [[1] * 6]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([(0, 0), (4, 0)], "should have at least 3 items"),
        ([(0, 0), (4, 0), (4, 4), (0, 0)], "corner 1 repeats corner 4: leave one of them out"),
        ([(0, 0), (2, 0), (4, 0)], "folds back on itself at corner 1"),
        ([(0, 0), (4, 0), (2, 0), (2, 3)], "folds back on itself at corner 2"),
        (
            [(0, 0), (4, 4), (4, 0), (0, 4)],
            "crosses or touches itself: the edges after corners 1 and 3 meet",
        ),
        ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], "crosses or touches itself"),
        ([(0, 0), (4, 0), (float("nan"), 4)], "finite number"),
    ],
)
def test_a_polygon_that_is_not_one_area_is_refused(
    points: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        TypeAdapter(Polygon).validate_python(points)


class TestDecideByZone:
    ZONES = np.array([[1, 1, 2, 2, 0]], np.uint8)
    LIMITS = (Thresholds(reject=1.0, pixel=0.5), Thresholds(reject=10.0, pixel=5.0, review=8.0))

    @pytest.mark.parametrize(
        ("values", "verdict", "zone", "mask"),
        [
            ([0.0, 1.0, 8.0, 0.0, 99.0], "PASS", 0, [0, 0, 0, 0, 0]),
            ([0.0, 0.9, 9.0, 6.0, 99.0], "REVIEW", 1, [0, 1, 1, 1, 0]),
            ([0.0, 1.1, 9.0, 4.0, 99.0], "REJECT", 0, [0, 1, 1, 0, 0]),
            ([0.0, 0.1, 11.0, 4.0, 99.0], "REJECT", 1, [0, 0, 1, 0, 0]),
        ],
    )
    def test_each_zone_has_its_own_thresholds(
        self, values: list[float], verdict: str, zone: int, mask: list[int]
    ) -> None:
        found = decide_by_zone(50.0, np.array([values], np.float32), self.ZONES, self.LIMITS)
        assert (found.verdict, found.zone) == (Verdict(verdict), zone)
        assert found.mask.astype(int).tolist() == [mask]
        assert (found.score > 10.0) == (verdict == "REJECT")

    def test_regions_end_at_the_border_of_a_zone(self) -> None:
        limits = tuple(Thresholds(1.0, 0.5, minimum_area_px=3) for _ in range(2))
        wide = np.array([[2.0, 2.0, 2.0, 2.0, 2.0]], np.float32)
        assert not decide_by_zone(2.0, wide, self.ZONES, limits).mask.any()

    @pytest.mark.parametrize("broken", [(np.nan, 0.0), (0.0, np.inf)])
    def test_what_is_not_finite_gives_no_verdict(self, broken: tuple[float, float]) -> None:
        """An ignored zone does not help: an engine with such a value cannot be trusted."""
        score, ignored = broken
        values = np.array([[0, 0, 0, 0, ignored]], np.float32)
        decision = decide_by_zone(score, values, self.ZONES, self.LIMITS)
        assert decision.verdict is Verdict.NO_VERDICT

    @given(
        st.lists(
            st.tuples(VALUES, VALUES),
            min_size=1,
            max_size=5,
        )
    )
    def test_the_score_exceeds_the_highest_threshold_when_a_zone_exceeds_its_own(
        self, pairs: list[tuple[float, float]]
    ) -> None:
        values, thresholds = zip(*pairs, strict=True)
        score = score_of_zones(values, thresholds)
        exceeds = any(value > threshold for value, threshold in pairs)
        assert (score > max(thresholds)) == exceeds
        if len(pairs) == 1:
            assert score == values[0]


def test_a_zone_counts_by_its_highest_value() -> None:
    values = np.array([[3.0, 1.0], [7.0, 9.0]], np.float32)
    assert zone_values(values, np.array([[1, 2], [2, 0]], np.uint8), 2) == (3.0, 7.0)


@pytest.mark.parametrize("count", [1, 3, 255])
@pytest.mark.parametrize("seed", range(4))
def test_all_zones_at_once_decide_like_each_alone(count: int, seed: int) -> None:
    """Values and mask equal those of the map masked for one zone after the other."""
    random = np.random.default_rng(seed)
    zones = random.integers(0, count + 1, (32, 32), dtype=np.uint8)
    zones.flat[:count] = range(1, count + 1)
    anomaly_map = random.normal(size=(32, 32)).astype(np.float32)
    thresholds = [
        Thresholds(float(random.normal(1, 1)), float(random.normal(1, 0.5)), None, area)
        for area in random.choice([1, 2, 4], count)
    ]
    decision = decide_by_zone(0.0, anomaly_map, zones, thresholds)
    values, mask = [], np.zeros((32, 32), dtype=np.bool_)
    for number, limits in enumerate(thresholds, start=1):
        inside = zones == number
        values.append(float(anomaly_map[inside].max()))
        mask |= remove_small_regions(inside & (anomaly_map > limits.pixel), limits.minimum_area_px)
    assert zone_values(anomaly_map, zones, count) == tuple(values)
    assert decision.verdict is not Verdict.PASS
    np.testing.assert_array_equal(decision.mask, mask)

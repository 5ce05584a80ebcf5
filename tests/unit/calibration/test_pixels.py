"""Pixel threshold and minimum area: exact summaries, kept promises, zones."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from calibration.pixels import (
    AREAS,
    MapSummary,
    part_summary,
    pixel_limit,
    pixel_limits,
    summarise_map,
)
from inspection.errors import CameraError, ConfigError
from inspection.verdict import remove_small_regions

pixel_limit_at = partial(pixel_limit, mask_rate=0.1, confidence=0.9)


def map_of(seed: int, size: int = 24, smooth: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size))
    return np.asarray(ndimage.gaussian_filter(noise, smooth), dtype=np.float32)


def largest(mask: np.ndarray) -> int:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return int(max(np.bincount(labels.ravel())[1:], default=0))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.7, 2.0]), st.sampled_from([1, 10]))
def test_a_region_value_is_where_the_region_appears(seed: int, smooth: float, steps: int) -> None:
    anomaly_map = map_of(seed, smooth=smooth) if steps == 1 else np.round(map_of(seed) * 10)
    summary = summarise_map(anomaly_map.astype(np.float32))[1]
    for area, value in zip(AREAS, summary.region_values, strict=True):
        assert largest(anomaly_map > value) < area
        assert largest(anomaly_map >= value) >= area
    assert summary.region_values[0] == anomaly_map.max()
    assert list(summary.region_values) == sorted(summary.region_values, reverse=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(-150, 150).map(lambda n: n / 100))
def test_the_share_above_is_rounded_up_and_near(seed: int, threshold: float) -> None:
    anomaly_map = map_of(seed, size=48)
    share = float((anomaly_map > threshold).mean())
    found = summarise_map(anomaly_map)[1].share_above(threshold)
    assert found >= share
    assert share >= 0.5 or found <= 1.19 * share + 2 / 48**2


def test_nothing_is_above_the_maximum() -> None:
    anomaly_map = map_of(1)
    assert summarise_map(anomaly_map)[1].share_above(float(anomaly_map.max())) == 0


def summaries_of(count: int, start: int = 0) -> list[MapSummary]:
    return [summarise_map(map_of(start + number))[1] for number in range(count)]


def masks_shown(threshold: float, area: int, count: int, start: int) -> int:
    return sum(
        bool(remove_small_regions(map_of(start + number) > threshold, area).any())
        for number in range(count)
    )


@pytest.mark.parametrize("area", [1, 8, 64])
def test_the_part_that_sets_the_threshold_shows_an_empty_mask(area: int) -> None:
    limit = pixel_limit(summaries_of(20), mask_rate=0.01, confidence=0.95, minimum_area_px=area)
    assert masks_shown(limit.pixel, area, 20, 0) == 0
    below = float(np.nextafter(np.float32(limit.pixel), np.float32(-9)))
    assert masks_shown(below, area, 20, 0) == 1
    assert not limit.is_met
    assert limit.mask_rate_bound == pytest.approx(1 - 0.05 ** (1 / 20))
    assert limit.parts_needed == 299


@pytest.fixture(scope="module")
def pool() -> list[MapSummary]:
    return [summarise_map(map_of(number, size=16))[1] for number in range(900)]


@pytest.mark.parametrize("area", [None, 4])
def test_the_promise_holds_for_new_parts(pool: list[MapSummary], area: int | None) -> None:
    """Also where the area was chosen with the threshold."""
    at = np.array([summary.region_values for summary in pool])
    random = np.random.default_rng(2)
    kept = 0
    for _ in range(150):
        chosen = [pool[number] for number in random.integers(0, len(pool), 60)]
        limit = pixel_limit_at(chosen, pixel_rate=5e-3, minimum_area_px=area)
        assert limit.is_met
        assert replace(limit, mask_rate_target=limit.mask_rate_bound).is_met
        shown = at[:, AREAS.index(limit.minimum_area_px)] > limit.pixel
        kept += int(shown.mean() <= 0.1)
    assert kept / 150 >= 0.9 - 3 * (0.9 * 0.1 / 150) ** 0.5


def test_threshold_and_area_are_chosen_together() -> None:
    parts = summaries_of(80)
    strict, loose = (pixel_limit_at(parts, pixel_rate=rate) for rate in (1e-4, 2e-2))
    assert strict.pixel > loose.pixel
    assert strict.minimum_area_px < loose.minimum_area_px
    for limit in (strict, loose):
        assert limit.pixel_rate <= {strict: 1e-4, loose: 2e-2}[limit]
        assert masks_shown(limit.pixel, limit.minimum_area_px, 80, 0) <= 8
    measured = np.mean([(map_of(number) > loose.pixel).mean() for number in range(80)])
    assert loose.pixel_rate == pytest.approx(measured, rel=0.25)


def test_no_area_on_the_ladder_raises_the_threshold() -> None:
    parts = summaries_of(60)
    limit = pixel_limit_at(parts, pixel_rate=0.45)
    assert limit.minimum_area_px == AREAS[-1]
    assert limit.pixel_rate < 0.45
    assert masks_shown(limit.pixel, limit.minimum_area_px, 60, 0) <= 6


def test_zones_have_their_own_limits_and_the_rate_holds_for_the_part() -> None:
    zones = np.zeros((24, 24), np.uint8)
    zones[:, :10] = 1
    zones[:, 14:] = 2
    gain = np.where(zones == 2, 5.0, 1.0) + np.where(zones == 0, 100.0, 0.0)
    parts = [summarise_map((map_of(n) * gain).astype(np.float32), zones) for n in range(120)]
    limits = pixel_limits(parts, mask_rate=0.1, confidence=0.9, minimum_areas_px={1: 4, 2: 4})
    assert set(limits) == {1, 2}
    assert limits[2].pixel == pytest.approx(5 * limits[1].pixel, rel=0.3)
    assert sum(limit.mask_rate_bound for limit in limits.values()) <= 0.1
    assert limits[1].confidence == pytest.approx(0.95)
    assert parts[0][1].pixels == 240


def test_regions_end_at_the_border_of_a_zone() -> None:
    zones = np.repeat([[1, 1, 2, 2, 1, 1, 2, 2]], 8, axis=0)
    anomaly_map = np.zeros((8, 8), np.float32)
    anomaly_map[3, :6] = 1  # in zone 1 two pixels on either side of two in zone 2
    summary = summarise_map(anomaly_map, zones)
    assert [summary[1].region_values[AREAS.index(area)] for area in (2, 4)] == [1, 0]
    assert summarise_map(anomaly_map)[1].region_values[AREAS.index(4)] == 1


def test_a_part_shows_a_mask_when_a_frame_does() -> None:
    frames = summaries_of(3)
    part = part_summary(frames)
    for number in range(len(AREAS)):
        assert part.region_values[number] == max(one.region_values[number] for one in frames)
    assert part.share_above(0.3) == max(one.share_above(0.3) for one in frames)


def test_small_regions_go_and_corners_connect() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    kept = remove_small_regions(mask, 2)
    assert (kept != mask).nonzero() == (0, 3)
    assert not remove_small_regions(mask, 3).any()
    assert (remove_small_regions(mask, 1) == mask).all()


def test_bad_input_is_refused() -> None:
    anomaly_map = map_of(1)
    with pytest.raises(ConfigError, match="the zones are 8x24 pixels and the anomaly map is 24x24"):
        summarise_map(anomaly_map, np.ones((24, 8), int))
    with pytest.raises(ConfigError, match="the zones ignore every pixel"):
        summarise_map(anomaly_map, np.zeros((24, 24), int))
    with pytest.raises(CameraError, match="not finite"):
        summarise_map(np.where(anomaly_map > 0.5, np.nan, anomaly_map))
    with pytest.raises(
        ConfigError, match=r"the minimum area cannot be 5 px: choose one of 1, 2, 4"
    ):
        pixel_limit_at(summaries_of(2), minimum_area_px=5)
    with pytest.raises(ConfigError, match=r"the pixel rate is 0"):
        pixel_limit_at(summaries_of(2), pixel_rate=0)
    with pytest.raises(ConfigError, match="at least one good part"):
        pixel_limit_at([])
    (other,) = summaries_of(1)
    with pytest.raises(ConfigError, match="do not all have the same zones"):
        pixel_limits([{1: other}, {2: other}, {2: other}], mask_rate=0.1, confidence=0.9)

"""Focus, exposure and novelty of an image, by the thresholds that the page names."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edge.panel.teach.collection import digest_of
from edge.panel.teach.quality import SAME, Light, Measures, judge, measure


def part(number: int = 0, level: int = 120) -> Any:
    rng = np.random.default_rng(number)
    pattern = np.kron(rng.integers(-60, 60, (30, 40)), np.ones((8, 8)))
    return np.clip(level + pattern, 1, 254).astype(np.uint8)


def collected(*images: Any) -> dict[str, Measures]:
    return {f"{place}.png": measure(image) for place, image in enumerate(images)}


FOUR = collected(*(part(number) for number in range(4)))


@pytest.mark.parametrize(
    ("blur_px", "light"), [(0.0, Light.GOOD), (0.45, Light.DOUBTFUL), (2.0, Light.BAD)]
)
def test_focus_is_compared_with_the_collected_images(blur_px: float, light: Light) -> None:
    image = part(9)
    blurred = cv2.GaussianBlur(image, (0, 0), blur_px) if blur_px else image
    assert judge(measure(blurred), FOUR).focus is light


def test_focus_is_not_known_without_enough_images() -> None:
    few = collected(part(0), part(1))
    found = judge(measure(part(9)), few)
    assert (found.focus, found.focus_ratio) == (Light.UNKNOWN, None)


@pytest.mark.parametrize(
    ("share", "light"), [(0.0, Light.GOOD), (0.03, Light.DOUBTFUL), (0.2, Light.BAD)]
)
@pytest.mark.parametrize(("value", "is_dark"), [(0, True), (255, False)])
def test_exposure_counts_pixels_without_detail(
    share: float, light: Light, value: int, is_dark: bool
) -> None:
    image = part(9)
    image[: round(share * image.shape[0])] = value
    for one in (image, cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)):
        found = judge(measure(one), FOUR)
        assert found.exposure is light
        assert found.clipped == pytest.approx(share, abs=0.005)
        assert found.is_dark == is_dark or share == 0


def test_a_bright_background_is_usual_where_the_collected_images_have_it() -> None:
    backlit = [part(number) for number in range(4)]
    for image in backlit:
        image[:100] = 255
    assert judge(measure(backlit[3]), {}).exposure is Light.BAD
    assert judge(measure(backlit[3]), collected(*backlit[:3])).exposure is Light.GOOD


def test_the_same_part_under_noise_is_nearly_the_same_and_another_is_not() -> None:
    noise = np.random.default_rng(7).normal(0, 3, part(2).shape)
    again = np.clip(part(2) + noise + 4, 0, 255).astype(np.uint8)  # and a brighter lamp
    found = judge(measure(again), FOUR)
    assert found.near == "2.png"
    assert found.difference is not None
    assert found.difference < SAME
    other = judge(measure(part(9)), FOUR)
    assert (other.near, judge(measure(part(9)), {}).difference) == (None, None)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    expected = cv2.Laplacian(part(3), cv2.CV_64F).var()
    assert measure(part(3)).sharpness == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("work", "bytes_per_pixel"), [(measure, 7.0), (digest_of, 0.5)])
def test_a_large_image_is_not_copied_several_times(
    work: Callable[[Any], object], bytes_per_pixel: float
) -> None:
    image = np.zeros((1000, 1000, 3), np.uint8)
    tracemalloc.start()
    try:
        work(image)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < bytes_per_pixel * 1_000_000

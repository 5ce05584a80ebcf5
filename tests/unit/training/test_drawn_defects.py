"""Drawn defects: what they change, and where."""

import numpy as np
import pytest

from training.drawn_defects import CONTRASTS, KINDS, Image, draw_defect
from training.part_mask import Mask, ground_of, part_on


def disc(channels: int = 3) -> Image:
    """Makes a noisy bright disc on a dark, uniform ground."""
    rows, columns = np.indices((200, 240))
    inside = np.hypot(rows - 100, columns - 120) < 60
    noise = np.random.default_rng(0).integers(0, 40, (200, 240))
    grey = np.where(inside, 120 + noise, 20).astype(np.uint8)
    return grey if channels == 1 else np.repeat(grey[..., None], 3, 2)


def part_of(frame: Image) -> Mask:
    return part_on(frame, ground_of([frame]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_the_frame_where_its_mask_says(kind: str, channels: int) -> None:
    frame = disc(channels)
    before = frame.copy()
    drawn = draw_defect(kind, frame, part_of(frame), np.random.default_rng(3), "obvious")
    assert (frame == before).all()
    assert drawn.frame.shape == frame.shape
    assert drawn.frame.dtype == np.uint8
    apart = np.abs(drawn.frame.astype(int) - frame)
    apart = apart if channels == 1 else apart.max(2)
    assert drawn.mask.any()
    assert ((apart >= 4) == drawn.mask).all()
    again = draw_defect(kind, frame, part_of(frame), np.random.default_rng(3), "obvious")
    assert (again.frame == drawn.frame).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_contrast_changes_more(kind: str) -> None:
    frame = disc()
    changes = [
        np.abs(
            draw_defect(
                kind, frame, part_of(frame), np.random.default_rng(5), contrast
            ).frame.astype(int)
            - frame
        ).sum()
        for contrast in CONTRASTS
    ]
    assert changes == sorted(changes)
    assert changes[0] < changes[-1]


def test_defects_lie_on_the_part_where_the_ground_is_uniform() -> None:
    frame = disc()
    part = part_of(frame)
    assert part[100, 120]
    assert not part[5, 5]
    for seed in range(10):
        drawn = draw_defect("stain", frame, part, np.random.default_rng(seed), "obvious")
        rows, columns = np.nonzero(drawn.mask)
        assert np.hypot(rows.mean() - 100, columns.mean() - 120) < 75


def test_sizes_follow_the_part_and_not_the_frame() -> None:
    def area(ground: int) -> float:
        """Returns the mean area of stains on a disc with so much ground around it."""
        frame = np.pad(disc(), ((ground, ground), (ground, ground), (0, 0)), constant_values=20)
        part = part_of(frame)
        drawn = (
            draw_defect("stain", frame, part, np.random.default_rng(seed), "obvious")
            for seed in range(12)
        )
        return float(np.mean([one.mask.sum() for one in drawn]))

    assert area(40) == pytest.approx(area(0), rel=0.15)


def test_contrasts_follow_the_surface() -> None:
    random = np.random.default_rng(0)
    smooth, rough = (
        np.clip(random.normal(120, spread, (200, 200)), 0, 255).astype(np.uint8)
        for spread in (1, 25)
    )
    whole = np.ones((200, 200), np.bool_)
    on_smooth, on_rough = (
        draw_defect("scratch", frame, whole, np.random.default_rng(1), "clear").contrast
        for frame in (smooth, rough)
    )
    assert on_rough > 1.5 * on_smooth


def test_nothing_is_smaller_than_the_smallest_defect_that_matters() -> None:
    frame = np.full((300, 300), 100, np.uint8)
    whole = np.ones((300, 300), np.bool_)
    thin, thick = (
        draw_defect(
            "scratch", frame, whole, np.random.default_rng(1), "obvious", smallest_px=smallest
        )
        for smallest in (0, 12)
    )
    assert thick.mask.sum() > 1.8 * thin.mask.sum()

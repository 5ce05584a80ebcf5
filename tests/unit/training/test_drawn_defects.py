"""Drawn defects: what they change, and where."""

import numpy as np
import pytest

from training.drawn_defects import CONTRASTS, KINDS, Image, draw_defect, part_of


def disc(channels: int = 3) -> Image:
    """Makes a noisy bright disc on a dark, uniform ground."""
    rows, columns = np.indices((200, 240))
    inside = np.hypot(rows - 100, columns - 120) < 60
    noise = np.random.default_rng(0).integers(0, 40, (200, 240))
    grey = np.where(inside, 120 + noise, 20).astype(np.uint8)
    return grey if channels == 1 else np.repeat(grey[..., None], 3, 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_the_frame_where_its_mask_says(kind: str, channels: int) -> None:
    frame = disc(channels)
    before = frame.copy()
    drawn = draw_defect(kind, frame, part_of(frame), np.random.default_rng(3), 90.0)
    assert (frame == before).all()
    assert drawn.frame.shape == frame.shape
    assert drawn.frame.dtype == np.uint8
    apart = np.abs(drawn.frame.astype(int) - frame)
    apart = apart if channels == 1 else apart.max(2)
    assert drawn.mask.any()
    assert ((apart >= 4) == drawn.mask).all()
    again = draw_defect(kind, frame, part_of(frame), np.random.default_rng(3), 90.0)
    assert (again.frame == drawn.frame).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_contrast_changes_more(kind: str) -> None:
    frame = disc()
    changes = [
        np.abs(
            draw_defect(
                kind, frame, part_of(frame), np.random.default_rng(3), contrast
            ).frame.astype(int)
            - frame
        ).sum()
        for contrast in CONTRASTS.values()
    ]
    assert changes == sorted(changes)
    assert changes[0] < changes[-1]


def test_defects_lie_on_the_part_where_the_ground_is_uniform() -> None:
    frame = disc()
    part = part_of(frame)
    assert part[100, 120]
    assert not part[5, 5]
    for seed in range(10):
        drawn = draw_defect("stain", frame, part, np.random.default_rng(seed), 90.0)
        rows, columns = np.nonzero(drawn.mask)
        assert np.hypot(rows.mean() - 100, columns.mean() - 120) < 75


def test_a_texture_is_the_part_everywhere() -> None:
    texture = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    assert part_of(texture).all()


def test_a_scratch_has_the_width_that_is_asked_for() -> None:
    frame = np.full((300, 300), 100, np.uint8)
    part = part_of(frame)
    thin, thick = (
        draw_defect("scratch", frame, part, np.random.default_rng(1), 90.0, width=width)
        for width in (1, 8)
    )
    assert thick.mask.sum() > 3 * thin.mask.sum()

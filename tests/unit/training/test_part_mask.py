"""The place of the part in good frames."""

import numpy as np

from training.part_mask import Image, ground_of, part_on


def disc(row: int, column: int, spot: int) -> Image:
    """Makes a bright disc with a dark spot in it on a dark, noisy ground."""
    rows, columns = np.indices((200, 240))
    away = np.hypot(rows - row, columns - column)
    noise = np.random.default_rng(row).integers(0, 25, (200, 240))
    frame = np.where(away < 60, 150, 20) + noise
    frame[np.hypot(rows - row, columns - column - spot) < 8] = 20
    return frame.astype(np.uint8)


def test_the_part_is_found_wherever_it_lies_with_its_dark_spots() -> None:
    frames = [disc(100, 120, 0), disc(80, 150, 56), disc(120, 90, 30)]
    ground = ground_of(frames)
    assert ground is not None
    for frame in frames:
        part = part_on(frame, ground)
        assert abs(float(part.sum()) - np.pi * 60**2) < 0.06 * np.pi * 60**2
        assert not part[5, 5]


def test_a_texture_is_the_part_everywhere() -> None:
    texture = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    assert ground_of([texture]) is None
    assert part_on(texture, None).all()


def test_a_part_that_covers_the_border_has_no_ground() -> None:
    frame = np.full((200, 240), 150, np.uint8)
    frame[:, 120:] = 30
    assert ground_of([frame]) is None


def test_a_frame_without_a_part_is_the_part_everywhere() -> None:
    ground = ground_of([disc(100, 120, 0)])
    assert part_on(np.full((200, 240), 30, np.uint8), ground).all()

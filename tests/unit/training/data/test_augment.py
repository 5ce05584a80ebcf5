"""Random changes of images and masks, alike for both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from training.config import DataConfig
from training.data.augment import Augmentation, Change


def image() -> np.ndarray:
    """Draws a bright square above and left of the middle."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[8:16, 10:20] = 200
    return picture


def place(picture: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(picture.reshape(*picture.shape[:2], -1).max(2) > 100)
    return float(rows.mean()), float(columns.mean())


def test_nothing_is_changed_unless_it_is_asked_for() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert Augmentation().draw() == Change()
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(Change().of_image(image()), image())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(flip_vertical=True), (39 - 11.5, 14.5)),
        (Change(flip_horizontal=True), (11.5, 59 - 14.5)),
        (Change(shift=(0.15, 0.1)), (17.5, 20.5)),
        (Change(rotation_deg=180), (39 - 11.5, 59 - 14.5)),
    ],
)
def test_the_part_moves_as_told(change: Change, expected: tuple[float, float]) -> None:
    assert place(change.of_image(image())) == pytest.approx(expected, abs=0.6)


def test_quarter_turns_are_exact() -> None:
    square = image()[:40, :40]
    assert np.array_equal(Change(quarter_turns=1).of_image(square), np.rot90(square))


def test_brightness_is_a_gain_that_saturates() -> None:
    assert Change(gain=1.2).of_image(image())[10, 12, 0] == 240
    assert Change(gain=2.0).of_image(image())[10, 12, 0] == 255


def test_a_mask_goes_where_its_image_goes() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(
        flip_vertical=True, flip_horizontal=True, rotation_deg=15, shift=0.1, brightness=0.2
    )
    mask = (image()[..., 0] > 0).astype(np.float32)
    for _ in range(50):
        change = augmentation.draw()
        moved, seen = change.of_mask(mask), change.of_image(image())[..., 0] > 60
        assert set(np.unique(moved)) <= {0.0, 1.0}
        assert (moved.astype(bool) ^ seen).mean() < 0.02


def test_draws_stay_within_their_limits_and_use_them() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(rotation_deg=10, shift=0.05, brightness=0.3, quarter_turns=True)
    draws = [augmentation.draw() for _ in range(400)]
    angles = [abs(draw.rotation_deg) for draw in draws]
    assert 9 < max(angles) <= 10
    assert max(abs(s) for draw in draws for s in draw.shift) <= 0.05
    assert {draw.quarter_turns for draw in draws} == {0, 1, 2, 3}
    assert min(draw.gain for draw in draws) == pytest.approx(0.7, abs=0.02)
    assert not any(draw.flip_vertical or draw.flip_horizontal for draw in draws)


def test_fixed_copies_are_parts_of_a_circle_and_each_is_drawn() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(rotations=8)
    drawn = {augmentation.draw() for _ in range(200)}
    assert drawn == {Change(rotation_deg=45.0 * number) for number in range(8)}
    assert augmentation.has_fixed_copies
    assert not Augmentation(rotations=8, brightness=0.1).has_fixed_copies


def test_an_angle_comes_on_top_of_a_fixed_copy() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(rotations=4, rotation_deg=5)
    angles = [augmentation.draw().rotation_deg for _ in range(200)]
    assert {round(angle / 90) % 4 for angle in angles} == {0, 1, 2, 3}
    assert max(abs(angle - 90 * round(angle / 90)) for angle in angles) <= 5


def test_a_turned_oblong_does_not_fit_the_input() -> None:
    with pytest.raises(ValidationError, match="quarter_turns needs a square image_size"):
        DataConfig.model_validate(
            {"folder": ".", "image_size": [64, 96], "augment": {"quarter_turns": True}}
        )

"""Input sizes in the proportions of the frames."""

import pytest

from inspection.errors import ConfigError
from training.input_size import BudgetError, Size, choose_size, finest_px, proportional


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((512, 512), (256, 256)),
        ((1000, 400), (416, 160)),
        ((480, 640), (224, 288)),
        ((100, 4000), (96, 1632)),
    ],
)
def test_the_input_has_the_proportions_of_the_frames(frame: Size, size: Size) -> None:
    assert proportional(frame, 256 * 256) == size


def timed(size: Size) -> float:
    """Takes a millisecond for 64 x 64 px."""
    return size[0] * size[1] / 64**2


def test_the_input_has_an_area_of_256_by_256_unless_told() -> None:
    assert choose_size((480, 640), timed) == (224, 288)


@pytest.mark.parametrize(
    ("budget", "size"), [(16, (256, 256)), (15, (192, 192)), (8.9, (128, 128))]
)
def test_a_limit_of_time_shrinks_the_input(budget: float, size: Size) -> None:
    assert choose_size((512, 512), timed, budget_ms=budget) == size


def test_a_limit_that_no_size_keeps_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"takes 4\.0 ms for an image of 128x128"):
        choose_size((512, 512), timed, budget_ms=3)


@pytest.mark.parametrize(("defect", "size"), [(1, (512, 512)), (2, (512, 512)), (4, (256, 256))])
def test_the_smallest_defect_covers_two_pixels_of_the_input(defect: float, size: Size) -> None:
    assert choose_size((512, 512), timed, smallest_defect_px=defect) == size


def test_a_defect_that_would_vanish_is_refused() -> None:
    with pytest.raises(ConfigError, match="the largest input, 4096x4096, shows such a defect"):
        choose_size((16384, 16384), timed, smallest_defect_px=3)


def test_the_smallest_defect_does_not_yield_to_a_limit_of_time() -> None:
    with pytest.raises(BudgetError, match=r"-px 4 needs this size.* a larger defect: about 6 px"):
        choose_size((512, 512), timed, smallest_defect_px=4, budget_ms=8)


def test_a_defect_of_a_large_frame_takes_a_large_input() -> None:
    assert choose_size((3000, 4000), timed, smallest_defect_px=3) == (1984, 2656)
    assert finest_px((3000, 4000), (1984, 2656)) == pytest.approx(3, rel=0.01)
    assert finest_px((512, 256), (256, 256)) == 4  # of the axis that shrinks more

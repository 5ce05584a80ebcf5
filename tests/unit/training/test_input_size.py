"""Input sizes in the proportions of the frames."""

import pytest

from inspection.errors import ConfigError
from training.input_size import Size, checked_size, proportional, sizes_to_compare


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((512, 512), (256, 256)),
        ((1000, 400), (416, 160)),
        ((480, 640), (224, 288)),
        ((100, 4000), (96, 1024)),
    ],
)
def test_the_input_has_the_proportions_of_the_frames(frame: Size, size: Size) -> None:
    assert proportional(frame, 256 * 256) == size


def test_a_small_frame_is_not_enlarged_twice() -> None:
    assert sizes_to_compare((120, 160)) == [(224, 288)]
    assert sizes_to_compare((480, 640)) == [(224, 288), (320, 448)]


def test_a_limit_of_time_offers_smaller_sizes_too() -> None:
    assert sizes_to_compare((512, 512), is_time_limited=True) == [
        *((128, 128), (192, 192)),
        *((256, 256), (384, 384)),
    ]


@pytest.mark.parametrize(("defect", "size"), [(1, (512, 512)), (2, (512, 512)), (4, (256, 256))])
def test_the_smallest_defect_covers_two_pixels_of_the_input(defect: float, size: Size) -> None:
    assert sizes_to_compare((512, 512), smallest_defect_px=defect) == [size]


def test_a_defect_that_would_vanish_is_refused() -> None:
    with pytest.raises(ConfigError, match="the largest input, 1024x1024, shows such a defect"):
        sizes_to_compare((4096, 4096), smallest_defect_px=3)


@pytest.mark.parametrize("size", [(250, 256), (64, 256), (256, 2048)])
def test_a_given_size_that_no_model_takes_is_refused_with_one_that_it_takes(size: Size) -> None:
    with pytest.raises(ConfigError, match="each side must be a multiple of 32"):
        checked_size(size)
    assert checked_size((256, 320)) == (256, 320)

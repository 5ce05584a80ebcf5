"""Order of files: independent parts are not accused, days and trends are found."""

from pathlib import Path

import numpy as np
import pytest

from calibration.order import LEVEL, ordered_channels, serial_p_value


def files(count: int, folder: str = "good") -> list[Path]:
    return [Path(folder) / f"part{number}.png" for number in range(count)]


@pytest.mark.parametrize("count", [20, 50, 200])
def test_independent_parts_are_accused_as_rarely_as_stated(count: int) -> None:
    random = np.random.default_rng(count)
    accused = sum(
        bool(
            ordered_channels(
                files(count),
                {name: random.lognormal(size=count).tolist() for name in ("score", "light", "row")},
            )
        )
        for _ in range(1000)
    )
    assert accused <= 1000 * LEVEL + 3 * (1000 * LEVEL) ** 0.5


def test_the_p_values_are_uniform() -> None:
    random = np.random.default_rng(5)
    values = np.sort([serial_p_value(random.normal(size=60).tolist()) for _ in range(2000)])
    assert np.abs(values - np.linspace(0, 1, 2000)).max() < 1.63 / 2000**0.5  # Kolmogorov, 1 %


def test_parts_of_days_are_told_from_independent_ones() -> None:
    random = np.random.default_rng(1)
    days = np.repeat(random.normal(size=6), 10)
    light = (days + 0.5 * random.normal(size=60)).tolist()
    figures = {"score": random.normal(size=60).tolist(), "brightness": light}
    assert ordered_channels(files(60), figures) == ("brightness",)
    assert ordered_channels(files(60), {"score": [1.0] * 60}) == ()  # all alike tells nothing


def test_files_are_in_the_order_of_their_numbers() -> None:
    """Powers of two: by name they begin with any digit, as good as at random."""
    paths = sorted(Path(f"good/part{2**power}.png") for power in range(40))
    powers = [float(int(path.stem[4:]).bit_length()) for path in paths]
    assert serial_p_value(powers) > LEVEL
    assert ordered_channels(paths, {"score": powers}) == ("score",)


def test_a_second_folder_and_frames_of_one_part_tell_nothing() -> None:
    random = np.random.default_rng(2)
    good = random.normal(size=40).tolist()
    mixed = {"score": [*good, *[9.0 + value for value in good[:30]]]}
    assert ordered_channels([*files(40), *files(30, "rejected")], mixed) == ()
    frames = {"score": np.repeat(good, 3).tolist()}
    assert ordered_channels(files(120), frames) == ("score",)

    def part_of(path: Path) -> str:
        return str(int(path.stem[4:]) // 3)

    assert ordered_channels(files(120), frames, part_of) == ()


def test_few_parts_tell_nothing() -> None:
    assert ordered_channels(files(19), {"score": [float(n) for n in range(19)]}) == ()

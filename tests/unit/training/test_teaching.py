"""The choices of `linewarden teach`."""

from pathlib import Path
from typing import Any

import pytest

from training.data.data_set import Sample
from training.data.survey import SurveyedSample
from training.teaching import Pace, Plan, input_size, plan_training


def samples(count: int, size: tuple[int, int] = (480, 640)) -> list[SurveyedSample]:
    return [SurveyedSample(Sample(Path(f"{i}.png")), "0" * 64, size, 3) for i in range(count)]


def planned(count: int, seconds: float, pace: Pace, device: str = "cpu") -> Plan:
    fixed: dict[str, dict[str, Any]] = {
        "data": {"folder": "/parts"},
        "model": {"backbone": {"weights": "none"}},
        "fit": {"device": device, "seed": 3},
    }
    return plan_training(samples(count), fixed, seconds=seconds, measure=lambda *_: pace)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((512, 512), (256, 256)),
        ((1000, 400), (416, 160)),
        ((480, 640), (224, 288)),
        ((100, 4000), (96, 1024)),
    ],
)
def test_the_input_has_the_proportions_of_the_frames(
    frame: tuple[int, int], size: tuple[int, int]
) -> None:
    assert input_size(samples(3, frame)) == size


def test_steps_fill_the_time_that_the_features_leave() -> None:
    plan = planned(100, 300, Pace(per_image=0.5, per_step=0.5))
    assert plan.config.fit.minimum_steps == 500
    assert plan.config.data.hold_out == 0.2
    assert plan.config.fit.seed == 3
    assert plan.reasons[-1] == "500 steps at 0.50 s on cpu, 5 minutes"


def test_too_little_time_takes_the_least_and_says_how_long() -> None:
    plan = planned(100, 6, Pace(per_image=0.6, per_step=0.6))
    assert plan.config.fit.minimum_steps == 100
    assert plan.reasons[-1].endswith("a model needs at least these; they take 2.0 minutes")


def test_much_time_is_not_used_up() -> None:
    assert planned(100, 1e6, Pace(0.1, 0.1)).config.fit.minimum_steps == 2000


def test_of_few_images_more_are_held_out() -> None:
    assert planned(20, 60, Pace(0.1, 0.1)).config.data.hold_out == 0.3


def test_only_a_cpu_looks_at_a_sample_of_the_grid() -> None:
    assert planned(20, 60, Pace(0.1, 0.1)).config.model.sampled_grid == 16
    assert planned(20, 60, Pace(0.1, 0.1), "cuda").config.model.sampled_grid is None

"""The promises of numbers of good parts: those that teach and calibrate make of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibration.tolerance import tolerance_limit
from inspection.errors import ConfigError
from linewarden.command_line import main
from linewarden.promises import calibrated, taught
from training.data.survey import divide
from training.hold_out import JUDGES, hold_out_share, judging


@pytest.mark.parametrize("images", [5, JUDGES, JUDGES + 1, 49, 67, 400])
def test_it_is_the_promise_of_the_threshold_that_teach_sets(images: int) -> None:
    share = hold_out_share(images, in_turn=True)
    fitted, held_out = divide({str(n): str(n) for n in range(images)}, hold_out=share, seed=42)
    scores = np.random.default_rng(0).normal(size=len(held_out) if share else len(fitted))
    limit = tolerance_limit(list(scores), false_reject_rate=0.01, confidence=0.95)
    promise = taught(images, 0.01)
    assert promise is not None
    assert (promise.judging, promise.bound) == (len(scores), limit.bound)
    assert promise.average == limit.average
    assert promise.is_approximate is (share == 0)


@pytest.mark.parametrize("images", [2, 4])
def test_too_few_images_have_a_promise_on_average_only(images: int) -> None:
    promise = taught(images, 0.01)
    assert promise is not None
    assert (promise.judging, promise.bound, promise.is_approximate) == (images, 1.0, False)
    assert promise.average == 1 / (images + 1)


def test_more_parts_never_promise_less_but_for_the_first_that_is_not_judged_in_turn() -> None:
    promises = {images: taught(images, 0.01) for images in range(2, 400)}
    bounds = {images: promise.bound for images, promise in promises.items() if promise}
    worse = [images for images in range(3, 400) if bounds[images] > bounds[images - 1]]
    assert worse == [JUDGES + 1]
    assert bounds[2 * JUDGES] == bounds[JUDGES] > bounds[5 * JUDGES + 1]


@pytest.mark.parametrize("images", range(2, 400))
def test_at_most_half_of_the_parts_are_held_out(images: int) -> None:
    assert judging(images) <= max(JUDGES, (images + 1) // 2)
    assert judging(images) >= JUDGES or images < 2 * JUDGES - 1


def test_calibration_uses_every_part() -> None:
    promise = calibrated(299, 0.01)
    assert promise is not None
    assert promise.bound <= 0.01 < 1 - 0.05 ** (1 / 298)


def test_too_few_promise_nothing() -> None:
    assert (taught(0, 0.01), taught(1, 0.01), calibrated(0, 0.01)) == (None, None, None)
    with pytest.raises(ConfigError, match="false reject rate"):
        taught(12, 2.0)


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "promise", "1", "8", "4"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:4] == [
        ["1", "none", "none", "95.00%", "50.00%"],
        ["8", "about", *["31.23%", "11.11%"] * 2],
        ["4", "none", "20.00%", "52.71%", "20.00%"],
    ]
    assert main(["dataset", "promise", "1", "8", "--json"]) == 0
    one, eight = map(json.loads, capsys.readouterr().out.splitlines())
    assert one["taught"] is None
    assert (eight["parts"], round(eight["taught"]["bound"], 4)) == (8, 0.3123)
    assert eight["taught"]["is_approximate"]
    assert not eight["calibrated"]["is_approximate"]

"""The margin of a first stage, from what a build sees."""

from __future__ import annotations

import numpy as np
import pytest

from export.precision.margins import first_look
from export.precision.outcome import Expected
from inspection.engine import Prediction

MAP = np.zeros((1, 4, 4), np.float32)
THRESHOLD = 1.0


def expected(name: str, score: float) -> Expected:
    return Expected(name, np.zeros((1, 4, 4, 3), np.uint8), score, MAP[0])


def found(*scores: float) -> dict[int, Prediction]:
    return {
        number: Prediction(np.array([score], np.float32), MAP)
        for number, score in enumerate(scores)
    }


def test_the_width_is_twice_the_largest_difference_of_a_passed_frame() -> None:
    frames = [expected("a", 0.2), expected("b", 0.5), expected("golden", 0.9), expected("bad", 3.0)]
    look = first_look(frames, found(0.25, 0.4, 0.75, 9.0), THRESHOLD, good=2)
    assert look.margin.width == pytest.approx(0.3)
    assert (look.margin.seen_to, look.wrongly_passed) == (0.5, ())


def test_good_images_within_the_margin_of_the_highest_get_a_second_look() -> None:
    scores = {"a": 0.2, "b": 0.5, "c": 0.85, "d": 0.1}
    frames = [expected(name, score) for name, score in scores.items()]
    look = first_look(frames, found(0.2, 0.45, 0.85, 0.1), THRESHOLD, good=4)
    assert look.margin.limit(9.0) == look.margin.limit(0.85) == pytest.approx(0.75)
    assert look.second_look == 0.25  # c


def test_a_good_image_that_is_rejected_reaches_no_further_than_the_threshold() -> None:
    frames = [expected("a", 0.2), expected("b", 1.4)]
    look = first_look(frames, found(0.2, 1.4), THRESHOLD, good=2)
    assert look.margin.seen_to == THRESHOLD
    assert look.second_look == 0.5


def test_a_defect_that_it_would_pass_is_named() -> None:
    frames = [expected("a", 0.2), expected("b", 0.9), expected("scratch", 1.4)]
    look = first_look(frames, found(0.25, 0.9, 0.7), THRESHOLD, good=2)
    assert look.wrongly_passed == ("scratch",)


def test_scores_that_agree_keep_the_width_of_a_rounding() -> None:
    frames = [expected("a", 0.5), expected("b", 0.25)]
    assert first_look(frames, found(0.5, 0.25), THRESHOLD, good=2).margin.width == 0.5 / 256

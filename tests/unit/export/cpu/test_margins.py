"""The margins of a first stage, from what a build sees."""

from __future__ import annotations

import numpy as np

from export.cpu.margins import first_look
from export.precision.outcome import Expected
from inspection.engine import Prediction

SIDE = 16
THRESHOLD = 1.0


def expected(name: str, score: float, peak: float = 0.0) -> Expected:
    return Expected(name, np.zeros((1, SIDE, SIDE, 3), np.uint8), score, peaked(peak))


def peaked(value: float, at: tuple[int, int] = (3, 3)) -> np.ndarray:
    values = np.zeros((SIDE, SIDE), np.float32)
    values[at] = value
    return values


def found(score: float, values: np.ndarray | None = None) -> Prediction:
    values = peaked(0.0) if values is None else values
    return Prediction(np.array([score], np.float32), values[np.newaxis])


def test_margins_are_twice_the_largest_difference_of_a_good_part() -> None:
    frames = [expected("a", 0.2), expected("b", 0.5), expected("defect", 3.0)]
    look = first_look(frames, {0: found(0.25), 1: found(0.4), 2: found(9.0)}, THRESHOLD)
    assert np.isclose(look.margins.score, 0.2)
    assert look.second_look == 0
    assert look.wrongly_passed == ()


def test_parts_within_the_margin_get_a_second_look() -> None:
    frames = [expected("a", 0.2), expected("b", 0.5), expected("c", 0.85), expected("d", 0.1)]
    scores = (0.2, 0.4, 0.85, 0.1)
    look = first_look(frames, {n: found(score) for n, score in enumerate(scores)}, THRESHOLD)
    assert look.second_look == 0.25  # c is within 0.2 of the threshold


def test_a_defect_that_it_would_pass_is_named() -> None:
    frames = [expected("a", 0.2), expected("scratch", 1.4)]
    look = first_look(frames, {0: found(0.25), 1: found(0.7)}, THRESHOLD)
    assert look.wrongly_passed == ("scratch",)


def test_the_map_is_compared_where_its_values_are_high() -> None:
    frames = [expected("a", 0.2, peak=0.8)]
    moved = first_look(frames, {0: found(0.2, peaked(0.8, at=(2, 3)))}, THRESHOLD)
    assert moved.margins.map == 0  # the same block of the map
    lower = first_look(frames, {0: found(0.2, peaked(0.5))}, THRESHOLD)
    assert np.isclose(lower.margins.map, 0.6)


def test_without_a_good_part_every_part_gets_a_second_look() -> None:
    look = first_look([expected("defect", 3.0)], {0: found(3.0)}, THRESHOLD)
    assert look.second_look == 1

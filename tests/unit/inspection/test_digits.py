"""Numbers beside each other are written so that the comparison is true as it is read."""

import math

from hypothesis import given
from hypothesis import strategies as st

from inspection.digits import comparable

# A library of video that a test before has loaded may have switched subnormal numbers off.
NUMBERS = st.floats(allow_nan=False, allow_subnormal=False)


def test_four_digits_are_enough_for_most() -> None:
    assert comparable(3.25, 2.5) == ("3.25", "2.5")
    assert comparable(0.123456) == ("0.1235",)
    assert comparable(0.123456, 1.0, digits=2) == ("0.12", "1")


def test_numbers_that_look_alike_get_more_digits() -> None:
    assert comparable(0.19312, 0.19308) == ("0.19312", "0.19308")
    assert comparable(0.1931, 0.1931) == ("0.1931", "0.1931")


@given(NUMBERS, NUMBERS)
def test_the_texts_have_the_order_of_the_numbers(one: float, other: float) -> None:
    first, second = map(float, comparable(one, other))
    assert (first > second, first == second) == (one > other, one == other)


@given(NUMBERS.filter(lambda number: 1e-300 < abs(number) < 1e308), st.integers(1, 9))
def test_neighbours_are_told_apart(number: float, steps: int) -> None:
    other = number
    for _ in range(steps):
        other = math.nextafter(other, math.inf)
    first, second = map(float, comparable(number, other))
    assert first < second

"""Writes numbers that a person compares, such as a score and its threshold."""

from __future__ import annotations

from itertools import combinations

_ENOUGH = 17  # significant digits tell any two floats apart


def comparable(*values: float, digits: int = 4) -> tuple[str, ...]:
    """Writes the numbers so that the texts have the order of the numbers.

    `0.19312` and `0.19308` are both 0.1931 with four digits, and "0.1931 > 0.1931" is not true.

    Args:
        digits: significant digits; all numbers get more when two different ones look alike.

    Returns:
        one text for each number.
    """
    while digits < _ENOUGH and not _in_order(values, digits):
        digits += 1
    return tuple(f"{value:.{digits}g}" for value in values)


def _in_order(values: tuple[float, ...], digits: int) -> bool:
    return all(
        one == other or f"{one:.{digits}g}" != f"{other:.{digits}g}"
        for one, other in combinations(values, 2)
    )

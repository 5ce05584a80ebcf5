"""Finds good images that are alike in the order of their files: parts that are not independent.

The promise of a threshold holds for independent parts. Images taken in a row share light, focus and
place, and those of the next day differ. A set of scores does not show this; the order of the files
does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import norm, rankdata

FEWEST_PARTS = 20
LEVEL = 0.01  # chance of a finding in a set of independent parts


def ordered_channels(
    images: Sequence[Path],
    figures: Mapping[str, Sequence[float]],
    part_of: Callable[[Path], str] | None = None,
) -> tuple[str, ...]:
    """Finds figures more alike in neighbouring files than chance allows, at `LEVEL` in all.

    Files are neighbours by name, with numbers in the order of their values, within the largest
    folder: a folder of false rejects that joins the set differs on purpose.

    Args:
        figures: values of the images, by channel.
        part_of: names the part that an image shows; only its first image counts.

    Returns:
        channels of `figures`; none with fewer than 20 parts, too few for the test.
    """
    places = _in_a_row(images, part_of)
    if len(places) < FEWEST_PARTS:
        return ()
    level = LEVEL / len(figures)
    return tuple(
        name
        for name, values in figures.items()
        if serial_p_value([values[place] for place in places]) < level
    )


def serial_p_value(values: Sequence[float]) -> float:
    """Returns the probability of neighbours that are so alike, among independent values.

    The rank version of von Neumann's ratio with its normal approximation (Bartels 1982, "The rank
    version of von Neumann's ratio test for randomness"), one-sided.

    Args:
        values: at least 3, in their order.
    """
    ranks, n = rankdata(values), len(values)
    spread = float(((ranks - ranks.mean()) ** 2).sum())
    if not spread:
        return 1.0
    ratio = float((np.diff(ranks) ** 2).sum()) / spread
    variance = 4 * (n - 2) * (5 * n**2 - 2 * n - 9) / (5 * n * (n + 1) * (n - 1) ** 2)
    return float(norm.cdf((ratio - 2) / variance**0.5))


def _in_a_row(images: Sequence[Path], part_of: Callable[[Path], str] | None) -> list[int]:
    """Returns the places of the images of the largest folder, one for each part, by name."""
    ((folder, _),) = Counter(path.parent for path in images).most_common(1)
    inside = [place for place, path in enumerate(images) if path.parent == folder]
    inside.sort(key=lambda place: _by_number(images[place].name))
    first: dict[str, int] = {}
    for place in inside:
        first.setdefault((part_of or str)(images[place]), place)
    return list(first.values())


def _by_number(name: str) -> list[str]:
    return [part.zfill(32) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

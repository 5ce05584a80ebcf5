"""Distances of scores from their median: the measure of scores that stand out.

The unit is the spread above the median: the median distance of the scores above it, as a standard
deviation (a double median absolute deviation, since scores are skewed; modified z-score of Iglewicz
and Hoaglin 1993). Up to half of the scores cannot move it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

FEWEST = 5  # scores with a spread to speak of
MOST_SPREADS = 3.5  # as Iglewicz and Hoaglin
_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation

Key = TypeVar("Key")


def spreads_above(scores: Sequence[float]) -> list[float]:
    """Returns the distance of each score from the median, in spreads; all 0 for too few scores."""
    values = np.asarray(scores, dtype=np.float64)
    median = np.median(values)
    above = values[values > median] - median
    if len(values) < FEWEST or not len(above):
        return [0.0] * len(values)
    spread = _DEVIATION * float(np.median(above))
    return ((values - median) / spread).tolist()  # type: ignore[no-any-return]


def standing_out(scores: Mapping[Key, float]) -> dict[Key, float]:
    """Returns the distances, in spreads, of those that stand out; the highest first."""
    distances = dict(zip(scores, spreads_above(list(scores.values())), strict=True))
    found = [key for key, distance in distances.items() if distance > MOST_SPREADS]
    return {key: distances[key] for key in sorted(found, key=distances.__getitem__, reverse=True)}

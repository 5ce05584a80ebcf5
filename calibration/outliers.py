"""Names good images that stand out: marks, other parts, defects that nobody saw.

The measure is the distance from the median in units of the spread above it: the median distance of
the scores above the median, as a standard deviation (a double median absolute deviation, since
scores are skewed; modified z-score of Iglewicz and Hoaglin 1993). Up to half of the scores cannot
move it. Nothing is left out here: a person looks at the images and decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.scores import GoodScore
from calibration.thresholds import CalibrationTargets, thresholds_for
from inspection.errors import ConfigError
from inspection.layout.zones import Zone

FEWEST = 5  # scores with a spread to speak of
MOST_SPREADS = 3.5  # as Iglewicz and Hoaglin
_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation


@dataclass(frozen=True)
class Outliers:
    """The images that stand out.

    Attributes:
        spreads: distance from the median in spreads, by image hash, highest first.
        paths: their files, by image hash.
        threshold: threshold for reject of the other images; None when these are too few for the
            wanted thresholds.
    """

    spreads: Mapping[str, float]
    paths: Mapping[str, Path]
    threshold: float | None = None


def spreads_above(scores: Sequence[float]) -> list[float]:
    """Returns the distance of each score from the median, in spreads; all 0 for too few scores."""
    values = np.asarray(scores, dtype=np.float64)
    median = np.median(values)
    above = values[values > median] - median
    if len(values) < FEWEST or not len(above):
        return [0.0] * len(values)
    spread = _DEVIATION * float(np.median(above))
    return ((values - median) / spread).tolist()  # type: ignore[no-any-return]


def find_outliers(
    good: Sequence[GoodScore],
    scores: Mapping[str, float],
    targets: CalibrationTargets,
    zones: Sequence[Zone],
) -> Outliers:
    """Finds the images that stand out, and the threshold without them.

    Args:
        scores: score by image hash, of `good`.
    """
    distances = dict(zip(scores, spreads_above(list(scores.values())), strict=True))
    found = sorted(
        (image for image, distance in distances.items() if distance > MOST_SPREADS),
        key=distances.__getitem__,
        reverse=True,
    )
    if not found:
        return Outliers({}, {})
    paths = {one.sha256: one.path for one in good}
    return Outliers(
        spreads={image: distances[image] for image in found},
        paths={image: paths[image] for image in found},
        threshold=_threshold([one for one in good if one.sha256 not in found], targets, zones),
    )


def _threshold(
    others: Sequence[GoodScore], targets: CalibrationTargets, zones: Sequence[Zone]
) -> float | None:
    try:
        return thresholds_for(others, targets, zones).of_part().reject
    except ConfigError:  # too few parts are left for the zones, the lots or a review band
        return None

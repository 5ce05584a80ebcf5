"""Names good images that stand out: marks, other parts, defects that nobody saw.

`reports.spreads` has the measure. Nothing is left out here: a person looks at the images and
decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.scores import GoodScore
from calibration.thresholds import CalibrationTargets, thresholds_for
from inspection.errors import ConfigError
from inspection.layout.zones import Zone
from reports.spreads import standing_out


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
    found = standing_out(scores)
    if not found:
        return Outliers({}, {})
    paths = {one.sha256: one.path for one in good}
    return Outliers(
        spreads=found,
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

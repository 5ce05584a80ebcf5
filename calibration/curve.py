"""The sensitivity slider: every threshold along the scores of good parts, with its promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from calibration.tolerance import require_share, zone_thresholds
from inspection.errors import ConfigError


@dataclass(frozen=True)
class SliderPoint:
    """One place of the sensitivity slider.

    Attributes:
        position: 0 rejects least, 1 most.
        expected: mean false reject rate of thresholds chosen this way, over draws of good parts.
        bound: upper bound of the false reject rate at the confidence of the curve.
        reject_by_zone: the threshold of each zone; the highest of them is `reject`.
    """

    position: float
    reject: float
    expected: float
    bound: float
    reject_by_zone: tuple[float, ...] = ()


@dataclass(frozen=True)
class ThresholdCurve:
    """The promise of every score as threshold: the curve that the sensitivity slider moves along.

    It is not stored: the scores and the confidence of a calibration give it back.

    Attributes:
        thresholds: the scores, ascending; with several zones, the highest threshold of each step.
        expected: false reject rate expected of each: (n - k + 1) / (n + 1) for the k-th of n.
        bounds: its upper bound at `confidence`, for each by itself.
        zone_thresholds: (steps, zones): the thresholds of the zones at each step.
    """

    thresholds: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]
    confidence: float
    zone_thresholds: npt.NDArray[np.float64]

    @classmethod
    def of(cls, scores: Sequence[float], *, confidence: float) -> ThresholdCurve:
        """Builds the curve of independent good parts; see `tolerance_limit` for the promise."""
        return cls.of_zones([(score,) for score in scores], confidence=confidence)

    @classmethod
    def of_zones(cls, values: Sequence[Sequence[float]], *, confidence: float) -> ThresholdCurve:
        """Builds the curve of parts with a value per zone; see `zone_limit` for the promise."""
        require_share("confidence", confidence)
        steps = zone_thresholds(values)[::-1]
        n = len(values)
        ranks = np.arange(1, len(steps) + 1)
        bounds = beta.ppf(confidence, n - ranks + 1, ranks)
        return cls(steps.max(axis=1), (n - ranks + 1) / (n + 1), bounds, confidence, steps)

    def at(self, position: float) -> SliderPoint:
        """Returns the threshold at a position, from 0 (highest score) to 1 (middle score).

        Equal steps multiply the expected false reject rate by the same factor. The slider ends at
        the highest score: good parts alone give no threshold above it without a model.

        Raises:
            ConfigError: a position outside 0 to 1.
        """
        if not 0 <= position <= 1:
            raise ConfigError(f"the slider position is {position}: set it from 0 to 1")
        lowest = self.expected[-1]
        wanted = lowest * (max(0.5, lowest) / lowest) ** position
        return self._point(int(np.argmax(self.expected <= wanted * (1 + 1e-9))))

    def point_of(self, *thresholds: float) -> SliderPoint:
        """Returns the promise of thresholds, one for each zone, set without these scores.

        They have the promise of the nearest thresholds of the curve that are below them in every
        zone. Without such thresholds there is no promise: rate and bound are 1.
        """
        count = int((self.zone_thresholds <= thresholds).all(axis=1).sum())
        if not count:
            return SliderPoint(1.0, max(thresholds), 1.0, 1.0, thresholds)
        point = self._point(count - 1)
        return replace(point, reject=max(thresholds), reject_by_zone=thresholds)

    def _point(self, place: int) -> SliderPoint:
        lowest, expected = self.expected[-1], self.expected[place]
        span = math.log(max(0.5, lowest) / lowest)
        position = min(1.0, math.log(expected / lowest) / span) if span else 0.0
        bound = float(self.bounds[place])
        return SliderPoint(
            position,
            float(self.thresholds[place]),
            float(expected),
            bound,
            tuple(map(float, self.zone_thresholds[place])),
        )

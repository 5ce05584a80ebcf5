"""Escapes, when defects are at hand: their rate with bounds, and a threshold for a ratio of costs.

Never required: thresholds come from good parts. What is said here holds for defects like those at
hand; kinds that are missing among them, or rarer on the line than among them, it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from calibration.threshold import require_share
from edge.errors import ConfigError


@dataclass(frozen=True)
class Proportion:
    """A count out of a total with its Clopper-Pearson (1934) bounds.

    Attributes:
        lower: holds at `confidence` by itself.
        upper: holds at `confidence` by itself; the two together at 2 * confidence - 1.
    """

    count: int
    total: int
    lower: float
    upper: float
    confidence: float

    @property
    def rate(self) -> float:
        """The observed share."""
        return self.count / self.total


def proportion(count: int, total: int, *, confidence: float) -> Proportion:
    """Exact bounds of a binomial share, each one-sided at the confidence.

    Args:
        total: number of independent parts, at least 1.

    Raises:
        ConfigError: no parts, or a confidence outside 0.5 to 1.
    """
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"the confidence is {confidence}: it lies between 0.5 and 1, like 0.95")
    if not 0 <= count <= total or total == 0:
        raise ConfigError(f"{count} of {total} parts is no share: bring at least one part")
    lower = float(beta.ppf(1 - confidence, count, total - count + 1)) if count else 0.0
    upper = float(beta.ppf(confidence, count + 1, total - count)) if count < total else 1.0
    return Proportion(count, total, lower, upper, confidence)


def escape_rate(
    defect_scores: Sequence[float], threshold: float, *, confidence: float
) -> Proportion:
    """Share of defective parts that pass: a score equal to the threshold does.

    Args:
        defect_scores: raw scores of independent defective parts that set neither the model nor the
            threshold.
    """
    scores = _finite(defect_scores, "defective")
    return proportion(int((scores <= threshold).sum()), len(scores), confidence=confidence)


def false_reject_rate(
    good_scores: Sequence[float], threshold: float, *, confidence: float
) -> Proportion:
    """Share of good parts that are rejected, on parts that did not set the threshold."""
    scores = _finite(good_scores, "good")
    return proportion(int((scores > threshold).sum()), len(scores), confidence=confidence)


@dataclass(frozen=True)
class CostSuggestion:
    """The threshold that costs least on the parts at hand.

    Attributes:
        threshold: middle of the widest range of thresholds of the same least cost.
        lowest: lower end of that range.
        highest: upper end of it, which itself belongs to the next step.
        cost: expected cost of a part, in costs of one false reject.
        false_rejects: share of the good parts at hand; it flatters, as they chose the threshold.
        escapes: share of the defective parts at hand; the same.
    """

    threshold: float
    lowest: float
    highest: float
    cost: float
    false_rejects: Proportion
    escapes: Proportion


def suggest_threshold(
    good_scores: Sequence[float],
    defect_scores: Sequence[float],
    *,
    cost_ratio: float,
    defect_share: float,
    confidence: float = 0.95,
) -> CostSuggestion:
    """The threshold of least expected cost.

    The cost of a part, in costs of one false reject, is
    defect_share * cost_ratio * escape rate + (1 - defect_share) * false reject rate.

    Args:
        cost_ratio: cost of an escape divided by the cost of a false reject, above 0.
        defect_share: share of defective parts on the line, in (0, 1), not in the test set.

    Raises:
        ConfigError: no good or no defective parts, or a value outside its range.
    """
    require_share("share of defects", defect_share)
    if not 0 < cost_ratio < float("inf"):
        raise ConfigError(f"the cost ratio is {cost_ratio}: it is above 0, for instance 20")
    good, defects = _finite(good_scores, "good"), _finite(defect_scores, "defective")
    values = np.unique(np.concatenate([good, defects]))
    # A step below the lowest, and never a denormal number: an engine may have set them to zero.
    below = values[0] - np.spacing(max(abs(values[0]), 1e-290))
    steps = np.concatenate([[below], values])
    cost = _expected_cost(good, defects, steps, cost_ratio, defect_share)
    least = np.flatnonzero(np.isclose(cost, cost.min(), rtol=1e-12, atol=0))
    ends = np.append(steps[1:], steps[-1])[least]
    widest = int((ends - steps[least]).argmax())
    lowest, highest = float(steps[least][widest]), float(ends[widest])
    middle = (lowest + highest) / 2
    threshold = middle if middle < highest else lowest
    return CostSuggestion(
        threshold,
        lowest,
        highest,
        float(cost.min()),
        false_reject_rate(good.tolist(), threshold, confidence=confidence),
        escape_rate(defects.tolist(), threshold, confidence=confidence),
    )


def _expected_cost(
    good: npt.NDArray[np.float64],
    defects: npt.NDArray[np.float64],
    thresholds: npt.NDArray[np.float64],
    cost_ratio: float,
    defect_share: float,
) -> npt.NDArray[np.float64]:
    passed = np.searchsorted(np.sort(good), thresholds, side="right") / len(good)
    escaped = np.searchsorted(np.sort(defects), thresholds, side="right") / len(defects)
    return np.asarray(defect_share * cost_ratio * escaped + (1 - defect_share) * (1 - passed))


def _finite(scores: Sequence[float], kind: str) -> npt.NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ConfigError(f"there must be at least one {kind} part, and every score finite")
    return values

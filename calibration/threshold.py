"""Thresholds from good parts alone, with what they promise.

With n independent good parts, the false reject rate of the k-th smallest score as threshold is
distributed as Beta(n - k + 1, k), whatever the distribution of the scores (Wilks 1941: order
statistics as tolerance limits). So a threshold can be chosen whose false reject rate stays below a
target with a stated confidence, or, with too few parts, it can be said which rate they support.

A part is the unit of every promise. Several frames of one part become one score by `part_scores`;
parts that came in lots, more alike within a lot than between lots, go to `calibration.lots`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from edge.errors import ConfigError


@dataclass(frozen=True)
class ToleranceLimit:
    """A threshold from order statistics.

    Attributes:
        threshold: one of the scores; parts above it are rejected.
        rank: its place among the ascending scores, from 1. Where scores are tied, more of them than
            `rank` are not above the threshold, and the bound is on the safe side.
        parts: number of good parts it rests on.
        bound: upper bound of the false reject rate at `confidence`.
        target: the rate that was asked for; met when `bound` is not above it.
        parts_needed: smallest number of good parts with which the target can be promised.
    """

    threshold: float
    rank: int
    parts: int
    bound: float
    target: float
    confidence: float
    parts_needed: int

    @property
    def is_met(self) -> bool:
        """Whether the target is promised at the confidence."""
        return self.bound <= self.target


def tolerance_limit(
    scores: Sequence[float], *, false_reject_rate: float, confidence: float
) -> ToleranceLimit:
    """The lowest score whose false reject rate is at most the target, at the confidence.

    When no score is, the highest one is taken, and `bound` says what it supports.

    Args:
        scores: raw scores of independent good parts that the model was not fitted to.
        false_reject_rate: target in (0, 1).
        confidence: probability in (0, 1) that the promise holds for such a draw of parts.

    Raises:
        ConfigError: no scores, scores that are not finite, or a rate outside its range.
    """
    require_share("false reject rate", false_reject_rate)
    require_share("confidence", confidence)
    ordered = sorted_scores(scores)
    n = len(ordered)
    ranks = np.arange(1, n + 1)
    promised = beta.cdf(false_reject_rate, n - ranks + 1, ranks) >= confidence
    rank = int(ranks[promised][0]) if promised.any() else n
    return ToleranceLimit(
        threshold=float(ordered[rank - 1]),
        rank=rank,
        parts=n,
        bound=float(beta.ppf(confidence, n - rank + 1, rank)),
        target=false_reject_rate,
        confidence=confidence,
        parts_needed=parts_needed(false_reject_rate, confidence),
    )


def parts_needed(false_reject_rate: float, confidence: float) -> int:
    """Smallest number of independent good parts whose highest score keeps the promise."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - false_reject_rate))


def review_limits(
    scores: Sequence[float], *, false_reject_rate: float, review_rate: float, confidence: float
) -> tuple[ToleranceLimit, ToleranceLimit]:
    """Limits for rejecting and for review: two rates on one curve.

    Args:
        review_rate: share of good parts reviewed or rejected, above `false_reject_rate`.

    Returns:
        the limit for reject and the lower one for review; each promise holds at the confidence by
        itself. Scores above the second, up to the first, are the review band.

    Raises:
        ConfigError: rates in the wrong order, or too few parts to tell the two apart.
    """
    if not false_reject_rate < review_rate:
        raise ConfigError(
            f"the review rate {review_rate} is the share of good parts reviewed or rejected: set "
            f"it above the false reject rate {false_reject_rate}"
        )
    reject = tolerance_limit(scores, false_reject_rate=false_reject_rate, confidence=confidence)
    review = tolerance_limit(scores, false_reject_rate=review_rate, confidence=confidence)
    if not review.threshold < reject.threshold:
        raise ConfigError(
            f"{reject.parts} good parts support no review band between the rates "
            f"{false_reject_rate} and {review_rate}: both thresholds would be {reject.threshold}; "
            f"raise the review rate, or bring more good parts ({review.parts_needed} make the "
            "first promise of that rate)"
        )
    return reject, review


def part_scores(scores: Sequence[float], parts: Sequence[str]) -> dict[str, float]:
    """One score for each part: the highest of its frames, in order of first appearance.

    A part is rejected when any of its frames is, so the threshold for parts is a tolerance limit of
    these maxima. It assumes that calibration and line take the same frames of a part.

    Args:
        scores: raw scores of frames.
        parts: for each frame, which part it shows.
    """
    require_pairs(scores, parts, "part")
    highest: dict[str, float] = {}
    for score, part in zip(scores, parts, strict=True):
        highest[part] = max(score, highest.get(part, score))
    return highest


def sorted_scores(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    """The scores in ascending order; ConfigError when there are none, or not all are finite."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ConfigError("a threshold needs at least one good part, with finite scores")
    return ordered


def require_share(name: str, value: float) -> None:
    """Refuse a rate or confidence that does not lie strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ConfigError(f"the {name} is {value}: it lies between 0 and 1, for instance 0.01")


def require_pairs(scores: Sequence[float], names: Sequence[str], kind: str) -> None:
    """Refuse names that are not one for each score."""
    if len(scores) != len(names):
        raise ConfigError(
            f"{len(scores)} scores and {len(names)} names of {kind}s: name the {kind} of each score"
        )

"""A threshold from good parts alone, with what it promises.

With n independent good parts, the false reject rate of the k-th smallest score as threshold is
distributed as Beta(n - k + 1, k), whatever the distribution of the scores (Wilks 1941: order
statistics as tolerance limits). So a threshold can be chosen whose false reject rate stays below a
target with a stated confidence, or, with too few parts, it can be said which rate they support.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from edge.errors import ConfigError


@dataclass(frozen=True)
class ToleranceLimit:
    """A threshold from order statistics.

    Attributes:
        threshold: one of the scores; parts above it are rejected.
        rank: how many of the scores are not above it.
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
    for name, value in (("false reject rate", false_reject_rate), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"the {name} is {value}: it lies between 0 and 1, for instance 0.01")
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ConfigError("a threshold needs at least one good part, with finite scores")
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
        parts_needed=math.ceil(math.log(1 - confidence) / math.log(1 - false_reject_rate)),
    )

"""Sets a threshold from parts in lots: more alike within a lot than between lots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import beta, norm, t

from calibration.tolerance import require_pairs, require_share, sorted_scores
from inspection.errors import ConfigError

_FEWEST_LOTS = 5


@dataclass(frozen=True)
class LotLimit:
    """A threshold from parts that came in lots, for new parts of new lots.

    Attributes:
        threshold: one of the scores; parts above it are rejected.
        bound: upper bound of the false reject rate at `confidence`, if these lots show how much
            lots differ. An approximation; see `lot_limit`.
        bound_of_lots: upper bound at `confidence` that assumes nothing but independent lots.
        effective_parts: number of independent parts that carry as much information.
    """

    threshold: float
    parts: int
    lots: int
    effective_parts: float
    bound: float
    bound_of_lots: float
    target: float
    confidence: float

    @property
    def is_met(self) -> bool:
        """True when `bound` keeps the target."""
        return self.bound <= self.target


def lot_limit(
    scores: Sequence[float], lots: Sequence[str], *, false_reject_rate: float, confidence: float
) -> LotLimit:
    """Finds the lowest score whose false reject rate, for a part of a new lot, keeps the target.

    The rate is that of a part picked from a lot picked at random: each lot weighs the same.
    Assumptions: the lots are independent draws of the lots to come (different days, tools, batches
    of material), and the parts of a lot are a random sample of it. Within a lot, parts may be
    correlated in any way.

    The share of a lot above a threshold has the variance of the block bootstrap over lots, which
    for a mean has a closed form. It turns n parts into the number of independent parts that would
    vary as much (the design effect), and the Clopper-Pearson bound is taken at that number (Korn
    and Graubard 1998). It is the smallest such number over the upper half of the scores, because
    the correlation does not show near the highest score. Percentiles of the resampled quantile
    would be too low there: no resample exceeds the highest score.

    `bound_of_lots` is Hoeffding's (1963, theorem 1) for the mean of independent shares in [0, 1],
    as in Bates et al. 2021 ("Distribution-free, risk-controlling prediction sets"): with every
    part below the threshold it equals the bound of as many independent parts as there are lots.

    Raises:
        ConfigError: there are fewer than 5 lots, or as for `tolerance_limit`.
    """
    require_share("false reject rate", false_reject_rate)
    require_share("confidence", confidence)
    require_pairs(scores, lots, "lot")
    ordered = sorted_scores(scores)
    shares = _shares_above(np.asarray(scores, dtype=np.float64), lots, ordered)
    n, count = shares.shape
    if count < _FEWEST_LOTS:
        raise ConfigError(
            f"the scores come from {count} lots, and it takes {_FEWEST_LOTS} to see how much lots "
            "differ: bring more lots rather than more parts of one"
        )
    effective = _effective_parts(shares, confidence)
    rates = shares.mean(axis=1)
    bounds = beta.ppf(confidence, effective * rates + 1, effective * (1 - rates))
    kept = np.flatnonzero(bounds <= false_reject_rate)
    place = int(kept[0]) if len(kept) else n - 1
    return LotLimit(
        threshold=float(ordered[place]),
        parts=n,
        lots=count,
        effective_parts=effective,
        bound=float(bounds[place]),
        bound_of_lots=_hoeffding_bound(float(rates[place]), count, confidence),
        target=false_reject_rate,
        confidence=confidence,
    )


def _shares_above(
    scores: npt.NDArray[np.float64], lots: Sequence[str], ordered: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns (n, lots): for each score as threshold, ascending, the share of each lot above it."""
    names = np.asarray(lots)
    each = [np.sort(scores[names == name]) for name in dict.fromkeys(lots)]
    above = [1 - np.searchsorted(lot, ordered, side="right") / len(lot) for lot in each]
    return np.stack(above, axis=1)


def _effective_parts(shares: npt.NDArray[np.float64], confidence: float) -> float:
    n, lots = shares.shape
    upper = shares[n // 2 :]
    rates = upper.mean(axis=1)
    variances = upper.var(axis=1, ddof=1) / lots
    varies = variances > 0
    alike = rates[varies] * (1 - rates[varies]) / variances[varies]
    level = (1 + confidence) / 2
    few_lots = (norm.ppf(level) / t.ppf(level, lots - 1)) ** 2
    return float(min([n, *alike]) * few_lots)


def _hoeffding_bound(rate: float, lots: int, confidence: float) -> float:
    """Returns the largest mean that an observed mean `rate` allows (Chernoff-Hoeffding)."""

    def excess(mean: float) -> float:
        divergence = (1 - rate) * math.log((1 - rate) / (1 - mean))
        if rate > 0:
            divergence += rate * math.log(rate / mean)
        return lots * divergence + math.log(1 - confidence)

    highest = 1 - 1e-12
    return float(brentq(excess, rate, highest)) if excess(highest) > 0 else 1.0

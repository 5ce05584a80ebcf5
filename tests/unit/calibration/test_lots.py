"""A threshold from parts in lots, beside its formulas written out for one threshold at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import beta, norm, t

from calibration.lots import LotLimit, lot_limit
from inspection.errors import ConfigError

CONFIDENCE = 0.9


class Parts(NamedTuple):
    """Scores of as many parts of each lot, (lots, parts)."""

    table: npt.NDArray[np.float64]

    @property
    def scores(self) -> list[float]:
        return [float(score) for score in self.table.ravel()]

    @property
    def lots(self) -> list[str]:
        lots, each = self.table.shape
        return [f"lot {number}" for number in range(lots) for _ in range(each)]

    def limit(self, rate: float) -> LotLimit:
        return lot_limit(self.scores, self.lots, false_reject_rate=rate, confidence=CONFIDENCE)

    def shares_above(self, threshold: float) -> npt.NDArray[np.float64]:
        """Returns the share of each lot above a threshold."""
        return np.asarray((self.table > threshold).mean(axis=1))

    def effective(self) -> float:
        """Returns the number of independent parts whose share above varies as much."""
        lots = len(self.table)
        found = [float(self.table.size)]
        for threshold in sorted(self.scores)[self.table.size // 2 :]:
            shares = self.shares_above(threshold)
            rate, error = shares.mean(), ((shares - shares.mean()) ** 2).sum() / (lots - 1) / lots
            if error:
                found.append(rate * (1 - rate) / error)
        level = (1 + CONFIDENCE) / 2
        return float(min(found) * (norm.ppf(level) / t.ppf(level, lots - 1)) ** 2)

    def bounds(self) -> dict[float, float]:
        """Returns the bound of Clopper and Pearson at that number, for each score, ascending."""
        parts, ordered = self.effective(), sorted(self.scores)
        rates = np.array([self.shares_above(score).mean() for score in ordered])
        bounds = beta.ppf(CONFIDENCE, rates * parts + 1, (1 - rates) * parts)
        return dict(zip(ordered, map(float, bounds), strict=True))


def drawn(between: float, lots: int = 8, each: int = 10) -> Parts:
    """Draws parts whose lots lie apart by `between` standard deviations of a lot."""
    random = np.random.default_rng(3)
    return Parts(random.normal(size=(lots, each)) + between * random.normal(size=(lots, 1)))


@pytest.mark.parametrize("between", [0.0, 0.5, 2.0])
def test_the_threshold_is_the_lowest_score_whose_bound_keeps_the_rate(between: float) -> None:
    parts = drawn(between)
    bounds = parts.bounds()
    target = 1.5 * min(bounds.values())
    limit = parts.limit(target)
    assert limit.threshold == next(score for score, one in bounds.items() if one <= target)
    assert limit.threshold < max(parts.scores)
    assert limit.bound == pytest.approx(bounds[limit.threshold])
    assert limit.effective_parts == pytest.approx(parts.effective())
    assert (limit.parts, limit.lots, limit.is_met) == (80, 8, True)


def test_a_rate_that_is_the_bound_itself_is_kept() -> None:
    limit = drawn(0.5).limit(0.3)
    assert drawn(0.5).limit(limit.bound) == replace(limit, target=limit.bound)
    assert replace(limit, target=limit.bound).is_met


def test_a_rate_out_of_reach_gives_the_highest_score() -> None:
    parts = drawn(0.5)
    limit = parts.limit(1e-4)
    assert limit.threshold == max(parts.scores)
    assert limit.bound == pytest.approx(parts.bounds()[limit.threshold])
    assert not limit.is_met
    # As many independent parts as there are lots would have the same.
    assert limit.bound_of_lots == pytest.approx(1 - (1 - CONFIDENCE) ** (1 / 8))


def test_the_bound_of_lots_is_as_far_as_chernoff_allows() -> None:
    parts = drawn(0.5)
    limit = parts.limit(0.3)
    rate, bound = parts.shares_above(limit.threshold).mean(), limit.bound_of_lots
    assert 0 < rate < bound
    divergence = rate * math.log(rate / bound) + (1 - rate) * math.log((1 - rate) / (1 - bound))
    assert 8 * divergence == pytest.approx(-math.log(1 - CONFIDENCE))


def test_five_lots_are_enough_and_four_are_not() -> None:
    assert drawn(0.5, lots=5).limit(0.3).lots == 5
    with pytest.raises(ConfigError, match="come from 4 lots, and it takes 5"):
        drawn(0.5, lots=4).limit(0.3)


def test_what_no_limit_comes_from_is_refused() -> None:
    scores, lots = drawn(0.5).scores, drawn(0.5).lots
    for rate, confidence, message in (
        (1.0, 0.9, r"the false reject rate is 1\.0"),
        (0.1, 1.0, r"the confidence is 1\.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            lot_limit(scores, lots, false_reject_rate=rate, confidence=confidence)
    with pytest.raises(ConfigError, match="80 scores and 79 names of lots"):
        lot_limit(scores, lots[1:], false_reject_rate=0.1, confidence=0.9)

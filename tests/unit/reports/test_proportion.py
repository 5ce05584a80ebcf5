"""Bounds of shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inspection.errors import ConfigError
from reports.proportion import proportion


@pytest.mark.parametrize(
    ("count", "total", "lower", "upper"),
    [(0, 10, 0.0, 0.3085), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0)],
)
def test_the_bounds_are_those_of_the_tables(
    count: int, total: int, lower: float, upper: float
) -> None:
    """Two-sided 95 %, as tabulated by Clopper and Pearson: each side at 97.5 %."""
    found = proportion(count, total, confidence=0.975)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)


@given(st.integers(1, 200), st.data())
def test_the_bounds_agree_with_scipy(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    exact = stats.binomtest(count, total).proportion_ci(0.9, method="exact")
    found = proportion(count, total, confidence=0.95)
    assert (found.lower, found.upper) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert found.lower <= found.rate <= found.upper


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
def test_the_upper_bound_covers_as_often_as_it_says(rate: float) -> None:
    uppers = np.array([proportion(k, 80, confidence=0.95).upper for k in range(81)])
    weights = stats.binom.pmf(np.arange(81), 80, rate)
    assert weights[uppers >= rate].sum() >= 0.95


@pytest.mark.parametrize(
    ("count", "total", "confidence", "message"),
    [
        (0, 0, 0.95, "0 of 0 parts is not a share"),
        (3, 2, 0.95, "3 of 2 parts is not a share"),
        (1, 2, 0.4, r"the confidence is 0\.4"),
    ],
)
def test_shares_of_nothing_are_refused(
    count: int, total: int, confidence: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        proportion(count, total, confidence=confidence)

"""Bounds of rates, and thresholds for a ratio of costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from calibration.escapes import escape_rate, false_reject_rate, proportion, suggest_threshold
from edge.errors import ConfigError


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


def test_a_score_at_the_threshold_passes() -> None:
    assert escape_rate([1.0, 2.0, 3.0], 2.0, confidence=0.95).count == 2
    assert false_reject_rate([1.0, 2.0, 3.0], 2.0, confidence=0.95).count == 1


def test_separate_classes_get_the_middle_of_the_gap() -> None:
    found = suggest_threshold([1.0, 2.0, 3.0], [5.0, 9.0], cost_ratio=10, defect_share=0.01)
    assert (found.lowest, found.threshold, found.highest) == (3.0, 4.0, 5.0)
    assert (found.cost, found.false_rejects.rate, found.escapes.rate) == (0, 0, 0)


def test_dearer_escapes_lower_the_threshold() -> None:
    random = np.random.default_rng(1)
    good, bad = random.normal(0, 1, 4000).tolist(), random.normal(2, 1, 4000).tolist()
    found = [
        suggest_threshold(good, bad, cost_ratio=ratio, defect_share=0.01) for ratio in (10, 99, 990)
    ]
    # Where the densities have the ratio of the weights: 1 + log(0.99 / (0.01 * ratio)) / 2.
    best = [1 + np.log(99 / ratio) / 2 for ratio in (10, 99, 990)]
    assert [one.threshold for one in found] == pytest.approx(best, abs=0.3)
    assert found[0].escapes.rate > found[1].escapes.rate > found[2].escapes.rate


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=15),
    st.lists(st.integers(-20, 20), min_size=1, max_size=15),
    st.floats(0.01, 1000),
)
def test_no_threshold_costs_less(good: list[int], bad: list[int], ratio: float) -> None:
    found = suggest_threshold(good, bad, cost_ratio=ratio, defect_share=0.1)

    def cost(threshold: float) -> float:
        escaped = float(np.mean(np.array(bad) <= threshold))
        return 0.1 * ratio * escaped + 0.9 * float(np.mean(np.array(good) > threshold))

    tried = [cost(threshold / 2) for threshold in range(-50, 50)]
    assert cost(found.threshold) == pytest.approx(found.cost)
    assert found.cost <= min(tried) + 1e-9


@pytest.mark.parametrize(
    ("good", "bad", "ratio", "share", "message"),
    [
        ([], [1.0], 1.0, 0.1, "at least one good part"),
        ([1.0], [], 1.0, 0.1, "at least one defective part"),
        ([1.0], [float("nan")], 1.0, 0.1, "every score finite"),
        ([1.0], [2.0], 0.0, 0.1, r"the cost ratio is 0\.0: it is above 0"),
        ([1.0], [2.0], 1.0, 1.0, r"the share of defects is 1\.0"),
    ],
)
def test_bad_input_is_refused(
    good: list[float], bad: list[float], ratio: float, share: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        suggest_threshold(good, bad, cost_ratio=ratio, defect_share=share)


@pytest.mark.parametrize(
    ("count", "total", "confidence", "message"),
    [
        (0, 0, 0.95, "0 of 0 parts is no share"),
        (3, 2, 0.95, "3 of 2 parts is no share"),
        (1, 2, 0.4, r"the confidence is 0\.4"),
    ],
)
def test_shares_of_nothing_are_refused(
    count: int, total: int, confidence: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        proportion(count, total, confidence=confidence)

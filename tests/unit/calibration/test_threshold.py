"""The promise of a threshold holds as often as it says, for any distribution of scores."""

from collections.abc import Callable

import numpy as np
import pytest

from calibration.threshold import tolerance_limit
from edge.errors import ConfigError

Draw = Callable[[np.random.Generator, int], np.ndarray]

DISTRIBUTIONS: dict[str, tuple[Draw, Callable[[float], float]]] = {
    "uniform": (lambda r, n: r.random(n), lambda t: 1 - t),
    "exponential": (lambda r, n: r.exponential(size=n), lambda t: float(np.exp(-t))),
    "pareto": (lambda r, n: r.pareto(1.0, n), lambda t: 1 / (1 + t)),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("parts", "rate"), [(20, 0.2), (100, 0.05), (300, 0.01)])
def test_the_promised_rate_holds_at_the_confidence(
    distribution: str, parts: int, rate: float
) -> None:
    draw, exceeded = DISTRIBUTIONS[distribution]
    random = np.random.default_rng(1)
    trials = 1500
    kept = 0
    for _ in range(trials):
        limit = tolerance_limit(
            draw(random, parts).tolist(), false_reject_rate=rate, confidence=0.9
        )
        kept += exceeded(limit.threshold) <= limit.bound
        assert limit.is_met
    assert kept / trials >= 0.9 - 3 * (0.9 * 0.1 / trials) ** 0.5


def test_it_is_the_lowest_score_that_keeps_the_promise() -> None:
    scores = [float(n) for n in range(1, 301)]
    limit = tolerance_limit(scores, false_reject_rate=0.05, confidence=0.95)
    assert limit.threshold == limit.rank < 300
    assert limit.bound <= 0.05
    lower = tolerance_limit(scores, false_reject_rate=limit.bound, confidence=0.95)
    assert lower.rank == limit.rank


@pytest.mark.parametrize(
    ("parts", "bound"), [(6, 0.393038), (59, 0.049505), (299, 0.009969), (2995, 0.000999764)]
)
def test_too_few_parts_support_the_maximum_and_its_bound(parts: int, bound: float) -> None:
    """One minus the n-th root of 0.05: about 3 / n."""
    scores = np.random.default_rng(0).normal(size=parts).tolist()
    limit = tolerance_limit(scores, false_reject_rate=1e-6, confidence=0.95)
    assert limit.threshold == max(scores)
    assert limit.bound == pytest.approx(bound, rel=1e-4)
    assert not limit.is_met


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299), (0.001, 2995)])
def test_it_says_how_many_parts_the_target_needs(rate: float, needed: int) -> None:
    enough = tolerance_limit([0.0] * needed, false_reject_rate=rate, confidence=0.95)
    short = tolerance_limit([0.0] * (needed - 1), false_reject_rate=rate, confidence=0.95)
    assert enough.parts_needed == needed
    assert enough.is_met
    assert not short.is_met


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        ([], 0.01, "at least one good part"),
        ([1.0, float("nan")], 0.01, "finite scores"),
        ([1.0], 0.0, "the false reject rate is 0.0: it lies between 0 and 1"),
        ([1.0], 1.5, r"the false reject rate is 1\.5"),
    ],
)
def test_bad_input_is_refused(scores: list[float], rate: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tolerance_limit(scores, false_reject_rate=rate, confidence=0.95)

"""The promise of a threshold holds as often as it says, for any distribution of scores."""

import random as random_module
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calibration.curve import SliderPoint, ThresholdCurve
from calibration.lots import lot_limit
from calibration.tolerance import part_scores, review_limits, tolerance_limit
from inspection.errors import ConfigError

Draw = Callable[[np.random.Generator, int], np.ndarray]
Draws = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

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
    assert replace(limit, target=limit.bound).is_met


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


@pytest.mark.parametrize(
    ("rate", "needed"),
    [(0.05, 59), (0.01, 299), (0.001, 2995), (1 - 0.05 ** (1 / 32.5), 33)],
)
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
        ([1.0], 0.0, "the false reject rate is 0.0: choose it between 0 and 1"),
        ([1.0], 1.5, r"the false reject rate is 1\.5"),
    ],
)
def test_bad_input_is_refused(scores: list[float], rate: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tolerance_limit(scores, false_reject_rate=rate, confidence=0.95)


# Whole numbers: a library in the same process may have switched subnormal numbers off, and then
# hypothesis gives no floats around zero.
SCORES = st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 1000), min_size=1, max_size=60)
PLACES = st.integers(0, 1000).map(lambda n: n / 1000)


# --- Coverage over many draws at once -----------------------------------------------------------


def bimodal_sf(t: np.ndarray) -> np.ndarray:
    return np.asarray(0.8 * stats.norm.sf(t) + 0.2 * stats.norm.sf(t, 6, 0.5))


SHAPES: dict[str, tuple[Draws, Callable[[np.ndarray], np.ndarray]]] = {
    "normal": (lambda r, s: r.normal(size=s), stats.norm.sf),
    "lognormal": (lambda r, s: np.exp(r.normal(size=s)), lambda t: stats.lognorm.sf(t, 1)),
    "gamma": (lambda r, s: r.gamma(2, size=s), lambda t: stats.gamma.sf(t, 2)),
    "bimodal": (
        lambda r, s: np.where(r.random(s) < 0.8, r.normal(size=s), r.normal(6, 0.5, s)),
        bimodal_sf,
    ),
    "ties": (lambda r, s: r.poisson(3, s).astype(float), lambda t: stats.poisson.sf(t, 3)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("parts", "rate"), [(60, 0.05), (250, 0.02)])
def test_the_promise_holds_over_shapes_of_scores(shape: str, parts: int, rate: float) -> None:
    draw, exceeded = SHAPES[shape]
    trials = 4000
    scores = np.sort(draw(np.random.default_rng(2), (trials, parts)), axis=1)
    limit = tolerance_limit(range(parts), false_reject_rate=rate, confidence=0.95)
    assert limit.is_met
    kept = np.mean(exceeded(scores[:, limit.rank - 1]) <= rate)
    error = 3 * (0.95 * 0.05 / trials) ** 0.5
    assert kept >= 0.95 - error
    if shape != "ties":  # and is no larger than the number of parts makes it
        exact = stats.beta.cdf(rate, parts - limit.rank + 1, limit.rank)
        assert kept == pytest.approx(exact, abs=error)


@settings(deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(
    scores: list[float], random: random_module.Random
) -> None:
    shuffled = random.sample(scores, len(scores))
    rates = {"false_reject_rate": 0.1, "confidence": 0.9}
    assert tolerance_limit(shuffled, **rates) == tolerance_limit(scores, **rates)


# --- Slider and review band ---------------------------------------------------------------------


@given(SCORES, st.data())
def test_the_slider_is_monotone(scores: list[float], data: st.DataObject) -> None:
    curve = ThresholdCurve.of(scores, confidence=0.9)
    first, second = sorted(data.draw(st.tuples(PLACES, PLACES)))
    low, high = curve.at(first), curve.at(second)
    assert low.reject >= high.reject
    assert low.expected <= high.expected
    assert low.bound <= high.bound
    assert low.reject in scores


def test_the_ends_of_the_slider_are_the_highest_and_the_middle_score() -> None:
    curve = ThresholdCurve.of([float(n) for n in range(1, 100)], confidence=0.95)
    assert (curve.at(0).reject, curve.at(0).expected) == (99.0, 0.01)
    assert curve.at(0).bound == pytest.approx(1 - 0.05 ** (1 / 99))
    assert curve.at(1).reject == 50.0
    assert curve.at(1).expected == pytest.approx(0.5)
    assert curve.at(0.5).expected == pytest.approx(np.sqrt(0.01 * 0.5), abs=0.01)


def test_the_position_of_a_point_is_where_the_slider_has_its_rate() -> None:
    curve = ThresholdCurve.of([float(n) for n in range(1, 100)], confidence=0.95)
    assert curve.at(0).position == curve.point_of(99.0).position == 0.0
    assert curve.at(1).position == 1.0
    assert curve.at(0.5).expected == pytest.approx(0.07)
    assert curve.at(0.5).position == pytest.approx(np.log(7) / np.log(50))
    assert curve.point_of(10.0).position == 1.0  # beyond the end
    assert ThresholdCurve.of([1.0], confidence=0.95).at(1).position == 0.0


def test_the_threshold_of_several_zones_is_the_highest() -> None:
    curve = ThresholdCurve.of_zones([[n, 10.0 * n] for n in range(1, 6)], confidence=0.95)
    first = curve.at(0)
    assert first.reject == max(first.reject_by_zone) > min(first.reject_by_zone)
    assert curve.point_of(5.0, 50.0).reject == 50.0
    assert curve.point_of(0.0, 5.0) == SliderPoint(1.0, 5.0, 1.0, 1.0, (0.0, 5.0))


def test_a_place_on_the_slider_promises_what_the_tolerance_limit_does() -> None:
    scores = np.random.default_rng(3).normal(size=300).tolist()
    limit = tolerance_limit(scores, false_reject_rate=0.03, confidence=0.95)
    point = ThresholdCurve.of(scores, confidence=0.95).point_of(limit.threshold)
    assert point.reject == limit.threshold
    assert point.bound == pytest.approx(limit.bound)


def test_the_expected_rate_is_the_mean_over_draws() -> None:
    random = np.random.default_rng(4)
    rates = [
        1 - ThresholdCurve.of(random.random(40).tolist(), confidence=0.9).at(0.4).reject
        for _ in range(1500)
    ]
    expected = ThresholdCurve.of(range(40), confidence=0.9).at(0.4).expected
    assert np.mean(rates) == pytest.approx(expected, abs=4 * np.std(rates) / 1500**0.5)


def test_a_threshold_between_scores_takes_the_rate_of_the_one_below() -> None:
    curve = ThresholdCurve.of([1.0, 2.0, 3.0], confidence=0.9)
    assert curve.point_of(2.5).expected == 0.5
    assert curve.point_of(2.5).reject == 2.5
    assert curve.point_of(0.5) == SliderPoint(1.0, 0.5, 1.0, 1.0, (0.5,))
    assert curve.point_of(9.0).expected == 0.25
    with pytest.raises(ConfigError, match=r"the slider position is 1\.2: set it from 0 to 1"):
        curve.at(1.2)


def test_the_review_band_lies_between_two_promises() -> None:
    scores = np.random.default_rng(5).normal(size=(400, 1)).tolist()
    rates = {"false_reject_rate": 0.01, "review_rate": 0.1, "confidence": 0.95}
    reject, review = review_limits(scores, **rates)
    assert reject.limit.bound <= 0.01 < review.limit.bound <= 0.1
    assert review.thresholds < reject.thresholds
    with pytest.raises(ConfigError, match=r"set it above the false reject rate 0\.1"):
        review_limits(scores, false_reject_rate=0.1, review_rate=0.1, confidence=0.95)
    with pytest.raises(ConfigError, match="the review rate is 5: choose it between 0 and 1"):
        review_limits(scores, **(rates | {"review_rate": 5}))


@pytest.mark.parametrize(
    ("rates", "zones", "parts", "needed"),
    [
        ((0.01, 0.05), 1, 20, 93),
        ((0.01, 0.05), 1, 92, 93),
        ((0.01, 0.05), 2, 60, 124),
        ((0.01, 0.012), 1, 93, 644),
    ],
)
def test_too_few_parts_for_a_band_say_how_many_make_one(
    rates: tuple[float, float], zones: int, parts: int, needed: int
) -> None:
    scores = np.random.default_rng(5).normal(size=(needed, zones)).tolist()
    targets = {"false_reject_rate": rates[0], "review_rate": rates[1], "confidence": 0.95}
    for count in (parts, needed - 1):
        with pytest.raises(ConfigError, match=f"raise the review rate, or bring {needed} good"):
            review_limits(scores[:count], **targets)
    reject, review = review_limits(scores, **targets)
    assert review.thresholds < reject.thresholds


@pytest.mark.parametrize(
    ("scores", "rate", "mend"),
    [
        ([1.0] * 200, 0.05, "several good parts have this score: raise the review rate"),
        (list(range(60)), 0.0100001, "the rates are too near to each other: raise the review rate"),
    ],
)
def test_no_number_of_parts_makes_this_band(scores: list[float], rate: float, mend: str) -> None:
    with pytest.raises(ConfigError, match=f"; {mend}$"):
        review_limits(
            [(score,) for score in scores],
            false_reject_rate=0.01,
            review_rate=rate,
            confidence=0.95,
        )


# --- Parts of several frames, parts of lots -----------------------------------------------------


def test_a_part_scores_as_its_highest_frame() -> None:
    assert part_scores([1.0, 5.0, -3.0, 2.0], ["b", "a", "c", "b"]) == {"b": 2.0, "a": 5.0, "c": -3}
    with pytest.raises(ConfigError, match="1 scores and 2 names of parts"):
        part_scores([1.0], ["a", "b"])


def lots_of(
    random: np.random.Generator, lots: int, parts: int, correlation: float
) -> tuple[list[float], list[str]]:
    """Standard normal scores; those of one lot share part of their value."""
    lot = correlation**0.5 * random.normal(size=(lots, 1))
    scores = lot + (1 - correlation) ** 0.5 * random.normal(size=(lots, parts))
    return scores.ravel().tolist(), [str(number) for number in np.repeat(np.arange(lots), parts)]


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7])
def test_the_promise_holds_for_parts_of_new_lots(correlation: float) -> None:
    random = np.random.default_rng(6)
    trials = 300
    kept = of_lots = parts_alone = 0
    for _ in range(trials):
        scores, lots = lots_of(random, 20, 10, correlation)
        limit = lot_limit(scores, lots, false_reject_rate=0.05, confidence=0.9)
        true_rate = stats.norm.sf(limit.threshold)
        kept += true_rate <= max(limit.bound, 0.05)
        of_lots += true_rate <= limit.bound_of_lots
        naive = tolerance_limit(scores, false_reject_rate=0.05, confidence=0.9)
        parts_alone += stats.norm.sf(naive.threshold) <= 0.05
    error = 3 * (0.9 * 0.1 / trials) ** 0.5
    assert kept / trials >= 0.9 - error
    assert of_lots / trials >= 0.9 - error
    if correlation == 0.7:  # taking the parts for independent does break the promise
        assert parts_alone / trials < 0.9 - error


def test_one_bad_lot_in_ten_does_not_break_the_promise() -> None:
    random = np.random.default_rng(7)
    kept = 0
    names = [str(number) for number in np.repeat(np.arange(20), 10)]
    for _ in range(300):
        bad = 2.5 * (random.random((20, 1)) < 0.1)
        scores = (random.normal(size=(20, 10)) + bad).ravel().tolist()
        limit = lot_limit(scores, names, false_reject_rate=0.05, confidence=0.9)
        rate = 0.9 * stats.norm.sf(limit.threshold) + 0.1 * stats.norm.sf(limit.threshold - 2.5)
        kept += rate <= max(limit.bound, 0.05)
    assert kept / 300 >= 0.9 - 3 * (0.9 * 0.1 / 300) ** 0.5


def test_parts_that_repeat_their_lot_count_as_one() -> None:
    scores = np.repeat(np.random.default_rng(8).normal(size=30), 10).tolist()
    lots = [str(number) for number in np.repeat(np.arange(30), 10)]
    limit = lot_limit(scores, lots, false_reject_rate=0.01, confidence=0.95)
    assert limit.effective_parts == pytest.approx(29, rel=0.1)
    assert limit.bound_of_lots == pytest.approx(1 - 0.05 ** (1 / 30))
    assert limit.threshold == max(scores)
    assert not limit.is_met


def test_lots_that_do_not_differ_cost_little() -> None:
    scores, lots = lots_of(np.random.default_rng(9), 60, 10, 0.0)
    limit = lot_limit(scores, lots, false_reject_rate=0.05, confidence=0.95)
    assert 150 < limit.effective_parts <= 600
    assert limit.bound <= 0.05 < limit.bound_of_lots
    with pytest.raises(ConfigError, match="the scores come from 4 lots"):
        lot_limit(scores[:40], lots[:40], false_reject_rate=0.05, confidence=0.95)

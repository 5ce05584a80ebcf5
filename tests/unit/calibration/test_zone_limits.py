"""Thresholds of several zones with one promise for all of them, and the slider over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.curve import ThresholdCurve
from calibration.tolerance import (
    parts_needed,
    target_of,
    tolerance_limit,
    zone_limit,
    zone_thresholds,
)
from inspection.errors import ConfigError

SCORES = st.lists(st.integers(-50, 50).map(lambda n: n / 10), min_size=1, max_size=40)
TABLES = st.integers(1, 4).flatmap(
    lambda zones: st.lists(
        st.tuples(*[st.integers(-20, 20).map(float)] * zones), min_size=zones, max_size=30
    )
)
# The zones of a part: independent, driven by one cause, or one high when the other is low.
MIXES = {
    "independent": np.eye(3),
    "alike": np.linalg.cholesky(np.full((3, 3), 0.9) + 0.1 * np.eye(3)),
    "opposed": np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 1.0]]),
}


@given(SCORES)
def test_with_one_zone_the_thresholds_are_the_falling_scores(scores: list[float]) -> None:
    steps = zone_thresholds([(score,) for score in scores])
    assert steps[:, 0].tolist() == sorted(scores, reverse=True)


@given(TABLES)
def test_each_step_takes_away_the_highest_part_of_the_next_zone(
    values: list[tuple[float, ...]],
) -> None:
    table = np.array(values)
    left, current, expected = list(range(len(table))), [np.inf] * table.shape[1], []
    for number in range(len(table)):
        zone = number % table.shape[1]
        taken = max(left, key=lambda part: table[part, zone])
        left.remove(taken)
        current[zone] = table[taken, zone]
        expected.append(list(current))
    steps = zone_thresholds(values)
    assert steps.tolist() == expected[table.shape[1] - 1 :]
    assert (np.diff(steps, axis=0) <= 0).all()  # so that every step rejects what the last one did
    for taken_away, thresholds in enumerate(steps, start=table.shape[1]):
        assert (table > thresholds).any(axis=1).sum() <= taken_away


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("parts", [40, 250])
def test_the_promise_holds_for_all_zones_together(mix: str, parts: int) -> None:
    """Simulated: how often the false reject rate of new parts is within the bound."""
    random, confidence, trials = np.random.default_rng(3), 0.9, 250
    new = random.normal(size=(8_000, 3)) @ MIXES[mix].T
    rates = []
    for _ in range(trials):
        good = random.normal(size=(parts, 3)) @ MIXES[mix].T
        found = zone_limit(good.tolist(), false_reject_rate=0.05, confidence=confidence)
        rates.append((new > found.thresholds).any(axis=1).mean())
    kept = np.mean(np.array(rates) <= found.limit.bound)
    error = 3 * (confidence * (1 - confidence) / trials) ** 0.5
    assert kept >= confidence - error
    assert kept <= confidence + 0.1  # and not by being wasteful: 1 when thresholds are too high
    assert found.limit.is_met == (parts == 250)


@pytest.mark.parametrize(("zones", "needed"), [(1, 299), (2, 473), (3, 628)])
def test_zones_cost_parts(zones: int, needed: int) -> None:
    assert parts_needed(0.01, 0.95, zones) == needed
    rates = {"false_reject_rate": 0.01, "confidence": 0.95}
    enough = zone_limit(np.random.default_rng(0).random((needed, zones)).tolist(), **rates)
    short = zone_limit(np.random.default_rng(0).random((needed - 1, zones)).tolist(), **rates)
    assert enough.limit.is_met
    assert not short.limit.is_met
    assert short.limit.parts_needed == needed
    assert short.limit.rank == needed - zones  # as few parts as zones are taken away


def test_more_zones_than_parts_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        zone_limit([(1.0, 2.0)], false_reject_rate=0.1, confidence=0.9)
    assert str(caught.value) == "2 zones need at least as many good parts, and there are 1"


def test_the_slider_moves_all_zones() -> None:
    good = np.random.default_rng(8).normal(size=(99, 2)) * [1, 10]
    curve = ThresholdCurve.of_zones(good.tolist(), confidence=0.95)
    least, most = curve.at(0), curve.at(1)
    assert least.expected == 0.02  # two parts of 99 taken away, of 100 places for the next
    assert most.expected == 0.5
    assert np.less(most.reject_by_zone, least.reject_by_zone).all()
    found = zone_limit(good.tolist(), false_reject_rate=0.2, confidence=0.95)
    point = curve.point_of(*found.thresholds)
    assert point.reject_by_zone == found.thresholds
    assert point.bound == found.limit.bound
    above = curve.point_of(*(threshold + 0.001 for threshold in found.thresholds))
    assert above.bound == found.limit.bound
    assert curve.point_of(found.thresholds[0], -1e9).bound == 1


def test_a_single_zone_is_an_order_statistic() -> None:
    scores = np.random.default_rng(2).normal(size=80).tolist()
    limit = tolerance_limit(scores, false_reject_rate=0.1, confidence=0.9)
    assert limit.threshold == sorted(scores)[limit.rank - 1]


@pytest.mark.parametrize("zones", [1, 3])
@pytest.mark.parametrize("count", [7, 299, 1000])
def test_the_bound_of_a_place_of_the_slider_gives_its_thresholds_again(
    zones: int, count: int
) -> None:
    values = np.random.default_rng(count).normal(size=(count, zones)).tolist()
    curve = ThresholdCurve.of_zones(values, confidence=0.95)
    for position in np.linspace(0, 1, 21):
        point = curve.at(position)
        again = zone_limit(values, false_reject_rate=target_of(point.bound), confidence=0.95)
        assert again.limit.is_met
        assert again.thresholds == point.reject_by_zone

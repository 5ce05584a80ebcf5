"""The charts step by step: what they add up, when they alarm, and what they call it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from inspection.drift.baseline import Baseline
from inspection.drift.charts import ChannelState, ChartAlarm, normal_score, update

FAR = 2.5758  # normal score of a value beyond 99 good parts: the quantile of 0.995
MIDDLE, ABOVE, BELOW = 49.0, 500.0, -500.0


def baseline(*channels: str, **limits: Any) -> Baseline:
    """Returns a baseline of 99 good parts, with charts that never alarm unless a limit is given."""
    never: dict[str, Any] = {"cusum_limit": 1e9, "ewma_limit": 1e9, "window": 10**6}
    parts = tuple(float(number) for number in range(99))
    return Baseline(
        values=dict.fromkeys(channels or ("score",), parts),
        run_length=1000,
        slack=0.5,
        weight=0.1,
        **(never | {"window_limit": 1.0} | limits),
    )


def alarms(of: Baseline, values: Sequence[float]) -> tuple[list[list[ChartAlarm]], ChannelState]:
    state: dict[str, ChannelState] = {}
    found = [update(of, state, {"score": value}) for value in values]
    return found, state["score"]


def test_a_value_counts_by_its_rank_among_the_good_parts() -> None:
    parts = (1.0, 2.0, 2.0, 3.0)
    assert normal_score(parts, 2.0) == 0.0
    assert normal_score(parts, 9.0) == pytest.approx(1.2816, abs=1e-4)  # 4.5 of 5
    assert normal_score(parts, 0.0) == pytest.approx(-1.2816, abs=1e-4)


@pytest.mark.parametrize(("value", "direction"), [(ABOVE, 1), (BELOW, -1)])
def test_a_cusum_adds_what_is_beyond_the_slack_and_begins_anew(
    value: float, direction: int
) -> None:
    values = [MIDDLE, value, MIDDLE, value, value, value]
    found, state = alarms(baseline(cusum_limit=3 * FAR - 4 * 0.5 - 0.01), values)
    alarm = ChartAlarm("score", "texture", "cusum", direction, 4)
    assert found == [[], [], [], [], [alarm], []]
    sums = (state.up, state.down) if direction > 0 else (state.down, state.up)
    assert sums == pytest.approx((FAR - 0.5, 0.0), abs=1e-3)
    assert (state.parts_up, state.parts_down) == ((1, 0) if direction > 0 else (0, 1))


@pytest.mark.parametrize(("value", "direction"), [(ABOVE, 1), (BELOW, -1)])
def test_an_ewma_alarms_beyond_its_limit_and_begins_anew(value: float, direction: int) -> None:
    second = FAR * (1 - 0.9**2)
    found, state = alarms(baseline(ewma_limit=second - 0.01), [value] * 3)
    assert found == [[], [ChartAlarm("score", "texture", "ewma", direction, 10)], []]
    assert state.smooth == pytest.approx(math.copysign(FAR * 0.1, value), abs=1e-3)


def test_an_ewma_forgets_what_it_has_seen() -> None:
    _, state = alarms(baseline(), [ABOVE, ABOVE, MIDDLE])
    assert state.smooth == pytest.approx(FAR * (1 - 0.9**2) * 0.9, abs=1e-3)


def test_a_full_window_of_another_shape_alarms() -> None:
    watched = baseline(window=3, window_limit=0.5)
    found, state = alarms(watched, [24.0, MIDDLE, 74.0, ABOVE, BELOW, ABOVE])
    assert found == [[], [], [], [], [], [ChartAlarm("score", "texture", "window", 0, 3)]]
    assert state.window == []


def test_a_change_is_called_by_its_cause_and_causes_come_first() -> None:
    watched = baseline("score", "sharpness", "brightness", cusum_limit=1.0)
    channels = ("score", "sharpness", "brightness")
    for value, names in (
        (ABOVE, ["light", "texture", "texture"]),
        (BELOW, ["light", "focus", "texture"]),
    ):
        found = update(watched, {}, dict.fromkeys(channels, value))
        assert [alarm.moved for alarm in found] == names


def test_another_shape_of_the_sharpness_is_called_focus() -> None:
    watched = baseline("sharpness", window=1, window_limit=0.5)
    (alarm,) = update(watched, {}, {"sharpness": ABOVE})
    assert (alarm.moved, alarm.direction) == ("focus", 0)


def test_channels_of_one_side_alone_are_left_out() -> None:
    state: dict[str, ChannelState] = {}
    assert update(baseline("score", "row"), state, {"score": MIDDLE, "column": 3.0}) == []
    assert state.keys() == {"score"}

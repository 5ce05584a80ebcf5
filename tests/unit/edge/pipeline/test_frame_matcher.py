"""Frames that a closed part still owes: how long, to whom, and when they are forgiven."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from edge.part.trigger import Trigger
from edge.pipeline.frame_matcher import FrameMatcher, WaitingPart
from tests.doubles.pipelines import FakeInspector

LIMIT_NS = 100
VIEW = "top"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def matcher_of(clock: Clock, *, by_frames: bool = False) -> FrameMatcher:
    return FrameMatcher(LIMIT_NS, by_frames=by_frames, clock_ns=clock)


def part_at(now_ns: int) -> WaitingPart:
    """Returns a part of one view that waits for its frame within the limit."""
    trigger = Trigger(
        trigger_id=f"test-{now_ns:06}",
        triggered_utc=datetime.now(timezone.utc),
        triggered_ns=now_ns,
        frames_due_ns=now_ns + LIMIT_NS,
        deadline_ns=now_ns + 10 * LIMIT_NS,
        recipes={},
    )
    return WaitingPart(trigger, {VIEW: FakeInspector()}, {VIEW})


def test_a_part_waits_until_its_time_is_over(clock: Clock) -> None:
    matcher, part = matcher_of(clock), part_at(clock.now_ns)
    matcher.begin(part)
    clock.now_ns += LIMIT_NS - 1
    assert matcher.part is part
    clock.now_ns += 1
    assert matcher.part is None


def test_a_part_that_nobody_asks_for_again_owes_its_frame_for_one_more_limit(clock: Clock) -> None:
    matcher = matcher_of(clock)
    matcher.begin(part_at(clock.now_ns))
    assert not matcher.owes(VIEW)
    clock.now_ns += LIMIT_NS
    assert matcher.owes(VIEW)
    clock.now_ns += LIMIT_NS - 1
    assert matcher.owes(VIEW)
    clock.now_ns += 1
    assert not matcher.owes(VIEW)


def test_an_owed_frame_comes_once(clock: Clock) -> None:
    matcher, part = matcher_of(clock), part_at(clock.now_ns)
    matcher.begin(part)
    matcher.begin(part_at(clock.now_ns + 1))
    assert matcher.was_owed(VIEW, clock.now_ns + 2)
    assert part.lacking == set()
    assert not matcher.was_owed(VIEW, clock.now_ns + 3)


def test_a_lost_camera_owes_nothing(clock: Clock) -> None:
    matcher, first, second = matcher_of(clock), part_at(clock.now_ns), part_at(clock.now_ns + 1)
    matcher.begin(first)
    matcher.begin(second)
    matcher.begin(part_at(clock.now_ns + 2))
    matcher.forgive(VIEW)
    assert not matcher.owes(VIEW)
    assert first.lacking == second.lacking == set()


def test_the_end_of_an_exposure_moves_the_debt_of_its_part_alone(clock: Clock) -> None:
    matcher, first, second = matcher_of(clock), part_at(clock.now_ns), part_at(clock.now_ns + 1)
    matcher.begin(first)
    matcher.begin(second)  # the first owes from now on
    clock.now_ns += LIMIT_NS
    matcher.owe(VIEW, second)  # is over now, and its exposure too
    clock.now_ns += LIMIT_NS - 1
    matcher.owe(VIEW, second)
    clock.now_ns += LIMIT_NS - 1
    assert matcher.was_owed(VIEW, clock.now_ns)
    assert second.lacking == set()
    assert not matcher.owes(VIEW)


def test_an_exposure_that_ends_late_leaves_the_debts_of_others(clock: Clock) -> None:
    matcher, first, second = matcher_of(clock), part_at(clock.now_ns), part_at(clock.now_ns + 1)
    matcher.begin(first)
    matcher.begin(second)
    matcher.owe(VIEW, second)
    assert matcher.was_owed(VIEW, clock.now_ns + 2)
    assert first.lacking == set()
    assert matcher.was_owed(VIEW, clock.now_ns + 3)
    assert second.lacking == set()


def test_a_debt_that_is_over_leaves_later_ones(clock: Clock) -> None:
    matcher, first, second = matcher_of(clock), part_at(clock.now_ns), part_at(clock.now_ns + 1)
    matcher.begin(first)
    matcher.begin(second)
    clock.now_ns += LIMIT_NS // 2
    matcher.owe(VIEW, second)
    clock.now_ns += LIMIT_NS // 2
    assert matcher.was_owed(VIEW, clock.now_ns)
    assert (first.lacking, second.lacking) == ({VIEW}, set())


@pytest.mark.parametrize(("waited_ns", "owes"), [(LIMIT_NS - 1, True), (LIMIT_NS, False)])
def test_an_announced_part_whose_frame_was_thrown_away_owes_none_when_its_time_is_over(
    waited_ns: int, owes: bool, clock: Clock
) -> None:
    matcher, second = matcher_of(clock), part_at(clock.now_ns)
    matcher.begin(part_at(clock.now_ns))
    matcher.begin(second)
    assert matcher.was_owed(VIEW, clock.now_ns)
    clock.now_ns += waited_ns
    matcher.begin(part_at(clock.now_ns))
    assert matcher.owes(VIEW) is owes


@pytest.mark.parametrize(("apart_ns", "warnings"), [(2 * LIMIT_NS - 1, 1), (2 * LIMIT_NS, 0)])
def test_parts_within_two_limits_are_warned_of_once(
    apart_ns: int, warnings: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    matcher = matcher_of(clock)
    for number in range(3):
        matcher.watch_pace(part_at(clock.now_ns + number * apart_ns))
    assert len(caplog.messages) == warnings

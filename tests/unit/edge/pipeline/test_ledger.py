"""Each trigger is settled once, at its deadline at the latest, whatever happens in which order."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.part.frame import Frame
from edge.part.result import Settled
from edge.part.trigger import Trigger
from edge.pipeline.ledger import PARTS_MAX, Ledger
from inspection.inspector import no_verdict
from inspection.verdict import Cause, Verdict
from tests.doubles.pipelines import IDENTITY, judged

VIEWS = ("top", "side")


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def trigger(
    number: int,
    deadline_ns: int = 100,
    *,
    due_ns: int | None = None,
    views: tuple[str, ...] = VIEWS,
) -> Trigger:
    return Trigger(
        trigger_id=str(number),
        triggered_utc=datetime.now(timezone.utc),
        triggered_ns=0,
        frames_due_ns=deadline_ns if due_ns is None else due_ns,
        deadline_ns=deadline_ns,
        recipes=dict.fromkeys(views, IDENTITY),
    )


def frame() -> Frame:
    return Frame(np.zeros((8, 8), np.uint8), 0, 0, "a.png")


def taken(ledger: Ledger) -> Settled:
    settled = ledger.take(0.0)
    assert settled is not None
    return settled


def test_it_settles_once() -> None:
    ledger = Ledger(FakeClock())
    part = trigger(1)
    ledger.open(part)
    assert ledger.settle(part, no_verdict(Cause.ENGINE, "first"))
    assert not ledger.settle(part, no_verdict(Cause.ENGINE, "second"))
    ledger.close()
    assert taken(ledger).inspection.message == "first"
    assert ledger.take() is None


def test_it_expires_at_the_deadline_and_not_before() -> None:
    clock = FakeClock()
    ledger = Ledger(clock)
    early, late = trigger(1, deadline_ns=100), trigger(2, deadline_ns=200)
    ledger.open(early)
    ledger.open(late)
    clock.now_ns = 100
    first = taken(ledger)
    assert (first.trigger, first.inspection.cause) == (early, Cause.DEADLINE)
    assert not ledger.settle(early, no_verdict(Cause.ENGINE, "too late"))
    assert ledger.settle(late, no_verdict(Cause.ENGINE, "in time"))


def test_verdicts_leave_in_the_order_of_the_triggers() -> None:
    """A line that counts its parts takes the first verdict for that of the first part."""
    clock = FakeClock()
    ledger = Ledger(clock)
    parts = [trigger(number, deadline_ns=100 + number) for number in range(3)]
    for part in parts:
        ledger.open(part)
    ledger.settle(parts[1], no_verdict(Cause.OVERTRIGGER, "too fast"))
    assert ledger.take(0.0) is None
    ledger.settle(parts[0], judged(Verdict.PASS))
    assert [taken(ledger).trigger, taken(ledger).trigger] == parts[:2]
    assert not ledger.is_crowded
    clock.now_ns = parts[2].deadline_ns
    assert taken(ledger).trigger is parts[2]


@pytest.mark.parametrize(
    ("top", "side", "verdict", "decisive"),
    [
        ("PASS", "PASS", "PASS", "top"),
        ("PASS", "REVIEW", "REVIEW", "side"),
        ("REVIEW", "NO_VERDICT", "NO_VERDICT", "side"),
        ("NO_VERDICT", "REJECT", "REJECT", "side"),
        ("REJECT", "REJECT", "REJECT", "top"),
    ],
)
def test_the_worst_view_decides(top: str, side: str, verdict: str, decisive: str) -> None:
    ledger = Ledger(FakeClock())
    part = trigger(1)
    ledger.open(part)
    ledger.report(part, "side", judged(Verdict(side)))
    assert ledger.take(0.0) is None
    ledger.report(part, "top", judged(Verdict(top)))
    settled = taken(ledger)
    assert settled.inspection.verdict.value == verdict
    assert settled.decisive.view == decisive
    assert [result.view for result in settled.views] == list(VIEWS)


def test_a_view_without_a_frame_has_no_verdict_when_frames_are_due() -> None:
    clock = FakeClock()
    ledger = Ledger(clock)
    part = trigger(1, due_ns=50)
    ledger.open(part)
    assert ledger.attach(part, "top", frame())
    clock.now_ns = 50
    assert not ledger.attach(part, "side", frame())
    assert ledger.take(0.0) is None  # the view on top is still being judged
    ledger.report(part, "top", judged(Verdict.PASS))
    settled = taken(ledger)
    assert settled.inspection.cause is Cause.VIEW_MISSING
    assert settled.decisive.view == "side"


def test_a_part_without_any_frame_has_no_frame() -> None:
    clock = FakeClock()
    ledger = Ledger(clock)
    ledger.open(trigger(1, due_ns=50))
    clock.now_ns = 50
    settled = taken(ledger)
    assert settled.inspection.cause is Cause.NO_FRAME
    assert settled.inspection.message == "no frame within 5e-05 ms of the trigger"


def test_at_the_deadline_even_a_seen_defect_is_no_verdict() -> None:
    clock = FakeClock()
    ledger = Ledger(clock)
    part = trigger(1)
    ledger.open(part)
    ledger.report(part, "top", judged(Verdict.REJECT))
    clock.now_ns = 100
    settled = taken(ledger)
    assert settled.inspection.cause is Cause.DEADLINE
    assert [result.inspection.verdict for result in settled.views] == [
        *(Verdict.REJECT, Verdict.NO_VERDICT)
    ]


def test_a_part_that_lacks_no_frame_is_waited_for_without_a_turn_of_the_processor() -> None:
    later_ns = looks = 0

    def clock_ns() -> int:
        nonlocal looks
        looks += 1
        return time.monotonic_ns() + later_ns

    hour_ns = 3_600_000_000_000
    ledger = Ledger(clock_ns)
    due_ns = time.monotonic_ns() + hour_ns
    part = trigger(1, due_ns + hour_ns, due_ns=due_ns)
    ledger.open(part)
    assert ledger.attach(part, "top", frame())
    ledger.report(part, "side", no_verdict(Cause.CAMERA, "lost"))
    later_ns, looks = hour_ns, 0
    assert ledger.take(0.05) is None
    assert looks < 20


class LedgerMachine(RuleBasedStateMachine):
    """Any order of calls: no trigger is lost, none is settled twice, none passes unjudged."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.ledger = Ledger(self.clock)
        self.opened: list[Trigger] = []
        self.said: dict[tuple[str, str], Verdict] = {}
        self.out: list[Settled] = []

    def some(self, number: int) -> Trigger:
        return self.opened[number % len(self.opened)]

    @rule(limit=st.integers(1, 20), due=st.integers(1, 20))
    def open(self, limit: int, due: int) -> None:
        now_ns = self.clock.now_ns
        part = trigger(len(self.opened), now_ns + limit, due_ns=now_ns + min(due, limit))
        self.opened.append(part)
        self.ledger.open(part)

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99), view=st.sampled_from(VIEWS))
    def attach(self, number: int, view: str) -> None:
        self.ledger.attach(self.some(number), view, frame())

    @precondition(lambda self: self.opened)
    @rule(
        number=st.integers(0, 99),
        view=st.sampled_from(VIEWS),
        verdict=st.sampled_from([Verdict.PASS, Verdict.REJECT]),
    )
    def report(self, number: int, view: str, verdict: Verdict) -> None:
        part = self.some(number)
        if self.ledger.report(part, view, judged(verdict)):
            assert (part.trigger_id, view) not in self.said
            assert self.clock.now_ns < part.deadline_ns
            self.said[part.trigger_id, view] = verdict

    @precondition(lambda self: self.opened)
    @rule(number=st.integers(0, 99))
    def settle(self, number: int) -> None:
        self.ledger.settle(self.some(number), no_verdict(Cause.CAMERA, "lost"))

    @rule(step=st.integers(1, 10))
    def wait(self, step: int) -> None:
        self.clock.now_ns += step

    @rule()
    def take(self) -> None:
        settled = self.ledger.take(0.0)
        if settled is not None:
            self.out.append(settled)

    @invariant()
    def none_is_settled_twice(self) -> None:
        identities = [settled.trigger.trigger_id for settled in self.out]
        assert len(identities) == len(set(identities))

    @invariant()
    def they_leave_in_order(self) -> None:
        assert [settled.trigger for settled in self.out] == self.opened[: len(self.out)]

    @invariant()
    def a_pass_was_said_of_every_view(self) -> None:
        for settled in self.out:
            if settled.inspection.verdict is Verdict.PASS:
                said = {self.said[settled.trigger.trigger_id, view] for view in VIEWS}
                assert said == {Verdict.PASS}

    def teardown(self) -> None:
        self.ledger.settle_open(Cause.STOPPING, "the end")
        self.ledger.close()
        while (settled := self.ledger.take()) is not None:
            self.out.append(settled)
        self.none_is_settled_twice()
        assert len(self.out) == len(self.opened)
        assert self.ledger.is_finished


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = LedgerMachine.TestCase


def test_who_waits_for_a_note_waits_until_the_deadline_at_most() -> None:
    ledger, now_ns = Ledger(), time.monotonic_ns()
    noted, late = trigger(1, now_ns + 60_000_000_000), trigger(2, now_ns)
    for part in (noted, late):
        ledger.open(part, is_noted=False)
    threading.Timer(0.05, ledger.note, [noted]).start()
    ledger.wait_until_noted(noted)
    ledger.wait_until_noted(late)
    assert 0.04 < (time.monotonic_ns() - now_ns) / 1e9 < 30


def test_a_trigger_is_open_until_its_deadline_or_its_verdict() -> None:
    clock = FakeClock()
    ledger = Ledger(clock)
    judged_part, overdue = trigger(1), trigger(2)
    for part in (judged_part, overdue):
        ledger.open(part)
        assert ledger.is_open(part)
    ledger.settle(judged_part, judged(Verdict.PASS))
    assert not ledger.is_open(judged_part)
    clock.now_ns = overdue.deadline_ns
    assert not ledger.is_open(overdue)


def test_a_missing_frame_is_told_when_it_was_due_and_not_at_the_deadline() -> None:
    ledger, now_ns = Ledger(), time.monotonic_ns()
    ledger.open(trigger(1, now_ns + 60_000_000_000, due_ns=now_ns + 50_000_000))
    settled = ledger.take(30.0)
    assert settled is not None
    assert settled.inspection.cause is Cause.NO_FRAME
    assert (time.monotonic_ns() - now_ns) / 1e9 < 20


def test_a_closed_ledger_is_finished_when_each_verdict_was_taken() -> None:
    ledger = Ledger(FakeClock())
    part = trigger(1)
    ledger.open(part)
    assert not ledger.is_finished
    ledger.close()
    assert not ledger.is_finished
    ledger.settle(part, judged(Verdict.PASS))
    assert not ledger.is_finished
    taken(ledger)
    assert ledger.is_finished


def test_there_is_room_for_fewer_untold_verdicts_than_the_size() -> None:
    ledger = Ledger(FakeClock())
    part = trigger(1)
    ledger.open(part)
    ledger.settle(part, judged(Verdict.PASS))
    assert not ledger.wait_for_room(1, 0.0)
    assert ledger.wait_for_room(2, 0.0)
    taken(ledger)
    assert not ledger.wait_for_room(1, 0.0)
    ledger.finish()
    assert ledger.wait_for_room(1, 0.0)


def test_room_is_told_when_a_verdict_is_finished() -> None:
    ledger, part = Ledger(FakeClock()), trigger(1)
    ledger.open(part)
    ledger.settle(part, judged(Verdict.PASS))
    taken(ledger)
    started_s = time.monotonic()
    threading.Timer(0.05, ledger.finish).start()
    assert ledger.wait_for_room(1, 30.0)
    assert time.monotonic() - started_s < 20


def test_a_ledger_is_crowded_by_parts_without_a_verdict_and_by_verdicts_that_wait() -> None:
    ledger = Ledger(FakeClock())
    for number in range(PARTS_MAX):
        assert not ledger.is_crowded
        ledger.open(trigger(number))
    assert ledger.is_crowded
    ledger.settle(trigger(0), judged(Verdict.PASS))
    assert ledger.is_crowded
    taken(ledger)
    assert not ledger.is_crowded


def test_who_waits_for_a_verdict_can_be_woken_before_or_while_he_waits() -> None:
    ledger, started_s = Ledger(), time.monotonic()
    ledger.wake()
    assert ledger.take(60.0) is None
    threading.Timer(0.05, ledger.wake).start()
    assert ledger.take(60.0) is None
    assert time.monotonic() - started_s < 30

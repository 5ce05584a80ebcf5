"""The bits between station and PLC: never both verdicts, safe after every failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.line import StationState
from edge.line.handshake import (
    SEQUENCE_MAX,
    STATE_BITS,
    VERDICT_BITS,
    Bits,
    Handshake,
    fresh_sequence,
)
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from inspection.verdict import Verdict

MS = 1_000_000
VERDICTS = Bits.PASS | Bits.REJECT | Bits.NO_VERDICT | Bits.REVIEW


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * MS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def record(make_settled: Callable[..., Settled]) -> InspectionRecord:
    return record_from_settled(make_settled(1))


def handshake(*, acknowledged: bool = True, clock: Clock | None = None) -> Handshake:
    return Handshake(acknowledged=acknowledged, hold_ms=200.0, clock_ns=clock or Clock())


def test_it_begins_in_the_safe_state() -> None:
    assert handshake().signals.bits == Bits(0)
    assert handshake().signals.sequence == 0


@pytest.mark.parametrize("verdict", list(Verdict))
def test_each_verdict_has_its_bits(record: InspectionRecord, verdict: Verdict) -> None:
    signals = handshake().result(record.model_copy(update={"verdict": verdict}))
    assert signals.bits & VERDICTS == VERDICT_BITS[verdict]
    assert Bits.RESULT_VALID in signals.bits
    assert (signals.trigger_id, signals.sequence) == ("test-000001", 1)


def test_no_verdict_is_neither_pass_nor_reject() -> None:
    assert not VERDICT_BITS[Verdict.NO_VERDICT] & (Bits.PASS | Bits.REJECT)
    assert VERDICT_BITS[Verdict.REVIEW] & (Bits.PASS | Bits.REJECT) == Bits.REJECT


def test_only_the_number_of_the_part_acknowledges_it(record: InspectionRecord) -> None:
    shake = handshake()
    shake.show(StationState.READY)
    assert not shake.takes(0)
    shake.result(record)
    shake.result(record)
    assert not shake.takes(1)
    assert Bits.RESULT_VALID in shake.signals.bits
    assert shake.takes(2)
    assert shake.signals.bits & ~Bits.HEARTBEAT == Bits.READY
    assert shake.signals.trigger_id == ""
    assert not shake.takes(2)


def test_busy_ends_with_the_verdict(record: InspectionRecord) -> None:
    shake = handshake()
    shake.show(StationState.BUSY)
    assert shake.result(record).bits & (Bits.BUSY | Bits.READY) == Bits.READY


def test_a_fault_goes_on_beside_a_verdict(record: InspectionRecord) -> None:
    shake = handshake()
    shake.show(StationState.FAULT)
    assert shake.result(record).bits & (Bits.FAULT | Bits.READY) == Bits.FAULT


def test_a_verdict_nobody_acknowledges_stands_for_a_while(record: InspectionRecord) -> None:
    clock = Clock()
    shake = handshake(acknowledged=False, clock=clock)
    shown = shake.result(record).bits & ~Bits.HEARTBEAT
    clock.now_ns += 199 * MS
    assert shake.show(StationState.READY).bits & ~Bits.HEARTBEAT == shown | Bits.READY
    assert shake.signals.trigger_id == "test-000001"
    clock.now_ns += 1 * MS
    assert shake.show(StationState.READY).bits & ~Bits.HEARTBEAT == Bits.READY
    assert shake.signals.trigger_id == ""


def test_the_next_verdict_waits_for_one_that_nobody_acknowledges(record: InspectionRecord) -> None:
    clock = Clock()
    shake = handshake(acknowledged=False, clock=clock)
    assert shake.held_s == 0
    shake.result(record)
    clock.now_ns += 50 * MS  # the PLC answers slowly
    shake.begin_hold()
    clock.now_ns += 190 * MS
    assert shake.held_s == pytest.approx(0.01)
    clock.now_ns += 20 * MS
    assert shake.held_s == 0
    shake.result(record)
    shake.show(StationState.FAULT)  # takes it back
    assert shake.held_s == 0


def test_the_next_verdict_waits_for_no_acknowledged_one(record: InspectionRecord) -> None:
    shake = handshake()
    shake.result(record)
    assert shake.held_s == 0


def test_a_verdict_stands_beside_the_heartbeat_of_a_fault(record: InspectionRecord) -> None:
    clock = Clock()
    shake = handshake(acknowledged=False, clock=clock)
    shake.show(StationState.FAULT)
    shake.result(record)
    clock.now_ns += 199 * MS
    assert Bits.RESULT_VALID in shake.show(StationState.FAULT).bits
    clock.now_ns += 1 * MS
    assert shake.show(StationState.FAULT).bits & ~Bits.HEARTBEAT == Bits.FAULT


@pytest.mark.parametrize("state", [StationState.BUSY, StationState.FAULT])
def test_busy_and_fault_take_a_verdict_back(record: InspectionRecord, state: StationState) -> None:
    shake = handshake(acknowledged=False)
    shake.result(record)
    assert shake.show(state).bits & ~Bits.HEARTBEAT == STATE_BITS[state]


def test_the_safe_state_has_a_fault_after_a_failure_alone() -> None:
    assert handshake().safe(fault=True).bits & ~Bits.HEARTBEAT == Bits.FAULT
    assert handshake().safe(fault=False).bits & ~Bits.HEARTBEAT == Bits(0)


def test_numbers_go_round_without_the_nought(record: InspectionRecord) -> None:
    shake = Handshake(acknowledged=True, hold_ms=200.0, sequence=SEQUENCE_MAX)
    assert shake.result(record).sequence == 1


@pytest.mark.parametrize("before", [0, 1, 65000, 65535])
def test_a_restart_jumps_over_what_may_still_be_on_its_way(before: int) -> None:
    shake = handshake()
    shake.continue_from(before)
    number = shake.signals.sequence
    assert 1 <= number <= SEQUENCE_MAX
    assert (number - before) % SEQUENCE_MAX == 256
    shake.continue_from(7)
    assert shake.signals.sequence == number


def test_an_acknowledge_of_the_number_before_the_next_part_is_of_no_part_to_come() -> None:
    shake = handshake()
    shake.continue_from(0, acknowledged=256)
    assert shake.signals.sequence == 256


@pytest.mark.parametrize("kept", [257, 258, 512])
def test_an_acknowledge_that_outlived_the_block_confirms_no_part(
    record: InspectionRecord, kept: int
) -> None:
    shake = handshake()
    shake.continue_from(0, acknowledged=kept)
    for _ in range(2 * 256):
        shake.result(record)
        assert not shake.takes(kept)


@pytest.mark.parametrize(("seconds", "number"), [(0, 1), (1, 2), (-1, SEQUENCE_MAX)])
def test_a_fresh_number_is_in_range(
    seconds: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.line.handshake.time.time", lambda: 27_000 * SEQUENCE_MAX + seconds)
    assert fresh_sequence() == number


_CALLS: Any = st.lists(
    st.one_of(
        st.sampled_from(Verdict),
        st.sampled_from(StationState),
        st.booleans(),
        st.integers(0, 5),
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(calls=_CALLS, acknowledged=st.booleans())
def test_whatever_happens(record: InspectionRecord, calls: list[Any], acknowledged: bool) -> None:
    clock = Clock()
    shake = handshake(acknowledged=acknowledged, clock=clock)
    for call in calls:
        before = shake.signals
        if isinstance(call, Verdict):
            shake.result(record.model_copy(update={"verdict": call}))
            assert shake.signals.sequence == before.sequence + 1
        elif isinstance(call, StationState):
            shake.show(call)
        elif isinstance(call, bool):
            shake.safe(fault=call)
            assert not shake.signals.bits & (VERDICTS | Bits.READY | Bits.RESULT_VALID)
        elif not shake.takes(call):
            continue
        clock.now_ns += 90 * MS
        bits = shake.signals.bits
        assert (bits ^ before.bits) & Bits.HEARTBEAT
        assert bits & (Bits.PASS | Bits.REJECT) != Bits.PASS | Bits.REJECT
        assert bool(bits & VERDICTS) == (Bits.RESULT_VALID in bits)
        assert len([bit for bit in STATE_BITS.values() if bit in bits]) <= 1
        assert bool(shake.signals.trigger_id) == (Bits.RESULT_VALID in bits)

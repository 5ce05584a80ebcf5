"""The link opens a failed output again, after growing pauses; the output counts every part."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from edge.line.base import NotTakenError, StationState
from edge.line.link import Link
from edge.part.record import InspectionRecord
from inspection.errors import LineError

MakeRecord = Callable[..., InspectionRecord]


class Plc:
    """Remembers calls; `is_down` makes every one of them fail."""

    def __init__(self) -> None:
        self.is_down = False
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.is_down:
            raise LineError("no way to the PLC" if name == "open" else "the PLC does not answer")

    def open(self) -> None:
        self._call("open")

    def send(self, record: InspectionRecord) -> None:
        self._call(f"send {record.trigger_id}")

    def show(self, state: StationState) -> None:
        self._call(f"show {state.value}")

    def close(self) -> None:
        self.calls.append("close")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def plc() -> Plc:
    return Plc()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def link(plc: Plc, clock: Clock) -> Link:
    return Link(plc, clock)


def fail(link: Link, record: InspectionRecord) -> None:
    with pytest.raises(LineError, match="the PLC does not answer"):
        link.send(record)


def test_every_part_is_sent_while_the_output_is_down(
    plc: Plc, link: Link, make_record: MakeRecord
) -> None:
    plc.is_down = True
    for number in (1, 2, 3):
        fail(link, make_record(number))
    assert plc.calls == ["send test-000001", "send test-000002", "send test-000003"]
    assert not link.is_up


def test_a_verdict_that_the_line_need_not_take_is_no_loss_of_the_output(
    plc: Plc, link: Link, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: InspectionRecord) -> None:
        raise NotTakenError("modbus", record.trigger_id)

    monkeypatch.setattr(plc, "send", refuse)
    with pytest.raises(NotTakenError, match="modbus: the verdict of test-000001 was not ack"):
        link.send(make_record(1))
    assert link.is_up
    link.show(StationState.READY)
    assert plc.calls == ["show ready"]


class UnpolledServer(Plc):
    """Can be opened at any time, and nobody takes a verdict from it."""

    is_open = False

    def open(self) -> None:
        self.is_open = True

    def send(self, record: InspectionRecord) -> None:
        was_open, self.is_open = self.is_open, False
        why = f"nobody fetched {record.trigger_id}" if was_open else "the output is not open"
        raise LineError(why)


def test_a_verdict_for_an_output_that_is_down_has_the_reason_of_that(
    clock: Clock, make_record: MakeRecord
) -> None:
    link = Link(UnpolledServer(), clock)
    link.open()
    messages = []
    for number in (1, 2):
        with pytest.raises(LineError) as caught:
            link.send(make_record(number))
        messages.append(str(caught.value))
    assert messages == [
        "nobody fetched test-000001",
        "the output is not open: nobody fetched test-000001",
    ]


def test_pauses_grow_and_a_success_ends_them(
    plc: Plc, clock: Clock, link: Link, make_record: MakeRecord
) -> None:
    plc.is_down = True
    fail(link, make_record(1))
    opened = []
    while clock.now < 130:
        plc.calls.clear()
        link.mend()
        if plc.calls:
            opened.append(round(clock.now - 100, 2))
        clock.now += 0.05
    pauses = [b - a for a, b in pairwise(opened)]
    assert opened[0] == pytest.approx(0.1, abs=0.051)
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6], abs=0.11)
    assert max(pauses) == pytest.approx(5.0, abs=0.11)
    plc.is_down = False
    clock.now += 5
    link.send(make_record(2))
    assert link.is_up
    plc.is_down = True
    fail(link, make_record(3))
    plc.calls.clear()
    clock.now += 0.11
    link.mend()
    assert plc.calls == ["open"]


def test_an_output_that_is_down_is_not_told_what_the_station_does(
    plc: Plc, clock: Clock, link: Link
) -> None:
    plc.is_down = True
    with pytest.raises(LineError):
        link.show(StationState.READY)
    plc.calls.clear()
    link.show(StationState.READY)
    assert plc.calls == []
    plc.is_down = False
    clock.now += 1
    link.show(StationState.READY)
    assert plc.calls == ["open", "show ready"]


def test_a_part_that_cannot_be_told_says_why_the_output_cannot_be_opened(
    plc: Plc, clock: Clock, link: Link, make_record: MakeRecord
) -> None:
    plc.is_down = True
    fail(link, make_record(1))
    clock.now += 1
    with pytest.raises(LineError, match=r"^the PLC does not answer: no way to the PLC$"):
        link.send(make_record(2))
    plc.is_down = False
    clock.now += 1
    link.send(make_record(3))
    plc.is_down = True
    with pytest.raises(LineError, match=r"^the PLC does not answer$"):
        link.send(make_record(4))

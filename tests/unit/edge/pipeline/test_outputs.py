"""Each output has a queue and a thread of its own; each verdict is noted before it is told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import pytest

from edge.line.base import NotTakenError, StationState
from edge.part.record import NOT_KNOWN, InspectionRecord, Told
from edge.part.trigger import Trigger
from edge.pipeline import delivery
from edge.pipeline import outputs as outputs_module
from edge.pipeline.outputs import QUEUE_MAX, OutputThread
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import OnVerdict, PartLimits, RunSettings, View, note_no_verdict
from edge.pipeline.status import OutputStatus
from edge.pipeline.telling import Telling
from edge.trigger.software import SoftwareTrigger
from inspection.errors import LineError
from inspection.verdict import Cause, Verdict
from tests.doubles.pipelines import GENEROUS_S, FakeCamera, FakeInspector, FakeOutput, Line, frame
from tests.doubles.waiting import wait_for

MakeRecord = Callable[..., InspectionRecord]


class Exposed(FakeCamera):
    """Gives one frame of a good part for each call of `expose`."""

    def __init__(self) -> None:
        super().__init__(waits=False)
        self._exposed = threading.Semaphore(0)
        self.holds_back = threading.Event()

    def expose(self) -> None:
        self._exposed.release()

    def read(self, timeout_s: float) -> Any:
        if not self._exposed.acquire(timeout=0.01):
            return None
        wait_for(lambda: not self.holds_back.is_set(), GENEROUS_S)
        return frame(0)


class Hangs:
    """Holds up each call until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.is_in = threading.Event()

    def __call__(self, _record: InspectionRecord) -> None:
        self.is_in.set()
        assert self.go_on.wait(GENEROUS_S)


class Running:
    """A fired line of these outputs, on a thread; `fire` waits for the verdict at the last one."""

    def __init__(self, *outputs: FakeOutput, **given: Any) -> None:
        camera = Exposed()
        view = View("main", camera, FakeInspector(), camera.expose)
        self.line = Line([view], outputs=list(outputs), trigger=SoftwareTrigger(), **given)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.summary = self.line.pipeline.run()

    @property
    def pipeline(self) -> Pipeline:
        return self.line.pipeline

    def fire(self) -> None:
        healthy = self.line.outputs[-1]
        before = len(healthy.sent)
        # The frame of the part before may have come before its exposure has ended.
        wait_for(lambda: not self.pipeline._exposures["main"]._is_busy.locked(), GENEROUS_S)
        assert self.pipeline.fire() is not None
        wait_for(lambda: len(healthy.sent) > before, GENEROUS_S)

    def __enter__(self) -> Running:
        self._thread.start()
        wait_for(lambda: self.pipeline.state is StationState.READY, GENEROUS_S)
        return self

    def __exit__(self, *_error: object) -> None:
        self.pipeline.stop()
        self._thread.join(GENEROUS_S)
        assert not self._thread.is_alive()


def test_an_output_that_hangs_costs_the_others_nothing() -> None:
    hangs, healthy = Hangs(), FakeOutput()
    with Running(FakeOutput(hangs), healthy, limit_s=1.0) as running:
        for _ in range(30):
            running.fire()
        wait_for(lambda: len(running.line.records) == 30, GENEROUS_S)
        status = running.pipeline.status()
        assert not status.outputs["output 0"].is_up
        assert status.outputs["output 0"].why == "the output hangs: no answer within 1 s"
        assert (status.stalled, status.faults) == ((), ())
        assert not status.is_ready
        assert running.pipeline.state is StationState.READY
        hangs.go_on.set()
    assert [record.verdict for record in healthy.sent] == [Verdict.PASS] * 30
    for record in running.line.records:
        assert record.verdict is Verdict.PASS
        assert record.told[1] == Told(output="output 1", verdict=Verdict.PASS)
        assert record.told[0].verdict is None
        assert "the output hangs" in record.told[0].error


def test_an_output_that_takes_no_verdict_is_down_although_it_can_be_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a server that nobody polls: it shows the state and opens again, and takes nothing."""
    takes = threading.Event()

    def refuse(_record: InspectionRecord) -> None:
        if not takes.is_set():
            raise LineError("nobody polls")

    dead = FakeOutput(refuse)
    with Running(dead, FakeOutput(), longest_pause_s=0.01) as running:

        def fire() -> OutputStatus:
            running.fire()
            wait_for(lambda: len(running.line.records) == len(running.line.outputs[1].sent))
            shown = len(dead.shown)
            wait_for(lambda: len(dead.shown) > shown, GENEROUS_S)  # it works again, it seems
            return running.pipeline.status().outputs["output 0"]

        for _ in range(3):
            status = fire()
            assert not status.is_up
            assert "nobody polls" in status.why
        assert len([line for line in caplog.messages if "output 0" in line]) == 1
        takes.set()
        assert fire() == OutputStatus(is_up=True, undelivered=3)
    told = [line for line in caplog.messages if "output 0" in line]
    assert told[1:] == ["output 0: works again; 3 verdicts were not delivered"]


def test_a_record_that_waits_for_an_output_is_pending_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_GRACE_S", 0.5)  # enough for the healthy output to answer
    hangs, pending = Hangs(), list[InspectionRecord]()
    with Running(FakeOutput(hangs), FakeOutput(), on_pending=pending.append) as running:
        running.fire()
        wait_for(lambda: pending, GENEROUS_S)
        assert not running.line.records
        (record,) = pending
        assert [told.verdict for told in record.told] == [None, Verdict.PASS]
        assert record.told[0].error == NOT_KNOWN
        hangs.go_on.set()
        wait_for(lambda: running.line.records, GENEROUS_S)
    assert len(pending) == 1
    assert [told.verdict for told in running.line.records[0].told] == [Verdict.PASS] * 2


def test_a_verdict_that_is_late_at_one_output_is_no_verdict_there() -> None:
    hangs, slow, healthy = Hangs(), FakeOutput(), FakeOutput()
    slow._on_send = hangs
    with Running(slow, healthy, deadline_ms=2000.0) as running:
        running.fire()
        assert hangs.is_in.wait(GENEROUS_S)
        running.fire()
        time.sleep(2.1)  # the second part's deadline is over in the queue
        hangs.go_on.set()
        wait_for(lambda: len(running.line.records) == 2, GENEROUS_S)
        assert running.pipeline.status().outputs["output 0"].late == 1
    first, second = running.line.records
    assert [one.verdict for one in first.told] == [Verdict.PASS, Verdict.PASS]
    assert [one.verdict for one in second.told] == [Verdict.NO_VERDICT, Verdict.PASS]
    assert (second.verdict, second.cause) == (Verdict.PASS, None)
    assert (slow.sent[1].verdict, slow.sent[1].cause) == (Verdict.NO_VERDICT, Cause.DEADLINE)
    assert slow.sent[1].message.endswith("the outputs were still busy with earlier parts")
    assert slow.sent[1].latency_ms.total >= 2000
    assert running.summary.late_verdicts == 1


def test_a_part_that_is_refused_at_once_is_told_after_the_part_before() -> None:
    """A PLC takes verdicts by their number: it would take this PASS for the refused part."""
    output = FakeOutput()
    with Running(output) as running:
        camera = running.line.camera
        camera.holds_back.set()
        first, second = running.pipeline.fire(), running.pipeline.fire()
        camera.holds_back.clear()
        wait_for(lambda: len(running.line.records) == 2, GENEROUS_S)
    told = [(record.trigger_id, record.verdict, record.cause) for record in output.sent]
    assert told == [
        (first, Verdict.PASS, None),
        (second, Verdict.NO_VERDICT, Cause.OVERTRIGGER),
    ]


def test_a_record_says_what_the_only_output_was_told() -> None:
    hangs, slow = Hangs(), FakeOutput()
    slow._on_send = hangs
    with Running(slow, deadline_ms=2000.0) as running:
        running.pipeline.fire()
        assert hangs.is_in.wait(GENEROUS_S)
        running.pipeline.fire()
        time.sleep(2.1)
        hangs.go_on.set()
        wait_for(lambda: len(running.line.records) == 2, GENEROUS_S)
    assert [record.verdict for record in running.line.records] == [
        *(Verdict.PASS, Verdict.NO_VERDICT)
    ]
    assert running.line.records[1].cause is Cause.DEADLINE


def test_each_verdict_is_noted_before_it_is_told() -> None:
    """What an output is told is in the last note of its part, whatever is late or hangs."""
    notes: dict[str, InspectionRecord] = {}
    wrong: list[InspectionRecord] = []
    hesitates = itertools.cycle([0.0, 0.3, 0.0, 0.0, 0.0])
    fired: list[str | None] = []

    def note(record: InspectionRecord, noted: Callable[[], None]) -> None:
        notes[record.trigger_id] = record
        noted()

    def compare(record: InspectionRecord) -> None:
        known = notes.get(record.trigger_id)
        if known is None or known.verdict is not record.verdict:
            wrong.append(record)
        time.sleep(next(hesitates))

    output = FakeOutput(compare)
    with Running(output, deadline_ms=200.0, on_verdict=note) as running:

        def has_been_in_time_and_late() -> bool:
            fired.append(running.pipeline.fire())
            time.sleep(0.02)
            return {record.cause for record in output.sent} >= {None, Cause.DEADLINE}

        wait_for(has_been_in_time_and_late, GENEROUS_S)
        wait_for(lambda: len(running.line.records) == len(fired), GENEROUS_S)
    assert not wrong


def test_a_verdict_whose_note_comes_too_late_leaves_as_no_verdict_at_the_deadline() -> None:
    unnoted: list[Callable[[], None]] = []

    def never(record: InspectionRecord, noted: Callable[[], None]) -> None:
        unnoted.append(noted)

    output = FakeOutput()
    with Running(output, deadline_ms=1500.0, on_verdict=never) as running:
        running.fire()
        for noted in unnoted:
            noted()  # too late: it must not be told twice
        wait_for(lambda: running.line.records, GENEROUS_S)
    (record,) = running.line.records
    assert (record.verdict, record.cause) == (Verdict.NO_VERDICT, Cause.DEADLINE)
    assert record.message.endswith("the disk was too slow to note it; see 'records'")
    assert [sent.verdict for sent in output.sent] == [Verdict.NO_VERDICT]


def test_a_defect_in_the_notes_stops_the_line_and_costs_no_part_its_verdict() -> None:
    def defect(record: InspectionRecord, noted: Callable[[], None]) -> None:
        raise ZeroDivisionError("a mistake")

    line = Line(FakeCamera(*[None] * 5), on_verdict=defect)
    summary = line.run()
    assert isinstance(summary.error, ZeroDivisionError)


class SortingOutput(FakeOutput):
    """Rejects parts by itself, as a gate does."""

    def __init__(self) -> None:
        super().__init__()
        self.sorted_out: list[str] = []

    def sort_out(self, record: InspectionRecord) -> None:
        self.sorted_out.append(record.trigger_id)


def test_an_output_that_falls_behind_gives_up_what_waits_and_shows_fault_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line then counts its parts anew, from the next READY."""
    monkeypatch.setattr(outputs_module, "QUEUE_MAX", 4)
    hangs, slow, healthy = Hangs(), SortingOutput(), FakeOutput()
    slow._on_send = hangs
    with Running(slow, healthy) as running:
        wait_for(lambda: StationState.READY in slow.shown, GENEROUS_S)
        before = len(slow.shown)
        running.fire()
        assert hangs.is_in.wait(GENEROUS_S)  # out of its queue, where the others wait
        for _ in range(5):
            running.fire()
        hangs.go_on.set()
        wait_for(lambda: len(running.line.records) == 6, GENEROUS_S)
        wait_for(lambda: StationState.FAULT in slow.shown[before:], GENEROUS_S)
        wait_for(lambda: slow.shown[-1] is StationState.READY, GENEROUS_S)
        running.fire()
        wait_for(lambda: len(running.line.records) == 7, GENEROUS_S)
    told = [record.told[0].verdict for record in running.line.records]
    assert told == [Verdict.PASS, *[None] * 5, Verdict.PASS]
    assert "4 verdicts waited for the output" in running.line.records[1].told[0].error
    assert running.pipeline.status().outputs["output 0"].undelivered == 5
    assert slow.sorted_out == [record.trigger_id for record in running.line.records[1:6]]


def test_an_output_that_is_too_slow_is_not_told_what_the_record_says_it_was_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No verdict is noted once its part is recorded: nothing would ever close that note."""
    monkeypatch.setattr(outputs_module, "HEARTBEAT_S", 0.01)
    recorded: list[InspectionRecord] = []
    noted_late: list[str] = []

    def note(record: InspectionRecord, noted: Callable[[], None]) -> None:
        if record.trigger_id in {one.trigger_id for one in recorded}:
            noted_late.append(record.trigger_id)
        noted()

    slow, healthy = SortingOutput(), FakeOutput()
    slow._on_send = lambda _record: time.sleep(0.3)
    with Running(
        *(slow, healthy),
        deadline_ms=300.0,
        limit_s=0.9,
        on_verdict=note,
        on_record=recorded.append,
    ) as running:
        for _ in range(12):
            running.fire()
        wait_for(lambda: len(recorded) == 12, GENEROUS_S)
        wait_for(lambda: not running.pipeline.status().outputs["output 0"].waiting, GENEROUS_S)
    told = {record.trigger_id: record.told[0] for record in recorded}
    assert any(one.verdict is None for one in told.values())
    assert not noted_late
    assert {*slow.sorted_out} == {name for name, one in told.items() if one.verdict is None}
    assert {record.trigger_id: record.verdict for record in slow.sent} == {
        name: one.verdict for name, one in told.items() if one.verdict is not None
    }


def test_no_verdict_is_told_between_those_given_up_and_the_fault_that_counts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would leave under the number of the first one that was given up."""
    monkeypatch.setattr(outputs_module, "QUEUE_MAX", 2)
    events: list[str | StationState] = []
    hangs, slow, healthy = Hangs(), FakeOutput(), FakeOutput()

    def send(record: InspectionRecord) -> None:
        events.append(record.trigger_id)
        hangs(record)

    slow._on_send = send
    slow.shown = events  # type: ignore[assignment]
    with Running(slow, healthy) as running:
        wait_for(lambda: StationState.READY in events, GENEROUS_S)
        running.fire()
        assert hangs.is_in.wait(GENEROUS_S)
        for _ in range(5):  # beside the one that is being told: three are given up, two wait
            running.fire()
        hangs.go_on.set()
        wait_for(lambda: len(running.line.records) == 6, GENEROUS_S)
        wait_for(lambda: events[-1] is StationState.READY, GENEROUS_S)
    first, *_, fifth, sixth = [record.trigger_id for record in healthy.sent]
    after = events[events.index(first) + 1 :]
    heartbeats, counted_anew = after[: (fault := after.index(StationState.FAULT))], after[fault:]
    assert set(heartbeats) <= {StationState.READY}
    told = counted_anew[: counted_anew.index(StationState.READY)]
    assert told == [StationState.FAULT, fifth, sixth]


class Counting(FakeOutput):
    """Counts its parts as a line does: from the number that it sees when READY rises."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: dict[str, int] = {}
        self.first_after_ready = 0

    def show(self, state: StationState) -> None:
        rises = state is StationState.READY and self.shown[-1:] != [state]
        super().show(state)
        if rises:
            self.first_after_ready = len(self.numbers) + 1

    def send(self, record: InspectionRecord) -> None:
        self.numbers[record.trigger_id] = len(self.numbers) + 1
        super().send(record)


class Interrupted:
    """A fired line whose part is in hand while READY is taken back and comes again."""

    def __init__(self, output: FakeOutput, deadline_ms: float) -> None:
        self._reason: str | None = None
        self.output = output
        self.running = Running(output, deadline_ms=deadline_ms, blocked=lambda: self._reason)

    @property
    def camera(self) -> Exposed:
        camera = self.running.line.camera
        assert isinstance(camera, Exposed)
        return camera

    def fire_before_ready(self) -> str:
        """Returns the trigger of a part that waits for its frame while READY could rise."""
        wait_for(lambda: self.output.shown[-1:] == [StationState.READY], GENEROUS_S)
        self.camera.holds_back.set()
        trigger_id = self.running.pipeline.fire()
        assert trigger_id is not None
        self._reason = "a door is open"
        wait_for(lambda: self.output.shown[-1] is StationState.FAULT, GENEROUS_S)
        self._reason = None
        return trigger_id


def test_the_first_number_after_ready_is_that_of_the_first_part_after_ready() -> None:
    line = Interrupted(output := Counting(), deadline_ms=2 * GENEROUS_S * 1e3)
    with line.running as running:
        before = line.fire_before_ready()
        time.sleep(3 * outputs_module.HEARTBEAT_S)
        assert output.shown[-1] is StationState.FAULT
        line.camera.holds_back.clear()
        wait_for(lambda: output.shown[-1] is StationState.READY, GENEROUS_S)
        assert list(output.numbers) == [before]
        after = running.pipeline.fire()
        wait_for(lambda: after in output.numbers, GENEROUS_S)
    assert after is not None
    assert output.numbers[after] == output.first_after_ready


def test_the_heartbeat_goes_on_during_a_fault() -> None:
    output, reasons = FakeOutput(), list[str]()
    with Running(output, blocked=lambda: next(iter(reasons), None)):
        reasons.append("a door is open")
        wait_for(lambda: output.shown[-3:] == [StationState.FAULT] * 3, GENEROUS_S)


@contextmanager
def triggering(line: Interrupted) -> Iterator[None]:
    """Triggers ten times a second, whether READY is shown or not."""
    ends = threading.Event()

    def trigger() -> None:
        while not ends.wait(0.1):
            with suppress(LineError):
                line.running.pipeline.fire()

    thread = threading.Thread(target=trigger)
    thread.start()
    yield
    ends.set()
    thread.join()


def test_ready_does_not_wait_for_ever_for_a_line_that_triggers_without_it() -> None:
    line = Interrupted(output := Counting(), deadline_ms=500.0)
    with line.running:
        line.fire_before_ready()
        with triggering(line):
            wait_for(lambda: output.shown[-1] is StationState.READY, GENEROUS_S)
        line.camera.holds_back.clear()


def test_ready_does_not_wait_for_an_output_that_is_slow_without_it() -> None:
    """As a PLC whose acknowledge is awaited: it gives none before READY."""

    def send(_record: InspectionRecord) -> None:
        if output.shown[-1] is not StationState.READY:
            time.sleep(0.25)

    line = Interrupted(output := FakeOutput(send), deadline_ms=500.0)
    with line.running:
        line.fire_before_ready()
        line.camera.holds_back.clear()
        with triggering(line):
            wait_for(lambda: output.shown[-1] is StationState.READY, GENEROUS_S)


def test_a_flood_of_triggers_is_bounded_and_counted() -> None:
    """The refused ones are no parts; every opened one has its record."""
    opened: list[str] = []

    def note(trigger: Trigger, noted: Callable[[], None]) -> None:
        opened.append(trigger.trigger_id)
        noted()

    stuck = threading.Event()

    def hold(_record: InspectionRecord, noted: Callable[[], None]) -> None:
        assert stuck.wait(GENEROUS_S)  # holds up the delivery, as a busy machine does
        noted()

    refused, messages = 0, set()
    with Running(FakeOutput(), on_trigger=note, on_verdict=hold) as running:
        for _ in range(QUEUE_MAX):
            try:
                running.pipeline.fire()
            except LineError as error:
                messages.add(str(error))
                refused += 1
        stuck.set()
        wait_for(lambda: len(running.line.records) == len(opened), GENEROUS_S)
        assert running.pipeline.status().refused_triggers == refused > 0
    assert running.summary.refused_triggers == refused
    assert len(opened) + refused == QUEUE_MAX
    assert sorted(record.trigger_id for record in running.line.records) == opened
    assert messages == {"256 parts wait for their verdict: the triggers come too fast"}


def test_a_flood_waits_for_an_output_that_works_and_loses_no_verdict_there() -> None:
    slow = FakeOutput(lambda _record: time.sleep(0.001))
    opened: list[str] = []

    def note(trigger: Trigger, noted: Callable[[], None]) -> None:
        opened.append(trigger.trigger_id)
        noted()

    with Running(slow, on_trigger=note) as running:
        for _ in range(3 * QUEUE_MAX):
            with suppress(LineError):
                running.pipeline.fire()
        wait_for(lambda: len(running.line.records) == len(opened), GENEROUS_S)
        assert running.pipeline.status().outputs["output 0"].undelivered == 0
    assert sorted(record.trigger_id for record in slow.sent) == opened


class OneTurn:
    """The thread of one output, whose turns the test makes."""

    def __init__(self, output: FakeOutput, on_verdict: OnVerdict = note_no_verdict) -> None:
        self.output = output
        self.errors: list[Exception] = []
        self.thread = OutputThread(
            "output",
            output,
            state=lambda: StationState.READY,
            has_parts=lambda: False,
            on_verdict=on_verdict,
            on_error=self.errors.append,
            settings=RunSettings(PartLimits(1000.0)),
        )
        assert self.thread._open() is None

    def tell(self, record: InspectionRecord, deadline_s: float) -> Telling:
        """Tells the verdict of a part that is announced now."""
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + round(deadline_s * 1e9)
        announced = datetime.now(timezone.utc)
        trigger = Trigger(record.trigger_id, announced, now_ns, deadline_ns, deadline_ns, {})
        telling = Telling(trigger, record, ("output",), lambda: None)
        self.thread.offer(telling)
        self.thread._turn()
        return telling


def test_a_verdict_that_waits_for_its_output_to_open_is_late(make_record: MakeRecord) -> None:
    opens_s = [0.0, 0.6]

    class SlowToOpen(FakeOutput):
        def open(self) -> None:
            time.sleep(opens_s.pop(0))
            super().open()

    def refuse_the_first(record: InspectionRecord) -> None:
        if opens_s:
            raise LineError("the cable is out")

    turns = OneTurn(SlowToOpen(refuse_the_first))
    record = make_record(1, Verdict.PASS)
    turns.tell(record, GENEROUS_S)
    time.sleep(0.2)  # longer than the pause before the output is opened again
    turns.tell(record, 0.5)
    assert [one.verdict for one in turns.output.sent] == [Verdict.NO_VERDICT]


def test_a_verdict_that_the_line_need_not_take_is_no_failure_of_the_output(
    make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    def pass_over(record: InspectionRecord) -> None:
        raise NotTakenError("output", record.trigger_id)

    turns = OneTurn(FakeOutput(pass_over))
    turns.thread._has_tried = True
    (told,) = turns.tell(make_record(1), GENEROUS_S).record().told
    assert told.verdict is None
    assert "was not acknowledged: it came while READY was not shown" in told.error
    assert turns.thread.status == OutputStatus(is_up=True, undelivered=1)
    assert (turns.errors, caplog.messages) == ([], [])


def test_a_defect_in_the_opening_of_an_output_leaves_no_verdict_without_answer(
    make_record: MakeRecord,
) -> None:
    class Defective(FakeOutput):
        def open(self) -> None:
            if self.is_open:
                raise ValueError("a defect of a library")
            super().open()

    def refuse(_record: InspectionRecord) -> None:
        raise LineError("the cable is out")

    turns = OneTurn(Defective(refuse))
    turns.tell(make_record(1), GENEROUS_S)
    time.sleep(0.2)  # longer than the pause before the output is opened again
    telling = turns.tell(make_record(2), GENEROUS_S)
    assert telling.is_answered
    assert "a defect of a library" in telling.record().told[0].error
    assert [type(error) for error in turns.errors[:2]] == [LineError, ValueError]


def test_a_late_verdict_says_when_its_part_was_announced(
    make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a slow note: a gate counts the way of the part from there."""
    monkeypatch.setattr(outputs_module, "_NOTE_LIMIT_S", 0.6)
    announced_ns: list[int] = []

    def look(record: InspectionRecord) -> None:
        announced_ns.append(time.monotonic_ns() - round(record.latency_ms.total * 1e6))

    turns = OneTurn(FakeOutput(look), on_verdict=lambda _record, _noted: None)
    trigger = turns.tell(make_record(1), 0.0).trigger
    assert [one.verdict for one in turns.output.sent] == [Verdict.NO_VERDICT]
    assert announced_ns[0] - trigger.triggered_ns < 0.5e9

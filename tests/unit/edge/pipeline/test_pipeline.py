"""Every trigger ends in one record and one verdict, whatever fails."""

import threading
import time

import pytest

from edge.line.base import StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.part.result import Settled
from edge.pipeline.status import PipelineStatus
from edge.trigger.software import SoftwareTrigger
from inspection.errors import CameraError, EngineError, FrameError, LineError
from inspection.inspector import Inspection, no_verdict
from inspection.layout import PreparedFrame
from inspection.verdict import Cause, Verdict
from tests.doubles.pipelines import (
    GENEROUS_S,
    FakeArchive,
    FakeCamera,
    FakeInspector,
    FakeOutput,
    Image,
    Line,
)
from tests.doubles.waiting import wait_for


def test_every_frame_has_its_verdict() -> None:
    line = Line(FakeCamera(*[None] * 100))
    summary = line.run()
    assert summary.triggers == 100
    assert (summary.verdicts[Verdict.PASS], summary.verdicts[Verdict.REJECT]) == (50, 50)
    assert [record.source for record in line.records] == [f"{n}.png" for n in range(100)]
    assert summary.error is None
    assert summary.latency_p99_ms is not None
    assert summary.parts_per_minute > 0


def test_an_empty_recording_is_an_empty_run() -> None:
    assert Line(FakeCamera()).run().triggers == 0


def test_one_bad_frame_has_no_verdict_and_the_line_goes_on() -> None:
    line = Line(FakeCamera(None, FrameError("1.png: damaged"), None))
    summary = line.run()
    assert line.outcomes() == ["PASS", "frame", "PASS"]
    assert line.records[1].message == "1.png: damaged"
    assert summary.error is None


def test_a_lost_camera_ends_the_line_in_order() -> None:
    lost = CameraError("camera unplugged")
    line = Line(FakeCamera(None, lost, None))
    summary = line.run()
    assert line.outcomes() == ["PASS", "camera"]
    assert summary.error is lost


@pytest.mark.parametrize("cause", [Cause.ENGINE, Cause.FRAME, Cause.NOT_FINITE])
def test_what_the_inspector_cannot_do_has_its_cause(cause: Cause) -> None:
    def fail_on_the_second(frame: Image) -> Inspection | None:
        return no_verdict(cause, "failed") if frame[0, 0] == 1 else None

    line = Line(FakeCamera(None, None, None), FakeInspector(fail_on_the_second))
    summary = line.run()
    assert line.outcomes() == ["PASS", cause.value, "PASS"]
    assert summary.causes == {cause: 1}


def test_a_hung_engine_has_no_verdict_at_the_deadline() -> None:
    told, hung = threading.Event(), threading.Event()

    def hang_on_the_first(frame: Image) -> None:
        if frame[0, 0] == 0:
            hung.set()
            assert told.wait(GENEROUS_S)  # goes on only once the line was told

    def release(record: InspectionRecord) -> None:
        if record.cause is Cause.DEADLINE:
            told.set()

    line = Line(
        FakeCamera(None, None),
        FakeInspector(hang_on_the_first),
        outputs=[FakeOutput(release)],
        deadline_ms=1000,
    )
    summary = line.run()
    assert summary.triggers == 2  # the line went on
    assert line.outcomes()[0] == "deadline"
    assert line.records[0].latency_ms.total >= 1000
    assert line.records[0].message.startswith("no verdict within 1000 ms of the trigger")
    assert summary.late_results >= hung.is_set()  # else this machine took a second to get there


def test_parts_that_come_while_the_engine_hangs_have_no_verdict_in_time() -> None:
    told = threading.Semaphore(0)

    def hang_on_the_first(frame: Image) -> None:
        if frame[0, 0] == 0:
            for _ in range(10):  # goes on only once the line was told of every part
                assert told.acquire(timeout=GENEROUS_S)

    line = Line(
        FakeCamera(*[None] * 10, waits=False),
        FakeInspector(hang_on_the_first),
        outputs=[FakeOutput(lambda _record: told.release())],
        deadline_ms=1000,
    )
    summary = line.run()
    assert summary.triggers == 10
    assert summary.verdicts[Verdict.NO_VERDICT] == 10
    assert set(summary.causes) == {Cause.DEADLINE, Cause.OVERTRIGGER}
    assert 1 <= summary.causes[Cause.DEADLINE] <= 3  # one in the engine, at most two behind it


def test_a_stop_lets_the_part_in_hand_finish() -> None:
    def stop_in_the_third(frame: Image) -> None:
        if frame[0, 0] == 2:
            line.pipeline.stop()

    line = Line(FakeCamera(*[None] * 100), FakeInspector(stop_in_the_third))
    line.run()
    assert line.outcomes() == ["PASS", "REJECT", "PASS"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, EngineError, MemoryError])
def test_what_breaks_off_an_inspection_leaves_no_part_without_verdict(
    error: type[BaseException],
) -> None:
    def break_off(frame: Image) -> None:
        if frame[0, 0] == 1:
            raise error

    line = Line(FakeCamera(*[None] * 5), FakeInspector(break_off))
    with pytest.raises(error):
        line.pipeline.run()
    line.check(2)
    assert line.outcomes() == ["PASS", "stopping"]


def test_a_forced_stop_settles_the_parts_that_wait() -> None:
    camera = FakeCamera(*[None] * 3, waits=False)
    waiting = threading.Event()
    camera.on_end = waiting.set

    def break_off(_frame: Image) -> None:
        assert waiting.wait(GENEROUS_S)
        raise KeyboardInterrupt

    line = Line(camera, FakeInspector(break_off))
    with pytest.raises(KeyboardInterrupt):
        line.pipeline.run()
    line.check(3)
    assert line.outcomes().count("stopping") >= 2


@pytest.mark.parametrize("error", [ZeroDivisionError("a mistake"), CameraError("no such camera")])
def test_a_camera_that_cannot_be_opened_starts_nothing(error: Exception) -> None:
    class Shut(FakeCamera):
        def open(self) -> None:
            raise error

    line = Line(Shut(None))
    with pytest.raises(type(error)):
        line.pipeline.run()
    line.check(0)


def test_a_defect_in_the_camera_is_a_lost_camera() -> None:
    line = Line(FakeCamera(None, ZeroDivisionError("a mistake")))
    summary = line.run()
    assert line.outcomes() == ["PASS", "camera"]
    assert isinstance(summary.error, ZeroDivisionError)


def test_a_camera_that_hangs_does_not_hold_the_end() -> None:
    go_on = threading.Event()
    line = Line(FakeCamera(), limit_s=0.2)

    def hang() -> None:
        line.pipeline.stop()
        go_on.wait(GENEROUS_S)

    line.camera.on_end = hang
    summary = line.pipeline.run()
    go_on.set()
    assert "the camera hangs" in str(summary.error)


def test_an_output_that_fails_hinders_nobody_else() -> None:
    def refuse_the_second(record: InspectionRecord) -> None:
        if record.source == "1.png":
            raise LineError("PLC does not answer")

    failing, healthy = FakeOutput(refuse_the_second), FakeOutput()
    line = Line(FakeCamera(*[None] * 3), outputs=[failing, healthy])
    summary = line.pipeline.run()
    assert len(line.records) == len(healthy.sent) == 3
    assert [record.source for record in failing.sent] == ["0.png", "2.png"]
    assert [record.line_errors for record in line.records] == [(), ("PLC does not answer",), ()]
    assert summary.line_errors == 1
    assert isinstance(summary.error, LineError)


def test_a_defect_in_an_output_stops_the_line_and_serves_the_others() -> None:
    def defect(_record: InspectionRecord) -> None:
        raise ZeroDivisionError("a mistake")

    healthy = FakeOutput()
    line = Line(FakeCamera(*[None] * 2000), outputs=[FakeOutput(defect), healthy])
    summary = line.pipeline.run()
    assert isinstance(summary.error, ZeroDivisionError)
    assert 0 < summary.triggers < 2000
    assert len(line.records) == len(healthy.sent) == summary.triggers


def test_a_defect_in_the_record_keeper_stops_the_line() -> None:
    def defect(_record: InspectionRecord) -> None:
        raise ZeroDivisionError("a mistake")

    line = Line(FakeCamera(*[None] * 2000), on_record=defect)
    summary = line.pipeline.run()
    assert isinstance(summary.error, ZeroDivisionError)
    assert len(line.outputs[0].sent) == summary.triggers < 2000


def test_an_output_that_hangs_ends_the_line_with_every_record() -> None:
    go_on = threading.Event()

    def hang(_record: InspectionRecord) -> None:
        go_on.wait(GENEROUS_S)

    line = Line(FakeCamera(*[None] * 5), outputs=[FakeOutput(hang)], limit_s=1.0)
    summary = line.pipeline.run()
    go_on.set()
    identities = {record.trigger_id for record in line.records}
    assert len(line.records) == len(identities) == summary.triggers == 5
    assert all("hangs" in record.line_errors[0] for record in line.records)
    assert isinstance(summary.error, LineError)


def test_a_line_whose_only_output_hangs_says_so_and_goes_on() -> None:
    go_on = threading.Event()

    def hang(_record: InspectionRecord) -> None:
        go_on.wait(GENEROUS_S)

    line = Line(FakeCamera(*[None] * 100), outputs=[FakeOutput(hang)], limit_s=1.0)
    summary = line.pipeline.run()
    go_on.set()
    assert len(line.records) == summary.triggers == 100
    assert all("the output hangs" in record.line_errors[0] for record in line.records)
    assert isinstance(summary.error, LineError)


def test_a_slow_archive_delays_no_verdict() -> None:
    all_sent = threading.Event()

    def wait_for_all(_settled: Settled) -> None:
        assert all_sent.wait(GENEROUS_S)  # no image before the last verdict

    def count(record: InspectionRecord) -> None:
        if record.source == "99.png":
            all_sent.set()

    line = Line(
        FakeCamera(*[None] * 100), outputs=[FakeOutput(count)], archive=FakeArchive(wait_for_all)
    )
    summary = line.run()
    kept = sum(bool(record.images) for record in line.records)
    assert summary.triggers == 100
    assert summary.images_dropped == 100 - kept > 0
    assert summary.images_failed == 0


def test_a_full_disk_of_the_archive_is_counted() -> None:
    def fail(_settled: Settled) -> None:
        raise OSError(28, "No space left on device")

    line = Line(FakeCamera(None, None), archive=FakeArchive(fail))
    summary = line.run()
    assert (summary.triggers, summary.images_failed, summary.error) == (2, 2, None)


def test_an_output_that_cannot_be_opened_starts_nothing() -> None:
    class Shut(FakeOutput):
        def open(self) -> None:
            raise LineError("no such host")

    healthy = FakeOutput()
    line = Line(FakeCamera(None), outputs=[healthy, Shut()])
    with pytest.raises(LineError, match="no such host"):
        line.pipeline.run()
    line.check(0)


def test_identities_are_unique_over_runs() -> None:
    first, second = Line(FakeCamera(None, None)), Line(FakeCamera(None, None))
    first.run()
    second.run()
    assert len({record.trigger_id for record in first.records + second.records}) == 4


def test_the_line_is_told_when_the_station_takes_parts_and_when_not() -> None:
    """READY comes while frames are grabbed and comes again; a lost camera takes it back."""
    output = FakeOutput()

    class LostAfterTwoBeats(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            ends = time.monotonic() + GENEROUS_S
            while output.shown.count(StationState.READY) < 2 and time.monotonic() < ends:
                time.sleep(0.01)
            return super().read(timeout_s)

    Line(LostAfterTwoBeats(CameraError("unplugged")), outputs=[output]).run()
    assert output.shown.count(StationState.READY) >= 2
    assert output.shown[-1] is StationState.FAULT


def test_a_blocked_station_is_not_ready_and_still_inspects() -> None:
    output, reasons = FakeOutput(), ["show the golden part"]
    ready_before: list[bool] = []

    class Slow(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            if self._sequence == 0:
                time.sleep(0.5)  # a heartbeat is 0.3 s
            else:
                wait_for(lambda: StationState.READY in output.shown, GENEROUS_S)
            return super().read(timeout_s)

    def unblock(record: InspectionRecord) -> None:
        line.records.append(record)
        ready_before.append(StationState.READY in output.shown)
        reasons.clear()

    line = Line(
        Slow(None),
        outputs=[output],
        blocked=lambda: reasons[0] if reasons else None,
        on_record=unblock,
    )
    line.run()
    assert line.outcomes() == ["PASS"]
    assert ready_before == [False]
    assert StationState.READY in output.shown


def test_an_output_that_recovers_gets_the_later_verdicts() -> None:
    down = {"test": True}

    def fail_once(_record: InspectionRecord) -> None:
        if down.pop("test", False):
            raise LineError("no acknowledge")

    output = FakeOutput(fail_once)
    line = Line(FakeCamera(*[None] * 5), outputs=[output])
    summary = line.pipeline.run()
    assert len(output.sent) == 4
    assert isinstance(summary.error, LineError)
    assert [len(record.line_errors) for record in line.records] == [1, 0, 0, 0, 0]


class Absent(FakeCamera):
    """Cannot be opened until it was tried `attempts` times."""

    def __init__(self, attempts: int, error: Exception, *script: Exception | None) -> None:
        super().__init__(*script)
        self.left = attempts
        self._error = error

    def open(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self._error
        super().open()


SHORT_S = 0.01  # between two attempts to open a camera


def test_a_camera_that_is_absent_at_the_start_can_be_waited_for() -> None:
    def turn(_status: PipelineStatus) -> None:
        turns.append(line.pipeline.state)

    class AbsentUntilTheLoopTurns(Absent):
        def open(self) -> None:
            self.left += not turns
            super().open()

    turns: list[StationState] = []
    camera = AbsentUntilTheLoopTurns(3, CameraError("not plugged in"), None, None)
    line = Line(camera, waits_to_open=True, longest_pause_s=SHORT_S, on_turn=turn)
    summary = line.run()
    assert line.outcomes() == ["PASS", "REJECT"]
    assert summary.error is None
    assert turns[0] is StationState.FAULT  # the loop turned before the camera came
    assert StationState.READY in turns


def test_waiting_for_a_camera_can_be_stopped() -> None:
    def stop(_status: PipelineStatus) -> None:
        line.pipeline.stop()

    camera = Absent(10**9, CameraError("not plugged in"))
    line = Line(camera, waits_to_open=True, longest_pause_s=SHORT_S, on_turn=stop)
    assert line.run().error is None


def test_a_defect_of_the_program_is_not_waited_for() -> None:
    error = ZeroDivisionError("a mistake")
    line = Line(Absent(10**9, error), waits_to_open=True, longest_pause_s=SHORT_S)
    assert line.run().error is error


def test_an_output_that_is_absent_at_the_start_can_be_done_without() -> None:
    class Late(FakeOutput):
        def open(self) -> None:
            if not present.is_set():
                raise LineError("no broker")
            super().open()

        def send(self, record: InspectionRecord) -> None:
            if not self.is_open:
                raise LineError("the output is not open")
            super().send(record)

    class InTurn(FakeCamera):
        """Gives a frame once the part before has its record."""

        given = 0

        def read(self, timeout_s: float) -> Frame | None:
            wait_for(lambda: len(line.records) == self.given, GENEROUS_S)
            if self.given == 2:
                present.set()
            self.given += 1
            return super().read(timeout_s)

    present = threading.Event()
    late, healthy = Late(), FakeOutput()
    line = Line(
        InTurn(*[None] * 5),
        outputs=[healthy, late],
        waits_to_open=True,
        longest_pause_s=0.0,  # it is tried again before every part
    )
    summary = line.pipeline.run()
    assert [record.source for record in healthy.sent] == [f"{n}.png" for n in range(5)]
    assert [record.source for record in late.sent] == ["2.png", "3.png", "4.png"]
    refused = [record.line_errors for record in line.records]
    assert refused == [("the output is not open: no broker",)] * 2 + [()] * 3
    assert isinstance(summary.error, LineError)


def test_the_loop_turns_while_no_part_comes_and_tells_its_end() -> None:
    turns: list[bool] = []

    def turn(_status: PipelineStatus) -> None:
        turns.append(line.pipeline.status().is_running)
        if len(turns) == 3:
            line.pipeline.stop()

    class Idle(FakeCamera):
        def read(self, timeout_s: float) -> None:
            time.sleep(0.01)

    line = Line(Idle(), on_turn=turn)
    line.run()
    assert turns[:3] == [True] * 3
    assert turns.count(False) == 1
    assert not turns[-1]


def test_a_line_that_stops_is_not_ready() -> None:
    go_on, hung = threading.Event(), threading.Event()

    def hang(_image: Image) -> None:
        hung.set()
        assert go_on.wait(GENEROUS_S)

    output = FakeOutput()
    line = Line(FakeCamera(None), FakeInspector(hang), outputs=[output])
    thread = threading.Thread(target=line.pipeline.run)
    thread.start()
    assert hung.wait(GENEROUS_S)
    line.pipeline.stop()
    assert line.pipeline.faults == ["the line stops"]
    go_on.set()
    thread.join(GENEROUS_S)
    assert line.outcomes() == ["PASS"]


@pytest.mark.parametrize("defect", ["names", "blocked"])
def test_a_defect_beside_the_verdict_costs_no_part_its_record(defect: str) -> None:
    mistake = ZeroDivisionError("a mistake")

    def fail(*_settled: object) -> str:
        raise mistake

    archive = FakeArchive()
    if defect == "names":
        archive.names = fail  # type: ignore[assignment, method-assign]
        line = Line(FakeCamera(None, None, None), archive=archive)
    else:
        line = Line(FakeCamera(None, None, None), blocked=fail)
    summary = line.run()
    assert summary.error is mistake
    assert summary.triggers == len(line.records) >= 1


STAGES = ["inspection", "camera main", "preparation", "trigger", "outputs"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_hangs_is_named(stage: str) -> None:
    go_on = threading.Event()
    hung = threading.Event()

    def hang(*_part: object) -> None:
        hung.set()
        assert go_on.wait(GENEROUS_S)

    class Hangs(SoftwareTrigger):
        def wait(self, timeout_s: float) -> None:
            hang()

    class Prepares(FakeInspector):
        def prepare(self, frame: Image) -> PreparedFrame:
            if stage == "preparation":
                hang()
            return super().prepare(frame)

    camera = FakeCamera(None)
    inspector = Prepares(hang if stage == "inspection" else lambda _frame: None)
    outputs = [FakeOutput(hang)] if stage == "outputs" else None
    if stage == "camera main":
        camera.on_end = hang
    trigger = Hangs() if stage == "trigger" else None
    line = Line(camera, inspector, outputs=outputs, limit_s=1.0, trigger=trigger)
    thread = threading.Thread(target=line.pipeline.run)
    thread.start()
    assert hung.wait(GENEROUS_S)
    seen: list[str] = []
    end = time.monotonic() + GENEROUS_S
    while stage not in seen and time.monotonic() < end:
        time.sleep(0.01)
        seen = [*line.pipeline.status().stalled]
    state = line.pipeline.state
    go_on.set()
    line.pipeline.stop()
    thread.join(GENEROUS_S)
    assert not thread.is_alive()
    assert seen == [stage]
    assert state is StationState.FAULT
    while line.pipeline.status().stalled and time.monotonic() < end:
        time.sleep(0.01)  # the run may have given the output up, and ended before it
    assert line.pipeline.status().stalled == ()


class HangsInOpen(FakeCamera):
    """Hangs when it is opened for the `at`th time; the first frame loses it."""

    open_limit_s = 0.1

    def __init__(self, at: int) -> None:
        super().__init__(CameraError("unplugged"), waits=False)
        self.go_on = threading.Event()
        self.left = at

    def open(self) -> None:
        self.left -= 1
        if self.left == 0:
            assert self.go_on.wait(GENEROUS_S)
        super().open()


@pytest.mark.parametrize("at", [1, 2])
def test_a_camera_that_hangs_in_open_is_named(at: int) -> None:
    camera = HangsInOpen(at)
    line = Line(camera, limit_s=0.5, waits_to_open=True, longest_pause_s=SHORT_S)
    thread = threading.Thread(target=line.pipeline.run)
    thread.start()
    wait_for(lambda: line.pipeline.status().stalled == ("camera main",), GENEROUS_S)
    assert "camera main hangs, for 0.5 s now" in line.pipeline.faults
    camera.go_on.set()
    wait_for(lambda: not line.pipeline.status().stalled, GENEROUS_S)
    line.pipeline.stop()
    thread.join(GENEROUS_S)
    assert not thread.is_alive()


def test_a_camera_that_hangs_in_open_ends_a_line_that_does_not_wait_for_it() -> None:
    camera = HangsInOpen(1)
    with pytest.raises(CameraError, match=r"view main: the camera hangs, not open within 0\.1 s"):
        Line(camera, limit_s=0.2).pipeline.run()
    camera.go_on.set()

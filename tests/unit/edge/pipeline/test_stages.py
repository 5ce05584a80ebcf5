"""Triggers, views, lost cameras and warmth through the whole pipeline, with real threads."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.camera.faults import CameraLostError
from edge.line.base import StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.part.trigger import Trigger
from edge.pipeline.engine_health import EngineHealth
from edge.pipeline.intake import TooManyPartsError
from edge.pipeline.settings import OnTrigger, View
from edge.pipeline.status import RunSummary
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from edge.trigger.base import Firing
from edge.trigger.camera import CameraTrigger
from edge.trigger.software import SoftwareTrigger
from inspection.errors import CameraError, EngineError, FrameError, LineError
from inspection.inspector import Inspection, no_verdict
from inspection.layout import PreparedFrame
from inspection.verdict import Cause, Verdict
from tests.doubles.disk import Disk
from tests.doubles.pipelines import (
    GENEROUS_S,
    FakeCamera,
    FakeInspector,
    FakeOutput,
    Image,
    Line,
    frame,
    judged,
)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


class LiveCamera(FakeCamera):
    """Gives what a test puts in, when it does; an error is raised."""

    def __init__(self) -> None:
        super().__init__(waits=False)
        self.items: queue.SimpleQueue[Frame | Exception] = queue.SimpleQueue()
        self.opened = 0
        self.refusals: list[Exception] = []

    def open(self) -> None:
        self.opened += 1
        if self.refusals:
            raise self.refusals.pop(0)
        super().open()

    def read(self, timeout_s: float) -> Frame | None:
        try:
            item = self.items.get(timeout=min(timeout_s, 0.02))
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def give(self, number: int = 0) -> None:
        self.items.put(frame(number))


class Running:
    """A line that runs on a thread until it is left."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.summary = self.line.run()

    def __enter__(self) -> Running:
        self._thread.start()
        wait_until(lambda: self.line.pipeline.state is StationState.READY)
        return self

    def __exit__(self, *_error: object) -> None:
        self.line.pipeline.stop()
        self._thread.join(GENEROUS_S)
        assert not self._thread.is_alive()

    def wait_for(self, records: int) -> None:
        wait_until(lambda: len(self.line.records) >= records)


def test_a_lost_camera_is_opened_again_and_the_line_is_told() -> None:
    class AwayUntilTheLineIsTold(LiveCamera):
        def open(self) -> None:
            if self.opened:
                wait_until(is_told)
            super().open()

    def is_told() -> bool:
        return StationState.FAULT in output.shown[before:]

    before = 0

    camera, output = AwayUntilTheLineIsTold(), FakeOutput()
    line = Line(camera, outputs=[output])
    with Running(line) as running:
        camera.give()
        running.wait_for(1)
        wait_until(lambda: StationState.READY in output.shown)
        before = len(output.shown)
        camera.refusals = [CameraError("not there yet"), CameraError("nor now")]
        camera.items.put(CameraLostError("unplugged"))
        running.wait_for(2)
        wait_until(is_told)
        assert set(line.pipeline.faults) <= {
            f"view main: {why}" for why in ("unplugged", "not there yet", "nor now")
        }
        wait_until(lambda: line.pipeline.state is StationState.READY)
        camera.give()
        running.wait_for(3)
        wait_until(lambda: output.shown[-1] is StationState.READY)
    assert line.outcomes() == ["PASS", "camera", "PASS"]
    assert line.records[1].message == "unplugged"
    assert camera.opened == 4
    assert running.summary.error is None


class SlowToOpen(LiveCamera):
    """Opens when it is allowed to, within its limit."""

    def __init__(self) -> None:
        super().__init__()
        self.open_limit_s = 100 * GENEROUS_S
        self.may_open = threading.Event()
        self.is_opening = threading.Event()

    def open(self) -> None:
        self.is_opening.set()
        assert self.may_open.wait(2 * GENEROUS_S)
        raise CameraError("no answer")


class AbortedCamera(SlowToOpen):
    def abort_open(self) -> None:
        self.may_open.set()


@pytest.mark.parametrize(
    ("kind", "waits_to_open", "limit_s"),
    [(SlowToOpen, True, 0.5), (AbortedCamera, True, 60.0), (AbortedCamera, False, 60.0)],
)
def test_a_stop_while_a_camera_is_being_opened_is_no_hang_and_no_error(
    kind: type[SlowToOpen],
    waits_to_open: bool,
    limit_s: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    camera = kind()
    line = Line(camera, waits_to_open=waits_to_open, limit_s=limit_s)
    ended: list[RunSummary] = []
    running = threading.Thread(target=lambda: ended.append(line.pipeline.run()), daemon=True)
    running.start()
    assert camera.is_opening.wait(GENEROUS_S)
    line.pipeline.stop()
    running.join(GENEROUS_S)
    assert [summary.error for summary in ended] == [None]
    assert caplog.messages == []
    camera.may_open.set()


def test_a_lost_camera_ends_the_line_where_that_is_configured() -> None:
    camera = LiveCamera()
    camera.items.put(CameraLostError("unplugged"))
    summary = Line(camera, reopens=False).run()
    assert str(summary.error) == "unplugged"
    assert camera.opened == 1


def test_a_stop_does_not_wait_for_a_lost_camera() -> None:
    camera = LiveCamera()
    line = Line(camera)
    with Running(line) as running:
        camera.refusals = [CameraError("gone")] * 100
        camera.items.put(CameraLostError("unplugged"))
        running.wait_for(1)
    assert running.summary.triggers == 1


def is_exposing(line: Line) -> bool:
    """Whether the exposure has not ended yet, also where its frame has come."""
    return line.pipeline._exposures["main"]._is_busy.locked()


def test_parts_announced_by_a_command_expose_the_camera() -> None:
    camera = LiveCamera()
    line = Line([View("main", camera, FakeInspector(), camera.give)], trigger=SoftwareTrigger())
    with Running(line) as running:
        for number in range(5):
            wait_until(lambda: not is_exposing(line))
            assert line.pipeline.fire(f"part {number}") is not None
            running.wait_for(number + 1)
    assert [record.part_id for record in line.records] == [f"part {n}" for n in range(5)]
    assert line.outcomes() == ["PASS"] * 5


def test_a_recording_gives_its_frames_when_they_are_asked_for() -> None:
    line = Line(FakeCamera(*[None] * 3), trigger=SoftwareTrigger())
    with Running(line) as running:
        for number in range(3):
            line.pipeline.fire()
            running.wait_for(number + 1)
    assert line.outcomes() == ["PASS", "REJECT", "PASS"]


def test_a_trigger_without_a_frame_is_told_within_the_frame_limit() -> None:
    line = Line(LiveCamera(), trigger=SoftwareTrigger(), frame_limit_ms=50)
    with Running(line) as running:
        line.pipeline.fire("A-1")
        running.wait_for(1)
    (record,) = line.records
    assert (record.part_id, record.cause, record.source) == ("A-1", Cause.NO_FRAME, None)
    assert record.message == "no frame within 50 ms of the trigger"


def test_a_line_whose_cameras_are_triggered_takes_no_commands() -> None:
    line = Line(LiveCamera())
    with pytest.raises(LineError, match="the line is not running"):
        line.pipeline.fire()
    with Running(line), pytest.raises(LineError, match="the cameras trigger this line"):
        line.pipeline.fire()


def test_a_lost_trigger_takes_ready_back() -> None:
    steps: queue.SimpleQueue[Firing | Exception] = queue.SimpleQueue()

    class Plc(SoftwareTrigger):
        def wait(self, timeout_s: float) -> Firing | None:
            try:
                step = steps.get(timeout=0.01)
            except queue.Empty:
                return None
            if isinstance(step, Exception):
                raise step
            return step

        def open(self) -> None:
            if not is_there.is_set():
                raise LineError("no connection to the PLC")

    is_there = threading.Event()
    is_there.set()
    camera = LiveCamera()
    line = Line([View("main", camera, FakeInspector(), camera.give)], trigger=Plc())
    with Running(line) as running:
        is_there.clear()
        steps.put(LineError("PLC gone"))
        wait_until(lambda: line.pipeline.state is StationState.FAULT)
        wait_until(lambda: line.pipeline.faults == ["no connection to the PLC"])
        is_there.set()
        wait_until(lambda: line.pipeline.state is StationState.READY)
        steps.put(Firing("A"))
        running.wait_for(1)
    assert line.outcomes() == ["PASS"]


def test_a_trigger_that_no_longer_sees_takes_ready_back() -> None:
    trigger = CameraTrigger()
    line = Line(LiveCamera(), trigger=trigger)
    with Running(line) as running:
        trigger.lost = "the light is out"
        assert line.pipeline.faults == ["the light is out"]
        line.camera.give()
        running.wait_for(1)
        trigger.lost = ""
        wait_until(lambda: line.pipeline.state is StationState.READY)
    assert line.outcomes() == ["PASS"]


def two_views(top: FakeInspector, side: FakeInspector) -> tuple[LiveCamera, LiveCamera, Line]:
    cameras = LiveCamera(), LiveCamera()
    line = Line([View("top", cameras[0], top), View("side", cameras[1], side)])
    return *cameras, line


def test_two_views_give_one_verdict_and_one_record() -> None:
    top, side, line = two_views(FakeInspector(), FakeInspector())
    with Running(line) as running:
        for number, (seen_by_top, seen_by_side) in enumerate([(0, 0), (0, 1), (1, 0)], 1):
            top.give(seen_by_top)
            side.give(seen_by_side)
            running.wait_for(number)
    assert line.outcomes() == ["PASS", "REJECT", "REJECT"]
    assert [record.view for record in line.records] == ["top", "side", "top"]
    assert [view.source for view in line.records[1].views] == ["0.png", "1.png"]
    assert [view.verdict for view in line.records[1].views] == [Verdict.PASS, Verdict.REJECT]


def test_a_defect_of_one_view_counts_when_the_other_has_no_verdict() -> None:
    failing = FakeInspector(lambda _image: no_verdict(Cause.ENGINE, "failed"))
    top, side, line = two_views(failing, FakeInspector())
    with Running(line) as running:
        top.give()
        side.give(1)
        running.wait_for(1)
        top.give()
        side.give(0)
        running.wait_for(2)
    assert line.outcomes() == ["REJECT", "engine"]
    assert [view.cause for view in line.records[0].views] == [Cause.ENGINE, None]


def test_the_next_part_is_preprocessed_while_the_engine_runs() -> None:
    prepared: list[int] = []

    class Slow(FakeInspector):
        def prepare(self, frame: Image) -> PreparedFrame:
            prepared.append(int(frame[0, 0]))
            return super().prepare(frame)

        def infer(self, prepared_part: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
            wait_until(lambda: len(prepared) == 2)  # never, were they one after the other
            return super().infer(prepared_part)

    camera = LiveCamera()
    line = Line(camera, Slow())
    camera.give(0)
    camera.give(2)
    with Running(line) as running:
        running.wait_for(2)
    assert line.outcomes() == ["PASS", "PASS"]


def test_a_defect_in_preprocessing_ends_the_run() -> None:
    class Broken(FakeInspector):
        def prepare(self, frame: Image) -> PreparedFrame:
            raise ZeroDivisionError("a mistake")

    line = Line(FakeCamera(None, None), Broken())
    with pytest.raises(ZeroDivisionError):
        line.pipeline.run()
    line.check(1)
    assert line.outcomes() == ["stopping"]


def test_an_idle_engine_is_kept_warm_and_one_that_fails_ends_nothing() -> None:
    inspector = FakeInspector()
    line = Line(LiveCamera(), inspector, keep_warm_ms=5.0)

    def fail(engine: object) -> None:
        inspector.warmed += 1
        raise EngineError("out of memory")

    with Running(line) as running:
        wait_until(lambda: inspector.warmed >= 3)
        inspector.warm = fail  # type: ignore[method-assign]
        before = inspector.warmed
        wait_until(lambda: inspector.warmed >= before + 2)
        line.camera.give()
        running.wait_for(1)
    assert line.outcomes() == ["PASS"]


def test_an_engine_is_kept_warm_beside_one_that_fails() -> None:
    healthy = FakeInspector()
    views = [
        View(name, LiveCamera(), inspector)
        for name, inspector in (("top", AwayInspector()), ("side", healthy))
    ]
    with Running(Line(views, keep_warm_ms=300.0)):
        wait_until(lambda: healthy.warmed >= 3)


class AwayInspector(FakeInspector):
    """Its engine fails while it is away, with a part and without."""

    def __init__(self) -> None:
        super().__init__(self._fail)
        self.is_away = True

    def _fail(self, _image: Image) -> Inspection | None:
        return no_verdict(Cause.ENGINE, "the server is away") if self.is_away else None

    def warm(self, engine: object) -> None:
        super().warm(engine)
        if self.is_away:
            raise EngineError("the server is away")


def test_an_engine_that_fails_each_time_is_a_fault_until_it_runs_again() -> None:
    inspector = AwayInspector()
    line = Line(LiveCamera(), inspector)
    with Running(line) as running:
        line.camera.give()
        running.wait_for(1)
        wait_until(lambda: line.pipeline.state is StationState.FAULT)  # no further part comes
        assert line.pipeline.faults == ["view main: the engine fails each time: the server is away"]
        assert not line.pipeline.status().is_ready
        inspector.is_away = False
        wait_until(lambda: line.pipeline.state is StationState.READY)
        warmed = inspector.warmed
        line.camera.give()
        running.wait_for(2)
    assert line.outcomes() == ["engine", "PASS"]
    assert inspector.warmed == warmed


def test_an_engine_that_failed_is_no_fault_of_the_recipe_after_it() -> None:
    inspector = AwayInspector()
    line = Line(LiveCamera(), inspector)
    with Running(line) as running:
        line.camera.give()
        running.wait_for(1)
        wait_until(lambda: line.pipeline.faults)
        line.pipeline.change_inspectors({"main": FakeInspector()})
        assert line.pipeline.faults == []


@pytest.mark.parametrize(("runs", "is_lost"), [("FF", False), ("FFF", True), ("FF.FF", False)])
def test_an_engine_is_lost_after_failures_in_a_row(runs: str, is_lost: bool) -> None:
    shared = FakeInspector()
    health = EngineHealth([View(name, FakeCamera(), shared) for name in ("top", "side")])
    for run in runs:
        health.note(shared.engines[0], "no memory" if run == "F" else "")
    why = "the engine fails each time: no memory"
    assert health.lost == (f"view top: {why}; view side: {why}" if is_lost else "")


def test_the_engines_of_a_cascade_are_watched_each_for_itself() -> None:
    first, exact = object(), object()
    plain, zoned = FakeInspector(), FakeInspector()
    plain.engines, zoned.engines = (first, exact), (exact,)
    views = [View("plain", FakeCamera(), plain), View("zoned", FakeCamera(), zoned)]
    health = EngineHealth(views)
    failed = replace(no_verdict(Cause.ENGINE, "no memory"), is_early=True)
    for _ in range(3):
        health.note_inspection(plain, failed)
        health.note_inspection(zoned, judged(Verdict.PASS))
    assert health.lost == "view plain: the engine fails each time: no memory"
    health.note_inspection(plain, replace(judged(Verdict.PASS), is_early=True))
    assert health.lost == ""
    for _ in range(3):
        health.note_inspection(plain, no_verdict(Cause.ENGINE, "no memory"))
        health.note_inspection(plain, replace(judged(Verdict.PASS), is_early=True))
        health.note_inspection(plain, no_verdict(Cause.DEADLINE, "late"))
    assert health.lost.startswith("view plain: ")
    assert "view zoned: " in health.lost
    health.note_inspection(zoned, judged(Verdict.REJECT))
    assert health.lost == ""


def test_an_engine_is_left_alone_unless_asked() -> None:
    inspector = FakeInspector()
    with Running(Line(LiveCamera(), inspector)):
        time.sleep(0.5)
    assert inspector.warmed == 0


def note(triggers: list[str]) -> OnTrigger:
    def on_trigger(trigger: Trigger, noted: Callable[[], None]) -> None:
        triggers.append(trigger.trigger_id)
        noted()

    return on_trigger


def test_triggers_are_told_before_they_are_inspected() -> None:
    told: list[str] = []

    def check(_image: Image) -> None:
        assert told

    line = Line(
        FakeCamera(None, None),
        FakeInspector(check),
        on_trigger=note(told),
    )
    line.run()
    assert told == [record.trigger_id for record in line.records]


@pytest.mark.parametrize("seed", range(3))
def test_ten_thousand_triggers_have_ten_thousand_records(seed: int) -> None:
    """A fast camera, bad frames, slow inferences, a short deadline: every one exactly once."""
    luck = random.Random(seed)

    def hesitate(_image: Image) -> None:
        if luck.random() < 0.002:
            time.sleep(0.01)

    class Fast(FakeCamera):
        def read(self, timeout_s: float) -> Frame | None:
            if luck.random() < 0.2:
                time.sleep(0.0002)
            return super().read(timeout_s)

    script: list[Any] = [None] * 10_000
    for number in luck.sample(range(10_000), 200):
        script[number] = FrameError("torn")
    line = Line(Fast(*script, waits=False), FakeInspector(hesitate), deadline_ms=5.0)
    summary = line.run()
    assert summary.triggers + summary.refused_triggers == 10_000
    assert summary.triggers > 1_000
    # One of 50 is torn; at most some of them came after their deadline.
    assert summary.causes[Cause.FRAME] >= summary.triggers / 100
    assert Counter(line.outcomes()).keys() <= {
        *("PASS", "REJECT", "overtrigger", "deadline", "frame")
    }
    assert summary.verdicts[Verdict.PASS] + summary.verdicts[Verdict.REJECT] > 0


class UnreliableCamera(LiveCamera):
    """Exposed by a call, it gives a frame, a torn one or none, refuses, or gets lost."""

    def __init__(self, luck: random.Random) -> None:
        super().__init__()
        self._luck = luck

    def expose(self) -> None:
        fate = self._luck.random()
        if fate < 0.02:
            self.items.put(CameraLostError("unplugged"))
        elif fate < 0.04:
            self.items.put(FrameError("torn"))
        elif fate < 0.06:
            raise CameraError("busy")
        elif fate < 0.98:
            self.give()


@pytest.mark.parametrize("seed", range(3))
def test_triggers_from_many_threads_while_cameras_come_and_go(seed: int) -> None:
    """Whatever is fired has one record with its own part id, whatever gets lost meanwhile."""
    top, side = UnreliableCamera(random.Random(seed)), UnreliableCamera(random.Random(-seed - 1))
    views = [
        View("top", top, FakeInspector(), top.expose),
        View("side", side, FakeInspector(), side.expose),
    ]
    line = Line(views, trigger=SoftwareTrigger(), frame_limit_ms=30.0)
    fired: dict[str, str] = {}

    def fire(start: int) -> None:
        for number in range(start, start + 100):
            wait_until(lambda: not line.pipeline._ledger.is_crowded)
            trigger_id = line.pipeline.fire(str(number))
            assert trigger_id is not None
            fired[trigger_id] = str(number)
            time.sleep(0.001 * (number % 7))

    threads = [threading.Thread(target=fire, args=(100 * number,)) for number in range(4)]
    with Running(line) as running:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GENEROUS_S)
        running.wait_for(400)
    assert {record.trigger_id: record.part_id for record in line.records} == fired
    assert len(line.records) == 400
    assert "PASS" in line.outcomes()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_fired_while_the_line_stops_has_its_record_or_is_refused(seed: int) -> None:
    opened: list[str] = []
    camera = LiveCamera()
    line = Line(
        [View("main", camera, FakeInspector(), camera.give)],
        trigger=SoftwareTrigger(),
        frame_limit_ms=30.0,
        on_trigger=note(opened),
    )
    fired: list[str | None] = []
    refused: list[LineError] = []

    def fire() -> None:
        while not refused or isinstance(refused[-1], TooManyPartsError):
            try:
                fired.append(line.pipeline.fire())
            except LineError as error:
                refused.append(error)

    with Running(line):
        thread = threading.Thread(target=fire)
        thread.start()
        time.sleep(0.01 * seed)
    thread.join(GENEROUS_S)
    assert str(refused[-1]) in {"the line stops", "the line is not running"}
    assert fired == opened
    assert sorted(record.trigger_id for record in line.records) == opened


class Button(SoftwareTrigger):
    """Announces a part for each press."""

    def __init__(self) -> None:
        self.pressed: queue.SimpleQueue[Firing] = queue.SimpleQueue()

    def wait(self, timeout_s: float) -> Firing | None:
        try:
            return self.pressed.get(timeout=timeout_s)
        except queue.Empty:
            return None


def test_a_disk_that_hangs_keeps_no_trigger_and_no_camera_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but NO_VERDICT leaves meanwhile, at the deadline; then all is as before."""
    disk, button, camera = Disk(monkeypatch), Button(), LiveCamera()
    station = StationRecords(RecordsConfig(folder=tmp_path), {})
    inspected: list[Image] = []
    line = Line(
        [View("main", camera, FakeInspector(inspected.append), camera.give)],
        trigger=button,
        deadline_ms=2000.0,
        on_trigger=station.on_trigger,
        on_verdict=station.on_verdict,
        blocked=station.blocked,
    )

    def outcomes_of_three() -> list[str]:
        told = len(line.records)
        for _ in range(3):
            parts = len(inspected)
            wait_until(lambda: not is_exposing(line))
            button.pressed.put(Firing())
            wait_until(lambda parts=parts: len(inspected) > parts)  # type: ignore[misc]
        wait_until(lambda: len(line.records) == told + 3)
        return line.outcomes()[told:]

    with station.open(), Running(line):
        assert outcomes_of_three() == ["PASS"] * 3
        disk.answers.clear()
        monkeypatch.setattr("edge.store.notes._SLOW_S", 0.1)
        assert outcomes_of_three() == ["deadline"] * 3
        assert all("the disk was too slow to note it" in one.message for one in line.records[3:])
        (fault,) = line.pipeline.faults
        assert fault.endswith("the disk did not answer for 0.1 s, no trigger can be noted")
        disk.answers.set()
        wait_until(lambda: line.pipeline.state is StationState.READY)
        assert outcomes_of_three() == ["PASS"] * 3


class WatchedDict(dict[str, Any]):
    """Calls back before each entry."""

    def __init__(self, before_entry: Callable[[], None]) -> None:
        super().__init__()
        self._before_entry = before_entry

    def __setitem__(self, key: str, value: Any) -> None:
        self._before_entry()
        super().__setitem__(key, value)


def test_the_delivery_does_not_end_before_a_part_that_is_noted_last() -> None:
    """The last verdict is noted only when the ledger is closed, and that on another thread."""

    def note_late(_record: InspectionRecord, noted: Callable[[], None]) -> None:
        def at_the_end() -> None:
            wait_until(lambda: line.pipeline._ledger.is_finished)
            noted()

        threading.Thread(target=at_the_end, daemon=True).start()

    line = Line(FakeCamera(None), on_verdict=note_late)
    delivery, were_finished = line.pipeline._delivery, []
    delivery._handed_out = WatchedDict(lambda: were_finished.append(delivery._is_finished))
    assert line.run().triggers == 1
    assert were_finished == [False]

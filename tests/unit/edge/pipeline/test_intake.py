"""Which frame shows which part: no verdict rests on the frame of another one."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from edge.part.frame import Frame
from edge.part.result import Settled
from edge.part.shot import Shot
from edge.part.trigger import Trigger
from edge.pipeline.exposure import OnExposed
from edge.pipeline.intake import Intake
from edge.pipeline.ledger import Ledger
from edge.pipeline.settings import PartLimits, View
from edge.trigger.base import Firing, FrameTrigger
from edge.trigger.camera import CameraTrigger
from inspection.errors import CameraError, FrameError
from inspection.verdict import Cause, Verdict
from tests.doubles.pipelines import FakeCamera, FakeInspector, judged

MS = 1_000_000


class Direct:
    """Exposes on the thread of the trigger; while `is_stuck` the camera does not answer."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.is_stuck = False
        self._unanswered: OnExposed | None = None

    def offer(self, on_exposed: OnExposed) -> bool:
        if self._unanswered is not None:
            return False
        if self.is_stuck:
            self._unanswered = on_exposed
        else:
            on_exposed(self._expose())
        return True

    def answer(self, error: CameraError | None = None) -> None:
        assert self._unanswered is not None
        on_exposed, self._unanswered, self.is_stuck = self._unanswered, None, False
        on_exposed(error)

    def _expose(self) -> CameraError | None:
        try:
            if self._view.expose is not None:
                self._view.expose()
        except CameraError as error:
            return error
        return None


class Bench:
    """An intake with a clock of its own; shots are judged when `work` is called."""

    def __init__(
        self,
        *views: str,
        fired: bool = False,
        frame_trigger: FrameTrigger | None = None,
        **limits: Any,
    ) -> None:
        self.now_ns = 1_000 * MS
        clock = lambda: self.now_ns  # noqa: E731
        self.ledger = Ledger(clock)
        self.exposed: list[str] = []
        self.opened: list[Trigger] = []
        self.views = [
            View(name, FakeCamera(waits=False), FakeInspector(), self._expose(name))
            for name in views
        ]
        self.exposers = {view.name: Direct(view) for view in self.views}
        self.intake = Intake(
            views=self.views,
            ledger=self.ledger,
            limits=PartLimits(**{"deadline_ms": 100.0, "frame_limit_ms": 20.0} | limits),
            frame_trigger=None if fired else frame_trigger or CameraTrigger(),
            exposers=self.exposers,
            on_trigger=self._note,
            clock_ns=clock,
        )

    def _expose(self, name: str) -> Callable[[], None]:
        return lambda: self.exposed.append(name)

    def _note(self, trigger: Trigger, noted: Callable[[], None]) -> None:
        self.opened.append(trigger)
        noted()

    def wait(self, time_ms: float) -> None:
        self.now_ns += round(time_ms * MS)

    def fire(self, part_id: str | None = None) -> None:
        self.intake.fire(Firing(part_id, self.now_ns))

    def see(self, view: str, source: str = "", age_ms: float = 0.0) -> None:
        image, captured_ns = np.zeros((8, 8), np.uint8), self.now_ns - round(age_ms * MS)
        self.intake.on_frame(view, Frame(image, captured_ns, 0, source or view))

    def shots(self) -> list[Shot]:
        found = []
        while not self.intake.shots.empty():
            shot = self.intake.shots.get()
            assert shot is not None
            found.append(shot)
        return found

    def work(self) -> None:
        for shot in self.shots():
            self.ledger.report(shot.trigger, shot.view, judged(Verdict.PASS))
            self.intake.finish(shot)

    def out(self) -> list[Settled]:
        self.work()
        found = []
        while (settled := self.ledger.take(0.0)) is not None:
            found.append(settled)
        return found

    def outcomes(self) -> list[str]:
        return [(s.inspection.cause or s.inspection.verdict).value for s in self.out()]


def test_an_announced_part_gets_the_next_frame_and_its_own_id() -> None:
    bench = Bench("main", fired=True)
    bench.see("main", "before")
    bench.fire("A-17")
    bench.wait(5)
    bench.see("main", "its own")
    bench.wait(5)
    bench.see("main", "after")
    (settled,) = bench.out()
    assert settled.trigger.part_id == "A-17"
    assert settled.views[0].frame is not None
    assert settled.views[0].frame.source == "its own"
    assert settled.trigger.deadline_ns == 1_100 * MS
    assert bench.exposed == ["main"]
    assert bench.intake.counts.stray_frames == 2


def test_a_frame_that_was_complete_before_the_trigger_is_not_taken() -> None:
    bench = Bench("main", fired=True)
    old = Frame(np.zeros((8, 8), np.uint8), bench.now_ns - 1, 0, "old")
    bench.fire()
    bench.intake.on_frame("main", old)
    assert bench.shots() == []


def test_without_a_frame_there_is_no_verdict_and_a_late_one_is_not_the_next_parts() -> None:
    bench = Bench("main", fired=True)
    bench.fire("first")
    bench.wait(20)
    assert bench.outcomes() == ["no_frame"]
    bench.fire("second")  # is not exposed: its frame could not be told from that of the first
    bench.wait(5)
    bench.see("main", "of the first")
    assert bench.shots() == []
    assert [(s.inspection.cause, s.inspection.message) for s in bench.out()] == [
        (Cause.CAMERA, "the frame of an earlier part may still come")
    ]
    bench.fire("third")
    bench.see("main", "of the third")
    assert [shot.frame.source for shot in bench.shots()] == ["of the third"]
    assert bench.exposed == ["main", "main"]


def test_a_trigger_before_the_frame_of_the_part_before_is_an_overtrigger() -> None:
    bench = Bench("main", fired=True)
    bench.fire("first")
    bench.wait(1)
    bench.fire("second")
    bench.see("main")
    assert {s.trigger.part_id: s.inspection.cause for s in bench.out()} == {
        "second": Cause.OVERTRIGGER,
        "first": None,
    }
    assert bench.exposed == ["main"]


@pytest.mark.parametrize("fired", [True, False])
def test_more_parts_than_the_stages_take_are_overtriggers(fired: bool) -> None:
    bench = Bench("main", fired=fired, parts_max=2)
    for _ in range(4):
        if fired:
            bench.fire()
        bench.see("main")
        bench.wait(1)
    assert bench.outcomes() == ["PASS", "PASS", "overtrigger", "overtrigger"]


def test_a_bounce_is_no_part_and_is_counted() -> None:
    bench = Bench("main", fired=True, debounce_ms=5.0)
    bench.fire()
    bench.see("main")
    for _ in range(3):
        bench.wait(4)
        bench.fire()
    bench.wait(5)
    bench.fire()
    bench.see("main")
    assert bench.outcomes() == ["PASS", "PASS"]
    assert bench.intake.counts.bounced == 3


def test_two_sources_that_overtake_each_other_are_no_bounce() -> None:
    bench = Bench("main", fired=True)
    bench.fire("later")
    bench.see("main")
    assert bench.intake.fire(Firing("earlier", bench.now_ns - MS)) is not None
    assert bench.intake.counts.bounced == 0


def test_a_camera_that_cannot_be_exposed_has_its_cause() -> None:
    bench = Bench("main", fired=True)

    def refuse() -> None:
        raise CameraError("busy")

    bench.views[0].expose = refuse
    bench.fire()
    assert [s.inspection.message for s in bench.out()] == ["busy"]
    bench.views[0].expose = None
    bench.fire()
    bench.see("main")
    assert bench.outcomes() == ["PASS"]


def test_frames_of_one_part_are_joined() -> None:
    bench = Bench("top", "side")
    bench.see("side")
    bench.wait(10)
    bench.see("top")
    (settled,) = bench.out()
    assert [result.view for result in settled.views] == ["top", "side"]
    assert settled.inspection.verdict is Verdict.PASS


class SeenFromTheTop(CameraTrigger):
    """Sees parts in one of several views that run free."""

    def announces(self, view: str) -> bool:
        return view == "top"

    def opens(self, view: str, frame: Frame | None) -> bool:
        return self.announces(view)


def test_a_view_that_lags_gives_a_part_no_frame_from_before_it_was_seen() -> None:
    bench = Bench("top", "side", frame_trigger=SeenFromTheTop())
    bench.see("top", "the part")
    bench.see("side", "an empty line", age_ms=10)
    bench.wait(5)
    bench.see("side", "the part")
    (settled,) = bench.out()
    assert [one.frame.source for one in settled.views if one.frame] == ["the part", "the part"]
    assert bench.intake.counts.stray_frames == 1


def test_a_missing_view_costs_this_part_its_verdict_and_no_other() -> None:
    bench = Bench("top", "side")
    bench.see("top")
    bench.wait(60)
    bench.see("top")
    bench.wait(1)
    bench.see("side")
    assert bench.outcomes() == ["view_missing", "PASS"]


def test_a_late_view_is_not_joined_to_the_next_part() -> None:
    bench = Bench("top", "side")
    bench.see("top", "1")
    bench.wait(10)
    bench.see("top", "2")  # overtakes: the side is late
    bench.see("side", "1")
    bench.see("side", "2")
    bench.wait(20)
    for settled in bench.out():
        sources = {r.frame.source for r in settled.views if r.frame is not None}
        assert len(sources) == 1, "frames of two parts"


def test_a_bad_frame_of_one_view_is_that_views_part() -> None:
    bench = Bench("top", "side")
    bench.intake.on_bad_frame("top", FrameError("torn"))
    bench.see("side")
    (settled,) = bench.out()
    assert [result.inspection.cause for result in settled.views] == [Cause.FRAME, None]
    assert settled.inspection.message == "torn"


def test_a_lost_camera_costs_its_view_the_verdict_at_once_until_it_is_there_again() -> None:
    bench = Bench("top", "side")
    bench.see("top")
    bench.intake.on_camera_lost("side", CameraError("unplugged"))
    bench.work()
    bench.wait(50)
    bench.see("top")
    assert bench.outcomes() == ["camera", "camera"]
    bench.intake.on_camera_back("side")
    bench.wait(50)
    bench.see("top")
    bench.see("side")
    assert bench.outcomes() == ["PASS"]


def test_a_camera_lost_between_announced_parts_is_no_part() -> None:
    bench = Bench("main", fired=True)
    bench.intake.on_camera_lost("main", CameraError("unplugged"))
    assert bench.outcomes() == []
    bench.fire()
    assert bench.outcomes() == ["camera"]


@pytest.mark.parametrize("fired", [False, True])
def test_nothing_is_opened_after_the_close(fired: bool) -> None:
    bench = Bench("main", fired=fired)
    bench.intake.close()
    bench.fire()
    bench.see("main")
    bench.intake.on_bad_frame("main", FrameError("torn"))
    bench.intake.on_camera_lost("main", CameraError("unplugged"))
    assert bench.outcomes() == bench.exposed == []
    assert bench.opened == []


def test_a_part_is_judged_by_the_recipe_in_force_at_its_trigger() -> None:
    bench = Bench("main", fired=True)
    old = bench.views[0].inspector
    bench.fire("old")
    identity = dataclasses.replace(old.identity, recipe="new")
    bench.views[0].inspector = FakeInspector(identity=identity)
    bench.see("main")
    bench.fire("new")
    bench.see("main")
    first, second = bench.shots()
    assert (first.inspector, second.inspector) == (old, bench.views[0].inspector)
    assert first.trigger.recipes["main"].recipe == "default"
    assert second.trigger.recipes["main"].recipe == "new"


def test_a_recording_gives_a_frame_when_one_is_wanted() -> None:
    bench = Bench("top", "side")
    assert bench.intake.wants("top")
    assert bench.intake.wants("side")
    bench.see("top")
    assert not bench.intake.wants("top")
    assert bench.intake.wants("side")
    bench.see("side")
    assert not bench.intake.wants("side")
    bench.work()
    assert bench.intake.wants("top")


@pytest.mark.parametrize("fired", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_gets_lost_or_late_no_frame_is_taken_for_another_part(
    seed: int, fired: bool
) -> None:
    """Parts every 50 ms, two views; frames are lost, or come after the frame limit."""
    luck = random.Random(seed)
    bench = Bench("top", "side", fired=fired)
    events: list[tuple[float, int, str, str]] = []
    parts = 200
    for number in range(parts):
        start = 50.0 * number
        if fired:
            events.append((start, 0, "", str(number)))
        for order, view in enumerate(("top", "side"), 1):
            fate = luck.random()
            latest = 39 if fired else 29  # with the limit of 20 less than the time between parts
            late = luck.uniform(20, latest) if fate < 0.05 else luck.uniform(0.5, 15)
            if not 0.05 < fate < 0.1:
                events.append((start + late, order, view, str(number)))
    began_ns = bench.now_ns
    settled = []
    for at_ms, _, view, name in sorted(events):
        bench.now_ns = began_ns + round(at_ms * MS)
        if view:
            bench.see(view, name)
        else:
            bench.fire(name)
        settled += bench.out()
    bench.wait(1000)
    settled += bench.out()
    for part in settled:
        sources = {result.frame.source for result in part.views if result.frame is not None}
        assert len(sources) <= 1
        if part.inspection.verdict is Verdict.PASS:
            assert len(sources) == 1
            assert not fired or sources == {part.trigger.part_id}
    if fired:
        assert [part.trigger.part_id for part in settled] == [str(n) for n in range(parts)]
    assert sum(part.inspection.verdict is Verdict.PASS for part in settled) > parts / 2


def test_a_part_whose_frame_is_lost_gets_none_of_the_next_part_that_nobody_exposes() -> None:
    bench = Bench("main", fired=True, frame_limit_ms=50)
    bench.exposers.clear()
    settled = []
    for number in range(6):
        bench.fire(str(number))
        bench.wait(5)
        if number != 1:
            bench.see("main", str(number))
        settled += bench.out()
        bench.wait(30)
    bench.wait(100)
    settled += bench.out()
    frames = {one.views[0].frame.source for one in settled if one.views[0].frame is not None}
    assert len(settled) == 6
    assert settled[1].inspection.cause is Cause.OVERTRIGGER
    for part in settled:
        frame = part.views[0].frame
        assert frame is None or frame.source == part.trigger.part_id
    assert frames == {"0"}  # and none later: each may be late by more than a part


def test_a_refused_part_takes_its_frame_from_the_next_one_where_nobody_exposes() -> None:
    bench = Bench("main", fired=True, parts_max=1)
    bench.exposers.clear()
    bench.fire("first")
    bench.see("main", "first")
    bench.wait(1)
    bench.fire("refused")
    bench.work()
    bench.fire("third")
    bench.see("main", "refused")
    bench.see("main", "third")
    parts = {one.trigger.part_id: one for one in bench.out()}
    assert parts["refused"].inspection.cause is Cause.OVERTRIGGER
    assert parts["refused"].views[0].frame is None
    frame = parts["third"].views[0].frame
    assert frame is not None
    assert frame.source == "third"


def test_a_recording_keeps_its_frame_for_the_part_that_waits() -> None:
    bench = Bench("main", fired=True)
    bench.exposers.clear()
    bench.views[0].camera = FakeCamera(waits=True)
    bench.fire("first")
    bench.fire("second")
    bench.see("main", "first")
    assert bench.outcomes() == ["PASS", "overtrigger"]


def _run_with_a_lost_frame(bench: Bench, views: Sequence[str], period_ms: float) -> list[str]:
    """Six parts; the frame of the second in the last view is lost."""
    outcomes = []
    for number in range(6):
        seen = len(bench.exposed)
        if bench.intake.is_fired:
            bench.fire(str(number))
        for view in views:
            is_exposed = view not in bench.exposers or view in bench.exposed[seen:]
            if is_exposed and (number, view) != (1, views[-1]):
                bench.see(view, str(number))
        outcomes += bench.outcomes()
        bench.wait(period_ms)
        outcomes += bench.outcomes()
    return outcomes


@pytest.mark.parametrize("period_ms", [21, 35])
def test_one_lost_frame_costs_no_part_its_verdict_once_it_can_come_no_more(
    period_ms: float,
) -> None:
    bench = Bench("main", fired=True)
    outcomes = _run_with_a_lost_frame(bench, ["main"], period_ms)
    assert outcomes == ["PASS", "no_frame", "camera", "PASS", "PASS", "PASS"]


def test_one_lost_frame_of_a_camera_that_exposes_by_itself_costs_two_parts_their_verdict() -> None:
    bench = Bench("main", fired=True)
    bench.exposers.clear()
    outcomes = _run_with_a_lost_frame(bench, ["main"], 35)
    assert outcomes == ["PASS", "no_frame", "no_frame", "PASS", "PASS", "PASS"]


@pytest.mark.parametrize(("pause_ms", "after"), [(40, "PASS"), (33, "view_missing")])
@pytest.mark.parametrize("views", [("top", "side"), ("side", "top")])
def test_a_lost_frame_of_a_view_costs_its_part_the_verdict_and_those_before_a_pause(
    views: tuple[str, str], pause_ms: float, after: str
) -> None:
    """Frames announce the parts; the view may be the first or the last of a part to come again."""
    bench = Bench("top", "side")
    bench.exposers.clear()
    outcomes = []
    for number in range(6):
        for view in reversed(views) if number > 1 else views:
            if (number, view) != (1, views[-1]):
                bench.see(view, str(number))
                bench.wait(1)
        outcomes += bench.outcomes()
        bench.wait(pause_ms)
        outcomes += bench.outcomes()
    assert outcomes == ["PASS", "view_missing", *[after] * 4]


def test_a_late_frame_that_came_before_its_part_was_announced_is_still_owed() -> None:
    """Parts 42 ms apart with a limit of 20 ms; the frames of one view come 26 and 24 ms late."""
    bench = Bench("top", "side")
    began_ns, settled = bench.now_ns, []
    for at_ms, view, source in (
        *((0, "top", "A"), (26, "side", "A"), (42, "top", "B"), (66, "side", "B")),
        *((84, "top", "C"), (85, "side", "C"), (126, "top", "D"), (127, "side", "D")),
    ):
        bench.now_ns = began_ns + at_ms * MS
        bench.see(view, source)
        settled += bench.out()
    seen = [[one.frame.source for one in part.views if one.frame is not None] for part in settled]
    assert seen == [["A"], ["B"], ["C", "C"], ["D", "D"]]


def test_a_camera_that_lags_by_a_part_gives_no_frame_to_the_next_one() -> None:
    """It says when each frame was taken, and every one comes after the next part."""
    bench = Bench("main", fired=True)
    bench.exposers.clear()
    image = np.zeros((8, 8), np.uint8)
    outcomes = []
    for number in range(6):
        captured_ns = bench.now_ns - 30 * MS
        bench.fire(str(number))
        if number > 0:
            bench.intake.on_frame("main", Frame(image, captured_ns, 0, str(number - 1)))
        bench.wait(35)
        outcomes += bench.outcomes()
    assert outcomes == ["no_frame"] * 6


def test_each_of_two_late_frames_is_owed() -> None:
    bench = Bench("top", "side")
    bench.exposers.clear()
    for number in range(2):
        bench.see("top", str(number))  # the second overtakes the first
        bench.wait(10)
    bench.see("top", "2")
    for number in range(3):
        bench.see("side", str(number))
    bench.work()
    bench.wait(20)
    last = bench.out()[-1]
    assert last.inspection.verdict is Verdict.PASS
    assert {one.frame.source for one in last.views if one.frame is not None} == {"2"}


@pytest.mark.parametrize(
    ("period_ms", "is_recording", "warnings"), [(41, False, 0), (39, False, 1), (39, True, 0)]
)
def test_parts_too_close_for_their_frame_limit_are_said_once(
    period_ms: float, is_recording: bool, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench("main", fired=True)
    bench.views[0].camera = FakeCamera(waits=is_recording)
    for _ in range(4):
        bench.fire()
        bench.see("main")
        bench.work()
        bench.wait(period_ms)
    warning = (
        "two parts came within 39 ms, and a frame may take 20 ms: a lost frame costs the parts "
        "after it their verdict too. Set trigger.frame_limit_ms below half of the time between two "
        "parts"
    )
    assert caplog.messages == [warning] * warnings


def test_a_single_camera_that_announces_its_parts_may_be_as_fast_as_it_likes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench("main")
    for _ in range(3):
        bench.see("main")
        bench.wait(1)
    assert caplog.messages == []


@pytest.mark.parametrize("is_exposed", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_a_frame_late_by_less_than_two_limits_is_not_taken_for_the_next_part(
    seed: int, is_exposed: bool
) -> None:
    """Announced parts every 25 to 60 ms with a limit of 20 ms; a camera gives frames in order.

    A camera that exposes by itself has no fault in two parts in a row.
    """
    luck = random.Random(seed)
    bench = Bench("main", fired=True)
    if not is_exposed:
        bench.exposers.clear()
    coming: deque[tuple[int, str]] = deque()
    settled, was_faulty, last_ns = [], False, 0
    for number in range(150):
        fire_ns = bench.now_ns + round(luck.uniform(25, 60) * MS)
        while coming and coming[0][0] <= fire_ns:
            bench.now_ns, name = coming.popleft()
            bench.see("main", name)
            settled += bench.out()
        bench.now_ns, seen = fire_ns, len(bench.exposed)
        bench.fire(str(number))
        settled += bench.out()
        fate = 1.0 if was_faulty and not is_exposed else luck.random()
        was_faulty = fate < 0.2
        if (is_exposed and len(bench.exposed) == seen) or fate < 0.1:
            continue
        delay_ms = luck.uniform(20, 39) if was_faulty else luck.uniform(0.5, 15)
        last_ns = max(last_ns, fire_ns + round(delay_ms * MS))
        coming.append((last_ns, str(number)))
    bench.wait(1000)
    settled += bench.out()
    assert [part.trigger.part_id for part in settled] == [str(n) for n in range(150)]
    for part in settled:
        if part.inspection.verdict is Verdict.PASS:
            assert part.views[0].frame is not None
            assert part.views[0].frame.source == part.trigger.part_id
    assert sum(part.inspection.verdict is Verdict.PASS for part in settled) > 75


def test_a_camera_that_hangs_in_its_exposure_delays_no_trigger_and_no_other_view() -> None:
    bench = Bench("top", "side", fired=True)
    bench.exposers["top"].is_stuck = True
    bench.fire("first")
    assert bench.exposed == ["side"]
    bench.see("side")
    bench.wait(20)
    assert bench.outcomes() == ["view_missing"]
    bench.wait(20)
    bench.fire("second")
    bench.see("side")
    (second,) = bench.out()
    assert (second.inspection.cause, second.inspection.message) == (
        Cause.CAMERA,
        "the camera has not answered the trigger of an earlier part",
    )
    assert bench.exposed == ["side", "side"]


def test_the_frame_of_an_exposure_that_ended_late_is_not_the_next_parts() -> None:
    bench = Bench("main", fired=True)
    bench.exposers["main"].is_stuck = True
    bench.fire("first")
    bench.wait(60)  # the frame is overdue for longer than a frame limit
    assert bench.outcomes() == ["no_frame"]
    bench.exposers["main"].answer()
    bench.wait(19)
    bench.fire("second")
    bench.see("main", "of the first")
    assert bench.shots() == []
    bench.fire("third")
    bench.see("main", "of the third")
    assert [shot.frame.source for shot in bench.shots()] == ["of the third"]


def test_the_frame_of_an_exposure_that_ends_very_late_is_not_the_next_parts() -> None:
    bench = Bench("main", fired=True)
    bench.exposers["main"].is_stuck = True
    bench.fire("first")
    bench.wait(100)
    bench.fire("second")
    bench.exposers["main"].answer()
    bench.fire("third")
    bench.see("main", "first")
    assert [shot.frame.source for shot in bench.shots()] == []


def test_frames_that_never_come_take_no_memory() -> None:
    bench = Bench("main", fired=True)
    bench.exposers.clear()
    parts = []
    for _ in range(20):
        bench.fire()
        parts.append(weakref.ref(bench.intake._matcher.part))
        bench.wait(50)
        assert bench.outcomes() == ["no_frame"]
    assert len([part for part in parts if part() is not None]) <= 2


def test_a_frame_that_comes_before_its_exposure_has_ended_is_taken_and_owes_none() -> None:
    bench = Bench("main", fired=True)
    bench.exposers["main"].is_stuck = True
    bench.fire()
    bench.see("main")
    bench.exposers["main"].answer()
    assert bench.outcomes() == ["PASS"]
    bench.fire()
    bench.see("main")
    assert bench.outcomes() == ["PASS"]


def test_an_exposure_that_fails_late_leaves_the_verdict_as_it_was() -> None:
    bench = Bench("main", fired=True)
    bench.exposers["main"].is_stuck = True
    bench.fire()
    bench.wait(20)
    assert bench.outcomes() == ["no_frame"]
    bench.exposers["main"].answer(CameraError("unplugged"))
    assert bench.outcomes() == []


def test_a_late_frame_that_comes_before_its_exposure_has_ended_is_owed_once() -> None:
    bench = Bench("main", fired=True)
    bench.exposers["main"].is_stuck = True
    bench.fire("first")
    bench.wait(25)
    bench.see("main", "of the first")
    assert bench.outcomes() == ["no_frame"]
    bench.exposers["main"].answer()
    bench.fire("second")
    bench.see("main", "of the second")
    assert [shot.frame.source for shot in bench.shots()] == ["of the second"]


def test_a_part_is_dated_when_it_was_announced_and_not_when_it_was_opened() -> None:
    bench = Bench("main", fired=True)
    bench.intake.fire(Firing(None, bench.now_ns - 40_000 * MS))
    age_s = (datetime.now(timezone.utc) - bench.opened[0].triggered_utc).total_seconds()
    assert 40 <= age_s < 60


def test_frames_are_due_within_their_limit_of_the_frame_that_came_first() -> None:
    bench = Bench("top", "side")
    captured_ns = bench.now_ns
    bench.wait(5)
    image = np.zeros((8, 8), np.uint8)
    bench.intake.on_frame("top", Frame(image, captured_ns, 0, "top"))
    assert bench.opened[0].triggered_ns == captured_ns
    assert bench.opened[0].frames_due_ns == bench.now_ns + 20 * MS


def test_a_part_with_one_view_that_shows_itself_waits_for_no_frame() -> None:
    bench = Bench("main")
    bench.see("main")
    assert bench.opened[0].frames_due_ns == bench.opened[0].deadline_ns


def test_a_late_frame_of_an_overdue_part_announces_no_new_part() -> None:
    bench = Bench("top", "side")
    bench.see("top")
    bench.wait(21)
    bench.see("side")
    assert len(bench.opened) == 1
    assert bench.intake.counts.stray_frames == 1


def test_a_camera_that_comes_back_owes_no_frame() -> None:
    bench = Bench("main", fired=True)
    bench.fire("lost")
    bench.wait(21)
    bench.see("main", "its frame at last")
    bench.fire("lost again")
    bench.wait(21)
    bench.intake.on_camera_lost("main", CameraError("gone"))
    bench.intake.on_camera_back("main")
    bench.fire("the next one")
    bench.see("main", "new")
    frames = {
        one.trigger.part_id: one.views[0].frame.source
        for one in bench.out()
        if one.views[0].frame is not None
    }
    assert frames == {"the next one": "new"}


def test_parts_in_the_stages_are_counted_and_not_their_frames() -> None:
    bench = Bench("top", "side", parts_max=2)
    for _ in range(3):
        bench.see("top")
        bench.see("side")
        bench.wait(1)
    assert bench.intake.shots.qsize() == 4
    assert bench.outcomes() == ["PASS", "PASS", "overtrigger"]


def test_the_frames_end_after_the_last_view() -> None:
    bench = Bench("top", "side")
    bench.intake.end("top")
    assert bench.intake.shots.empty()
    bench.intake.end("side")
    assert bench.intake.shots.get() is None


def test_an_inspector_is_used_by_the_part_that_waits_and_by_the_parts_in_the_stages() -> None:
    bench = Bench("main", fired=True)
    before = bench.views[0].inspector
    bench.fire()
    bench.intake.change_inspectors({"main": FakeInspector()})
    assert not bench.intake.wait_until_unused([before], 0.0)  # the part waits for its frame
    bench.see("main")
    (shot,) = bench.shots()
    assert not bench.intake.wait_until_unused([before], 0.0)  # the frame is in the stages
    bench.intake.finish(shot)
    assert bench.intake.wait_until_unused([before], 0.0)


@pytest.mark.parametrize("fired", [False, True])
def test_a_recording_that_waits_is_woken(fired: bool) -> None:
    """By the trigger of a part, or by the end of the one before."""
    bench = Bench("main", fired=fired)
    if not fired:
        bench.see("main")
    assert not bench.intake.wants("main")
    started_s = time.monotonic()
    threading.Timer(0.05, bench.fire if fired else bench.work).start()
    bench.intake.wait_wanted("main", 30.0)
    assert bench.intake.wants("main")
    assert time.monotonic() - started_s < 20

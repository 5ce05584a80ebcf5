"""From frames and announced parts to open triggers: which frame shows which part.

One part at a time waits for its frames. Each view gives it one, within the frame limit of the
trigger; a frame that comes later is not taken for the next part's:

- a part that a further one overtakes, or whose time is over, is closed as it is;
- each view it still lacks owes a frame then, and the next one of that view is thrown away when it
  comes within one more frame limit.

So a lost or late frame costs parts their verdict and gives none the frame of another, as long as
it is late by less than the time between two parts without the frame limit.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge.camera.base import Frame
from edge.errors import CameraError, FrameError
from edge.trigger.base import Firing, FrameTrigger
from edge.triggers import Ledger, Trigger, no_verdict
from edge.verdict import Cause
from edge.views import PartInspector, View

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame on its way to its verdict, and the inspector that was chosen at the trigger."""

    trigger: Trigger
    view: str
    frame: Frame
    inspector: PartInspector


@dataclass
class _WaitingPart:
    """The part whose frames are coming in.

    Attributes:
        refusal: why it is not inspected; empty when it is.
    """

    trigger: Trigger
    inspectors: Mapping[str, PartInspector]
    lacking: set[str]
    refusal: str


@dataclass
class IntakeCounts:
    """What came and was no part.

    Attributes:
        bounced: firings within the debounce time of the one before.
        stray_frames: frames that belonged to no part.
    """

    bounced: int = 0
    stray_frames: int = 0


@dataclass(frozen=True)
class PartLimits:
    """When parts are refused, and how long they wait.

    Attributes:
        deadline_ms: from the trigger to the verdict.
        frame_limit_ms: from the trigger to the last view's frame; None: half of the deadline.
        debounce_ms: a firing that follows the one before so soon is none.
        parts_max: parts with frames that have no verdict yet; a further one is an overtrigger.
    """

    deadline_ms: float
    frame_limit_ms: float | None = None
    debounce_ms: float = 0.0
    parts_max: int = 3

    @property
    def frame_limit_ns(self) -> int:
        """From the trigger to the last view's frame."""
        given = self.frame_limit_ms
        return round((self.deadline_ms / 2 if given is None else given) * 1e6)


def _ignore(_trigger: Trigger) -> None:
    pass


class Intake:
    """Opens a trigger for each part, and hands its frames on. Safe for threads.

    Args:
        frame_trigger: sees parts in frames; None when they are announced by `fire`.
        on_trigger: receives each trigger before it is opened.
        clock_ns: monotonic clock in nanoseconds, the same as the cameras'.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        ledger: Ledger,
        limits: PartLimits,
        frame_trigger: FrameTrigger | None,
        on_trigger: Callable[[Trigger], None] = _ignore,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.counts = IntakeCounts()
        self.shots: queue.SimpleQueue[Shot | None] = queue.SimpleQueue()
        self._views = {view.name: view for view in views}
        self._ledger = ledger
        self._limits = limits
        self._frame_trigger = frame_trigger
        self._on_trigger = on_trigger
        self._clock_ns = clock_ns
        self._run_id = uuid.uuid4().hex[:8]
        self._count = 0
        self._firing = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: _WaitingPart | None = None
        self._in_stages: set[Shot] = set()
        self._owed_until_ns: dict[str, int] = {}
        self._lost: dict[str, str] = {}  # what each view's camera died of
        self._last_fired_ns: int | None = None
        self._ended: set[str] = set()

    def fire(self, firing: Firing) -> Trigger | None:
        """Open the part that was announced, and expose the cameras; None when it was a bounce."""
        with self._firing:
            with self._changed:
                if self._bounces(firing):
                    self.counts.bounced += 1
                    return None
                is_early = self._close_overdue() is not None
                part = self._open(firing.fired_ns, firing.part_id)
                if is_early:
                    part.refusal = "the part before has no frame yet: the parts come too fast"
                if part.refusal:
                    self._refuse(part)
                    return part.trigger
                self._wait_for_frames(part)
                views = [self._views[name] for name in part.lacking]
            for view in views:
                self._expose(view, part)
            return part.trigger

    def see(self, view: str, frame: Frame) -> None:
        """Take a frame of a view."""
        with self._changed:
            part = self._part_for(view, frame, frame.captured_ns)
            if part is None or not self._ledger.attach(part.trigger, view, frame):
                return
            if part.refusal:
                self._refuse(part)
                return
            shot = Shot(part.trigger, view, frame, part.inspectors[view])
            self._in_stages.add(shot)
            self.shots.put(shot)

    def spoil(self, view: str, error: FrameError) -> None:
        """Take note of a frame that came and cannot be used."""
        with self._changed:
            part = self._part_for(view, None, self._clock_ns())
            if part is None:
                _log.warning("%s: %s", view, error)
            else:
                self._ledger.report(part.trigger, view, no_verdict(Cause.FRAME, str(error)))

    def lose(self, view: str, error: Exception) -> None:
        """Take note of a lost camera: no part gets a frame of this view until `find`.

        Where the camera itself announces the parts, nobody knows whether one was before it: the
        loss is then a part without verdict when no other is waiting.
        """
        with self._changed:
            if self._frame_trigger is not None and self._close_overdue() is None:
                lost = no_verdict(Cause.CAMERA, str(error))
                self._ledger.settle(self._open(self._clock_ns(), None).trigger, lost)
            self.shut(view, str(error))

    def shut(self, view: str, why: str) -> None:
        """Take note that no part gets a frame of this view until `find`."""
        with self._changed:
            part = self._close_overdue()
            self._owed_until_ns.pop(view, None)
            if part is not None and view in part.lacking:
                self._drop_from(part, view)
                self._ledger.report(part.trigger, view, no_verdict(Cause.CAMERA, why))
            self._lost[view] = why

    def find(self, view: str) -> None:
        """Take note that a lost camera is there again."""
        with self._changed:
            self._lost.pop(view, None)

    def wants(self, view: str) -> bool:
        """Whether a recording should give its next frame.

        That is when a part waits for it, or when frames announce the parts and all are done.
        """
        with self._changed:
            part = self._close_overdue()
            if part is not None:
                return view in part.lacking
            return self._frame_trigger is not None and not self._in_stages

    def wait_wanted(self, view: str, timeout_s: float) -> None:
        """Wait until `wants`, or until `timeout_s` is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.wants(view), timeout_s)

    def finish(self, shot: Shot) -> None:
        """The frame has its verdict, or needs none any more."""
        with self._changed:
            self._in_stages.remove(shot)
            self._changed.notify_all()

    def change_inspectors(self, inspectors: Mapping[str, PartInspector]) -> None:
        """Judge the parts from the next trigger on by other inspectors, in all views at once."""
        with self._changed:
            for name, inspector in inspectors.items():
                self._views[name].inspector = inspector

    def wait_until_unused(self, inspectors: Collection[PartInspector], timeout_s: float) -> bool:
        """Wait until no part is judged by any of these; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not any(inspector in inspectors for inspector in self._used()), timeout_s
            )

    def end(self, view: str) -> None:
        """No frame of this view will come any more; after the last one of them `shots` ends."""
        with self._changed:
            self._ended.add(view)
            if len(self._ended) == len(self._views):
                self.shots.put(None)

    def _used(self) -> list[PartInspector]:
        """The inspectors of the parts in hand."""
        part = self._close_overdue()
        waiting = [] if part is None else list(part.inspectors.values())
        return waiting + [shot.inspector for shot in self._in_stages]

    def _bounces(self, firing: Firing) -> bool:
        last_ns, self._last_fired_ns = self._last_fired_ns, firing.fired_ns
        if last_ns is None:
            return False
        # Two sources may overtake each other on their way here.
        return abs(firing.fired_ns - last_ns) < self._limits.debounce_ms * 1e6

    def _part_for(self, view: str, frame: Frame | None, came_ns: int) -> _WaitingPart | None:
        """The part that a frame shows, a new one where frames announce them; None for a stray."""
        part = self._close_overdue()
        if self._clock_ns() < self._owed_until_ns.pop(view, 0):
            self.counts.stray_frames += 1
            return None
        if part is not None and view in part.lacking and self._is_after(part, came_ns):
            self._drop_from(part, view)
            return part
        if self._frame_trigger is None or not self._frame_trigger.opens(view, frame):
            self.counts.stray_frames += 1
            return None
        if part is not None:
            self._close(part)
        part = self._open(came_ns, None)
        self._wait_for_frames(part)
        self._drop_from(part, view)
        return part

    def _is_after(self, part: _WaitingPart, came_ns: int) -> bool:
        """Whether a frame was complete after its part was announced; a free camera's may not be."""
        return self._frame_trigger is not None or came_ns >= part.trigger.triggered_ns

    def _open(self, triggered_ns: int, part_id: str | None) -> _WaitingPart:
        now_ns = self._clock_ns()
        # A frame that announces its part may have been long on its way from the camera.
        frames_from_ns = triggered_ns if self._frame_trigger is None else now_ns
        frames_due_ns = frames_from_ns + self._limits.frame_limit_ns
        deadline_ns = triggered_ns + round(self._limits.deadline_ms * 1e6)
        if self._frame_trigger is not None and len(self._views) == 1:
            frames_due_ns = deadline_ns  # the only frame is there
        inspectors = {name: view.inspector for name, view in self._views.items()}
        self._count += 1
        age = timedelta(microseconds=(now_ns - triggered_ns) / 1e3)
        trigger = Trigger(
            trigger_id=f"{self._run_id}-{self._count:06d}",
            triggered_utc=datetime.now(timezone.utc) - age,
            triggered_ns=triggered_ns,
            frames_due_ns=frames_due_ns,
            deadline_ns=deadline_ns,
            recipes={name: inspector.identity for name, inspector in inspectors.items()},
            part_id=part_id,
        )
        self._on_trigger(trigger)
        self._ledger.open(trigger)
        parts = len({shot.trigger.trigger_id for shot in self._in_stages})
        is_full = parts >= self._limits.parts_max
        refusal = f"{parts} parts are being inspected: the parts come too fast"
        return _WaitingPart(trigger, inspectors, set(inspectors), refusal if is_full else "")

    def _refuse(self, part: _WaitingPart) -> None:
        self._ledger.settle(part.trigger, no_verdict(Cause.OVERTRIGGER, part.refusal))

    def _wait_for_frames(self, part: _WaitingPart) -> None:
        """Let frames come in for a part; views whose camera is lost are settled at once."""
        self._waiting = part
        self._changed.notify_all()
        for view, why in self._lost.items():
            self._drop_from(part, view)
            self._ledger.report(part.trigger, view, no_verdict(Cause.CAMERA, why))

    def _drop_from(self, part: _WaitingPart, view: str) -> None:
        part.lacking.discard(view)
        if not part.lacking and self._waiting is part:
            self._waiting = None

    def _close_overdue(self) -> _WaitingPart | None:
        """The part that frames may still come in for."""
        part = self._waiting
        if part is not None and self._clock_ns() >= part.trigger.frames_due_ns:
            self._close(part)
        return self._waiting

    def _close(self, part: _WaitingPart) -> None:
        self._waiting = None
        closed_ns = min(self._clock_ns(), part.trigger.frames_due_ns)
        until_ns = closed_ns + self._limits.frame_limit_ns
        self._owed_until_ns |= dict.fromkeys(part.lacking, until_ns)

    def _expose(self, view: View, part: _WaitingPart) -> None:
        if view.expose is None:
            return
        try:
            view.expose()
        except CameraError as error:
            with self._changed:
                self._drop_from(part, view.name)
                unexposed = no_verdict(Cause.CAMERA, str(error))
                self._ledger.report(part.trigger, view.name, unexposed)

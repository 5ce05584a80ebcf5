"""Where cameras and triggers meet: each part gets a trigger, its frames, and goes to the stages."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from edge.part.frame import Frame
from edge.part.settled import no_verdict
from edge.part.trigger import Trigger
from edge.pipeline.frame_matcher import FrameMatcher, WaitingPart
from edge.pipeline.hooks import OnTrigger, note_nowhere
from edge.pipeline.ledger import Ledger
from edge.pipeline.run_settings import PartLimits
from edge.pipeline.trigger_factory import TriggerFactory
from edge.pipeline.views import PartInspector, View
from edge.trigger.base import Firing, FrameTrigger
from inspection.errors import CameraError, FrameError
from inspection.verdict import Cause

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame on its way to its verdict, and the inspector that was chosen at the trigger."""

    trigger: Trigger
    view: str
    frame: Frame
    inspector: PartInspector


@dataclass
class IntakeCounts:
    """What came and was no part.

    Attributes:
        bounced: firings within the debounce time of the one before.
        stray_frames: frames that belonged to no part.
    """

    bounced: int = 0
    stray_frames: int = 0


class Intake:
    """Opens a trigger for each part, and hands its frames on. Safe for threads.

    Two locks: firings are dealt with one after the other, cameras included; what waits and what is
    in the stages is behind the second, which no camera and no file is waited for with. They are
    taken in this order, and before those of the `Ledger` and of the notes (`edge.store.notes`).

    Args:
        frame_trigger: sees parts in frames; None when they are announced by `fire`.
        on_trigger: see `Hooks`.
        clock_ns: monotonic clock in nanoseconds, the same as the cameras'.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        ledger: Ledger,
        limits: PartLimits,
        frame_trigger: FrameTrigger | None,
        on_trigger: OnTrigger = note_nowhere,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.counts = IntakeCounts()
        self.shots: queue.SimpleQueue[Shot | None] = queue.SimpleQueue()
        self._views = {view.name: view for view in views}
        self._ledger = ledger
        self._frame_trigger = frame_trigger
        self._clock_ns = clock_ns
        self._opening = TriggerFactory(
            ledger=ledger,
            limits=limits,
            has_frames=frame_trigger is not None,
            on_trigger=on_trigger,
            clock_ns=clock_ns,
        )
        self._waiting = FrameMatcher(limits.frame_limit_ns, clock_ns)
        self._parts_max = limits.parts_max
        self._firing = threading.Lock()
        self._changed = threading.Condition()
        self._in_stages: set[Shot] = set()
        self._lost: dict[str, str] = {}  # what each view's camera died of
        self._ended: set[str] = set()
        self._is_closed = False

    def fire(self, firing: Firing) -> Trigger | None:
        """Open the part that was announced, and expose the cameras.

        None when it was a bounce, or came after `close`.
        """
        with self._firing:
            with self._changed:
                if self._is_closed:
                    return None
                if self._opening.bounces(firing):
                    self.counts.bounced += 1
                    return None
                is_early = self._waiting.part is not None
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
            is_announced = self._frame_trigger is not None and not self._is_closed
            if is_announced and self._waiting.part is None:
                lost = no_verdict(Cause.CAMERA, str(error))
                self._ledger.settle(self._open(self._clock_ns()).trigger, lost)
            self.shut(view, str(error))

    def shut(self, view: str, why: str) -> None:
        """Take note that no part gets a frame of this view until `find`."""
        with self._changed:
            self._lost[view] = why
            part = self._waiting.part
            if part is not None and view in part.lacking:
                self._do_without(part, view, why)
            self._waiting.forgive(view)

    def find(self, view: str) -> None:
        """Take note that a lost camera is there again."""
        with self._changed:
            self._lost.pop(view, None)

    def wants(self, view: str) -> bool:
        """Whether a recording should give its next frame.

        That is when a part waits for it, or when frames announce the parts and all are done.
        """
        with self._changed:
            part = self._waiting.part
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
            changes = [(self._views[name], one) for name, one in inspectors.items()]
            for view, inspector in changes:
                view.inspector = inspector

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

    def close(self) -> None:
        """Open no trigger any more."""
        with self._changed:
            self._is_closed = True

    def _used(self) -> list[PartInspector]:
        """The inspectors of the parts in hand."""
        part = self._waiting.part
        waiting = [] if part is None else list(part.inspectors.values())
        return waiting + [shot.inspector for shot in self._in_stages]

    def _part_for(self, view: str, frame: Frame | None, came_ns: int) -> WaitingPart | None:
        """The part that a frame shows, a new one where frames announce them; None for a stray."""
        if self._waiting.was_owed(view):
            self.counts.stray_frames += 1
            return None
        part = self._waiting.part
        if part is None or view not in part.lacking or not self._is_after(part, came_ns):
            if self._is_closed or not self._is_opened_by(view, frame):
                self.counts.stray_frames += 1
                return None
            part = self._open(came_ns)
            self._wait_for_frames(part)
        part.lacking.discard(view)
        return part

    def _is_opened_by(self, view: str, frame: Frame | None) -> bool:
        return self._frame_trigger is not None and self._frame_trigger.opens(view, frame)

    def _is_after(self, part: WaitingPart, came_ns: int) -> bool:
        """Whether a frame was complete after its part was announced; a free camera's may not be."""
        return self._frame_trigger is not None or came_ns >= part.trigger.triggered_ns

    def _open(self, triggered_ns: int, part_id: str | None = None) -> WaitingPart:
        inspectors = {name: view.inspector for name, view in self._views.items()}
        recipes = {name: inspector.identity for name, inspector in inspectors.items()}
        trigger = self._opening.open(recipes, triggered_ns, part_id)
        part = WaitingPart(trigger, inspectors, set(inspectors))
        in_stages = len({shot.trigger.trigger_id for shot in self._in_stages})
        if in_stages >= self._parts_max:
            part.refusal = f"{in_stages} parts are being inspected: the parts come too fast"
        return part

    def _refuse(self, part: WaitingPart) -> None:
        self._ledger.settle(part.trigger, no_verdict(Cause.OVERTRIGGER, part.refusal))

    def _wait_for_frames(self, part: WaitingPart) -> None:
        """Let frames come in for a part; views whose camera is lost are settled at once."""
        self._waiting.begin(part)
        self._changed.notify_all()
        for view, why in self._lost.items():
            self._do_without(part, view, why)

    def _do_without(self, part: WaitingPart, view: str, why: str) -> None:
        """Settle a view whose camera gives a part no frame."""
        part.lacking.discard(view)
        self._ledger.report(part.trigger, view, no_verdict(Cause.CAMERA, why))

    def _expose(self, view: View, part: WaitingPart) -> None:
        if view.expose is None:
            return
        try:
            view.expose()
        except CameraError as error:
            with self._changed:
                self._do_without(part, view.name, str(error))

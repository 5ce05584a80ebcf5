"""The place where cameras and triggers meet: each part gets a trigger and its frames."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edge.part.frame import Frame
from edge.part.shot import PartInspector, Shot
from edge.part.trigger import Trigger
from edge.pipeline.exposure import Exposer
from edge.pipeline.frame_matcher import FrameMatcher, WaitingPart
from edge.pipeline.ledger import PARTS_MAX, Ledger
from edge.pipeline.settings import OnTrigger, PartLimits, View, note_nowhere
from edge.pipeline.trigger_factory import TriggerFactory
from edge.trigger.base import Firing, FrameTrigger
from inspection.errors import CameraError, FrameError, LineError
from inspection.inspector import no_verdict
from inspection.verdict import Cause

_log = logging.getLogger(__name__)


class TooManyPartsError(LineError):
    """A flood of triggers: no further part is opened until some have their verdict."""

    def __init__(self) -> None:
        super().__init__(f"{PARTS_MAX} parts wait for their verdict: the triggers come too fast")


@dataclass
class IntakeCounts:
    """Firings and frames that were no part.

    Attributes:
        bounced: firings within the debounce time of the one before.
        refused: firings and frames while too many parts waited for their verdict.
        stray_frames: frames that belonged to no part.
    """

    bounced: int = 0
    refused: int = 0
    stray_frames: int = 0


class Intake:
    """Opens a trigger for each part, and hands its frames on. Safe for threads.

    Its lock is taken before those of the `Ledger` and of the notes (`edge.store.notes`). A thread
    that holds it waits for no camera and no file.

    Args:
        frame_trigger: finds parts in frames; None when `fire` announces them.
        exposers: of the views whose cameras do not take frames by themselves.
        on_trigger: see `Hooks`.
        clock_ns: monotonic clock in nanoseconds, the same as the cameras'.

    Attributes:
        shots: the frames that wait for preprocessing, in order; None at the end.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        ledger: Ledger,
        limits: PartLimits,
        frame_trigger: FrameTrigger | None,
        exposers: Mapping[str, Exposer],
        on_trigger: OnTrigger = note_nowhere,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.counts = IntakeCounts()
        self.shots: queue.SimpleQueue[Shot | None] = queue.SimpleQueue()
        self._views = {view.name: view for view in views}
        self._ledger = ledger
        self._frame_trigger = frame_trigger
        self._exposers = exposers
        self._clock_ns = clock_ns
        self._triggers = TriggerFactory(
            ledger=ledger,
            limits=limits,
            has_frames=frame_trigger is not None,
            on_trigger=on_trigger,
            clock_ns=clock_ns,
        )
        self._matcher = FrameMatcher(
            limits.frame_limit_ns, by_frames=frame_trigger is not None, clock_ns=clock_ns
        )
        self._parts_max = limits.parts_max
        self._changed = threading.Condition()
        self._in_stages: set[Shot] = set()
        self._lost: dict[str, str] = {}  # view -> the reason why its camera gives no frame
        self._ended: set[str] = set()
        self._is_closed = False
        self._was_flooded = False

    @property
    def is_fired(self) -> bool:
        """Whether `fire` announces the parts, not their frames."""
        return self._frame_trigger is None

    def fire(self, firing: Firing) -> Trigger | None:
        """Open the announced part, and let its cameras be exposed.

        None when the firing was a bounce, or came after `close`.

        Raises:
            TooManyPartsError: it is counted, and no part.
        """
        with self._changed:
            if self._is_closed:
                return None
            if self._triggers.bounces(firing):
                self.counts.bounced += 1
                return None
            if self._is_flooded():
                raise TooManyPartsError
            waiting = self._matcher.part
            is_early = waiting is not None and not any(map(self._comes_unasked, waiting.lacking))
            part = self._open(firing.fired_ns, firing.part_id)
            if is_early:
                part.refusal = (
                    "the part before has no frame yet: the parts come faster than the frames"
                )
            if part.refusal:
                self._refuse(part)
                part.lacking = set() if is_early else set(filter(self._comes_unasked, self._views))
            if waiting is not None and not is_early:
                self._report_overtaken(waiting)
            if part.lacking:
                self._wait_for_frames(part)
            for view in [name for name in self._exposers if name in part.lacking]:
                self._expose(part, view)
            return part.trigger

    def on_frame(self, view: str, frame: Frame) -> None:
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

    def on_bad_frame(self, view: str, error: FrameError) -> None:
        """Settle the view of a part whose frame cannot be used."""
        with self._changed:
            part = self._part_for(view, None, self._clock_ns())
            if part is None:
                _log.warning("%s: %s", view, error)
            else:
                self._ledger.report(part.trigger, view, no_verdict(Cause.FRAME, str(error)))

    def on_camera_lost(self, view: str, error: Exception) -> None:
        """Give no part a frame of this view until `on_camera_back`.

        Where the camera itself announces the parts, a part may have been before it unseen: the
        loss is then a part without verdict when no other is waiting.
        """
        with self._changed:
            is_announced = self._frame_trigger is not None and not self._is_closed
            if is_announced and self._matcher.part is None:
                lost = no_verdict(Cause.CAMERA, str(error))
                self._ledger.settle(self._open(self._clock_ns()).trigger, lost)
            self.pause_view(view, str(error))

    def pause_view(self, view: str, why: str) -> None:
        """Give no part a frame of this view until `on_camera_back`."""
        with self._changed:
            self._lost[view] = why
            part = self._matcher.part
            if part is not None and view in part.lacking:
                self._do_without(part, view, why)
            self._matcher.forgive(view)

    def on_camera_back(self, view: str) -> None:
        """Expect frames of this view again."""
        with self._changed:
            self._lost.pop(view, None)

    def wants(self, view: str) -> bool:
        """Returns whether a recording should give its next frame.

        That is when a part waits for it, or when frames announce the parts and all are done.
        """
        with self._changed:
            part = self._matcher.part
            if part is not None:
                return view in part.lacking
            return self._frame_trigger is not None and not self._in_stages

    def wait_wanted(self, view: str, timeout_s: float) -> None:
        """Wait until `wants`, or until `timeout_s` is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.wants(view), timeout_s)

    def finish(self, shot: Shot) -> None:
        """Release a frame that has its verdict, or needs none."""
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
        """Expect no more frames of this view; after the last view `shots` ends."""
        with self._changed:
            self._ended.add(view)
            if len(self._ended) == len(self._views):
                self.shots.put(None)

    def close(self) -> None:
        """Open no more triggers."""
        with self._changed:
            self._is_closed = True

    def _report_overtaken(self, part: WaitingPart) -> None:
        """Settle a part whose frame nobody asks for: the next one may show the part after it."""
        why = "the next part came before the frame of this one: the parts come too fast"
        for view in part.lacking:
            self._ledger.report(part.trigger, view, no_verdict(Cause.OVERTRIGGER, why))

    def _comes_unasked(self, view: str) -> bool:
        """Whether a view gives frames without being exposed, or read, for a part."""
        return view not in self._exposers and not self._views[view].camera.waits

    def _used(self) -> list[PartInspector]:
        """Returns the inspectors of the parts in hand."""
        part = self._matcher.part
        waiting = [] if part is None else list(part.inspectors.values())
        return waiting + [shot.inspector for shot in self._in_stages]

    def _part_for(self, view: str, frame: Frame | None, came_ns: int) -> WaitingPart | None:
        """The part that a frame shows, a new one where frames announce them; None for a stray."""
        if self._matcher.was_owed(view, came_ns):
            self.counts.stray_frames += 1
            return None
        part = self._matcher.part
        if part is None or view not in part.lacking or not self._is_after(part, view, came_ns):
            if self._is_closed or not self._is_opened_by(view, frame):
                self.counts.stray_frames += 1
                return None
            if self._is_flooded():
                return None
            part = self._open(came_ns)
            self._wait_for_frames(part)
        part.lacking.discard(view)
        return part

    def _is_flooded(self) -> bool:
        """Whether no part may be opened; a flood of triggers must cost neither time nor memory."""
        was_flooded, self._was_flooded = self._was_flooded, self._ledger.is_crowded
        if self._was_flooded:
            self.counts.refused += 1
            if not was_flooded:
                _log.error("%s; further ones are counted and are no parts", TooManyPartsError())
        return self._was_flooded

    def _is_opened_by(self, view: str, frame: Frame | None) -> bool:
        return self._frame_trigger is not None and self._frame_trigger.opens(view, frame)

    def _is_after(self, part: WaitingPart, view: str, came_ns: int) -> bool:
        """Whether a frame was complete after its part was announced; a free camera's may not be.

        Of cameras that all announce a part, one signal exposes each: any may be the first.
        """
        trigger = self._frame_trigger
        is_announcing = trigger is not None and trigger.announces(view)
        return is_announcing or came_ns >= part.trigger.triggered_ns

    def _open(self, triggered_ns: int, part_id: str | None = None) -> WaitingPart:
        inspectors = {name: view.inspector for name, view in self._views.items()}
        recipes = {name: inspector.identity for name, inspector in inspectors.items()}
        trigger = self._triggers.open(recipes, triggered_ns, part_id)
        part = WaitingPart(trigger, inspectors, set(inspectors))
        in_stages = len({shot.trigger.trigger_id for shot in self._in_stages})
        if in_stages >= self._parts_max:
            part.refusal = f"{in_stages} parts are being inspected: the parts come too fast"
        return part

    def _refuse(self, part: WaitingPart) -> None:
        self._ledger.settle(part.trigger, no_verdict(Cause.OVERTRIGGER, part.refusal))

    def _wait_for_frames(self, part: WaitingPart) -> None:
        """Let frames come in for a part; views whose camera is lost are settled at once."""
        self._matcher.begin(part)
        if not all(view.camera.waits for view in self._views.values()):
            self._matcher.watch_pace(part)  # a recording loses no frame
        self._changed.notify_all()
        for view, why in self._lost.items():
            self._do_without(part, view, why)

    def _expose(self, part: WaitingPart, view: str) -> None:
        if self._matcher.owes(view):
            self._do_without(part, view, "the frame of an earlier part may still come")
        elif not self._exposers[view].offer(partial(self._on_exposed, view, part)):
            why = "the camera has not answered the trigger of an earlier part"
            self._do_without(part, view, why)

    def _do_without(self, part: WaitingPart, view: str, why: str) -> None:
        """Settle a view whose camera gives a part no frame."""
        part.lacking.discard(view)
        self._ledger.report(part.trigger, view, no_verdict(Cause.CAMERA, why))

    def _on_exposed(self, view: str, part: WaitingPart, error: CameraError | None) -> None:
        """Note the end of an exposure, on the thread of the exposer."""
        with self._changed:
            if error is not None:
                self._do_without(part, view, str(error))
            elif view in part.lacking and self._matcher.part is not part:
                self._matcher.owe(view, part)  # the exposure ended late, and so comes its frame

"""Trigger -> grab -> preprocess -> infer -> decide -> deliver -> record, with a deadline.

Every trigger ends in exactly one record and exactly one verdict to the line. The stages overlap,
each on a thread of its own:

- "camera NAME", one for each view, grabs;
- "trigger" waits for parts that are announced from outside, where they are;
- "prepare" preprocesses the frame of the next part;
- the caller of `Pipeline.run` owns the engines and infers, one frame after the other;
- "delivery" sends each verdict and records it, and sends NO_VERDICT at the deadline of a part
  whose inspection is not done, also when the engine hangs;
- "archive" writes images, and drops them when it is too slow;
- "drift monitor" looks at every part for drift, and leaves parts out when it is too slow.

Cameras and triggers meet in the `Intake`, which opens a trigger for each part and gives it its
frames. From there all stages meet in the `Ledger`, which settles each trigger once. There are
never more than `PartLimits.parts_max` parts in the stages: a further one is refused as overtrigger.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack

from edge.archive import Archive, ArchiveThread
from edge.delivery import Delivery
from edge.errors import EngineError, LineError
from edge.grabber import CameraChange, Grabber
from edge.intake import Intake, PartLimits
from edge.line.base import LineOutput, StationState
from edge.monitor import DriftWatch
from edge.preparation import Preparation, PreparedShot
from edge.records import InspectionRecord
from edge.status import PipelineStatus
from edge.summary import RunSummary
from edge.trigger.base import FiredTrigger, Firing, FrameTrigger
from edge.trigger.camera import CameraTrigger
from edge.trigger.thread import TriggerThread
from edge.triggers import Ledger, Trigger
from edge.verdict import Cause
from edge.views import PartInspector, View, ViewCamera

_POLL_S = 0.2
_CAMERAS_OPEN_S = 60.0

_log = logging.getLogger(__name__)


def _ignore(_event: object) -> None:
    pass


def _ignore_turn() -> None:
    pass


def _never_blocked() -> str | None:
    return None


class Pipeline:
    """One line: its views, what triggers them, and where the verdicts go.

    Args:
        views: one or more. Their inspectors stay the caller's, and infer on the thread that calls
            `run`; views may share an engine.
        outputs: opened and closed by `run`.
        limits: the deadline, and what else bounds a part.
        trigger: what announces the parts; the cameras themselves when not given.
        reopens: whether a lost camera is opened again; otherwise it ends the run.
        keep_warm_ms: an engine that had nothing to do for so long is run on an empty image; None
            leaves it alone.
        archive: keeps images; None for none.
        watch: watches the views for drift; None for none.
        blocked: why the station must not be READY; None when it may.
        on_trigger: receives each trigger before it is opened, on a thread of the pipeline.
        on_record: receives each record once, on the delivery thread.
        on_turn: called by the inspection loop, several times a second also when no part comes, and
            once when it has ended.
        waits_to_open: a camera or output that cannot be opened at the start is opened again and
            again, instead of ending the run.
        limit_s: how long a thread may take to go round or to end, and the outputs to take a
            verdict.
        clock_ns: monotonic clock in nanoseconds, the same as the cameras'.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        outputs: Sequence[LineOutput],
        limits: PartLimits,
        trigger: FrameTrigger | FiredTrigger | None = None,
        reopens: bool = True,
        keep_warm_ms: float | None = None,
        archive: Archive | None = None,
        watch: DriftWatch | None = None,
        blocked: Callable[[], str | None] = _never_blocked,
        on_trigger: Callable[[Trigger], None] = _ignore,
        on_record: Callable[[InspectionRecord], None] = _ignore,
        on_turn: Callable[[], None] = _ignore_turn,
        waits_to_open: bool = False,
        limit_s: float = 10.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        trigger = CameraTrigger() if trigger is None else trigger
        self._views = views
        self._limit_s = limit_s
        self._clock_ns = clock_ns
        self._keep_warm_ns = None if keep_warm_ms is None else keep_warm_ms * 1e6
        self._ledger = Ledger(clock_ns)
        self._archive = ArchiveThread(archive) if archive is not None else None
        self._watch = watch
        self._blocked = blocked
        self._intake = Intake(
            views=views,
            ledger=self._ledger,
            limits=limits,
            frame_trigger=None if isinstance(trigger, FiredTrigger) else trigger,
            on_trigger=on_trigger,
            clock_ns=clock_ns,
        )
        self._trigger = (
            TriggerThread(trigger, self._intake.fire, self._halt)
            if isinstance(trigger, FiredTrigger)
            else None
        )
        self._grabbers = [
            Grabber(
                view=view,
                intake=self._intake,
                ledger=self._ledger,
                reopens=reopens,
                on_error=self._halt,
                on_end=self.stop,
                limit_s=limit_s,
                waits_to_open=waits_to_open,
            )
            for view in views
        ]
        self._preparation = Preparation(self._intake, self._ledger)
        self._delivery = Delivery(
            ledger=self._ledger,
            outputs=outputs,
            archive=self._archive,
            watch=watch,
            state=lambda: self.state,
            on_record=on_record,
            on_error=self._note_error,
            waits_to_open=waits_to_open,
        )
        self._on_turn = on_turn
        self._turned_ns: int | None = None  # while the inspection loop runs
        self._late_results = 0
        self._error: Exception | None = None
        self._stopped_ns: int | None = None

    def fire(self, part_id: str | None = None) -> str | None:
        """Announce a part, as the trigger does; from any thread.

        Returns:
            The id of its trigger; None when it came within the debounce time.

        Raises:
            LineError: the line is not running, or the frames of its cameras announce the parts.
        """
        if self._turned_ns is None:
            raise LineError("the line is not running")
        if self._trigger is None:
            raise LineError("the cameras trigger this line; 'trigger: {kind: software}' changes it")
        trigger = self._intake.fire(Firing(part_id, self._clock_ns()))
        return trigger.trigger_id if trigger is not None else None

    def change_inspectors(self, inspectors: Mapping[str, PartInspector]) -> None:
        """Judge the parts from the next trigger on by others, in all views at once; any thread.

        Their engines must not belong to another thread; see `edge.engine.own_thread`.
        """
        self._intake.change_inspectors(inspectors)

    def change_cameras(self, cameras: Mapping[str, ViewCamera], then: Callable[[], None]) -> None:
        """Open other cameras in place of those of some views; returns when they are in use.

        Args:
            then: called when all are open, before any of them gives a frame. Without cameras it is
                called at once.

        Raises:
            CameraError: one cannot be opened; all stay as they were, and `then` was not called.
        """
        change = CameraChange(cameras, then, _CAMERAS_OPEN_S)
        for view, grabber in zip(self._views, self._grabbers, strict=True):
            if view.name in cameras:
                grabber.change_camera(change)
        change.finish()

    def wait_until_unused(self, inspectors: Collection[PartInspector], timeout_s: float) -> bool:
        """Wait until no part is judged by any of these; False after `timeout_s`."""
        return self._intake.wait_until_unused(inspectors, timeout_s)

    def stop(self) -> None:
        """Ask `run` to return once the parts grabbed have their verdict; from any thread."""
        if self._trigger is not None:
            self._trigger.stop()
        for grabber in self._grabbers:
            grabber.stop()
        self._stopped_ns = self._stopped_ns or self._clock_ns()

    @property
    def faults(self) -> list[str]:
        """Why the station takes no part, for people; empty while it is READY."""
        faults = []
        if self._turned_ns is None:
            faults.append("the line is not running")
        elif self._stopped_ns is not None:
            faults.append("the line stops")
        if self._error is not None and not isinstance(self._error, LineError):
            faults.append(f"stopping: {self._error}")
        faults += [
            f"view {view.name}: {grabber.lost}"
            for view, grabber in zip(self._views, self._grabbers, strict=True)
            if grabber.lost
        ]
        if self._trigger is not None and self._trigger.lost:
            faults.append(self._trigger.lost)
        if (reason := self._blocked()) is not None:
            faults.append(reason)
        faults += [f"{stage} hangs, for {self._limit_s:g} s now" for stage in self.stalled]
        return faults

    @property
    def stalled(self) -> tuple[str, ...]:
        """Stages whose thread did not go round within the limit."""
        turns = {
            "inspection": self._turned_ns,
            "preparation": self._preparation.begun_ns,
            "delivery": self._delivery.turned_ns,
            "trigger": self._trigger.turned_ns if self._trigger is not None else None,
            **{
                f"camera {view.name}": grabber.turned_ns
                for view, grabber in zip(self._views, self._grabbers, strict=True)
            },
        }
        oldest_ns = time.monotonic_ns() - round(self._limit_s * 1e9)
        return tuple(name for name, at in turns.items() if at is not None and at < oldest_ns)

    @property
    def state(self) -> StationState:
        """What the line is told of the station."""
        return StationState.FAULT if self.faults else StationState.READY

    def status(self) -> PipelineStatus:
        """What it does now; from any thread."""
        tally = self._delivery.tally
        return PipelineStatus(
            is_running=self._turned_ns is not None,
            faults=tuple(self.faults),
            stalled=self.stalled,
            outputs_up=self._delivery.outputs_up,
            parts=tally.parts,
            no_verdicts=tally.no_verdicts,
            late_results=self._late_results,
            images_dropped=self._archive.dropped if self._archive is not None else 0,
            images_failed=self._archive.failed if self._archive is not None else 0,
        )

    def run(self) -> RunSummary:
        """Inspect until `stop`, the end of a recording, or an error. Call it once.

        What goes wrong on the way stands in the summary's `error`, after the orderly stop.

        Raises:
            LineError: an output or the trigger cannot be opened and is not waited for; no part was
                inspected.
            CameraError: a camera cannot be opened and is not waited for; no part was inspected.
        """
        with ExitStack() as stack:
            self._delivery.open(stack)
            if self._archive is not None:
                self._archive.start()
                stack.callback(self._archive.close, self._limit_s)
            if self._watch is not None:
                self._watch.start()
                stack.callback(self._watch.close, self._limit_s)
            self._delivery.start()
            stack.callback(self._settle_all)
            started_ns = self._clock_ns()
            self._start_stages(stack)
            stack.callback(self._end_turns)
            for part in self._prepared():
                self._inspect(part)
            seconds = (self._clock_ns() - started_ns) / 1e9
        return self._delivery.tally.summary(
            seconds=seconds,
            late_results=self._late_results,
            bounced_triggers=self._intake.counts.bounced,
            stray_frames=self._intake.counts.stray_frames,
            images_dropped=self._archive.dropped if self._archive is not None else 0,
            images_failed=self._archive.failed if self._archive is not None else 0,
            drift=self._watch.reports() if self._watch is not None else (),
            drift_left_out=self._watch.left_out if self._watch is not None else 0,
            error=self._error,
        )

    def _start_stages(self, stack: ExitStack) -> None:
        for grabber in self._grabbers:
            stack.callback(grabber.close)
            grabber.open()
        self._preparation.start()
        if self._trigger is not None:
            stack.callback(self._trigger.close, self._limit_s)
            self._trigger.start()
        stack.callback(self.stop)

    def _prepared(self) -> Iterator[PreparedShot]:
        """The frames to judge until the cameras end; the engines are kept warm meanwhile."""
        used_ns = self._clock_ns()
        keep_warm_ns = self._keep_warm_ns or float("inf")
        while True:
            self._turned_ns = time.monotonic_ns()
            self._on_turn()
            try:
                item = self._preparation.ready.get(timeout=min(_POLL_S, keep_warm_ns / 1e9))
            except queue.Empty:
                stopped_ns = self._stopped_ns
                if stopped_ns and self._clock_ns() - stopped_ns > self._limit_s * 1e9:
                    return  # a camera hangs; its grabber tells
                if self._clock_ns() - used_ns < keep_warm_ns:
                    continue
                self._warm()
            else:
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
            used_ns = self._clock_ns()

    def _inspect(self, part: PreparedShot) -> None:
        shot = part.shot
        if not self._ledger.is_open(shot.trigger):
            self._intake.finish(shot)  # it waited past its deadline
            return
        inspection = shot.inspector.infer(part.prepared)
        is_in_time = self._ledger.report(shot.trigger, shot.view, inspection)
        self._intake.finish(shot)
        if not is_in_time:
            self._late_results += 1
            _log.warning(
                "%s: the result %s came %.1f ms after the deadline and was discarded",
                shot.trigger.trigger_id,
                inspection.verdict.value,
                (self._clock_ns() - shot.trigger.deadline_ns) / 1e6,
            )

    def _warm(self) -> None:
        for view in self._views:
            inspector = view.inspector
            try:
                inspector.warm()
            except EngineError as error:  # the next part meets it too, and has its record
                if view.inspector is inspector:  # else a changeover has closed it meanwhile
                    _log.warning("view %s: %s", view.name, error)

    def _end_turns(self) -> None:
        self._turned_ns = None
        self._on_turn()

    def _settle_all(self) -> None:
        self._ledger.settle_open(Cause.STOPPING, "the pipeline was stopped before the inspection")
        self._ledger.close()
        self._delivery.close(self._limit_s)

    def _halt(self, error: Exception) -> None:
        """Stop because of `error`."""
        if self._error is None or isinstance(self._error, LineError):
            self._error = error
        self.stop()

    def _note_error(self, error: Exception) -> None:
        """An error of the delivery: a LineError leaves the other outputs and the records alive."""
        if isinstance(error, LineError):
            self._error = self._error or error
        else:
            self._halt(error)

"""Trigger -> grab -> preprocess -> infer -> decide -> deliver -> record, with a deadline.

Every trigger ends in exactly one record and exactly one verdict to the line. The stages overlap,
each on its thread:

- "camera NAME", one for each view, grabs (`edge.pipeline.grabber`);
- "trigger" waits for parts that a peer announces (`edge.trigger.thread`);
- "exposure NAME" exposes a camera that does not do so itself (`edge.pipeline.exposure`);
- "preparation" preprocesses the frame of the next part (`edge.pipeline.preprocess_thread`);
- "inspection", the caller of `Pipeline.run`, owns the engines and infers
  (`edge.pipeline.inference_loop`); while an engine fails each time, the station is not READY;
- "delivery" has each verdict noted, hands it to the outputs and records it; at the deadline of a
  part whose inspection is not done that is NO_VERDICT, also when the engine hangs
  (`edge.pipeline.delivery`);
- "output NAME", one for each, tells the line (`edge.pipeline.outputs`);
- "archive" writes images and "drift monitor" looks for drift; each leaves parts out when it is too
  slow (`edge.pipeline.background`).

Cameras and triggers meet in the `Intake`, which opens a trigger for each part and gives it its
frames. From there all stages meet in the `Ledger`, which settles each trigger once. There are
never more than `PartLimits.parts_max` parts in the stages: a further one is refused as overtrigger.
Of a flood of triggers no more than `edge.pipeline.ledger.PARTS_MAX` are opened at a time.
A thread that holds the lock of the `Intake` may take that of the `Ledger`, and never the other way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack

from edge.drift.monitor import DriftWatch
from edge.line.base import LineOutput, StationState
from edge.part.shot import PartInspector
from edge.pipeline.background import Archive, Background
from edge.pipeline.delivery import Delivery
from edge.pipeline.exposure import ExposureThread
from edge.pipeline.grabber import CameraChange, Grabber, open_limit_s
from edge.pipeline.inference_loop import InferenceLoop
from edge.pipeline.intake import Intake, TooManyPartsError
from edge.pipeline.ledger import Ledger
from edge.pipeline.outputs import Outputs
from edge.pipeline.preprocess_thread import PreprocessThread
from edge.pipeline.settings import Hooks, RunSettings, View, ViewCamera
from edge.pipeline.status import (
    Connected,
    PipelineStatus,
    RunSummary,
    Stage,
    StageCounts,
    StageHealth,
)
from edge.trigger.base import FiredTrigger, Firing, FrameTrigger
from edge.trigger.camera import CameraTrigger
from edge.trigger.thread import TriggerThread
from inspection.errors import LineError
from inspection.verdict import Cause


class Pipeline:
    """One line: its views, their trigger, and the outputs for the verdicts.

    Args:
        views: one or more. Their inspectors stay the caller's, and infer on the thread that calls
            `run`; views may share an engine.
        outputs: by name; opened and closed by `run`.
        trigger: announces the parts; the cameras themselves when not given.
        archive: keeps images; None for none.
        watch: watches the views for drift; None for none.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        outputs: Mapping[str, LineOutput],
        settings: RunSettings,
        trigger: FrameTrigger | FiredTrigger | None = None,
        archive: Archive | None = None,
        watch: DriftWatch | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._views = views
        self._limit_s = settings.limit_s
        self._hooks = hooks = hooks or Hooks()
        self._error: Exception | None = None
        self._stopped_ns: int | None = None
        self._ledger = Ledger()
        self._exposures = {
            view.name: ExposureThread(view, self._halt) for view in views if view.expose is not None
        }
        self._frame_trigger = (
            None if isinstance(trigger, FiredTrigger) else trigger or CameraTrigger()
        )
        self._intake = self._new_intake(settings)
        self._trigger = self._new_trigger_thread(trigger, settings)
        self._grabbers = [self._new_grabber(view, settings) for view in views]
        self._preprocessing = PreprocessThread(self._intake, self._ledger)
        self._inference = self._new_inference(settings)
        self._background = Background(archive, watch)
        self._outputs = Outputs(
            outputs,
            state=lambda: self.state,
            has_parts=lambda: self._ledger.has_parts_in_hand,
            on_verdict=hooks.on_verdict,
            on_error=self._note_error,
            settings=settings,
        )
        self._delivery = Delivery(
            ledger=self._ledger,
            outputs=self._outputs,
            background=self._background,
            hooks=hooks,
            on_error=self._note_error,
            limit_s=settings.limit_s,
        )
        self._health = self._stage_health()

    def fire(self, part_id: str | None = None) -> str | None:
        """Announces a part, as the trigger does; from any thread. It is noted when this returns.

        Returns:
            The id of its trigger; None when it came within the debounce time.

        Raises:
            LineError: the line is not running any more or not yet, the frames of its cameras
                announce the parts, or too many parts wait for their verdict. No trigger was opened.
        """
        if self._inference.turned_ns is None:
            raise LineError("the line is not running")
        if self._trigger is None:
            raise LineError("the cameras trigger this line; 'trigger: {kind: software}' changes it")
        trigger = self._intake.fire(Firing(part_id)) if self._stopped_ns is None else None
        if trigger is None and self._stopped_ns is not None:
            raise LineError("the line stops")
        if trigger is None:
            return None
        self._ledger.wait_until_noted(trigger)
        return trigger.trigger_id

    def _announce(self, firing: Firing) -> None:
        """Takes a firing of the trigger; the intake counts those of a flood."""
        with contextlib.suppress(TooManyPartsError):
            self._intake.fire(firing)

    def change_inspectors(self, inspectors: Mapping[str, PartInspector]) -> None:
        """Judges the parts from the next trigger on by others, in all views at once; any thread."""
        self._intake.change_inspectors(inspectors)

    def change_cameras(self, cameras: Mapping[str, ViewCamera], then: Callable[[], None]) -> None:
        """Open other cameras in place of those of some views; returns when they are in use.

        Args:
            then: called when all are open, before any of them gives a frame. Without cameras it is
                called at once, and its errors are raised here.

        Raises:
            CameraError: one cannot be opened, or `then` failed; all stay as they were.
        """
        if not cameras:
            then()
            return

        def enter() -> None:
            then()
            for view in self._views:
                if view.name in cameras:
                    view.camera, view.expose = cameras[view.name]

        limit_s = max(open_limit_s(one.camera) for one in cameras.values())
        change = CameraChange(cameras, enter, limit_s + self._limit_s)
        for view, grabber in zip(self._views, self._grabbers, strict=True):
            if view.name in cameras:
                grabber.change_camera(change)
        change.finish()

    def wait_until_unused(self, inspectors: Collection[PartInspector], timeout_s: float) -> bool:
        """Wait until no part is judged by any of these; False after `timeout_s`."""
        return self._intake.wait_until_unused(inspectors, timeout_s)

    def stop(self) -> None:
        """Ask `run` to return once the parts grabbed have their verdict.

        From any thread, and from a signal handler: without waiting for the work of the main thread.
        """
        if self._stopped_ns is not None:
            return  # also where a handler interrupted this very call, with the lock of an event
        self._stopped_ns = time.monotonic_ns()
        if self._trigger is not None:
            self._trigger.stop()
        for grabber in self._grabbers:
            grabber.stop()

    @property
    def faults(self) -> list[str]:
        """The reasons why the station takes no part; empty while it is READY."""
        faults = []
        if self._inference.turned_ns is None:
            faults.append("the line is not running")
        elif self._stopped_ns is not None:
            faults.append("the line stops")
        if self._error is not None and not isinstance(self._error, LineError):
            faults.append(f"stopping: {self._error}")
        if (reason := self._hooks.blocked()) is not None:
            faults.append(reason)
        return faults + self._health.faults

    @property
    def state(self) -> StationState:
        """The state that the outputs show."""
        return StationState.FAULT if self.faults else StationState.READY

    def status(self) -> PipelineStatus:
        """Returns the state at this moment; from any thread."""
        tally = self._delivery.tally
        return PipelineStatus(
            is_running=self._inference.turned_ns is not None,
            faults=tuple(self.faults),
            stalled=self._health.stalled,
            outputs=self._outputs.status,
            parts=tally.parts,
            no_verdicts=tally.no_verdicts,
            late_results=self._inference.late_results,
            refused_triggers=self._intake.counts.refused,
            images_dropped=self._background.images_dropped,
            images_failed=self._background.images_failed,
        )

    def run(self) -> RunSummary:
        """Inspect until `stop`, the end of a recording, or an error. Call it once.

        An error on the way is the summary's `error`, after the orderly stop.

        Raises:
            LineError: an output or the trigger cannot be opened and is not waited for; no part was
                inspected.
            CameraError: a camera cannot be opened and is not waited for; no part was inspected.
        """
        with ExitStack() as stack:
            self._outputs.open(stack)
            stack.enter_context(self._background.running(self._limit_s))
            self._delivery.start()
            stack.callback(self._settle_all)
            started_s = time.monotonic()
            self._start_stages(stack)
            self._inference.run(self._is_given_up)
            seconds = time.monotonic() - started_s
        return self._delivery.tally.summary(
            seconds,
            self._counts(),
            outputs=self._outputs.status,
            drift=self._background.drift,
            error=self._error,
        )

    def _counts(self) -> StageCounts:
        background, intake = self._background, self._intake.counts
        return StageCounts(
            late_results=self._inference.late_results,
            bounced_triggers=intake.bounced,
            refused_triggers=intake.refused,
            stray_frames=intake.stray_frames,
            images_dropped=background.images_dropped,
            images_failed=background.images_failed,
            late_verdicts=sum(output.late for output in self._outputs.status.values()),
            drift_left_out=background.drift_left_out,
        )

    def _new_intake(self, settings: RunSettings) -> Intake:
        return Intake(
            views=self._views,
            ledger=self._ledger,
            limits=settings.parts,
            frame_trigger=self._frame_trigger,
            exposers=self._exposures,
            on_trigger=self._hooks.on_trigger,
        )

    def _new_trigger_thread(
        self, trigger: FrameTrigger | FiredTrigger | None, settings: RunSettings
    ) -> TriggerThread | None:
        """Returns the thread that waits for a peer; None where frames announce the parts."""
        if not isinstance(trigger, FiredTrigger):
            return None
        return TriggerThread(
            trigger, self._announce, self._halt, waits_to_open=settings.waits_to_open
        )

    def _new_grabber(self, view: View, settings: RunSettings) -> Grabber:
        return Grabber(
            view=view,
            intake=self._intake,
            ledger=self._ledger,
            settings=settings,
            on_error=self._halt,
            on_end=self.stop,
        )

    def _new_inference(self, settings: RunSettings) -> InferenceLoop:
        return InferenceLoop(
            views=self._views,
            intake=self._intake,
            ledger=self._ledger,
            ready=self._preprocessing.ready,
            keep_warm_ms=settings.keep_warm_ms,
            on_turn=self._report_turn,
        )

    def _report_turn(self) -> None:
        if self._hooks.on_turn is not None:
            self._hooks.on_turn(self.status())

    def _stage_health(self) -> StageHealth:
        stages: dict[str, Stage] = {
            "inspection": self._inference,
            "preparation": self._preprocessing,
            "delivery": self._delivery,
            "outputs": self._outputs,
        }
        connected: list[Connected] = [*self._grabbers, self._inference]
        if self._frame_trigger is not None:
            connected.append(self._frame_trigger)
        if self._trigger is not None:
            stages["trigger"] = self._trigger
            connected.append(self._trigger)
        for view, grabber in zip(self._views, self._grabbers, strict=True):
            stages[f"camera {view.name}"] = grabber
        for name, exposure in self._exposures.items():
            stages[f"exposure {name}"] = exposure
        return StageHealth(stages, connected, self._limit_s)

    def _start_stages(self, stack: ExitStack) -> None:
        for exposure in self._exposures.values():
            stack.callback(exposure.close)
            exposure.start()
        for grabber in self._grabbers:
            stack.callback(grabber.close)
        if self._trigger is not None:
            stack.callback(self._trigger.close, self._limit_s)
        stack.callback(self.stop)
        for grabber in self._grabbers:
            grabber.open()
        self._preprocessing.start()
        if self._trigger is not None:
            self._trigger.start()

    def _is_given_up(self) -> bool:
        """Returns whether a camera hangs so that its frames will not end; its grabber tells."""
        stopped_ns = self._stopped_ns
        if stopped_ns is None:
            return False
        return time.monotonic_ns() - stopped_ns > self._limit_s * 1e9

    def _settle_all(self) -> None:
        self._intake.close()  # a part announced from now on would stay open
        self._ledger.settle_open(Cause.STOPPING, "the pipeline was stopped before the inspection")
        self._ledger.close()
        self._delivery.close()

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

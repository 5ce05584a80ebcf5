"""Trigger -> grab -> infer -> decide -> deliver -> record, with a deadline.

Every trigger ends in exactly one record and exactly one verdict to the line. Its threads:

- "camera" grabs, and opens a trigger for every frame and every error;
- the caller of `Pipeline.run` inspects, one part after the other;
- "delivery" sends each verdict and records it, and sends NO_VERDICT at the deadline of a part
  whose inspection is not done, also when the engine hangs;
- "archive" writes images, and drops them when it is too slow;
- "drift monitor" looks at every part for drift, and leaves parts out when it is too slow.

They meet in a `Ledger`, which settles each trigger once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.archive import Archive, ArchiveThread
from edge.camera.base import Camera
from edge.delivery import Delivery
from edge.errors import LineError
from edge.grabber import Grabber
from edge.inspector import Inspection
from edge.line.base import LineOutput, StationState
from edge.monitor import DriftMonitor, DriftReport
from edge.records import InspectionRecord, RecipeIdentity
from edge.side_thread import SideThread
from edge.summary import RunSummary
from edge.triggers import Ledger, Trigger
from edge.verdict import Cause

_WATCH_QUEUE = 4

_log = logging.getLogger(__name__)


class PartInspector(Protocol):
    """What the pipeline needs of `edge.Inspector`."""

    def inspect(self, frame: npt.NDArray[np.uint8]) -> Inspection:
        """Inspect one frame; never raises for what a frame or an engine does."""


def _ignore(_record: InspectionRecord) -> None:
    pass


def _never_blocked() -> str | None:
    return None


class Pipeline:
    """One line: a camera, an inspector, and where the verdicts go.

    Args:
        camera: opened and closed by `run`; each of its frames is a trigger, and so is each error.
        inspector: stays the caller's, and is used on the thread that calls `run`.
        identity: what the inspector's verdicts rest on.
        outputs: opened and closed by `run`.
        deadline_ms: time from the complete frame to the verdict.
        archive: keeps images; None for none.
        monitor: watches for drift; None for none.
        blocked: why the station must not be READY; None when it may.
        on_record: receives each record once, on the delivery thread.
        limit_s: how long a thread may take to end, and the outputs to take a verdict.
        clock_ns: monotonic clock in nanoseconds, the same as the camera's.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        inspector: PartInspector,
        identity: RecipeIdentity,
        outputs: Sequence[LineOutput],
        deadline_ms: float,
        archive: Archive | None = None,
        monitor: DriftMonitor | None = None,
        blocked: Callable[[], str | None] = _never_blocked,
        on_record: Callable[[InspectionRecord], None] = _ignore,
        limit_s: float = 10.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._inspector = inspector
        self._limit_s = limit_s
        self._clock_ns = clock_ns
        self._ledger = Ledger(clock_ns)
        self._archive = ArchiveThread(archive) if archive is not None else None
        self._monitor = monitor
        self._watching = (
            SideThread("drift monitor", monitor.take, _WATCH_QUEUE) if monitor is not None else None
        )
        self._blocked = blocked
        self._grabber = Grabber(
            camera=camera,
            ledger=self._ledger,
            deadline_ns=round(deadline_ms * 1e6),
            on_error=self._halt,
            limit_s=limit_s,
            clock_ns=clock_ns,
        )
        self._delivery = Delivery(
            ledger=self._ledger,
            identity=identity,
            outputs=outputs,
            archive=self._archive,
            watching=self._watching,
            state=self._state,
            on_record=on_record,
            on_error=self._note_error,
        )
        self._late_results = 0
        self._error: Exception | None = None
        self._is_grabbing = False
        self._inspecting_since_ns: int | None = None

    def stop(self) -> None:
        """Ask `run` to return once the parts grabbed have their verdict; from any thread."""
        self._grabber.stop()

    def run(self) -> RunSummary:
        """Inspect until `stop`, the end of the recording, or an error. Call it once.

        What goes wrong on the way stands in the summary's `error`, after the orderly stop.

        Raises:
            LineError: an output cannot be opened; nothing was started.
            CameraError: the camera cannot be opened; no part was inspected.
        """
        with ExitStack() as stack:
            self._delivery.open(stack)
            if self._archive is not None:
                self._archive.start()
                stack.callback(self._archive.close, self._limit_s)
            if self._watching is not None:
                self._watching.start()
                stack.callback(self._watching.close, self._limit_s)
            self._delivery.start()
            stack.callback(self._settle_all)
            stack.callback(self._grabber.close)
            started_ns = self._clock_ns()
            self._grabber.open()
            self._is_grabbing = True
            for trigger in self._grabber.triggers():
                self._inspect(trigger)
            self._is_grabbing = False
            seconds = (self._clock_ns() - started_ns) / 1e9
        return self._delivery.tally.summary(
            seconds=seconds,
            late_results=self._late_results,
            images_dropped=self._archive.dropped if self._archive is not None else 0,
            images_failed=self._archive.failed if self._archive is not None else 0,
            drift=self._drift(),
            error=self._error,
        )

    def _drift(self) -> DriftReport | None:
        if self._monitor is None or self._watching is None:
            return None
        return self._monitor.report(dropped=self._watching.dropped, failed=self._watching.failed)

    def _inspect(self, trigger: Trigger) -> None:
        if trigger.frame is None or not self._ledger.is_open(trigger):
            return  # it waited past its deadline
        self._inspecting_since_ns = self._clock_ns()
        inspection = self._inspector.inspect(trigger.frame.image)
        self._inspecting_since_ns = None
        if not self._ledger.settle(trigger, inspection):
            self._late_results += 1
            _log.warning(
                "%s: the result %s came %.1f ms after the deadline and was discarded",
                trigger.trigger_id,
                inspection.verdict.value,
                (self._clock_ns() - trigger.deadline_ns) / 1e6,
            )

    def _state(self) -> StationState:
        """READY while frames are grabbed, no inspection hangs, and nothing blocks the station."""
        halted = self._error is not None and not isinstance(self._error, LineError)
        since_ns = self._inspecting_since_ns
        hangs = since_ns is not None and self._clock_ns() - since_ns > self._limit_s * 1e9
        if halted or hangs or not self._is_grabbing or self._blocked() is not None:
            return StationState.FAULT
        return StationState.READY

    def _settle_all(self) -> None:
        self._ledger.settle_open(Cause.STOPPING, "the pipeline was stopped before the inspection")
        self._ledger.close()
        self._delivery.close(self._limit_s)

    def _halt(self, error: Exception) -> None:
        """Stop because of `error`."""
        if self._error is None or isinstance(self._error, LineError):
            self._error = error
        self._grabber.stop()

    def _note_error(self, error: Exception) -> None:
        """An error of the delivery: a LineError leaves the other outputs and the records alive."""
        if isinstance(error, LineError):
            self._error = self._error or error
        else:
            self._halt(error)

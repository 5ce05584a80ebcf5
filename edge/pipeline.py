"""Trigger -> grab -> inspect -> decide -> deliver -> record, with a deadline.

Four threads, each with one task: the camera's thread opens a trigger for each frame; the calling
thread inspects; the deadline's thread settles what is late, also when an engine hangs; the delivery
thread tells the outputs. Images are written by the archive's own thread. The `Ledger` between them
makes sure that every trigger ends in exactly one verdict.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.archive import Archive
from edge.camera.base import Camera, EndOfRecording, Frame
from edge.errors import CameraError, FrameError, LineError
from edge.inspector import Inspection
from edge.ledger import Ledger, Trigger
from edge.line.base import LineOutput
from edge.records import InspectionRecord, finite, stage_ms, utc_now
from edge.verdict import Cause, Verdict

_LOG = logging.getLogger(__name__)
_WAITING_FRAMES = 2
_READ_TIMEOUT_S = 0.2
_JOIN_TIMEOUT_S = 5.0
_LATENCIES_KEPT = 100_000


class FrameInspector(Protocol):
    """What the pipeline needs of `edge.inspector.Inspector`."""

    def inspect(self, frame: npt.NDArray[np.uint8]) -> Inspection:
        """Judge one native frame."""


@dataclass(frozen=True)
class Station:
    """What a record says beside the verdict, and the limits of the line."""

    recipe: str
    artefact_sha256: str
    calibration: str
    threshold: float
    deadline_ms: float


@dataclass
class RunSummary:
    """Counts of one run; every trigger is in exactly one of `verdicts`.

    Attributes:
        late: inspections that ended after their trigger had been settled.
        line_errors: verdicts that did not reach an output.
        total_ms: time from trigger to verdict of the last inspected parts.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    causes: Counter[Cause] = field(default_factory=Counter)
    late: int = 0
    line_errors: int = 0
    images_dropped: int = 0
    images_failed: int = 0
    seconds: float = 0.0
    total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))

    @property
    def triggers(self) -> int:
        """How many parts were triggered."""
        return self.verdicts.total()

    def percentile_ms(self, percent: float) -> float:
        """Time from trigger to verdict that `percent` of the inspected parts did not exceed."""
        return float(np.percentile(self.total_ms, percent)) if self.total_ms else float("nan")


class Pipeline:
    """Runs one station from its first trigger to an orderly stop.

    Args:
        inspector: judges frames; used by the thread that calls `run`.
        camera: opened and closed by `run`.
        outputs: all of them are told every verdict; opened and closed by `run`.
        archive: keeps images, if given.
        observe: called with every record, by the delivery thread, for a person to watch.
    """

    def __init__(
        self,
        station: Station,
        inspector: FrameInspector,
        camera: Camera,
        outputs: Sequence[LineOutput],
        *,
        archive: Archive | None = None,
        observe: Callable[[InspectionRecord], None] = lambda _: None,
    ) -> None:
        self._station = station
        self._inspector = inspector
        self._camera = camera
        self._outputs = outputs
        self._archive = archive
        self._observe = observe
        self._ledger = Ledger(self._hand_over, station.threshold)
        self._slots = threading.Semaphore(_WAITING_FRAMES)
        self._waiting: queue.Queue[Trigger | None] = queue.Queue()
        self._verdicts: queue.Queue[tuple[Trigger, Inspection, int] | None] = queue.Queue()
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._failure: Exception | None = None
        self._count = 0
        self.summary = RunSummary()

    def stop(self) -> None:
        """Ask for an orderly stop: frames that were grabbed still get their verdict.

        May be called from any thread and from a signal handler.
        """
        self._stop.set()

    def run(self) -> RunSummary:
        """Inspect until the recording ends, the camera is lost or `stop` is called.

        Raises:
            CameraError: the camera could not be opened or was lost; every trigger is settled first.
            LineError: an output could not be opened.
        """
        started = time.monotonic()
        self._open()
        threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("camera", self._guarded(self._grab)),
                ("deadline", self._guarded(lambda: self._ledger.expire_until(self._finished))),
                ("delivery", self._guarded(self._deliver)),
            )
        ]
        for thread in threads:
            thread.start()
        self._inspect()
        self._ledger.settle_rest(Cause.STOPPING, "the run ended before the part was inspected")
        self._finished.set()
        self._ledger.wake()
        self._verdicts.put(None)
        for thread in threads:
            thread.join(_JOIN_TIMEOUT_S)
        self._close()
        self.summary.seconds = time.monotonic() - started
        if self._failure is not None:
            raise self._failure
        return self.summary

    def _open(self) -> None:
        try:
            for output in self._outputs:
                output.open()
            if self._archive is not None:
                self._archive.open()
            self._camera.open()
        except (CameraError, LineError):
            self._close()
            raise

    def _close(self) -> None:
        self._camera.close()
        for output in self._outputs:
            output.close()
        if self._archive is not None:
            self._archive.close()
            self.summary.images_dropped = self._archive.dropped
            self.summary.images_failed = self._archive.failed

    def _guarded(self, body: Callable[[], None]) -> Callable[[], None]:
        """A thread's body: what it does not expect stops the run and is raised by `run`."""

        def guarded() -> None:
            try:
                body()
            except Exception as error:  # noqa: BLE001 - the top of a thread
                _LOG.exception("the %s thread failed", threading.current_thread().name)
                self._failure = self._failure or error
                self._stop.set()
                self._waiting.put(None)

        return guarded

    def _grab(self) -> None:
        try:
            while not self._stop.is_set():
                if self._camera.waits and not self._slots.acquire(timeout=_READ_TIMEOUT_S):
                    continue
                self._grab_one()
        except EndOfRecording:
            pass
        finally:
            self._waiting.put(None)

    def _grab_one(self) -> None:
        """Read one frame and open its trigger."""
        try:
            frame = self._camera.read(_READ_TIMEOUT_S)
        except FrameError as error:
            self._ledger.give_up(self._trigger(None, ""), Cause.FRAME, str(error))
        except CameraError as error:
            self._failure = error
            self._ledger.give_up(self._trigger(None, ""), Cause.CAMERA, str(error))
            raise EndOfRecording from error
        else:
            if frame is not None:
                self._queue(self._trigger(frame, frame.source))
                return
        if self._camera.waits:
            self._slots.release()

    def _trigger(self, frame: Frame | None, source: str) -> Trigger:
        self._count += 1
        opened = frame.captured_ns if frame is not None else time.monotonic_ns()
        deadline = opened + int(self._station.deadline_ms * 1e6)
        trigger = Trigger(self._count, opened, deadline, utc_now(), source, frame)
        self._ledger.open(trigger)
        return trigger

    def _queue(self, trigger: Trigger) -> None:
        if not self._camera.waits and not self._slots.acquire(blocking=False):
            message = f"{_WAITING_FRAMES} frames were waiting already: parts come too fast"
            self._ledger.give_up(trigger, Cause.QUEUE_FULL, message)
            return
        self._waiting.put(trigger)

    def _inspect(self) -> None:
        while (trigger := self._waiting.get()) is not None:
            if self._ledger.is_open(trigger) and trigger.frame is not None:
                inspection = self._inspector.inspect(trigger.frame.image)
                if not self._ledger.settle(trigger, inspection):
                    self.summary.late += 1
            self._slots.release()

    def _hand_over(self, trigger: Trigger, inspection: Inspection, settled_ns: int) -> None:
        self._verdicts.put((trigger, inspection, settled_ns))

    def _deliver(self) -> None:
        while (item := self._verdicts.get()) is not None:
            trigger, inspection, settled_ns = item
            images: tuple[str, ...] = ()
            if self._archive is not None:
                images = self._archive.offer(
                    trigger.id, trigger.time_utc, trigger.frame, inspection
                )
            record = self._record(trigger, inspection, settled_ns, images)
            for output in self._outputs:
                self._send(output, record)
            self._count_in(record)
            self._observe(record)

    def _send(self, output: LineOutput, record: InspectionRecord) -> None:
        try:
            output.send(record)
        except LineError:
            self.summary.line_errors += 1
            _LOG.exception("verdict %d did not reach the line", record.trigger_id)

    def _record(
        self, trigger: Trigger, inspection: Inspection, settled_ns: int, images: tuple[str, ...]
    ) -> InspectionRecord:
        station = self._station
        return InspectionRecord(
            trigger_id=trigger.id,
            time_utc=trigger.time_utc,
            source=trigger.source,
            recipe=station.recipe,
            verdict=inspection.verdict,
            cause=inspection.cause,
            message=inspection.message,
            score=finite(inspection.score),
            threshold=inspection.threshold,
            artefact_sha256=station.artefact_sha256,
            calibration=station.calibration,
            total_ms=(settled_ns - trigger.opened_ns) / 1e6,
            deadline_ms=station.deadline_ms,
            images=images,
            **stage_ms(inspection),
        )

    def _count_in(self, record: InspectionRecord) -> None:
        self.summary.verdicts[record.verdict] += 1
        if record.cause is not None:
            self.summary.causes[record.cause] += 1
        else:
            self.summary.total_ms.append(record.total_ms)

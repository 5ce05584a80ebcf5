"""From the camera to open triggers, on a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from edge.camera.base import Camera, EndOfRecording, Frame
from edge.camera.faults import CameraHungError
from edge.errors import CameraError, FrameError, LineError
from edge.triggers import Ledger, Trigger, no_verdict
from edge.verdict import Cause

_POLL_S = 0.2
_WAITING_MAX = 2
_UNDELIVERED_MAX = 64
_PAUSE_S = 2.0

_log = logging.getLogger(__name__)


class Grabber:
    """Opens a trigger for each frame of a camera, and for each error.

    A camera that waits (a recording) is read when the inspection is free. Another one is read
    always, also while an engine hangs: a frame that finds two others waiting gets NO_VERDICT.

    Args:
        camera: opened, read and closed by the grabber's thread.
        deadline_ns: time from the complete frame to the verdict.
        on_error: receives the error that ends the grabbing, after its trigger was settled.
        limit_s: how long the outputs may take no verdict, and the camera may take to end.
        waits_to_open: a camera that cannot be opened is tried again and again.

    Attributes:
        has_opened: whether the camera could be opened.
        turned_ns: when the thread last went round, on the monotonic clock; None while it does not
            grab.
    """

    def __init__(
        self,
        *,
        camera: Camera,
        ledger: Ledger,
        deadline_ns: int,
        on_error: Callable[[Exception], None],
        limit_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        waits_to_open: bool = False,
    ) -> None:
        self.has_opened = False
        self.turned_ns: int | None = None
        self._waits_to_open = waits_to_open
        self._camera = camera
        self._ledger = ledger
        self._deadline_ns = deadline_ns
        self._on_error = on_error
        self._limit_s = limit_s
        self._clock_ns = clock_ns
        self._run_id = uuid.uuid4().hex[:8]
        self._count = 0
        self._stopping = False
        self._free = threading.Event()
        self._free.set()
        self._waiting: queue.SimpleQueue[Trigger | None] = queue.SimpleQueue()
        self._opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def open(self) -> None:
        """Open the camera and begin to grab; returns at once where it waits for the camera.

        Raises:
            CameraError: the camera cannot be opened, and the line does not wait for it.
        """
        self._thread.start()
        if self._waits_to_open:
            return
        error = self._opened.get()
        if error is not None:
            raise error

    def triggers(self) -> Iterator[Trigger | None]:
        """The triggers to inspect, until the camera ends. Asking for one ends the one before.

        None tells that none came for a while.
        """
        while True:
            try:
                trigger = self._waiting.get(timeout=_POLL_S)
            except queue.Empty:
                if self._stopping and not self._ends():
                    return  # the camera hangs; `close` tells
                yield None
                continue
            if trigger is None:
                return
            yield trigger
            self._free.set()

    def stop(self) -> None:
        """Grab no more; what was grabbed still comes. From any thread or signal handler."""
        self._stopping = True

    def close(self) -> None:
        """Stop, and wait until the camera is closed. Safe without `open`."""
        self.stop()
        if self._thread.ident is None:
            return
        self._thread.join(self._limit_s)
        if self._thread.is_alive():
            self._on_error(CameraError(f"the camera hangs: no answer within {self._limit_s:g} s"))

    def _ends(self) -> bool:
        self._thread.join(self._limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._open_camera()
        except Exception as error:  # noqa: BLE001 - raised by `open`, or told to the pipeline
            self._opened.put(error)
            if self._waits_to_open and not self._stopping:
                self._on_error(error)
            self._waiting.put(None)
            return
        self.has_opened = True
        self._opened.put(None)
        try:
            self._grab_all()
        except EndOfRecording:
            pass
        except Exception as error:  # noqa: BLE001 - the camera is lost: the pipeline stops
            self._settle_frameless(Cause.CAMERA, error)
            self._on_error(error)
        finally:
            self.turned_ns = None
            self._waiting.put(None)
            self._camera.close()

    def _open_camera(self) -> None:
        is_told = False
        while True:
            try:
                self._camera.open()
            except CameraHungError:
                raise  # only the end of the process frees it
            except CameraError as error:
                if not self._waits_to_open or self._stopping:
                    raise
                if not is_told:
                    _log.warning("the line waits for the camera: %s", error)
                is_told = True
            else:
                return
            self._pause()

    def _pause(self) -> None:
        end = time.monotonic() + _PAUSE_S
        while not self._stopping and time.monotonic() < end:
            time.sleep(_POLL_S)

    def _grab_all(self) -> None:
        while not self._stopping:
            self.turned_ns = time.monotonic_ns()
            if self._camera.waits and not self._free.is_set():
                self._free.wait(_POLL_S)
                continue  # a stop may have come meanwhile
            if not self._ledger.wait_for_room(_UNDELIVERED_MAX, self._limit_s):
                self._on_error(LineError(f"the outputs took no verdict for {self._limit_s:g} s"))
                return
            try:
                frame = self._camera.read(_POLL_S)
            except FrameError as error:
                self._settle_frameless(Cause.FRAME, error)
            else:
                if frame is not None:
                    self._hand_over(self._open_trigger(frame.captured_ns, frame))

    def _hand_over(self, trigger: Trigger) -> None:
        if self._waiting.qsize() >= _WAITING_MAX:
            message = f"{_WAITING_MAX} frames were waiting already: the parts come too fast"
            self._ledger.settle(trigger, no_verdict(Cause.QUEUE_FULL, message))
            return
        self._free.clear()
        self._waiting.put(trigger)

    def _settle_frameless(self, cause: Cause, error: Exception) -> None:
        trigger = self._open_trigger(self._clock_ns(), None)
        self._ledger.settle(trigger, no_verdict(cause, str(error)))

    def _open_trigger(self, captured_ns: int, frame: Frame | None) -> Trigger:
        self._count += 1
        age = timedelta(microseconds=(self._clock_ns() - captured_ns) / 1e3)
        trigger = Trigger(
            trigger_id=f"{self._run_id}-{self._count:06d}",
            captured_utc=datetime.now(timezone.utc) - age,
            captured_ns=captured_ns,
            deadline_ns=captured_ns + self._deadline_ns,
            frame=frame,
        )
        self._ledger.open(trigger)
        return trigger

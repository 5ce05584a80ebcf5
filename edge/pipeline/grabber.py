"""Reads one camera on a thread, and passes its frames and errors to the intake."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from edge.camera.base import AbortsOpen, Camera, EndOfRecording, OpensInTime
from edge.peers.reconnect import Reconnector
from edge.pipeline.intake import Intake
from edge.pipeline.ledger import Ledger
from edge.pipeline.settings import RunSettings, View, ViewCamera
from inspection.errors import CameraError, FrameError

_POLL_S = 0.2  # longest delay until it sees a stop or a change of the camera
_UNTOLD_MAX = 16  # verdicts of a recording; fewer than an output has room for
_OPEN_LIMIT_S = 60.0  # of a recording, whose folder may be on a network

_log = logging.getLogger(__name__)


class CameraChange:
    """Other cameras for a running line: in use all at once, or not at all.

    Each grabber opens its camera, and all wait for one another. An error in one of them, or in
    `then`, ends the change for all.

    Args:
        cameras: by their views.
        then: called when all are open, before any of them is read; it changes all or nothing.
        limit_s: how long opening them may take.
    """

    def __init__(
        self, cameras: Mapping[str, ViewCamera], then: Callable[[], None], limit_s: float
    ) -> None:
        self.cameras = cameras
        self._then = then
        self._limit_s = limit_s
        self._all_open = threading.Barrier(len(cameras) + 1, action=self._enter)
        self._errors: list[str] = []

    @property
    def is_off(self) -> bool:
        """Whether it has failed, so that all cameras stay as they were."""
        return self._all_open.broken

    def fail(self, error: str) -> None:
        """End the change: one camera cannot be opened."""
        self._errors.append(error)
        self._all_open.abort()

    def wait(self) -> bool:
        """Wait until all cameras are open and in use; False when the change failed."""
        try:
            self._all_open.wait(self._limit_s)
        except threading.BrokenBarrierError:
            return False
        return True

    def finish(self) -> None:
        """Wait for the end of the change, on the thread that asked for it.

        Raises:
            CameraError: the change failed.
        """
        if not self.wait():
            errors = "; ".join(self._errors) or f"not open within {self._limit_s:g} s"
            raise CameraError(f"the cameras stay as they were: {errors}")

    def _enter(self) -> None:
        """Let all begin, on the last thread that arrives."""
        try:
            self._then()
        except Exception as error:  # which camera's thread this is has nothing to do with it
            self._errors.append(repr(error))
            raise threading.BrokenBarrierError from error


class Grabber:
    """Reads the camera of one view.

    It reads a camera that waits (a recording) when a part wants a frame of it, and any other one
    always, also while an engine hangs. It opens a lost camera again after growing pauses, except a
    recording, which would begin anew.

    Args:
        view: its camera is opened, read and closed by the grabber's thread.
        on_error: receives the error that ends the grabbing, after the part in hand is settled.
        on_end: called when the grabbing ends, for whatever reason.

    Attributes:
        turned_ns: start of the present turn, on the monotonic clock, or the time by which the
            camera must be open; None while it neither grabs nor opens.
    """

    def __init__(
        self,
        *,
        view: View,
        intake: Intake,
        ledger: Ledger,
        settings: RunSettings,
        on_error: Callable[[Exception], None],
        on_end: Callable[[], None],
    ) -> None:
        self.turned_ns: int | None = None
        self._waits_to_open = settings.waits_to_open
        self._view = view
        self._camera = view.camera
        self._intake = intake
        self._ledger = ledger
        self._reopens = settings.reopens and not view.camera.waits
        self._on_error = on_error
        self._on_end = on_end
        self._limit_s = settings.limit_s
        # Every part counts: the first attempt follows soon after each loss.
        self._connection = Reconnector(
            self._open_own, CameraError, held_s=0.0, longest_pause_s=settings.longest_pause_s
        )
        if settings.waits_to_open:
            self._connection.lose("it is being opened")
        self._opening: Camera | None = None
        self._change: CameraChange | None = None
        self._stopping = threading.Event()
        self._woken = threading.Event()  # by a stop or a change: the lost camera can wait
        self._opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"camera {view.name}", daemon=True)

    def open(self) -> None:
        """Opens the camera and begins to grab; returns at once where the line waits for the camera.

        Raises:
            CameraError: the camera cannot be opened, and the line does not wait for it.
        """
        self._thread.start()
        if self._waits_to_open:
            return
        limit_s = open_limit_s(self._camera)
        try:
            error = self._opened.get(timeout=limit_s)
        except queue.Empty:
            raise CameraError(
                f"view {self._view.name}: the camera hangs, not open within {limit_s:g} s"
            ) from None
        if error is not None:
            raise error

    @property
    def lost(self) -> str:
        """The reason why the camera gives no frame; empty while it does, as far as is known."""
        lost = self._connection.lost
        return f"view {self._view.name}: {lost}" if lost else ""

    def change_camera(self, change: CameraChange) -> None:
        """Closes the camera and opens that of `change`, between two frames; from any thread.

        A part that comes meanwhile has no frame of this view. When the new camera cannot be opened
        the old one is opened again. A lost camera is not waited for.
        """
        self._change = change
        self._woken.set()
        if self._is_called_off:
            self._abort_open(kept=change.cameras[self._view.name].camera)
        if self._stopping.is_set():
            self._refuse_change()  # the thread may have ended

    def stop(self) -> None:
        """Stops grabbing; parts with frames still get their verdict. From any thread or handler."""
        self._stopping.set()
        self._woken.set()
        self._abort_open()

    def close(self) -> None:
        """Stops, and waits until the camera is closed. Safe without `open`.

        A camera that cannot be aborted may take as long as it is given to open: it ends with the
        process, and does not hang.
        """
        self.stop()
        if self._thread.ident is None:
            return
        self._thread.join(self._limit_s)
        if self._thread.is_alive() and not self._may_take_longer:
            self._on_error(CameraError(f"the camera hangs: no answer within {self._limit_s:g} s"))

    @property
    def _may_take_longer(self) -> bool:
        """Whether the camera is being opened, within its limit."""
        turned_ns = self.turned_ns
        return turned_ns is not None and turned_ns > time.monotonic_ns()

    @property
    def _is_called_off(self) -> bool:
        """Whether a camera need not be opened: the line stops, or changes a lost one.

        Where the line does not wait for its cameras, it starts with the first ones all the same.
        """
        is_changed = self._change is not None and self._connection.lost != ""
        return self._stopping.is_set() or is_changed

    def _abort_open(self, kept: Camera | None = None) -> None:
        """Ends the opening of a camera other than `kept`."""
        opening = self._opening
        if opening is not kept and isinstance(opening, AbortsOpen):
            opening.abort_open()

    def _run(self) -> None:
        try:
            self._open_camera()
        except Exception as error:  # noqa: BLE001 - raised by `open`, or told to the pipeline
            # A stop aborts the opening: then the error is not that of the camera.
            self._opened.put(None if self._stopping.is_set() else error)
            if self._waits_to_open:
                self._on_error(error)
            self._end()
            return
        self._opened.put(None)
        try:
            while not self._stopping.is_set():
                self._grab_or_reopen()
        except EndOfRecording:
            pass
        except Exception as error:  # noqa: BLE001 - the camera is lost: the pipeline stops
            self._lose(error)
            self._on_error(error)
        finally:
            self.turned_ns = None
            self._end()
            self._camera.close()

    def _end(self) -> None:
        self._stopping.set()
        self._refuse_change()
        self._on_end()
        self._intake.end(self._view.name)

    def _refuse_change(self) -> None:
        """Fails a change that this view can no longer take part in."""
        change, self._change = self._change, None
        if change is not None:
            change.fail(f"view {self._view.name}: the line stops")

    def _open_camera(self) -> None:
        """Opens it for the first time; repeatedly where the line waits for it."""
        try:
            self._connection.open()
        except CameraError as error:
            if not self._waits_to_open:
                raise
            if not self._is_called_off:
                _log.warning("view %s: the line waits for the camera: %s", self._view.name, error)
            self._reopen()

    def _lose(self, error: Exception) -> None:
        self._connection.lose(str(error))
        self._intake.on_camera_lost(self._view.name, error)

    def _grab_or_reopen(self) -> None:
        """Grabs until the stop, or until a lost or changed camera is back."""
        try:
            self._grab_all()
            self._change_or_keep()
        except CameraError as error:
            self.turned_ns = None
            if not self._reopens:
                raise
            _log.warning("view %s: the camera is lost: %s", self._view.name, error)
            self._lose(error)
            self._reopen()

    def _change_or_keep(self) -> None:
        """Takes over the camera of a change when all views can; else keeps this one."""
        change, self._change = self._change, None
        if change is not None and not change.is_off:
            self._take_over(change)
        self._reopen()

    def _take_over(self, change: CameraChange) -> None:
        name, camera = self._view.name, change.cameras[self._view.name].camera
        why = "the camera is being opened for another recipe"
        self._connection.lose(why)
        self._intake.pause_view(name, why)
        try:
            self._open(camera)
        except Exception as error:  # noqa: BLE001 - told to the asker; the old camera goes on
            change.fail(f"view {name}: {error}")
        if change.wait():
            self._camera = camera
            self._intake.on_camera_back(name)
            self._connection.found()
        else:
            camera.close()

    def _grab_all(self) -> None:
        while not self._stopping.is_set() and self._change is None:
            self.turned_ns = time.monotonic_ns()
            if self._camera.waits and not self._may_read():
                continue  # a stop may have come meanwhile
            try:
                frame = self._camera.read(_POLL_S)
            except FrameError as error:
                self._intake.on_bad_frame(self._view.name, error)
            else:
                if frame is not None:
                    self._intake.on_frame(self._view.name, frame)

    def _may_read(self) -> bool:
        """Whether a recording should give its next frame; waits a moment for it.

        One that announces the parts waits for the outputs, which a camera cannot. A part that is
        announced already needs its frame: those behind it are not told before.
        """
        if not self._intake.wants(self._view.name):
            self._intake.wait_wanted(self._view.name, _POLL_S)
            return False
        return self._intake.is_fired or self._ledger.wait_for_room(_UNTOLD_MAX, _POLL_S)

    def _open(self, camera: Camera) -> None:
        """Opens a camera in place of the one before; `turned_ns` shows when that hangs."""
        self.turned_ns = time.monotonic_ns() + round(open_limit_s(camera) * 1e9)
        try:
            self._opening = camera  # from now on a stop or a change aborts it
            self._camera.close()  # may take long
            if self._is_called_off:
                raise CameraError("it is not opened: the line stops, or another recipe comes")
            camera.open()
        finally:
            self._opening = self.turned_ns = None

    def _open_own(self) -> None:
        self._open(self._camera)
        # Before the station is READY again: a part that comes then must not miss its frame.
        self._intake.on_camera_back(self._view.name)

    def _reopen(self) -> None:
        """Opens a lost camera again; leaves it lost at a stop or a change."""
        while self._connection.lost:
            self._woken.clear()  # a change that is over may have set it late
            if self._is_called_off:
                return
            if self._connection.wait_until_open(self._woken):
                _log.warning("view %s: the camera is there again", self._view.name)


def open_limit_s(camera: Camera) -> float:
    """Returns how long a camera may take to open; after that its thread hangs."""
    return camera.open_limit_s if isinstance(camera, OpensInTime) else _OPEN_LIMIT_S

"""Time limits around a camera whose SDK has none, or does not keep them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, Protocol, TypeVar, runtime_checkable

from edge.camera.base import Frame
from edge.camera.faults import CameraHungError
from edge.errors import CameraError

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class LiveCamera(Protocol):
    """A `Camera` that a guard can hold."""

    @property
    def waits(self) -> bool:
        """See `Camera.waits`; False."""

    def open(self) -> None:
        """See `Camera.open`."""

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`."""

    def close(self) -> None:
        """See `Camera.close`."""

    def describe(self) -> Mapping[str, object]:
        """What the open camera says of itself: its settings by their names."""


@runtime_checkable
class SoftwareTriggered(Protocol):
    """A camera that can be triggered by a call."""

    def trigger(self) -> None:
        """Expose one frame now; from any thread."""


class GuardedCamera:
    """Calls a camera on a thread of its own, and waits only so long.

    After a call that did not come back every further one is refused: the thread still holds the
    SDK, and only the end of the process frees it.

    Args:
        camera: used by the guard's threads alone.
        name: stands in the errors.
        open_limit_s: how long `open` may take.
        hung_limit_s: how long any call may take beyond its own time; `close` never takes longer
            than twice that.
    """

    def __init__(
        self, camera: LiveCamera, *, name: str, open_limit_s: float, hung_limit_s: float
    ) -> None:
        self._camera = camera
        self._name = name
        self._open_limit_s = open_limit_s
        self._hung_limit_s = hung_limit_s
        self._worker: _Worker | None = None
        self._triggers: _Worker | None = None
        self._reading: Future[Frame | None] | None = None
        self._overdue_s = 0.0  # on the monotonic clock, when `_reading` hangs
        self._hung = ""

    @property
    def waits(self) -> bool:
        """See `Camera.waits`."""
        return self._camera.waits

    def open(self) -> None:
        """See `Camera.open`.

        Raises:
            CameraHungError: it took longer than the limit.
        """
        self.close()
        self._refuse_hung()
        self._worker = _Worker(f"{self._name} sdk")
        try:
            self._call(self._worker, self._camera.open, self._open_limit_s, "open")
        except CameraError:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`; a call into the SDK that overruns is waited for by the next `read`.

        Raises:
            CameraHungError: a call overran by more than the limit.
        """
        worker = self._opened()
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) >= 0:
            if self._reading is None:
                self._reading = self._submit_read(worker, left_s)
            if not _is_done(self._reading, left_s):
                self._refuse_overdue()
                return None
            reading, self._reading = self._reading, None
            if (frame := reading.result()) is not None:
                return frame
        return None

    def trigger(self) -> None:
        """Expose one frame now; from any thread, also while another one is in `read`.

        Raises:
            CameraError: the camera has no software trigger, or did not take it.
        """
        self._opened()
        if not isinstance(self._camera, SoftwareTriggered):
            raise CameraError(f"{self._name}: this kind of camera has no software trigger")
        self._triggers = self._triggers or _Worker(f"{self._name} trigger")
        self._call(self._triggers, self._camera.trigger, self._hung_limit_s, "trigger")

    def describe(self) -> Mapping[str, object]:
        """What the open camera says of itself."""
        return self._call(self._opened(), self._camera.describe, self._hung_limit_s, "describe")

    def close(self) -> None:
        """See `Camera.close`; within twice the limit, also when the SDK hangs."""
        worker, self._worker, self._reading = self._worker, None, None
        triggers, self._triggers = self._triggers, None
        if triggers is not None:
            triggers.end()
        if worker is None or self._hung:
            return
        try:
            self._call(worker, self._camera.close, 2 * self._hung_limit_s, "close")
        except CameraHungError as error:
            _log.warning("%s", error)
        worker.end()

    def _submit_read(self, worker: _Worker, timeout_s: float) -> Future[Frame | None]:
        self._overdue_s = time.monotonic() + timeout_s + self._hung_limit_s
        return worker.submit(lambda: self._camera.read(timeout_s))

    def _refuse_overdue(self) -> None:
        if time.monotonic() > self._overdue_s:
            raise self._hangs("read", self._hung_limit_s)

    def _call(
        self, worker: _Worker, call: Callable[[], _Result], limit_s: float, what: str
    ) -> _Result:
        result = worker.submit(call)
        if not _is_done(result, limit_s):
            raise self._hangs(what, limit_s)
        return result.result()

    def _hangs(self, what: str, limit_s: float) -> CameraHungError:
        self._hung = (
            f"{self._name}: the camera's SDK hangs in {what}, no answer for {limit_s:g} s; "
            "end this process to free the camera, and check its cable and power"
        )
        return CameraHungError(self._hung)

    def _refuse_hung(self) -> None:
        if self._hung:
            raise CameraHungError(self._hung)

    def _opened(self) -> _Worker:
        self._refuse_hung()
        if self._worker is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._worker


class _Worker:
    """One daemon thread: a call that never returns does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._calls = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], _Result]) -> Future[_Result]:
        result: Future[_Result] = Future()
        self._calls.put((call, result))
        return result

    def end(self) -> None:
        """The thread ends after the calls submitted before."""
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            call, result = item
            try:
                result.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised where the result is awaited
                result.set_exception(error)


def _is_done(result: Future[Any], timeout_s: float) -> bool:
    return bool(wait([result], timeout_s).done)

"""Keeps the newest frame of a stream that does not wait for its reader, and measures its lag."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edge.camera.faults import CameraLostError
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from inspection.redaction import redacted

_BASELINE_DRIFT = 2e-4  # clocks of cameras are off by up to 100 ppm; allow twice that
_SET_NS = 1_000_000_000  # by less a stream may catch up more than it is known to lag


class NewestFrame:
    """Reads a stream without pause on a thread, and keeps one frame.

    Args:
        produce: waits for the next frame of the stream; the thread calls it until it raises a
            CameraError other than a FrameError.
        name: of the camera, for errors.
    """

    def __init__(self, produce: Callable[[], Frame], name: str) -> None:
        self._produce = produce
        self._name = name
        self._changed = threading.Condition()
        self._newest: Frame | FrameError | None = None
        self._ended: CameraError | None = None
        self._stopping = False
        self._taken = 0
        self._thread = threading.Thread(target=self._run, name=f"{name} stream", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame once; None after `timeout_s` without a new one.

        Raises:
            FrameError: the newest frame is unusable.
            CameraError: the stream has ended.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._ended, timeout_s)
            newest, self._newest = self._newest, None
            if newest is None and self._ended is not None:
                raise self._ended
        if isinstance(newest, FrameError):
            raise newest
        if newest is None:
            return None
        sequence, self._taken = self._taken, self._taken + 1
        return replace(newest, sequence=sequence)

    def stop(self, limit_s: float) -> bool:
        """Asks the thread to end; False when it is still alive after `limit_s`."""
        self._stopping = True
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._put(self._produce())
            except FrameError as error:
                self._put(error)
            except CameraError as error:
                self._end(error)
                return
            except Exception as error:  # noqa: BLE001 - raised by `take`
                self._end(
                    CameraLostError(f"{self._name}: the stream failed: {redacted(repr(error))}")
                )
                return

    def _put(self, newest: Frame | FrameError) -> None:
        with self._changed:
            self._newest = newest
            self._changed.notify_all()

    def _end(self, error: CameraError) -> None:
        with self._changed:
            self._ended = error
            self._changed.notify_all()


class StreamClock:
    """Measures the lag of a stream from the time stamps of its sender.

    The least delayed frame so far has no lag; a frame that took longer by x lags by x. A stamp that
    goes back is of a clock that was set, and so is one that jumps forward by a second more than the
    stream lagged: the measurement begins anew. The lag goes on, as setting a clock brings no frame
    sooner. A shorter jump forward looks like a stream that catches up.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._baseline_ns: float | None = None
        self._lag_ns = 0
        self._last_ns = 0
        self._last_stamp_ns = 0

    def lag_ns(self, stamp_ns: int) -> int:
        """Returns the lag of a frame that arrives now with `stamp_ns` of the sender's clock."""
        now_ns = self._clock_ns()
        delay_ns = now_ns - stamp_ns
        drift_ns = (now_ns - self._last_ns) * _BASELINE_DRIFT if self._last_ns else 0.0
        if (
            self._baseline_ns is None
            or stamp_ns < self._last_stamp_ns
            or delay_ns < self._baseline_ns - drift_ns - _SET_NS
        ):
            self._baseline_ns = delay_ns - self._lag_ns
        self._baseline_ns = min(self._baseline_ns + drift_ns, delay_ns)
        self._last_ns, self._last_stamp_ns = now_ns, stamp_ns
        self._lag_ns = round(delay_ns - self._baseline_ns)
        return self._lag_ns

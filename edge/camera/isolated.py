"""A camera in a process of its own, where a crash or a hang of its SDK can be ended."""

from __future__ import annotations

import time
from collections.abc import Mapping

from edge.camera.faults import CameraLostError
from edge.camera.process import END_LIMIT_S, CameraProcess
from edge.part.frame import Frame
from inspection.errors import CameraError

_START_LIMIT_S = 30.0  # to import the SDK, on a small device that starts
_HEARTBEAT_S = 0.2  # a longer `read` is asked in steps


class IsolatedCamera:
    """Runs a live camera in another process; frames come through shared memory.

    `open` starts a new process each time, and after any CameraError that is no FrameError it has
    to be called again. While it is read the process answers every 0.2 s, with a frame or without:
    that is its heartbeat, and when an answer is overdue the process is ended. A camera that answers
    and has no frame is not triggered, which is no error, unless it runs free.

    Args:
        config: of the camera, in JSON.
        name: stands in the errors.
        open_limit_s: how long the camera may take to open.
        hung_limit_s: how long any call may take beyond its own time. `close` takes no longer than
            this and two seconds.
        silent_limit_s: a camera that runs free and gives no frame for so long is lost; None waits.
        module: is run as the process; see `edge.camera.child`.
    """

    waits = False

    def __init__(
        self,
        config: str,
        *,
        name: str,
        open_limit_s: float,
        hung_limit_s: float,
        silent_limit_s: float | None,
        module: str = "edge.camera.child",
    ) -> None:
        self._config = config
        self._name = name
        self._open_limit_s = open_limit_s
        self._hung_limit_s = hung_limit_s
        self._silent_limit_s = silent_limit_s
        self._module = module
        self._process: CameraProcess | None = None
        self._runs_free = False
        self._asked_s = 0.0  # time that the `read` without an answer was given
        self._silent_s = 0.0  # of reading, since something came

    @property
    def open_limit_s(self) -> float:
        """See `OpensInTime`; `hung_limit_s` counts for the process before too, which is closed."""
        hung_s = 2 * (self._hung_limit_s + 2 * END_LIMIT_S)
        return _START_LIMIT_S + self._open_limit_s + hung_s

    def open(self) -> None:
        """See `Camera.open`.

        Raises:
            CameraHungError: it took longer than the limit; the process is ended.
            CameraLostError: the process ended.
        """
        self.close()
        self._process = CameraProcess(self._name, self._module, self._hung_limit_s)
        calls = self._process.calls
        try:
            calls.call("build", self._config, limit_s=_START_LIMIT_S)
            self._runs_free = calls.call("open", limit_s=self._open_limit_s + self._hung_limit_s)
        except CameraError:
            self.close()
            raise
        self._silent_s = 0.0

    def read(self, timeout_s: float) -> Frame | None:
        """See `Camera.read`; a call into the SDK that overruns is waited for by the next `read`.

        Raises:
            CameraHungError: a call overran by more than the limit; the process is ended.
            CameraLostError: the process ended, or a camera that runs free is silent.
        """
        process = self._opened()
        calls, slots = process.calls, process.slots
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) >= 0:
            if not calls.is_asked:
                self._asked_s = asked_s = min(left_s, _HEARTBEAT_S)
                calls.ask("read", asked_s, slots.next, limit_s=asked_s + self._hung_limit_s)
            if not calls.is_answered(left_s):
                return None
            silent_s, self._silent_s = self._silent_s + self._asked_s, 0.0
            if (told := calls.answer()) is not None:
                shape, captured_ns, sequence, source = told
                return Frame(slots.image(shape), captured_ns, sequence, source)
            self._silent_s = silent_s
            self._refuse_silent()
        return None

    def trigger(self) -> None:
        """See `SoftwareTriggered.trigger`.

        Raises:
            CameraError: the camera has no software trigger, or did not take it.
        """
        self._opened().beside.call("trigger", limit_s=self._hung_limit_s)

    def describe(self) -> Mapping[str, object]:
        """See `LiveCamera.describe`."""
        beside = self._opened().beside
        described: dict[str, object] = beside.call("describe", limit_s=self._hung_limit_s)
        return described

    def close(self) -> None:
        """See `Camera.close`; a process that hangs is ended. Frames stay their receiver's."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _opened(self) -> CameraProcess:
        if self._process is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._process

    def _refuse_silent(self) -> None:
        limit_s = self._silent_limit_s
        if self._runs_free and limit_s is not None and self._silent_s > limit_s:
            raise CameraLostError(
                f"{self._name}: runs free and gave no frame for {limit_s:g} s, and it answers; "
                "open it again"
            )

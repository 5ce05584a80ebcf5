"""A camera in a process of its own, where a crash or a hang of its SDK can be ended."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from typing import Any

from edge.camera.faults import NAMES, CameraHungError, CameraLostError
from edge.camera.slots import Slots
from edge.part.frame import Frame
from inspection.errors import CameraError

_START_LIMIT_S = 30.0  # to import the SDK, on a small device that starts
_HEARTBEAT_S = 0.2  # a longer `read` is asked in steps
_END_LIMIT_S = 1.0  # for the kernel to end a process that was signalled
_log = logging.getLogger(__name__)


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
        hung_s = 2 * (self._hung_limit_s + 2 * _END_LIMIT_S)
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


class CameraProcess:
    """A process that runs `edge.camera.child.main`, in a session of its own: Ctrl-C passes it by.

    A new interpreter, never a fork: threads and CUDA do not survive one.

    Args:
        name: of the camera, for the errors.
        module: is run.
        close_limit_s: how long it may take to end in order.

    Attributes:
        calls: for the owner of the camera.
        beside: for calls from any thread, answered while one in `calls` is under way.
        slots: memory of the frames.

    Raises:
        CameraError: it cannot be started.
    """

    def __init__(self, name: str, module: str, close_limit_s: float) -> None:
        self._name = name
        self._close_limit_s = close_limit_s
        self._hung = ""
        (calls, their_calls), (beside, their_beside) = Pipe(), Pipe()
        self.slots = Slots()
        files = [their_calls.fileno(), their_beside.fileno(), *self.slots.files]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, *map(str, (close_limit_s, *files))],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what an SDK prints is none of our output
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        except OSError as error:
            self.slots.close()
            raise CameraError(f"{name}: its process cannot be started ({error})") from error
        their_calls.close()
        their_beside.close()
        self.calls, self.beside = Requests(calls, self), Requests(beside, self)

    def end(self) -> None:
        """Close the camera in order and wait for the process; end it when that takes too long."""
        self.calls.close()
        try:
            self._process.wait(self._close_limit_s)
        except subprocess.TimeoutExpired:
            _log.warning("%s", self.hangs("close", self._close_limit_s))
        self.beside.close()
        self.slots.close()

    def hangs(self, call: str, limit_s: float) -> CameraHungError:
        """End the process, because it does not answer."""
        self._hung = (
            f"{self._name}: the camera's SDK hangs in {call}, no answer for {limit_s:.1f} s, and "
            "its process was ended; check cable and power, and open it again"
        )
        self._kill()
        return CameraHungError(self._hung)

    def is_gone(self) -> CameraError:
        """Why the process no longer talks."""
        status = self._process.wait()  # its connections are closed, so it ends
        if self._hung:  # found by another thread
            return CameraHungError(self._hung)
        if status == -signal.SIGALRM:  # its own timer, while nobody waited for an answer
            return CameraHungError(
                f"{self._name}: the camera's SDK hung and its process ended; open it again"
            )
        why = f"signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"status {status}"
        return CameraLostError(f"{self._name}: the camera's process ended ({why}); open it again")

    def _kill(self) -> None:
        for number in (signal.SIGABRT, signal.SIGKILL):  # the first one shows where it hangs
            self._process.send_signal(number)
            try:
                self._process.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                continue
            return
        _log.error("%s: its process %d cannot be ended", self._name, self._process.pid)


class Requests:
    """One connection to a camera's process: one request after the other."""

    def __init__(self, connection: Connection, process: CameraProcess) -> None:
        self._connection = connection
        self._process = process
        self._lock = threading.Lock()
        self._asked = ""  # the call without an answer
        self._limit_s = 0.0
        self._overdue_s = 0.0  # on the monotonic clock

    @property
    def is_asked(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self._asked)

    def call(self, call: str, *arguments: object, limit_s: float) -> Any:
        """Ask and wait for the answer; from any thread.

        Raises:
            CameraError: see `is_answered` and `answer`.
        """
        with self._lock:
            self.ask(call, *arguments, limit_s=limit_s)
            while not self.is_answered(limit_s):
                pass
            return self.answer()

    def ask(self, call: str, *arguments: object, limit_s: float) -> None:
        """Send a request that is to be answered within `limit_s`.

        Raises:
            CameraError: the process is gone.
        """
        self._asked, self._limit_s = call, limit_s
        self._overdue_s = time.monotonic() + limit_s
        try:
            self._connection.send_bytes(json.dumps([call, limit_s, *arguments]).encode())
        except OSError as error:
            raise self._process.is_gone() from error

    def is_answered(self, wait_s: float) -> bool:
        """Whether the answer comes within `wait_s`.

        Raises:
            CameraHungError: it is overdue; the process is ended.
        """
        left_s = self._overdue_s - time.monotonic()
        if self._connection.poll(max(0.0, min(wait_s, left_s))):
            return True
        if time.monotonic() >= self._overdue_s:
            raise self._process.hangs(self._asked, self._limit_s)
        return False

    def answer(self) -> Any:
        """The answer, which is there.

        Raises:
            CameraError: it is one, of the kind that it is there; or the process is gone.
        """
        self._asked = ""
        try:
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise self._process.is_gone() from error
        if "error" in answer:
            kind, message = answer["error"]
            raise NAMES[kind](message)
        return answer["value"]

    def close(self) -> None:
        """Ask no more; without requests the process ends."""
        with self._lock:
            self._connection.close()

"""A live camera in a separate process, which the line can end when its SDK crashes or hangs."""

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

from edge.camera.faults import (
    NAMES,
    UNUSABLE_MAX,
    CameraHungError,
    CameraLostError,
    MissingFrameError,
)
from edge.camera.slots import Slots
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from inspection.images import Window

_START_LIMIT_S = 30.0  # to import the SDK while a small device boots
_HEARTBEAT_S = 0.2  # a longer `read` is split into requests of this length
_ANSWER_MAX_BYTES = 1 << 20  # names and values of the camera; frames go through shared memory
_END_LIMIT_S = 1.0  # until the kernel has ended a signalled process
_log = logging.getLogger(__name__)


class IsolatedCamera:
    """Runs a live camera in another process; frames come through shared memory.

    `open` starts a new process each time; call it again after any CameraError other than a
    FrameError. During `read` the process answers every 0.2 s, with a frame or without. This is its
    heartbeat: when an answer is overdue, `read` ends the process. A camera that answers without a
    frame has no trigger. That is not an error, unless the camera runs free.

    A camera that gives unusable frames alone is lost too: after `silent_limit_s` where it runs free
    (a stream that lost a packet is whole again with its next key frame), else after `UNUSABLE_MAX`.

    Args:
        config: of the camera, in JSON.
        name: for errors.
        open_limit_s: the longest time to open the camera.
        hung_limit_s: the longest time by which a call may overrun. `close` takes two seconds more
            at most.
        silent_limit_s: a camera that runs free is lost after this time without a usable frame; None
            waits.
        window: that of the camera, for the frames.
        module: the program of the process, like `edge.camera.child`.
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
        window: Window | None = None,
        module: str = "edge.camera.child",
    ) -> None:
        self._config = config
        self._name = name
        self._open_limit_s = open_limit_s
        self._hung_limit_s = hung_limit_s
        self._silent_limit_s = silent_limit_s
        self._window = window
        self._module = module
        self._process: CameraProcess | None = None
        self._is_opening = False
        self._is_aborted = False  # also before its process is there
        self._runs_free = False
        self._asked_s = 0.0  # the time limit of the unanswered `read`
        self._asked_at_s = 0.0
        self._silent_s = 0.0  # of reading without a usable frame
        self._unusable = 0  # frames one after the other

    @property
    def open_limit_s(self) -> float:
        """Implements `OpensInTime`; includes the `close` of the process before."""
        hung_s = 2 * (self._hung_limit_s + 2 * _END_LIMIT_S)
        return _START_LIMIT_S + self._open_limit_s + hung_s

    def open(self) -> None:
        """Starts a process and opens the camera in it.

        Raises:
            CameraHungError: the camera took longer than the limit; the process is ended.
            CameraLostError: the process ended, also by `abort_open`.
        """
        self._end()
        self._process = CameraProcess(self._name, self._module, self._hung_limit_s)
        self._is_opening = True
        calls = self._process.calls
        try:
            if self._is_aborted:
                self._process.abort()
            calls.call("build", self._config, limit_s=_START_LIMIT_S)
            self._runs_free = calls.call("open", limit_s=self._open_limit_s + self._hung_limit_s)
        except CameraError:
            self.close()
            raise
        finally:
            self._is_opening = self._is_aborted = False
        self._silent_s, self._unusable = 0.0, 0

    def abort_open(self) -> None:
        """Implements `AbortsOpen`: ends the process that opens the camera."""
        self._is_aborted = True
        process = self._process
        if self._is_opening and process is not None:
            process.abort()

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the next frame. After a call that overruns, the next `read` waits for its answer.

        Raises:
            CameraHungError: a call overran by more than the limit; the process is ended.
            CameraLostError: the process ended, a camera that runs free is silent, or the camera
                gives no usable frame any more.
        """
        process = self._opened()
        calls, slots = process.calls, process.slots
        until_s = time.monotonic() + timeout_s
        while (left_s := until_s - time.monotonic()) >= 0:
            if not calls.is_asked:
                self._asked_s = asked_s = min(left_s, _HEARTBEAT_S)
                self._asked_at_s = time.monotonic()
                calls.ask("read", asked_s, slots.next, limit_s=asked_s + self._hung_limit_s)
            if not calls.is_answered(left_s):
                return None
            if (told := self._answer(calls)) is not None:
                shape, captured_ns, sequence, source = told
                image = slots.image(shape)
                return Frame(image, captured_ns, sequence, source, self._window)
        return None

    def trigger(self) -> None:
        """Exposes one frame; from any thread.

        Raises:
            CameraError: the camera has no software trigger, or did not accept it.
        """
        self._opened().beside.call("trigger", limit_s=self._hung_limit_s)

    def describe(self) -> Mapping[str, object]:
        """Returns the settings of the camera; from any thread."""
        beside = self._opened().beside
        described: dict[str, object] = beside.call("describe", limit_s=self._hung_limit_s)
        return described

    def close(self) -> None:
        """Closes the camera and its process, by force if it hangs. Frames stay valid."""
        self._is_aborted = False
        self._end()

    def _opened(self) -> CameraProcess:
        if self._process is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _answer(self, calls: Requests) -> Any:
        """Returns the answer to a `read`; raises where no usable frame has come for too long."""
        self._silent_s += min(self._asked_s, time.monotonic() - self._asked_at_s)
        try:
            told = calls.answer()
        except MissingFrameError:  # a frame that never came tells nothing of those that do
            raise
        except FrameError as error:
            self._unusable += 1
            self._refuse_silent(str(error))
            raise
        if told is None:
            self._refuse_silent()
        else:
            self._silent_s, self._unusable = 0.0, 0
        return told

    def _refuse_silent(self, why_unusable: str = "") -> None:
        limit_s = self._silent_limit_s
        if self._runs_free:
            if limit_s is None:
                return
            is_lost = self._silent_s > limit_s
            usable = "usable " if why_unusable else ""
            what = f"answers, runs free, and gave no {usable}frame for {limit_s:g} s"
        else:
            is_lost = self._unusable >= UNUSABLE_MAX
            what = f"gave {self._unusable} unusable frames one after the other"
        if is_lost:
            last = f" (the last one: {why_unusable})" if why_unusable else ""
            raise CameraLostError(f"{self._name}: {what}{last}; open it again")


class CameraProcess:
    """A process that runs `edge.camera.child.main`.

    Args:
        name: of the camera, for errors.
        module: the program.
        close_limit_s: the longest time of an orderly end.

    Attributes:
        calls: the connection for the owner of the camera.
        beside: the connection for other threads, also during a request in `calls`.
        slots: the memory of the frames.

    Raises:
        CameraError: the process cannot be started.
    """

    def __init__(self, name: str, module: str, close_limit_s: float) -> None:
        self._name = name
        self._close_limit_s = close_limit_s
        self._hung = ""
        (calls, their_calls), (beside, their_beside) = Pipe(), Pipe()
        self.slots = Slots()
        files = [their_calls.fileno(), their_beside.fileno(), *self.slots.files]
        try:
            # A new interpreter and not a fork, which threads and CUDA do not survive.
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, *map(str, (close_limit_s, *files))],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output is ours, not the SDK's
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C does not reach it
            )
        except OSError as error:
            self.slots.close()
            raise CameraError(f"{name}: its process cannot be started ({error})") from error
        their_calls.close()
        their_beside.close()
        self.calls, self.beside = Requests(calls, self), Requests(beside, self)

    def end(self) -> None:
        """Closes the camera and waits for the process; ends it by force after `close_limit_s`."""
        self.calls.close()
        try:
            self._process.wait(self._close_limit_s)
        except subprocess.TimeoutExpired:
            _log.warning("%s", self.hangs("close", self._close_limit_s))
        self.beside.close()
        self.slots.close()

    def abort(self) -> None:
        """Ends the process by force, without waiting for it."""
        self._process.kill()

    def hangs(self, call: str, limit_s: float) -> CameraHungError:
        """Ends the process by force; returns the error to raise."""
        self._hung = (
            f"{self._name}: the camera's SDK hangs in {call}: no answer for {limit_s:.1f} s. Its "
            "process was ended; check cable and power, and open the camera again"
        )
        self._kill()
        return CameraHungError(self._hung)

    def is_gone(self) -> CameraError:
        """Returns the error of a process that closed its connections."""
        status = self._process.wait()  # it ends soon: its connections are closed
        if self._hung:  # another thread noticed it
            return CameraHungError(self._hung)
        if status == -signal.SIGALRM:  # the timer of the process, without a reader
            return CameraHungError(
                f"{self._name}: the camera's SDK hung and its process ended; open the camera again"
            )
        why = f"signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"status {status}"
        return CameraLostError(
            f"{self._name}: the camera's process ended ({why}); open the camera again"
        )

    def _kill(self) -> None:
        for number in (signal.SIGABRT, signal.SIGKILL):  # the first prints the stack of the call
            self._process.send_signal(number)
            try:
                self._process.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                continue
            return
        _log.error("%s: its process %d cannot be ended", self._name, self._process.pid)


class Requests:
    """One connection to a camera's process; it carries one request at a time."""

    def __init__(self, connection: Connection, process: CameraProcess) -> None:
        self._connection = connection
        self._process = process
        self._lock = threading.Lock()
        self._asked = ""  # the unanswered call
        self._limit_s = 0.0
        self._overdue_s = 0.0  # on the monotonic clock

    @property
    def is_asked(self) -> bool:
        """True while a request has no answer."""
        return bool(self._asked)

    def call(self, call: str, *arguments: object, limit_s: float) -> Any:
        """Sends a request and waits for the answer; from any thread.

        Raises:
            CameraError: as `is_answered` and `answer`.
        """
        with self._lock:
            self.ask(call, *arguments, limit_s=limit_s)
            while not self.is_answered(limit_s):
                pass
            return self.answer()

    def ask(self, call: str, *arguments: object, limit_s: float) -> None:
        """Sends a request with a limit for its answer.

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
        """Waits up to `wait_s` for the answer; False without one.

        Raises:
            CameraHungError: the answer is overdue; the process is ended.
        """
        left_s = self._overdue_s - time.monotonic()
        if self._connection.poll(max(0.0, min(wait_s, left_s))):
            return True
        if time.monotonic() >= self._overdue_s:
            raise self._process.hangs(self._asked, self._limit_s)
        return False

    def answer(self) -> Any:
        """Returns the answer after `is_answered`.

        Raises:
            CameraError: the process answered with an error, or is gone.
        """
        self._asked = ""
        try:
            answer = json.loads(self._connection.recv_bytes(_ANSWER_MAX_BYTES))
        except (EOFError, OSError) as error:
            raise self._process.is_gone() from error
        if "error" in answer:
            kind, message = answer["error"]
            raise NAMES[kind](message)
        return answer["value"]

    def close(self) -> None:
        """Closes the connection, which ends the process."""
        with self._lock:
            self._connection.close()

"""Starting the process of a camera, talking to it, and ending it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection, Pipe
from typing import Any

from edge.camera.faults import NAMES, CameraHungError, CameraLostError
from edge.camera.slots import Slots
from inspection.errors import CameraError

_log = logging.getLogger(__name__)
END_LIMIT_S = 1.0  # for the kernel to end a process that was signalled


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
                self._process.wait(END_LIMIT_S)
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

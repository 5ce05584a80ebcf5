"""Commands to a running line, through a Unix domain socket.

A request is one JSON object on one line, and so is its answer:

    {"command": "state"}                           {"ok": true, "state": "ready", "faults": [], ...}

The commands of a line are those of `edge.station.commands`. The answer to a refused request is
{"ok": false, "error": "..."}. The owner of the socket and its group may connect.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from edge.peers.bounded_threads import BoundedThreads
from edge.peers.connections import ConnectionLimits, Connections
from edge.peers.messages import (
    MESSAGE_MAX_BYTES,
    Message,
    MessageError,
    checked,
    json_value,
)
from edge.store.painted import MASK_MAX_BYTES
from inspection.errors import LineError, LinewardenError

LIMITS = ConnectionLimits(max=32, idle_s=60.0)

REQUEST_MAX_BYTES = MESSAGE_MAX_BYTES + MASK_MAX_BYTES * 4 // 3  # a mask in base64
_ANSWER_MAX_BYTES = 1 << 20
_ANSWER_LIMIT_S = 10.0
_PATH_MAX_BYTES = 107  # sun_path of Linux, without its end
_MODE = 0o660
_FORM = 'a request is a line with an object, as {"command": "state"}'
_MODE_BEFORE = 0o600  # of the socket, which bind(2) takes over

_log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)


class NoAnswerError(LineError):
    """No line answers at the control socket: it does not run, or it hangs."""


class Command(NamedTuple, Generic[M]):
    """A command.

    Attributes:
        message: the model of the request, without the key `command`.
        run: returns the answer, without the key `ok`.
    """

    message: type[M]
    run: Callable[[M], Mapping[str, Any]]


class _Server(BoundedThreads, socketserver.UnixStreamServer):
    """Listens at a path, also after somebody removed the socket there, as cleaners of /tmp do.

    Raises:
        OSError: the socket cannot be made.
    """

    answer: Callable[[bytes], Mapping[str, Any]]

    def __init__(self, path: Path, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._path = path
        self._is_lost = False
        self._made: tuple[int, int, int] | None = None
        super().__init__(str(path), handler)

    def server_bind(self) -> None:
        """Makes the socket at the path."""
        self._made = self._bind(self.socket)

    def service_actions(self) -> None:
        """Makes a new socket where there is none; `serve_forever` calls this all the time."""
        super().service_actions()
        if not self._path.exists():
            self._renew()

    def _renew(self) -> None:
        with socket.socket(socket.AF_UNIX) as renewed:
            try:
                made = self._bind(renewed)
                renewed.listen(self.request_queue_size)
            except OSError as error:
                if not self._is_lost:
                    _log.warning("control_socket %s: is gone: %s", self._path, error.strerror)
                self._is_lost = True
                return
            # The loop waits on the number of the descriptor, which now stands for the new socket.
            os.dup2(renewed.fileno(), self.socket.fileno(), inheritable=False)
        self._made, self._is_lost = made, False
        _log.warning("control_socket %s: somebody removed it; it is made anew", self._path)

    def server_close(self) -> None:
        """Stops listening, and removes the socket unless another process made one in its place."""
        super().server_close()
        with contextlib.suppress(FileNotFoundError):
            if _identity(self._path) == self._made:
                self._path.unlink()

    def _bind(self, listener: socket.socket) -> tuple[int, int, int]:
        # Not with umask(2), which would hold for the files of all threads.
        os.fchmod(listener.fileno(), _MODE_BEFORE)
        listener.bind(str(self._path))
        self._path.chmod(_MODE)
        return _identity(self._path)


def _identity(path: Path) -> tuple[int, int, int]:
    """Returns what tells the socket from a later one of this name, which may have its inode."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns


class ControlSocket:
    """Answers requests within a `with` block; each connection has a thread.

    Args:
        path: of the socket; its folder must exist. A socket left by a killed process is replaced.
        commands: by name. They run on the threads of the connections, and the client receives a
            LinewardenError as the answer.
        limits: of the connections.
    """

    def __init__(
        self,
        path: Path,
        commands: Mapping[str, Command[Any]],
        limits: ConnectionLimits = LIMITS,
    ) -> None:
        self._path = path
        self._commands = commands
        self._limits = limits
        self._server: _Server | None = None

    def __enter__(self) -> ControlSocket:
        """Begins to listen.

        Raises:
            LineError: the socket cannot be made.
        """
        _check_length(self._path)
        _remove_leftover(self._path)
        try:
            server = _Server(self._path, _Handler)
        except OSError as error:
            raise LineError(
                f"control_socket {self._path}: cannot be made ({error.strerror}); its folder must "
                "exist and be writable (systemd: RuntimeDirectory)"
            ) from error
        server.answer = self._answer
        server.connections = Connections(f"control_socket {self._path}", self._limits)
        threading.Thread(
            target=server.serve_forever, args=(0.1,), name="control", daemon=True
        ).start()
        self._server = server
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops listening, and removes the socket."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json_value(line, REQUEST_MAX_BYTES)
        except MessageError as error:
            return _refusal(f"{_FORM}: {error}")
        name = request.pop("command", None) if isinstance(request, dict) else None
        if not isinstance(name, str):
            return _refusal(_FORM)
        command = self._commands.get(name)
        if command is None:
            return _refusal(f"no command {name!r}: known are {', '.join(sorted(self._commands))}")
        try:
            return {"ok": True, **command.run(checked(command.message, request))}
        except (MessageError, LinewardenError) as error:
            return _refusal(str(error))
        except Exception as error:  # noqa: BLE001 - a defect: the client is answered, the line goes on
            _log.exception("the command %s failed", name)
            return _refusal(f"it failed: {error!r}")


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        while line := self.rfile.readline(REQUEST_MAX_BYTES + 1):
            answer = json.dumps(self.server.answer(line)).encode()
            self.server.answered(self.request)
            self.wfile.write(answer + b"\n")
            if len(line) > REQUEST_MAX_BYTES:
                return  # the rest of the line is not a request


def ask(
    path: Path, command: str, *, within_s: float = _ANSWER_LIMIT_S, **arguments: object
) -> dict[str, Any]:
    """Sends one request to a running line and returns its answer.

    Args:
        within_s: limit of each step: to connect, to send, to answer.

    Raises:
        NoAnswerError: no line listens there, or it does not answer in time.
        LineError: the line refuses.
    """
    _check_length(path)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(_ANSWER_MAX_BYTES + 1)
        answer = json_value(line, _ANSWER_MAX_BYTES) if line else {}
    except (OSError, MessageError) as error:
        raise NoAnswerError(
            f"control_socket {path}: no answer ({error}); check that `linewarden run` runs with "
            "this configuration, and that you may write to the socket"
        ) from error
    if not answer.get("ok"):
        raise LineError(f"the line refuses: {answer.get('error', 'it ends')}")
    return answer


def is_listening(path: Path) -> bool:
    """Returns whether a process listens at a control socket, also one that hangs.

    Raises:
        LineError: it cannot be found out.
    """
    _check_length(path)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)  # a line that hangs accepts nobody, and listens all the same
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            raise LineError(f"control_socket {path}: cannot be examined ({error})") from error
    return True


def _refusal(error: str) -> Mapping[str, Any]:
    return {"ok": False, "error": error}


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > _PATH_MAX_BYTES:
        raise LineError(
            f"control_socket {path}: {length} bytes, and Linux takes {_PATH_MAX_BYTES}: "
            "use a shorter path, as /run/linewarden/line.sock"
        )


def _remove_leftover(path: Path) -> None:
    """Removes a socket without a listener.

    Raises:
        LineError: a process listens there, or the file is not a socket.
    """
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return  # nothing there
    if not is_socket:
        raise LineError(f"control_socket {path}: the file there is not a socket; remove it")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_LIMIT_S)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise LineError(f"control_socket {path}: cannot be examined ({error})") from error
    raise LineError(f"control_socket {path}: another process answers there; stop it first")

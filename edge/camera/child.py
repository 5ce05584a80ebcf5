"""The process of one camera, which makes the calls of `IsolatedCamera`.

When the parent is gone, even after a crash, the process closes the camera and ends, so that the
next line can open it at once. A timer of the kernel ends a call that hangs then.

Each of two connections carries one request at a time, in JSON: `[call, limit_s, *arguments]`. The
answer is `{"value": ...}` or `{"error": [name of its class, message]}`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge.camera import LiveCameraConfig
from edge.camera.base import LiveCamera, SoftwareTriggered
from edge.camera.faults import name_of
from edge.camera.slots import SlotWriter
from inspection.errors import CameraError
from inspection.redaction import RedactingFormatter

_Calls = Mapping[str, Callable[..., Any]]
_MARGIN = 2.0  # lets the parent, while it lives, be the first to end a call that overruns


def main(build: Callable[[str], LiveCamera]) -> None:
    """Serves until the parent is gone; `CameraProcess` gives the arguments in `sys.argv`.

    Args:
        build: makes a camera from its configuration in JSON.
    """
    _prepare()
    close_limit_s = float(sys.argv[1])
    calls, control, *files = (int(argument) for argument in sys.argv[2:])
    served = _Served(build, SlotWriter(files))
    beside = {"trigger": served.trigger, "describe": served.describe}
    threading.Thread(target=_serve, args=(control, beside, _no_limit), daemon=True).start()
    try:
        _serve(calls, {"build": served.build, "open": served.open, "read": served.read}, _limit)
    finally:
        _limit(close_limit_s)
        served.close()
    os._exit(0)  # some SDKs crash while the interpreter shuts down


class _Served:
    """The camera, with answers in types that JSON has."""

    def __init__(self, build: Callable[[str], LiveCamera], slots: SlotWriter) -> None:
        self._build = build
        self._slots = slots
        self._camera: LiveCamera | None = None

    def build(self, config: str) -> None:
        self._camera = self._build(config)

    def open(self) -> bool:
        """Returns True when the camera runs free."""
        self._built().open()
        return self._built().runs_free

    def read(self, timeout_s: float, slot: int) -> list[object] | None:
        """Returns the shape of the image in `slot`, and the other fields of the `Frame`."""
        frame = self._built().read(timeout_s)
        if frame is None:
            return None
        self._slots.write(slot, frame.image)
        return [frame.image.shape, frame.captured_ns, frame.sequence, frame.source]

    def trigger(self) -> None:
        camera = self._built()
        if not isinstance(camera, SoftwareTriggered):
            raise CameraError("this kind of camera has no software trigger")
        camera.trigger()

    def describe(self) -> dict[str, object]:
        return dict(self._built().describe())

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()

    def _built(self) -> LiveCamera:
        if self._camera is None:
            raise CameraError("the camera is not open")
        return self._camera


def _serve(file: int, calls: _Calls, limit: Callable[[float], None]) -> None:
    connection = Connection(file)
    while request := _next_request(connection):
        call, limit_s, *arguments = json.loads(request)
        limit(limit_s)
        answer = json.dumps(_answer(calls[call], arguments))
        limit(0)
        with contextlib.suppress(ConnectionError):  # the parent is gone
            connection.send_bytes(answer.encode())


def _next_request(connection: Connection) -> bytes:
    """Returns the next request; empty when the parent closed the connection or is gone."""
    try:
        return connection.recv_bytes()
    except (EOFError, ConnectionError):
        return b""


def _answer(call: Callable[..., Any], arguments: list[Any]) -> dict[str, object]:
    try:
        return {"value": call(*arguments)}
    except CameraError as error:
        return {"error": [name_of(error), str(error)]}


def _limit(seconds: float) -> None:
    """Ends this process after `_MARGIN * seconds`, unless another limit follows; 0 for none."""
    signal.setitimer(signal.ITIMER_REAL, _MARGIN * seconds)


def _no_limit(_seconds: float) -> None:
    pass


def _prepare() -> None:
    # The parent obeys these signals, and ends this process last.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.enable()  # on the parent's SIGABRT it prints the call that hangs
    threading.excepthook = _end
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("linewarden: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    Path("/proc/self/comm").write_text("linewarden-cam")


def _end(hook: threading.ExceptHookArgs) -> None:
    """Ends the process: without this thread its requests have no answer."""
    sys.__excepthook__(hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback)
    os._exit(1)


def config_from_json(text: str) -> LiveCameraConfig:
    """Reads the configuration that `model_dump_json` of a live camera wrote, with `REVEALED`."""
    adapter: TypeAdapter[LiveCameraConfig] = TypeAdapter(LiveCameraConfig)
    return adapter.validate_json(text)


if __name__ == "__main__":
    main(lambda text: config_from_json(text).driver())

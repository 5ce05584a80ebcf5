"""Exposes the camera of one view, on a thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from edge.pipeline.settings import View
from inspection.errors import CameraError

OnExposed = Callable[[CameraError | None], None]


class Exposer(Protocol):
    """Exposes a camera for one part at a time."""

    def offer(self, on_exposed: OnExposed) -> bool:
        """Begin to expose; False while the camera has not answered for an earlier part.

        Args:
            on_exposed: receives the camera's error, or None.
        """


class ExposureThread:
    """Exposes the cameras of a part all at once, and lets none that hangs delay a trigger.

    An exposure is a round trip to the process of the camera, and a hung SDK answers only after
    seconds.

    Args:
        on_error: receives an error that is a defect of the program; it ends the thread.

    Attributes:
        turned_ns: start of the exposure in hand, on the monotonic clock; None without one.
    """

    def __init__(self, view: View, on_error: Callable[[Exception], None]) -> None:
        self.turned_ns: int | None = None
        self._view = view
        self._on_error = on_error
        self._is_busy = threading.Lock()
        self._asked: queue.SimpleQueue[OnExposed | None] = queue.SimpleQueue()
        name = f"exposure {view.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to wait for parts."""
        self._thread.start()

    def offer(self, on_exposed: OnExposed) -> bool:
        """Implements `Exposer.offer`; from any thread, without waiting."""
        if not self._is_busy.acquire(blocking=False):
            return False
        self._asked.put(on_exposed)
        return True

    def close(self) -> None:
        """End the thread after the exposure in hand, without waiting for it."""
        self._asked.put(None)

    def _run(self) -> None:
        try:
            while (on_exposed := self._asked.get()) is not None:
                self.turned_ns = time.monotonic_ns()
                on_exposed(self._expose())
                self.turned_ns = None
                self._is_busy.release()
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self.turned_ns = None
            self._on_error(error)

    def _expose(self) -> CameraError | None:
        expose = self._view.expose
        try:
            if expose is not None:
                expose()
        except CameraError as error:
            return error
        return None

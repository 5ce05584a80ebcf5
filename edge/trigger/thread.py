"""The thread that waits for the announcements of a trigger."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge.peers.reconnect import Reconnector
from edge.trigger.base import FiredTrigger, Firing
from inspection.errors import LineError

_POLL_S = 0.2
_OPEN_LIMIT_S = 60.0  # a name server that does not answer holds `open` up for so long

_log = logging.getLogger(__name__)


class TriggerThread:
    """Waits for parts, and connects a lost trigger again, after growing pauses.

    Args:
        trigger: belongs to this thread alone after `start`.
        fire: receives each firing.
        on_error: receives an error that is a defect of the program.

    Attributes:
        turned_ns: start of the last turn of the thread, on the monotonic clock, or the time by
            which the trigger must be open; None while it pauses.
    """

    def __init__(
        self,
        trigger: FiredTrigger,
        fire: Callable[[Firing], object],
        on_error: Callable[[Exception], None],
        *,
        waits_to_open: bool = False,
    ) -> None:
        self.turned_ns: int | None = None
        self._trigger = trigger
        self._fire = fire
        self._on_error = on_error
        self._waits_to_open = waits_to_open
        self._connection = Reconnector(self._open, LineError)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trigger", daemon=True)

    @property
    def lost(self) -> str:
        """Reason of a lost trigger; empty while it works."""
        return self._connection.lost

    def start(self) -> None:
        """Opens the trigger and starts to wait.

        Raises:
            LineError: the trigger cannot be opened, and is not waited for.
        """
        try:
            self._connection.open()
        except LineError as error:
            if not self._waits_to_open:
                raise
            _log.warning("%s; the trigger is waited for", error)
        self._thread.start()

    def stop(self) -> None:
        """Stops waiting for parts; from any thread or signal handler."""
        self._stopping.set()

    def close(self, limit_s: float) -> None:
        """Stops, and waits until the trigger is closed. Safe without `start`."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(limit_s)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self.lost:
                    self._reopen()
                else:
                    self._wait()
        except Exception as error:  # noqa: BLE001 - a defect: the pipeline stops
            self._on_error(error)
        finally:
            self.turned_ns = None
            self._trigger.close()

    def _reopen(self) -> None:
        self.turned_ns = None
        if self._connection.wait_until_open(self._stopping):
            _log.warning("the trigger is there again")

    def _wait(self) -> None:
        self.turned_ns = time.monotonic_ns()
        try:
            firing = self._trigger.wait(_POLL_S)
        except LineError as error:
            _log.warning("%s; it is connected again", error)
            self._connection.lose(str(error))
            return
        if firing is not None:
            self._fire(firing)

    def _open(self) -> None:
        """Opens the trigger; `turned_ns` shows a hang."""
        self.turned_ns = time.monotonic_ns() + round(_OPEN_LIMIT_S * 1e9)
        try:
            self._trigger.open()
        finally:
            self.turned_ns = None

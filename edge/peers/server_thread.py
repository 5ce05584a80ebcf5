"""The server of an output, on a thread with an asyncio loop."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from edge.peers.loop_thread import LoopThread
from inspection.errors import LineError

_START_S = 30.0  # OPC UA builds its standard address space; 1.3 s on a desktop
_STOP_S = 5.0

S = TypeVar("S")
Work = Coroutine[Any, Any, None]

_log = logging.getLogger(__name__)


class ServerThread(Generic[S]):
    """Runs the server from the first `open` to `close`: after an error its peers stay connected.

    Args:
        name: name of the output in messages.
        start: starts the server. Like `safe` and `stop` it runs on the thread of the loop.
        safe: goes to the safe state; with FAULT for True, after a failure.
        stop: goes to the safe state and stops the server.
        timeout_ms: limit of `call`.
        failures: errors of the server's library, in addition to OSError.
        start_failures: its errors for a wrong configuration.
        hint: advice in the message when the server cannot start.

    Attributes:
        server: the running server; None without one.
    """

    def __init__(
        self,
        name: str,
        *,
        start: Callable[[], Coroutine[Any, Any, S]],
        safe: Callable[[bool], Work],
        stop: Callable[[S], Work],
        timeout_ms: float,
        failures: tuple[type[Exception], ...] = (),
        start_failures: tuple[type[Exception], ...] = (),
        hint: str,
    ) -> None:
        self.server: S | None = None
        self._name = name
        self._start = start
        self._safe = safe
        self._stop = stop
        self._timeout_s = timeout_ms / 1e3
        self._failures: tuple[type[Exception], ...] = (OSError, *failures)
        self._start_failures: tuple[type[Exception], ...] = (*self._failures, *start_failures)
        self._hint = hint
        self._loop: LoopThread | None = None

    def open(self) -> None:
        """Starts the server, unless it runs already, and goes to the safe state.

        Raises:
            LineError: the server cannot start; the message says what to check.
        """
        if self.server is None:
            self._run()
        self.call(lambda: self._safe(False), "hangs; restart the service")

    def call(self, work: Callable[[], Work], what: str) -> None:
        """Runs `work` on the thread of the server and waits for its end.

        Args:
            what: the failed action, for the message.

        Raises:
            LineError: `work` failed, and the safe state follows; or the server is not open.
        """
        if self._loop is None or self.server is None:
            raise LineError(f"{self._name}: the output is not open")
        try:
            self._loop.run(work(), self._timeout_s)
        except self._failures as error:
            self._loop.start(self._safe(True))
            raise LineError(f"{self._name}: {what}: {error}") from error

    def close(self) -> None:
        """Stops the server. Safe to call twice, and without `open`."""
        atexit.unregister(self.close)
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self.server is not None:
            try:
                loop.run(self._stop(self.server), _STOP_S)
            except self._failures as error:
                _log.warning("%s: cannot be closed: %s", self._name, error)
        self.server = None
        loop.stop()

    def _run(self) -> None:
        self._loop = LoopThread(self._name)
        try:
            self.server = self._loop.run(self._start(), _START_S)
        except self._start_failures as error:
            self.close()
            raise LineError(f"{self._name}: cannot be opened: {error}; {self._hint}") from error
        except LineError:
            self.close()
            raise
        atexit.register(self.close)

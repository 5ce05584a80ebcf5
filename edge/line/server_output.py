"""Outputs that their peers read: the output is the server, on a thread with an asyncio loop."""

from __future__ import annotations

import atexit
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from edge.line.base import NotTakenError, StationState
from edge.line.handshake import Bits, Handshake, Signals, fresh_sequence
from edge.line.taking import taken
from edge.part.record import InspectionRecord
from edge.peers.bounded_loop import BoundedLoop
from edge.peers.connections import ConnectionLimits, Connections
from edge.peers.loop_thread import LoopStoppedError, LoopThread
from inspection.errors import LineError

_START_S = 30.0  # OPC UA builds its standard address space; 1.3 s on a desktop
_STOP_S = 5.0
_HANGS = "hangs; restart the service"

Server = TypeVar("Server")
Work = Coroutine[Any, Any, None]

_log = logging.getLogger(__name__)


class ServerOutput(ABC, Generic[Server]):
    """Keeps a server from the first `open` to `close`, so that its peers read on after an error.

    A verdict that no peer takes in time is taken back: the server shows the safe state with FAULT.
    The abstract methods run on the thread of the server.

    Args:
        name: of the output, for messages.
        acknowledged: whether the peers acknowledge each verdict.
        hold_ms: least time that a verdict is shown where no peer acknowledges it.
        timeout_ms: limit of `send` and `show`.
        limits: of the connections of the peers.
        errors: of the library, beside OSError.
        start_errors: of the library for a wrong configuration.
        hint: what to check when the server does not start.
    """

    def __init__(
        self,
        name: str,
        *,
        acknowledged: bool,
        hold_ms: float,
        timeout_ms: float,
        limits: ConnectionLimits,
        errors: tuple[type[Exception], ...] = (),
        start_errors: tuple[type[Exception], ...] = (),
        hint: str,
    ) -> None:
        self._handshake = Handshake(
            acknowledged=acknowledged, hold_ms=hold_ms, sequence=fresh_sequence()
        )
        self._name = name
        self._timeout_s = timeout_ms / 1e3
        self._limits = limits
        self._errors: tuple[type[Exception], ...] = (OSError, *errors)
        self._start_errors: tuple[type[Exception], ...] = (*self._errors, *start_errors)
        self._hint = hint
        self._loop: LoopThread | None = None
        self._server: Server | None = None
        self._is_down = False  # since a failure, until `open`

    def open(self) -> None:
        """Starts the server, unless it runs already, and shows the safe state."""
        if self._server is None:
            self._run()
        self._is_down = False
        self._call(partial(self._write, partial(self._handshake.safe, fault=False)), _HANGS)

    def send(self, record: InspectionRecord) -> None:
        """Shows one verdict until a peer has it. An output that is down counts the part.

        Waits before for the rest of `hold_ms` of the verdict that nobody acknowledges.
        """
        time.sleep(self._handshake.held_s)
        loop, server = self._loop, self._server
        if self._is_down and loop is not None and server is not None:
            loop.start(self._miss(record, server))
        self._call(partial(self._tell, record), self._not_taken(record.trigger_id))

    def show(self, state: StationState) -> None:
        """Shows the station's state."""
        self._call(partial(self._write, partial(self._handshake.show, state)), _HANGS)

    def hold(self, bits: Bits) -> None:
        """Shows these bits and no verdict, for a test."""
        self._call(partial(self._write, partial(self._handshake.hold, bits)), _HANGS)

    def close(self) -> None:
        """Shows the safe state and stops the server."""
        atexit.unregister(self.close)
        loop, self._loop = self._loop, None
        server, self._server = self._server, None
        if loop is None:
            return
        if server is not None:
            try:
                loop.run(self._stop(server), _STOP_S)
            except self._errors as error:
                _log.warning("%s: cannot be closed: %s", self._name, error)
        loop.stop()

    @abstractmethod
    async def _start(self) -> Server:
        """Starts the server."""

    @abstractmethod
    async def _stop(self, server: Server) -> None:
        """Shows the safe state and stops the server."""

    @abstractmethod
    async def _hold(self, server: Server, signals: Signals) -> None:
        """Shows `signals` to the peers."""

    @abstractmethod
    async def _tell(self, record: InspectionRecord, server: Server) -> None:
        """Shows the verdict until a peer has it, then takes it back if it is acknowledged."""

    @abstractmethod
    def _not_taken(self, trigger_id: str) -> str:
        """Returns the error of a verdict that no peer took, and what to check."""

    def _run(self) -> None:
        self._loop = LoopThread(self._name, BoundedLoop(Connections(self._name, self._limits)))
        try:
            self._server = self._loop.run(self._start(), _START_S)
        except self._start_errors as error:
            self.close()
            raise LineError(f"{self._name}: cannot be opened: {error}; {self._hint}") from error
        except LineError:
            self.close()
            raise
        atexit.register(self.close)

    def _call(self, work: Callable[[Server], Work], what: str) -> None:
        loop, server = self._loop, self._server  # `close` may take them away at a stop
        if self._is_down or loop is None or server is None:
            raise LineError(f"{self._name}: the output is not open")
        try:
            loop.run(work(server), self._timeout_s)
        except LoopStoppedError as error:
            raise LineError(f"{self._name}: {error}") from error
        except self._errors as error:
            self._is_down = True
            safe = partial(self._handshake.safe, fault=True)
            loop.start(self._write(safe, server))
            raise LineError(f"{self._name}: {what}: {error}") from error

    async def _miss(self, record: InspectionRecord, server: Server) -> None:
        self._handshake.result(record)
        await self._hold(server, self._handshake.safe(fault=True))

    async def _wait(self, acknowledge: Coroutine[Any, Any, object], server: Server) -> None:
        """Waits for the acknowledge of the verdict that is shown, and takes it back."""
        shown = self._handshake.signals
        is_taken = await taken(acknowledge, shown, self._timeout_s)
        self._handshake.take_back()
        await self._hold(server, self._handshake.signals)
        if not is_taken:
            raise NotTakenError(self._name, shown.trigger_id)

    async def _write(self, change: Callable[[], Signals], server: Server) -> None:
        await self._hold(server, change())

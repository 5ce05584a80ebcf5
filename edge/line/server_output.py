"""The base of outputs that are servers with the handshake."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, TypeVar

from edge.line.base import StationState
from edge.line.handshake import Handshake, Signals
from edge.part.record import InspectionRecord
from edge.peers.server_thread import ServerThread

S = TypeVar("S")

_HANGS = "hangs; restart the service"


class ServerOutput(ABC, Generic[S]):
    """Holds the verdicts ready for peers that ask. The coroutines run on the server's thread.

    Args:
        name: name of the output in messages.
        timeout_ms: limit of `send` and `show`.
        failures: errors of the server's library, in addition to OSError.
        start_failures: its errors for a wrong configuration.
        hint: advice in the message when the server cannot start.
    """

    def __init__(
        self,
        name: str,
        handshake: Handshake,
        *,
        timeout_ms: float,
        failures: tuple[type[Exception], ...] = (),
        start_failures: tuple[type[Exception], ...] = (),
        hint: str,
    ) -> None:
        self._handshake = handshake
        self._host = ServerThread(
            name,
            start=self._start,
            safe=self._go_safe,
            stop=self._stop,
            timeout_ms=timeout_ms,
            failures=failures,
            start_failures=start_failures,
            hint=hint,
        )

    def open(self) -> None:
        """Starts the server, unless it runs already."""
        self._host.open()

    def send(self, record: InspectionRecord) -> None:
        """Holds one verdict ready until the peer has it."""
        self._host.call(partial(self._tell, record), self._not_taken(record.trigger_id))

    def show(self, state: StationState) -> None:
        """Holds the state of the station ready."""
        self._host.call(lambda: self._hold(self._handshake.show(state)), _HANGS)

    def close(self) -> None:
        """Goes to the safe state and stops the server."""
        self._host.close()

    @abstractmethod
    async def _start(self) -> S:
        """Starts the server."""

    @abstractmethod
    async def _stop(self, server: S) -> None:
        """Goes to the safe state and stops the server."""

    @abstractmethod
    async def _tell(self, record: InspectionRecord) -> None:
        """Shows a verdict, and waits until the peer has it."""

    @abstractmethod
    async def _hold(self, signals: Signals) -> None:
        """Shows the signals of the handshake."""

    @abstractmethod
    def _not_taken(self, trigger_id: str) -> str:
        """Returns the message for a verdict that the peer did not take in time."""

    async def _go_safe(self, fault: bool) -> None:
        await self._hold(self._handshake.safe(fault=fault))

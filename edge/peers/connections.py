"""The clients of a server of the station: how many may stay, and for how long.

A full server lets a new client in all the same, and another one goes: of the address with the most
connections, the one that was idle for longest. So a PLC that lost its power comes back although its
old connections look alive, and a host that opens connections without end displaces its own alone.
Source of the rule without the addresses: MODBUS Messaging on TCP/IP Implementation Guide V1.0b,
section 4.2 (the oldest unused connection is closed).

A connection is active when the station answers it: a client that sends half a request, or one byte
at a time, is idle.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inspection.config.loading import StrictModel

SWEEP_S = 0.5

_KEEPALIVE = (  # finds a host that is gone without a word within 60 s
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_REPORT_S = 60.0

_log = logging.getLogger(__name__)


class ConnectionLimits(StrictModel):
    """Limits the connections of a server.

    Attributes:
        max: number of connections. A further one displaces the one that was idle for longest, of
            the address that has the most.
        idle_s: the station closes a connection that it had nothing to answer for so long. A day:
            a PLC may hold its connection over a break of the line and ask nothing. TCP keepalive
            finds a dead host much sooner.
    """

    max: Annotated[int, Field(ge=1, le=200)] = 32
    idle_s: Annotated[float, Field(gt=0, le=604_800)] = 86_400.0


@dataclass(eq=False)
class Client:
    """One connection.

    Attributes:
        host: address of the peer, without the port.
        drop: ends the connection.
        active_s: when the station answered last, on the clock of `Connections`.
    """

    host: str
    drop: Callable[[], None]
    active_s: float


class Connections:
    """The connections of one server. Safe for threads.

    Args:
        name: of the server, for messages.
        clock: monotonic clock in seconds.
    """

    def __init__(
        self, name: str, limits: ConnectionLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: set[Client] = set()
        self._displaced = 0
        self._report_at = clock()

    def admit(self, host: str, drop: Callable[[], None]) -> Client:
        """Takes in a new connection, and drops another one where there are too many.

        Args:
            drop: ends the connection from any thread, without waiting and without a call to this
                object.
        """
        client = Client(host, drop, self._clock())
        with self._lock:
            self._clients.add(client)
            displaced = self._longest_idle() if len(self._clients) > self._limits.max else None
            if displaced is not None:
                self._drop(displaced)
        if displaced is not None:
            self._report(displaced)
        return client

    def answered(self, client: Client) -> None:
        """Notes that the station answered."""
        client.active_s = self._clock()

    def release(self, client: Client) -> None:
        """Forgets a connection; call it before its socket is closed. Safe to call twice."""
        with self._lock:
            self._clients.discard(client)

    def drop_idle(self) -> None:
        """Drops the connections that are idle for too long; call it every `SWEEP_S`."""
        since_s = self._clock() - self._limits.idle_s
        with self._lock:
            idle = [client for client in self._clients if client.active_s <= since_s]
            for client in idle:
                self._drop(client)
        for client in idle:
            _log.info("%s: closed an idle connection of %s", self._name, client.host)

    def _longest_idle(self) -> Client:
        counts = Counter(client.host for client in self._clients)
        most = max(counts.values())
        crowd = [client for client in self._clients if counts[client.host] == most]
        return min(crowd, key=lambda client: client.active_s)

    def _drop(self, client: Client) -> None:
        # Under the lock, and thus before `release`: the number of a closed socket may be another's.
        self._clients.remove(client)
        client.drop()

    def _report(self, displaced: Client) -> None:
        """Logs that the server is full; at most once a minute, for a flood of connections."""
        self._displaced += 1
        if self._clock() < self._report_at:
            return
        self._report_at = self._clock() + _REPORT_S
        _log.warning(
            "%s: has %d connections, the most it may: closed %d for new ones so far, the last of "
            "%s; find out who connects so often",
            self._name,
            self._limits.max,
            self._displaced,
            displaced.host,
        )


def keep_alive(connection: socket.socket) -> None:
    """Has the kernel find a dead peer of a TCP connection."""
    for level, option, value in _KEEPALIVE:
        connection.setsockopt(level, option, value)

"""Servers with a thread for each connection, which bound their connections."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import sys
from functools import partial
from typing import Any

from edge.peers.connections import Client, Connections, keep_alive

_log = logging.getLogger(__name__)


class BoundedThreads(socketserver.ThreadingMixIn):
    """Admits the clients of a `socketserver` by `connections`; put it first among the bases.

    A handler calls `answered` before it sends an answer. `serve_forever` must poll at least every
    `SWEEP_S`, as it does by default.

    Attributes:
        connections: set it before `serve_forever`.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # a full queue refuses clients that would fit in
    connections: Connections

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._clients: dict[socket.socket, Client] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        """Admits a connection, and handles it on a thread."""
        if request.family != socket.AF_UNIX:
            keep_alive(request)
        host = client_address[0] if client_address else "this machine"
        self._clients[request] = self.connections.admit(host, partial(_cut, request))
        super().process_request(request, client_address)

    def answered(self, request: socket.socket) -> None:
        """Notes that a handler answered a request on this connection."""
        self.connections.answered(self._clients[request])

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        client = self._clients.pop(request, None)
        if client is not None:
            self.connections.release(client)
        super().shutdown_request(request)  # type: ignore[misc]  # of the server beside this class

    def service_actions(self) -> None:
        """Drops idle connections; the thread that accepts calls it several times a second."""
        super().service_actions()  # type: ignore[misc]  # of the server beside this class
        self.connections.drop_idle()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its caller's
        """Logs a defect; a client that went away is none."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("a request failed", exc_info=error)


def _cut(connection: socket.socket) -> None:
    """Ends a connection; its thread reads the end and closes it."""
    with contextlib.suppress(OSError):  # the peer did so before
        connection.shutdown(socket.SHUT_RDWR)

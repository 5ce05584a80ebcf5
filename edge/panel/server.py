"""Serves the panel: bounded connections, bounded requests, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.panel.app import create_app
from edge.panel.config import PanelConfig
from edge.peers.connections import ConnectionLimits, Connections
from inspection.errors import LineError

_HEAD_MAX_BYTES = 16_384
_HEAD_S = 10.0  # until a request has all its headers
_END_S = 2

_log = logging.getLogger(__name__)


class BoundedProtocol(H11Protocol):
    """One of a bounded number of connections, which must send its requests in time."""

    clients: ClassVar[Connections]

    def connection_made(self, transport: Any) -> None:
        """Lets the connection in; where there are too many, another one goes."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self._admitted = self.clients.admit(host, transport.abort)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self.clients.release(self._admitted)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        self.clients.answered(self._admitted)
        self._await_request()

    def _await_request(self) -> None:
        # uvicorn ends its own wait for the next request at the first byte of it.
        self.loop.call_later(_HEAD_S, self._close_without_request, self.cycle)

    def _close_without_request(self, last: object) -> None:
        if self.cycle is last:
            self.transport.abort()


class AnnouncedServer(uvicorn.Server):
    """Calls `when_ready` when it answers."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the panel, and announces it."""
        await super().startup(sockets)
        if self.started:
            self._when_ready()


def serve(config: PanelConfig, when_ready: Callable[[], object]) -> None:
    """Serves until a signal ends it.

    Args:
        when_ready: called once, when the panel answers.

    Raises:
        RecordsError: the panel's files cannot be opened.
        LineError: the address cannot be used.
    """
    with contextlib.closing(_listening(config)) as listener:
        server = AnnouncedServer(_settings(config), when_ready)
        scheme = "http" if config.tls is None else "https"
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.warning("the panel is at %s://%s:%d", scheme, shown, port)
        asyncio.run(server.serve([listener]))


def _listening(config: PanelConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise LineError(
            f"port {config.port} on {config.host}: cannot be used "
            f"({os.strerror(error.errno or 0)}); give another 'host' or 'port' in the "
            "configuration of the panel"
        ) from error


def _settings(config: PanelConfig) -> uvicorn.Config:
    tls = config.tls
    clients = Connections("panel", ConnectionLimits(max=config.connections_max))
    return uvicorn.Config(
        create_app(config),
        http=type("PanelProtocol", (BoundedProtocol,), {"clients": clients}),
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD_MAX_BYTES,
        timeout_graceful_shutdown=_END_S,
        ssl_certfile=tls.certificate_file if tls else None,
        ssl_keyfile=tls.key_file if tls else None,
    )

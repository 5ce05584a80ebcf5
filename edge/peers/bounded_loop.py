"""An asyncio loop whose servers bound their connections, whatever library they are of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edge.peers.connections import SWEEP_S, Client, Connections, keep_alive

# Far above a request of Modbus (260 bytes) or of an OPC UA client (some kB, in chunks of 64 KiB).
_UNANSWERED_MAX_BYTES = 1 << 18
_UNREAD_MAX_BYTES = 1 << 20


class BoundedLoop(asyncio.SelectorEventLoop):
    """Admits the clients of its servers by `connections`.

    A client that sends 256 KiB without an answer, or leaves 1 MiB of answers unread, is dropped:
    libraries keep both in memory without a limit.
    """

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections
        self.call_soon(self._sweep)

    async def create_server(  # type: ignore[override]  # the arguments are those of asyncio
        self, protocol_factory: Callable[[], asyncio.Protocol], *args: Any, **settings: Any
    ) -> asyncio.Server:
        """Makes a server as `asyncio.loop.create_server` does."""

        def admitted() -> asyncio.Protocol:
            return _Admitted(protocol_factory(), self._connections)

        return await super().create_server(admitted, *args, **settings)

    def _sweep(self) -> None:
        self._connections.drop_idle()
        self.call_later(SWEEP_S, self._sweep)


class _Admitted(asyncio.Protocol):
    """Stands between a connection and the protocol of the library."""

    def __init__(self, protocol: asyncio.Protocol, connections: Connections) -> None:
        self._protocol = protocol
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None
        self._unanswered_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        keep_alive(transport.get_extra_info("socket"))
        host, *_ = transport.get_extra_info("peername") or ("a host that is gone",)
        self._client = self._connections.admit(host, transport.abort)
        self._protocol.connection_made(_Answering(transport, self._note_answer))  # type: ignore[arg-type]

    def connection_lost(self, error: Exception | None) -> None:
        if self._client is not None:
            self._connections.release(self._client)
        self._protocol.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._unanswered_bytes += len(data)
        if self._transport is not None and self._unanswered_bytes > _UNANSWERED_MAX_BYTES:
            self._transport.abort()
            return
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _note_answer(self) -> None:
        self._unanswered_bytes = 0
        if self._client is not None:
            self._connections.answered(self._client)


class _Answering:
    """A transport that notes the answers; the libraries send them by `write`."""

    def __init__(self, transport: asyncio.Transport, on_answer: Callable[[], None]) -> None:
        self._transport = transport
        self._on_answer = on_answer

    def write(self, data: bytes) -> None:
        self._on_answer()
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _UNREAD_MAX_BYTES:
            self._transport.abort()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

"""Servers of asyncio libraries over real sockets: full, idle, dripping, and clients that overdo it.

The protocol here is that of no library: it answers each line.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from edge.peers.bounded_loop import BoundedLoop
from edge.peers.connections import ConnectionLimits, Connections
from edge.peers.loop_thread import LoopThread
from tests.doubles.waiting import wait_for

GENEROUS_S = 30.0


class Echo(asyncio.Protocol):
    """Answers each line with itself, thousandfold when it asks for more."""

    def __init__(self) -> None:
        self._rest = b""
        self.ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._transport.write((line + b"\n") * (1000 if line.startswith(b"more") else 1))


class Server:
    """Echoes on a loop with limits."""

    def __init__(self, **limits: float) -> None:
        self.made: list[Echo] = []
        connections = Connections("echo", ConnectionLimits.model_validate(limits))
        self.loop = LoopThread("echo", BoundedLoop(connections))
        self._server = self.loop.run(self._start(), GENEROUS_S)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _start(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._make, "127.0.0.1", 0)

    def _make(self) -> Echo:
        self.made.append(Echo())
        return self.made[-1]

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), GENEROUS_S, (host, 0))

    async def _close(self) -> None:
        self._server.close()

    def close(self) -> None:
        self.loop.run(self._close(), GENEROUS_S)
        self.loop.stop()


@contextmanager
def served(**limits: float) -> Iterator[Server]:
    server = Server(**limits)
    try:
        yield server
    finally:
        server.close()


def ask(client: socket.socket, line: bytes = b"hello\n") -> bool:
    """Returns whether the server answers."""
    try:
        client.sendall(line)
        return client.recv(len(line)) == line
    except OSError:
        return False


def is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_the_longest_idle_of_the_busiest_address_goes() -> None:
    with served(max=4) as server, ExitStack() as stack:
        plc = stack.enter_context(server.connect("127.0.0.2"))
        assert ask(plc)
        crowd = [stack.enter_context(server.connect("127.0.0.9")) for _ in range(40)]
        assert all(is_cut(one) for one in crowd[:37])
        assert ask(plc)
        assert all(ask(one) for one in crowd[37:])
        assert sum(not made.ended for made in server.made) == 4


def test_a_newcomer_gets_in_where_all_are_of_one_host() -> None:
    with served(max=4) as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(server.connect("127.0.0.9"))
        plc = stack.enter_context(server.connect("127.0.0.2"))
        assert ask(plc)


def test_a_silent_client_is_dropped_and_one_that_asks_is_not() -> None:
    with served(idle_s=2.0) as server, server.connect() as silent, server.connect() as plc:

        def is_dropped() -> bool:
            assert ask(plc)
            return server.made[0].ended

        wait_for(is_dropped, GENEROUS_S)
        assert is_cut(silent)


def test_a_client_that_drips_is_idle_and_holds_up_nobody() -> None:
    with served(idle_s=2.0) as server, server.connect() as drips, server.connect() as plc:

        def is_dropped() -> bool:
            assert ask(plc)
            try:
                drips.sendall(b"x")
            except OSError:
                return True
            return False

        wait_for(is_dropped, GENEROUS_S)


def test_a_client_that_holds_its_connection_stays() -> None:
    with served() as server, server.connect() as plc:
        for _ in range(3):
            with server.connect():
                pass
        wait_for(lambda: sum(made.ended for made in server.made) == 3, GENEROUS_S)
        assert ask(plc)


def test_a_request_without_an_end_takes_no_memory() -> None:
    with served() as server, server.connect() as client:
        with pytest.raises(ConnectionError):
            client.sendall(b"x" * (64 << 20))
        assert len(server.made[0]._rest) <= 1 << 18


def test_many_requests_are_no_request_without_an_end() -> None:
    with served() as server, server.connect() as client:
        for _ in range(200):
            assert ask(client, b"x" * 3000 + b"\n")


def ask_for_ever(client: socket.socket) -> None:
    while True:
        client.sendall(b"more" * 100 + b"\n")


def test_unread_answers_take_no_memory() -> None:
    with served() as server, server.connect() as client:
        with pytest.raises(ConnectionError):
            ask_for_ever(client)
        wait_for(lambda: server.made[0].ended, GENEROUS_S)


def test_a_dead_host_is_found_by_the_kernel() -> None:
    with served() as server, server.connect() as client:
        assert ask(client)
        ours = server.made[0]._transport.get_extra_info("socket")
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60

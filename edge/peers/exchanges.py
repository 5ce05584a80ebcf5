"""The requests of one connection to a PLC: one at a time, and an orderly end.

Many PLCs work off one request of a TCP segment and drop the rest, and a closed socket answers what
still arrives with a reset, at which a PLC may drop the requests that it has not read. Sources:
MODBUS Messaging on TCP/IP Implementation Guide V1.0b, sections 4.4.1 and 4.4.2.1 (transactions of a
client, one ADU in a segment), and RFC 1122, section 4.2.2.13 (the reset).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

LINGER_S = 30.0  # a PLC that wakes later may miss the last words behind an unanswered request


class Exchanges:
    """Has one request at a time wait for its answer. For one loop.

    A request that its caller gives up stays the present one until its answer comes, so that the
    next request does not meet it on the way.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._present: asyncio.Task[Any] | None = None

    async def run(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """Returns the answer of an exchange; one that is given up before its turn never begins."""
        await self._turn.acquire()
        present = self._present = asyncio.create_task(_answer(exchange))
        present.add_done_callback(self._end_turn)
        return await asyncio.shield(present)

    def give_up(self) -> None:
        """Waits for no answer any more; `part` follows."""
        if self._present is not None:
            self._present.cancel()

    def part(self, transport: asyncio.WriteTransport, owner: object) -> None:
        """Sends the end of the connection behind the last request, and closes it.

        Answers that the PLC still owes find a reader, for `LINGER_S` at most; the loop runs on.

        Args:
            owner: would close the transport at its own end, and lives on for so long.
        """
        self.give_up()
        if transport.is_closing():
            return
        try:
            transport.write_eof()
        except OSError:  # the PLC has cut the connection
            transport.abort()
            return
        reader = _Reader(owner)
        transport.set_protocol(reader)
        parting = asyncio.create_task(asyncio.wait([reader.ended], timeout=LINGER_S))
        parting.add_done_callback(lambda _: transport.abort())  # also when the loop is stopped

    def _end_turn(self, present: asyncio.Task[Any]) -> None:
        self._turn.release()
        if not present.cancelled():
            present.exception()  # the caller has it, or gave up


async def _answer(exchange: Callable[[], Awaitable[T]]) -> T:
    return await exchange()  # which may fail before it waits


class _Reader(asyncio.Protocol):
    """Drops answers; the transport closes when the peer has ended too."""

    def __init__(self, owner: object) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

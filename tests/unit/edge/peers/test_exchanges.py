"""One request at a time waits for its answer, whoever gave it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edge.peers.exchanges import Exchanges

Exchange = Callable[[], Awaitable[str]]


class Wire:
    """Notes the requests that left; each has its answer when the test gives it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answers: dict[str, asyncio.Event] = {}

    def exchange(self, name: str) -> Exchange:
        answered = self.answers[name] = asyncio.Event()

        async def ask() -> str:
            self.sent.append(name)
            await answered.wait()
            return f"answer to {name}"

        return ask


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def given_up(exchanges: Exchanges, exchange: Exchange) -> None:
    asking = asyncio.create_task(exchanges.run(exchange))
    await settled()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_the_next_request_waits_for_the_answer_of_one_that_was_given_up() -> None:
    async def talk() -> None:
        exchanges, wire = Exchanges(), Wire()
        await given_up(exchanges, wire.exchange("read"))
        following = asyncio.create_task(exchanges.run(wire.exchange("write")))
        await settled()
        assert wire.sent == ["read"]
        wire.answers["read"].set()
        wire.answers["write"].set()
        assert await following == "answer to write"
        assert wire.sent == ["read", "write"]

    asyncio.run(talk())


def test_a_request_that_is_given_up_before_its_turn_never_leaves() -> None:
    async def talk() -> None:
        exchanges, wire = Exchanges(), Wire()
        first = asyncio.create_task(exchanges.run(wire.exchange("read")))
        await settled()
        await given_up(exchanges, wire.exchange("a late verdict"))
        wire.answers["read"].set()
        await first
        await settled()
        assert wire.sent == ["read"]

    asyncio.run(talk())


def test_a_request_that_fails_at_once_ends_its_turn() -> None:
    async def talk() -> None:
        exchanges, wire = Exchanges(), Wire()

        def fail() -> Awaitable[str]:
            raise ConnectionError("no transport")

        with pytest.raises(ConnectionError):
            await exchanges.run(fail)
        following = wire.exchange("write")
        wire.answers["write"].set()
        assert await asyncio.wait_for(exchanges.run(following), 10.0) == "answer to write"

    asyncio.run(talk())

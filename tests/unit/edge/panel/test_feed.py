"""One observer for all pages, and pages that read slowly or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import chain, repeat
from typing import Any

import pytest

from edge.panel import streams
from edge.panel.feed import Feed, Feeds
from edge.panel.refusals import Refused
from edge.panel.streams import EventStream, event


def test_many_pages_follow_one_observer_and_none_waits_for_another() -> None:
    observed = 0

    def observe() -> dict[str, Any]:
        nonlocal observed
        observed += 1
        return {"number": observed}

    async def read(feed: Feed, count: int, pause_s: float) -> list[int]:
        numbers = []
        async for snapshot in feed.follow():
            numbers.append(snapshot["number"])
            if len(numbers) == count:
                break
            await asyncio.sleep(pause_s)
        return numbers

    async def run() -> tuple[list[int], ...]:
        feed = Feed(observe)
        return await asyncio.gather(read(feed, 5, 0), read(feed, 5, 0), read(feed, 2, 0.3))

    quick, other, slow = asyncio.run(run())
    assert quick == other == [1, 2, 3, 4, 5]
    assert slow[1] > 2  # it missed some


def test_nobody_is_observed_when_nobody_looks() -> None:
    observed = []

    async def run() -> None:
        feed = Feed(lambda: observed.append(1) or {})  # type: ignore[func-returns-value]
        follow = feed.follow()
        await anext(follow)
        await follow.aclose()
        await asyncio.sleep(0.3)
        before = len(observed)
        await asyncio.sleep(0.3)
        assert len(observed) == before
        await anext(feed.follow())
        assert len(observed) > before

    asyncio.run(run())


def test_pages_of_an_observer_that_failed_end_so_that_they_ask_again() -> None:
    fails = chain([True], repeat(False))

    def observe() -> dict[str, Any]:
        if next(fails):
            raise ZeroDivisionError
        return {"number": 2}

    async def run() -> None:
        feed = Feed(observe)
        assert [snapshot async for snapshot in feed.follow()] == []
        follow = feed.follow()
        assert await anext(follow) == {"number": 2}
        await follow.aclose()

    asyncio.run(run())


def test_a_further_page_than_allowed_is_refused() -> None:
    async def run() -> None:
        feeds = Feeds({}, 1)
        feeds._feeds["line"] = Feed(dict)
        follow = feeds.follow("line")
        await anext(follow)
        with pytest.raises(Refused, match=r"problem\.streams"):
            feeds.require_room()
        await follow.aclose()
        feeds.require_room()

    asyncio.run(run())


async def numbers() -> AsyncGenerator[bytes, None]:
    for number in range(1_000_000):
        yield event("number", str(number))


def test_a_page_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_SEND_S", 0.05)
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        if len(sent) >= 3:
            await asyncio.Event().wait()
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def run() -> None:
        await asyncio.wait_for(EventStream(numbers())({}, receive, send), 10)

    asyncio.run(run())
    assert sent[1:] == [event("number", "0"), event("number", "1")]


def test_a_page_that_goes_ends_its_events() -> None:
    ended = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield event("x", "1")
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    async def send(_message: Any) -> None:
        pass

    async def receive() -> Any:
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def run() -> None:
        await asyncio.wait_for(EventStream(events())({}, receive, send), 10)
        assert ended.is_set()

    asyncio.run(run())

"""What the pages show of a running line, asked for once however many pages show it.

The panel asks while somebody looks, and no longer. A page that reads slowly misses snapshots; none
waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.panel.snapshot import Observer

_PERIOD_S = 0.1
_REST_S = 0.02  # for the others on a loaded machine

_log = logging.getLogger(__name__)

Snapshot = dict[str, Any]


class Feed:
    """The snapshots of one line. On the event loop only."""

    def __init__(self, observe: Callable[[], Snapshot]) -> None:
        self._observe = observe
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._latest: Snapshot = {}
        self._turn = asyncio.Event()

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Yields the newest snapshot, again and again."""
        self._followers += 1
        if self._task is None:
            self._turn = asyncio.Event()
            self._task = asyncio.create_task(self._run())
        try:
            while True:
                await self._turn.wait()
                if self._task is None:
                    return  # it failed, and the page asks again
                yield self._latest
        finally:
            self._followers -= 1

    async def _run(self) -> None:
        try:
            while self._followers:
                begun_s = time.monotonic()
                self._latest = await asyncio.to_thread(self._observe)
                turn, self._turn = self._turn, asyncio.Event()
                turn.set()
                await asyncio.sleep(max(_REST_S, begun_s + _PERIOD_S - time.monotonic()))
        except Exception:  # noqa: BLE001 - pages would wait for ever for the next snapshot
            _log.exception("a line cannot be observed; its pages ask again")
            self._turn.set()
        finally:
            self._task = None


class Feeds:
    """The feeds of all lines, and the number of pages that follow them.

    Args:
        most: pages at one time.

    Attributes:
        observers: of each line.
    """

    def __init__(self, lines: Mapping[str, PanelLine], most: int) -> None:
        self.observers = {name: Observer(line) for name, line in lines.items()}
        self._feeds = {name: Feed(one.snapshot) for name, one in self.observers.items()}
        self._most = most
        self._open = 0

    async def follow(self, line: str) -> AsyncGenerator[Snapshot, None]:
        """Yields the snapshots of a line; see `Feed.follow`."""
        if not self.has_room:
            return
        self._open += 1
        try:
            async with contextlib.aclosing(self._feeds[line].follow()) as snapshots:
                async for snapshot in snapshots:
                    yield snapshot
        finally:
            self._open -= 1

    @property
    def has_room(self) -> bool:
        """Whether another page may follow a line."""
        return self._open < self._most

    def require_room(self) -> None:
        """Raises Refused where too many pages follow already."""
        if not self.has_room:
            raise Refused(503, "problem.streams")

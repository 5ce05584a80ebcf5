"""Live: the verdict on the last part, readable from three metres, and the state of the line.

The page itself shows NO SIGNAL when no event comes: a dead panel must not leave a PASS behind.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

from starlette.responses import Response

from edge.panel.page import Page, Route, Visit
from edge.panel.streams import EventStream, event


def _live(visit: Visit) -> Response:
    line = visit.line
    return visit.render(
        data={
            "events": f"/lines/{line.name}/live/events",
            "images": f"/lines/{line.name}/parts/",
            "texts": visit.texts.below("live"),
        }
    )


def _events(visit: Visit) -> Response:
    visit.panel.feeds.require_room()
    return EventStream(_snapshots(visit))


async def _snapshots(visit: Visit) -> AsyncGenerator[bytes, None]:
    follow = visit.panel.feeds.follow(visit.line.name)
    async with contextlib.aclosing(follow) as snapshots:
        async for snapshot in snapshots:
            yield event("snapshot", json.dumps(snapshot))


PAGE = Page(
    "live",
    (Route("/lines/{line}/live", _live), Route("/lines/{line}/live/events", _events)),
)

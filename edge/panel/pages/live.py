"""Live: the verdict on the last part, readable from three metres, and the state of the line.

The page itself shows NO SIGNAL when no event comes: a dead panel must not leave a PASS behind.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.streams import EventStream, event

_SESSION_EVERY_S = 5.0
_MEDIA = {"frame": "image/jpeg", "heat": "image/png", "mask": "image/png"}


def _live(visit: Visit) -> Response:
    line = visit.line
    return visit.render(
        data={
            "events": f"/lines/{line.name}/live/events",
            "pictures": f"/lines/{line.name}/live/pictures/",
            "images": f"/lines/{line.name}/parts/",
            "texts": visit.texts.below("live"),
            "verdicts": visit.texts.below("verdict"),
            "troubles": visit.texts.below("trouble"),
            "todo": visit.texts.below("todo"),
        }
    )


def _events(visit: Visit) -> Response:
    visit.panel.feeds.require_room()
    return EventStream(_snapshots(visit))


def _picture(visit: Visit) -> Response:
    """Returns a picture from the memory of the line, of a part whose image need not be kept."""
    kind = visit.request.path_params["kind"]
    if kind not in _MEDIA:
        raise Refused(404, "problem.no_page")
    observer = visit.panel.feeds.observers[visit.line.name]
    content = observer.picture(visit.request.path_params["trigger"], kind)
    if content is None:
        raise Refused(404, "problem.image_gone")
    headers = {"Cache-Control": "private, max-age=600, immutable"}
    return Response(content, media_type=_MEDIA[kind], headers=headers)


async def _snapshots(visit: Visit) -> AsyncGenerator[bytes, None]:
    follow = visit.panel.feeds.follow(visit.line.name)
    async with contextlib.aclosing(follow) as snapshots:
        looked_s = time.monotonic()
        async for snapshot in snapshots:
            if time.monotonic() - looked_s > _SESSION_EVERY_S:
                looked_s = time.monotonic()
                if await run_in_threadpool(lambda: visit.is_over):
                    return
            yield event("snapshot", json.dumps(snapshot))


PAGE = Page(
    "live",
    (
        Route("/lines/{line}/live", _live),
        Route("/lines/{line}/live/events", _events),
        Route("/lines/{line}/live/pictures/{trigger}/{kind}", _picture),
    ),
)

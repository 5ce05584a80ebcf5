"""Server-sent events to a page that may read slowly, or never.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_SEND_S = 5.0


def event(name: str, data: str) -> bytes:
    """Returns one event; `data` is one line."""
    return f"event: {name}\ndata: {data}\n\n".encode()


class EventStream(Response):
    """Sends events until they end, the page goes, or it does not read them.

    Args:
        events: of `event`. A page that reads nothing holds one of them, and is cut off.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with anyio.create_task_group() as group:

            async def end_with_the_page() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(end_with_the_page)
            await self._send_all(send)
            group.cancel_scope.cancel()

    async def _send_all(self, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:
            async for one in events:
                with anyio.move_on_after(_SEND_S) as limit:
                    await send({"type": "http.response.body", "body": one, "more_body": True})
                if limit.cancelled_caught:
                    return  # the server closes a connection whose answer is not complete
        await send({"type": "http.response.body", "body": b"", "more_body": False})

"""The wait for the acknowledge of a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from edge.line.handshake import Bits, Signals


async def taken(acknowledge: Coroutine[Any, Any, object], shown: Signals, limit_s: float) -> bool:
    """Waits for the acknowledge of the verdict that is shown; False when the line need not give it.

    The line counts its parts from READY. Without READY it may not count this part, as one of a
    camera that runs free. Such a part waits for half of `limit_s`, and is no failure of the line:
    with each failure READY would have to rise again, and would never do so at a high rate of parts.

    Args:
        acknowledge: returns when the line has acknowledged.
        limit_s: after which the caller ends the wait, as a failure.
    """
    if Bits.READY in shown.bits:
        await acknowledge
        return True
    try:
        await asyncio.wait_for(acknowledge, limit_s / 2)
    except asyncio.TimeoutError:  # an alias of TimeoutError since Python 3.11
        return False
    return True

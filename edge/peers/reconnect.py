"""Pauses between attempts to connect something again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

_FIRST_S, _LONGEST_S = 0.1, 5.0
_HELD_S = 10.0


def growing_pauses() -> Iterator[float]:
    """Seconds, without end: each twice the one before, up to five."""
    pause_s = _FIRST_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_S)


class Retries:
    """When to connect something again: the pauses begin anew after a connection that held.

    One that is lost at once, as where two stations have the same name at a broker, is not made
    again ten times a second.

    Args:
        clock: monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses = growing_pauses()
        self._connected_at: float | None = None

    def connected(self) -> None:
        """It is connected now."""
        self._connected_at = self._clock()

    def pause_s(self) -> float:
        """How long to wait before it is tried again; it was lost, or not there."""
        since, self._connected_at = self._connected_at, None
        if since is not None and self._clock() - since >= _HELD_S:
            self._pauses = growing_pauses()
        return next(self._pauses)

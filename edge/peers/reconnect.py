"""Reconnecting: opens a lost connection again after growing pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FIRST_S = 0.1
LONGEST_PAUSE_S = 5.0
_HELD_S = 10.0


class Pauses:
    """Pauses between attempts, each twice the one before."""

    def __init__(self, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._longest_s = longest_s
        self._next_s = min(_FIRST_S, longest_s)

    def next_s(self) -> float:
        """Returns the next pause in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause_s

    def reset(self) -> None:
        """Begins with the shortest pause again."""
        self._next_s = min(_FIRST_S, self._longest_s)


class Reconnector:
    """Opens a connection, and opens it again while it is lost.

    One thread at a time calls it; any may read its attributes.

    Args:
        open_connection: opens it, in place of an earlier one.
        failure: the error of `open_connection` when the peer is away; other errors pass through.
        held_s: a connection that lasts so long resets the pauses. Two stations that share a
            client id at a broker break each other's connection at once; the pauses keep growing.
        longest_pause_s: limit of the pause between two attempts.
        clock: monotonic clock in seconds.

    Attributes:
        lost: reason of a lost connection; empty while it works, as far as is known.
        failed_attempts: number of failed attempts since the loss.
    """

    def __init__(
        self,
        open_connection: Callable[[], None],
        failure: type[Exception],
        *,
        held_s: float = _HELD_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lost = ""
        self.failed_attempts = 0
        self._open_connection = open_connection
        self._failure = failure
        self._held_s = held_s
        self._clock = clock
        self._pauses = Pauses(longest_pause_s)
        self._opened_at: float | None = None
        self._retry_at = 0.0

    def open(self) -> None:
        """Opens the connection now. Passes an error on, and counts it as a failed attempt."""
        try:
            self._open_connection()
        except self._failure as error:
            self.failed_attempts += 1
            self.lose(str(error))
            raise
        self.found()

    def found(self) -> None:
        """Notes that the connection is open."""
        self.lost = ""
        self.failed_attempts = 0
        self._opened_at = self._clock()

    def lose(self, why: str) -> None:
        """Notes that the connection is lost; the first attempt to open it follows a pause."""
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None and self._clock() - opened_at >= self._held_s:
            self._pauses.reset()
        self.lost = why or "no connection"
        self._retry_at = self._clock() + self._pauses.next_s()

    def retry_when_due(self) -> None:
        """Tries once to open a lost connection, unless its pause is still running."""
        if self.lost and self._clock() >= self._retry_at:
            self._attempt()

    def wait_until_open(self, stopping: threading.Event) -> bool:
        """Tries until the lost connection is open; False when `stopping` is set before."""
        while self.lost:
            if stopping.wait(max(0.0, self._retry_at - self._clock())):
                return False
            self._attempt()
        return True

    def _attempt(self) -> None:
        try:
            self.open()
        except self._failure:
            return  # `lost` has the reason

"""Actions at their time, on a thread that keeps deadlines."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


def _seconds(duration_ns: int) -> float:
    return duration_ns / 1e9


class Timetable:
    """Runs each action at its time, earliest first; those of one time in the order they came.

    Args:
        name: of the thread.
        on_error: receives an OSError of an action or of the clock; nothing runs after it.
        clock_ns: monotonic clock in nanoseconds; or another count that only grows.
        pause_s: how long to wait before looking again for a moment so far away.
    """

    def __init__(
        self,
        name: str,
        on_error: Callable[[OSError], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        pause_s: Callable[[int], float] = _seconds,
    ) -> None:
        self._pause_s = pause_s
        self._on_error = on_error
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to run actions."""
        self._thread.start()

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        """Run `action` at `due_ns` on the clock, at once when that is over."""
        with self._changed:
            heapq.heappush(self._due, (due_ns, next(self._order), action))
            self._changed.notify()

    def close(self, limit_s: float) -> bool:
        """Forget what is still to come, and end; False when an action hangs."""
        with self._changed:
            self._due.clear()
            self._ended = True
            self._changed.notify()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(limit_s)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        try:
            while (action := self._next()) is not None:
                action()
        except OSError as error:
            with self._changed:
                self._due.clear()
                self._ended = True
            self._on_error(error)

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next action; None at the end."""
        with self._changed:
            while not self._ended:
                distance = self._due[0][0] - self._clock_ns() if self._due else None
                if distance is not None and distance <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(None if distance is None else self._pause_s(distance))
            return None

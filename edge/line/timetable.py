"""Timed actions on a thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


def failure_from(error: Exception) -> OSError:
    """Returns an OSError itself, and for a defect one that names it."""
    return error if isinstance(error, OSError) else OSError(repr(error))


def _seconds(duration_ns: int) -> float:
    return duration_ns / 1e9


class Timetable:
    """Runs each action at its time, the earliest first; at equal times in the order of `at`.

    Args:
        name: name of the thread.
        on_error: receives an error of an action or of the clock, a defect as an OSError that names
            it; no action runs after it.
        clock_ns: monotonic clock in nanoseconds; or another count that only grows.
        pause_s: returns the seconds to wait before the next look, given the count still missing.
    """

    def __init__(
        self,
        name: str,
        on_error: Callable[[OSError], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        pause_s: Callable[[int], float] = _seconds,
    ) -> None:
        self._name = name
        self._pause_s = pause_s
        self._on_error = on_error
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts to run actions."""
        self._thread.start()

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        """Runs `action` at `due_ns` on the clock; at once when that time is past."""
        with self._changed:
            heapq.heappush(self._due, (due_ns, next(self._order), action))
            self._changed.notify()

    def close(self, limit_s: float) -> bool:
        """Drops the pending actions and ends the thread; returns False when an action hangs."""
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
        except Exception as error:  # noqa: BLE001 - a defect leaves no line high, and is told
            if not isinstance(error, OSError):
                _log.exception("%s: a defect", self._name)
            with self._changed:
                self._due.clear()
                self._ended = True
            self._on_error(failure_from(error))

    def _next(self) -> Callable[[], None] | None:
        """Waits for the next action; returns None at the end."""
        with self._changed:
            while not self._ended:
                distance = self._due[0][0] - self._clock_ns() if self._due else None
                if distance is not None and distance <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(None if distance is None else self._pause_s(distance))
            return None

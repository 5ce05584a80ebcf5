"""The pulses of a belt encoder on a digital input, counted by the kernel (libgpiod 2)."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import gpiod
from gpiod.line import Clock as EventClock
from gpiod.line import Direction, Edge

_LOOK_EVERY_S = 1e-3
_POLL = timedelta(milliseconds=100)
_REMEMBERED = 1 << 16


class EdgeEvent(Protocol):
    """What is used of `gpiod.EdgeEvent`."""

    @property
    def timestamp_ns(self) -> int:
        """When it was, on the clock that was asked for."""

    @property
    def line_seqno(self) -> int:
        """Its number among those of the line."""


class EdgeRequest(Protocol):
    """What is used of `gpiod.LineRequest`."""

    def wait_edge_events(self, timeout: timedelta) -> bool:
        """Wait for events."""

    def read_edge_events(self) -> Sequence[EdgeEvent]:
        """The events."""

    def release(self) -> None:
        """Give the line back."""


class GpioEncoder:
    """Counts the rising edges of an encoder. The kernel numbers them, so that none is missed.

    Args:
        chip: device file, as /dev/gpiochip0.
        line: name of the line.
        request_lines: stands in for `gpiod.request_lines` in tests.

    Raises:
        OSError: the line cannot be taken.
    """

    def __init__(
        self,
        chip: Path,
        line: str,
        request_lines: Callable[..., EdgeRequest] = gpiod.request_lines,
    ) -> None:
        self.epoch = uuid.uuid4().hex  # what moved before this process is not known
        self._failure: OSError | None = None
        self._edges: deque[tuple[int, int]] = deque([(0, 0)], _REMEMBERED)  # time, count
        self._lock = threading.Lock()
        self._ended = False
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=Edge.RISING,
            event_clock=EventClock.MONOTONIC,
        )
        self._request = request_lines(str(chip), consumer="linewarden", config={line: settings})
        self._thread = threading.Thread(target=self._run, name=f"encoder {line}", daemon=True)
        self._thread.start()

    def position(self, moment_ns: int) -> int:
        """The number of edges until then; see `Encoder.position`."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            counts = (count for edge_ns, count in reversed(self._edges) if edge_ns <= moment_ns)
            return next(counts, self._edges[0][1])

    def pause_s(self, distance: int) -> float:
        """A moment; see `Encoder.pause_s`."""
        return _LOOK_EVERY_S if distance > 0 else 0.0

    def in_words(self, distance: int) -> str:
        """In counts; see `Encoder.in_words`."""
        return f"{distance} counts"

    def close(self) -> None:
        """Give the line back; see `Encoder.close`."""
        self._ended = True
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended:
                if self._request.wait_edge_events(_POLL):
                    events = self._request.read_edge_events()
                    with self._lock:
                        self._edges.extend(
                            (event.timestamp_ns, event.line_seqno) for event in events
                        )
        except OSError as error:
            self._failure = error
        finally:
            self._request.release()

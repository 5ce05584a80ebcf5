"""Positions on the belt, by the clock or by an encoder."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Protocol

from edge.encoder import Encoder
from inspection.errors import LineError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOOK_EVERY_S = 2e-3
_REMEMBERED = 1 << 15  # a minute of a belt that moves


class Belt(Protocol):
    """Tells positions on the belt. Safe for threads.

    Attributes:
        epoch: identifies the origin: positions of one epoch can be compared, across processes too.
    """

    epoch: str

    def position(self, moment_ns: int) -> int:
        """Returns the position at a moment on the monotonic clock, now or a little before.

        Raises:
            OSError: the position is not known, or no longer known.
        """

    def pause_s(self, distance: int) -> float:
        """Returns the seconds to wait before the next look for a position so far away."""

    def in_words(self, distance: int) -> str:
        """Returns a distance with its unit, for a message."""

    def close(self) -> None:
        """Stops counting. Safe to call twice."""


class BeltClock:
    """A belt that always moves at the same speed: its position is the monotonic clock, in ns."""

    def __init__(self) -> None:
        self.epoch = _BOOT_ID.read_text().strip()  # the monotonic clock begins with the boot

    def position(self, moment_ns: int) -> int:
        """Returns the moment itself."""
        return moment_ns

    def pause_s(self, distance: int) -> float:
        """Returns the time that the belt takes for the distance."""
        return distance / 1e9

    def in_words(self, distance: int) -> str:
        """Returns the distance in milliseconds."""
        return f"{distance / 1e6:.0f} ms"

    def close(self) -> None:
        """Does nothing: the clock needs no closing."""


class EncoderBelt:
    """A belt with an encoder; a thread reads its position all the time.

    After a loss the encoder counts from 0 again, so the belt stays lost.

    Args:
        encoder: the belt opens it; its owner closes it.

    Raises:
        LineError: the encoder cannot be opened.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.epoch = uuid.uuid4().hex  # the encoder does not know earlier movement
        self._encoder = encoder
        self._lost: OSError | None = None
        self._lock = threading.Lock()
        encoder.open()
        self._looks = deque([(time.monotonic_ns(), encoder.position())], _REMEMBERED)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="belt", daemon=True)
        self._thread.start()

    def position(self, moment_ns: int) -> int:
        """Returns the counts at the last look before the moment."""
        if self._lost is not None:
            raise self._lost
        with self._lock:
            counts = (count for look_ns, count in reversed(self._looks) if look_ns <= moment_ns)
            return next(counts, self._looks[0][1])

    def pause_s(self, distance: int) -> float:
        """Returns the time until the next look."""
        return _LOOK_EVERY_S if distance > 0 else 0.0

    def in_words(self, distance: int) -> str:
        """Returns the distance in counts."""
        return f"{distance} counts"

    def close(self) -> None:
        """Ends the thread; the encoder stays open."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            moment_ns = time.monotonic_ns()
            try:
                count = self._encoder.position()
            except Exception as error:  # noqa: BLE001 - after a defect the belt is lost as well
                self._lost = OSError(str(error) if isinstance(error, LineError) else repr(error))
                return
            if count != self._looks[-1][1]:
                with self._lock:
                    self._looks.append((moment_ns, count))

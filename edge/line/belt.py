"""How far the belt has moved since a part was at the camera: by the clock, or by an encoder."""

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
        epoch: positions can be compared as long as this is the same, also over processes.
    """

    epoch: str

    def position(self, moment_ns: int) -> int:
        """The position at a moment on the monotonic clock, now or a little before.

        Raises:
            OSError: it is not known (any more).
        """

    def pause_s(self, distance: int) -> float:
        """How long to wait before looking again for a position that is so far away."""

    def in_words(self, distance: int) -> str:
        """A distance with its unit, for people."""

    def close(self) -> None:
        """Count no more. Safe to call twice."""


class BeltClock:
    """A belt that always moves at the same speed: its position is the monotonic clock, in ns."""

    def __init__(self) -> None:
        self.epoch = _BOOT_ID.read_text().strip()  # the monotonic clock begins with the boot

    def position(self, moment_ns: int) -> int:
        """The moment itself; see `Belt.position`."""
        return moment_ns

    def pause_s(self, distance: int) -> float:
        """As long as it takes; see `Belt.pause_s`."""
        return distance / 1e9

    def in_words(self, distance: int) -> str:
        """In milliseconds; see `Belt.in_words`."""
        return f"{distance / 1e6:.0f} ms"

    def close(self) -> None:
        """Nothing to do; see `Belt.close`."""


class EncoderBelt:
    """A belt with an encoder, whose position is looked at all the time, on a thread of its own.

    An encoder that was lost once counts anew and is of no use any more.

    Args:
        encoder: opened here, and closed by its owner.

    Raises:
        LineError: it cannot be opened.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.epoch = uuid.uuid4().hex  # what moved before is not known
        self._encoder = encoder
        self._lost: OSError | None = None
        self._lock = threading.Lock()
        encoder.open()
        self._looks = deque([(time.monotonic_ns(), encoder.position())], _REMEMBERED)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="belt", daemon=True)
        self._thread.start()

    def position(self, moment_ns: int) -> int:
        """Its counts when it was last looked at before then; see `Belt.position`."""
        if self._lost is not None:
            raise self._lost
        with self._lock:
            counts = (count for look_ns, count in reversed(self._looks) if look_ns <= moment_ns)
            return next(counts, self._looks[0][1])

    def pause_s(self, distance: int) -> float:
        """Until the next look; see `Belt.pause_s`."""
        return _LOOK_EVERY_S if distance > 0 else 0.0

    def in_words(self, distance: int) -> str:
        """In counts; see `Belt.in_words`."""
        return f"{distance} counts"

    def close(self) -> None:
        """Look no more; see `Belt.close`."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            moment_ns = time.monotonic_ns()
            try:
                count = self._encoder.position()
            except LineError as error:
                self._lost = OSError(str(error))
                return
            if count != self._looks[-1][1]:
                with self._lock:
                    self._looks.append((moment_ns, count))

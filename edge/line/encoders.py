"""How far the belt has moved."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Encoder(Protocol):
    """Tells how far the belt has moved.

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
        """The moment itself; see `Encoder.position`."""
        return moment_ns

    def pause_s(self, distance: int) -> float:
        """As long as it takes; see `Encoder.pause_s`."""
        return distance / 1e9

    def in_words(self, distance: int) -> str:
        """In milliseconds; see `Encoder.in_words`."""
        return f"{distance / 1e6:.0f} ms"

    def close(self) -> None:
        """Nothing to do; see `Encoder.close`."""

"""The clocks of a device, which a test moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge.store.clock import ClockReading

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


@dataclass
class Device:
    """The clocks of a device that runs, is off, and has its time of day set."""

    utc: datetime = NOON
    boot: int = 1
    since_boot_s: float = 100.0
    is_synchronized: bool = True

    def __call__(self) -> ClockReading:
        return ClockReading(self.utc, f"boot-{self.boot}", self.since_boot_s, self.is_synchronized)

    def run(self, span: timedelta) -> None:
        self.utc += span
        self.since_boot_s += span.total_seconds()

    def off(self, span: timedelta, shows: timedelta | None = None) -> None:
        """Is off; `shows` is what the time of day moves by, when it is not right after it."""
        self.utc += span if shows is None else shows
        self.boot += 1
        self.since_boot_s = 5.0

"""A trigger at fixed times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from pydantic import model_validator

from edge.encoder import Encoder
from edge.trigger.base import FiredConfig, Firing, Milliseconds


class IntervalTriggerConfig(FiredConfig):
    """Announces parts at fixed times, on a schedule that does not drift."""

    kind: Literal["interval"]
    period_ms: Milliseconds

    @model_validator(mode="after")
    def _does_not_bounce(self) -> IntervalTriggerConfig:
        if self.debounce_ms > self.period_ms:
            raise ValueError(
                "'debounce_ms' should not be above 'period_ms': each part would be a bounce"
            )
        return self

    def driver(self, _encoder: Encoder | None) -> IntervalTrigger:
        """Returns the trigger, not yet opened."""
        return IntervalTrigger(self.period_ms)


class IntervalTrigger:
    """Announces a part every `period_ms`, from `open` on.

    Each part has its time in a fixed schedule, so that the rate does not drift. The trigger leaves
    out parts whose time passed without a `wait`.

    Args:
        clock_ns: monotonic clock in nanoseconds.
        sleep: waits for a number of seconds of that clock.
    """

    def __init__(
        self,
        period_ms: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period_ns = round(period_ms * 1e6)
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._due_ns = 0

    def open(self) -> None:
        """Starts the schedule."""
        self._due_ns = self._clock_ns() + self._period_ns

    def wait(self, timeout_s: float) -> Firing | None:
        """Waits for the next time in the schedule."""
        left_s = (self._due_ns - self._clock_ns()) / 1e9
        self._sleep(max(0.0, min(left_s, timeout_s)))
        now_ns = self._clock_ns()
        if now_ns < self._due_ns:
            return None
        missed = (now_ns - self._due_ns) // self._period_ns
        fired_ns = self._due_ns + missed * self._period_ns
        self._due_ns = fired_ns + self._period_ns
        return Firing(None, fired_ns)

    def close(self) -> None:
        """Does nothing: there is no connection."""

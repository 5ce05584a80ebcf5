"""Open triggers: each one is settled exactly once, by an inspection or by its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.camera.base import Frame
from edge.inspector import Inspection
from edge.verdict import Cause, Verdict


@dataclass(frozen=True)
class Trigger:
    """One part that is owed a verdict.

    Attributes:
        opened_ns: monotonic time of the trigger; the deadline counts from it.
        frame: None when the camera gave none.
    """

    id: int
    opened_ns: int
    deadline_ns: int
    time_utc: str
    source: str
    frame: Frame | None = None


Settled = Callable[[Trigger, Inspection, int], None]


class Ledger:
    """Keeps the open triggers, and hands each one on exactly once, with its verdict.

    Args:
        settled: called with the trigger, its inspection and the monotonic time of settling; from
            whichever thread settled it, one call at a time.
        threshold: stands in the records of parts that were not inspected.
    """

    def __init__(self, settled: Settled, threshold: float) -> None:
        self._settled = settled
        self._threshold = threshold
        self._open: dict[int, Trigger] = {}
        self._changed = threading.Condition(threading.RLock())

    def open(self, trigger: Trigger) -> None:
        """Enter a trigger; from now on it is owed a verdict."""
        with self._changed:
            self._open[trigger.id] = trigger
            self._changed.notify()

    def is_open(self, trigger: Trigger) -> bool:
        """Whether the trigger is still owed a verdict."""
        with self._changed:
            return trigger.id in self._open

    def settle(self, trigger: Trigger, inspection: Inspection) -> bool:
        """Hand on a verdict; False, and nothing happens, when the trigger is settled already.

        A verdict that comes after its deadline becomes NO_VERDICT here, should the timer be late.
        """
        with self._changed:
            if self._open.pop(trigger.id, None) is None:
                return False
            now = time.monotonic_ns()
            if now > trigger.deadline_ns and inspection.verdict is not Verdict.NO_VERDICT:
                inspection = self._late(trigger)
            self._settled(trigger, inspection, now)
            return True

    def give_up(self, trigger: Trigger, cause: Cause, message: str) -> bool:
        """Settle a trigger with NO_VERDICT."""
        return self.settle(trigger, no_verdict(cause, message, self._threshold))

    def expire_until(self, stop: threading.Event) -> None:
        """Settle each trigger at its deadline until `stop` is set; the body of a thread."""
        with self._changed:
            while not stop.is_set():
                now = time.monotonic_ns()
                for trigger in [t for t in self._open.values() if t.deadline_ns <= now]:
                    self.settle(trigger, self._late(trigger))
                following = min((t.deadline_ns for t in self._open.values()), default=None)
                self._changed.wait(None if following is None else (following - now) / 1e9)

    def settle_rest(self, cause: Cause, message: str) -> None:
        """Settle every open trigger with NO_VERDICT."""
        with self._changed:
            for trigger in list(self._open.values()):
                self.give_up(trigger, cause, message)

    def wake(self) -> None:
        """Let `expire_until` look at its event."""
        with self._changed:
            self._changed.notify_all()

    def _late(self, trigger: Trigger) -> Inspection:
        allowed = (trigger.deadline_ns - trigger.opened_ns) / 1e6
        message = f"no verdict within {allowed:.0f} ms of the trigger"
        return no_verdict(Cause.DEADLINE, message, self._threshold)


def no_verdict(cause: Cause, message: str, threshold: float) -> Inspection:
    """The inspection of a part that was not inspected."""
    nothing = np.zeros((0, 0), dtype=np.bool_)
    return Inspection(Verdict.NO_VERDICT, float("nan"), threshold, None, nothing, cause, message)

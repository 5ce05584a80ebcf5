"""The ledger of triggers: each is settled exactly once, at its deadline at the latest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from edge.camera.base import Frame
from edge.inspector import Inspection
from edge.verdict import Cause, Verdict


@dataclass(frozen=True)
class Trigger:
    """One part in front of the camera.

    Attributes:
        trigger_id: unique over all runs.
        captured_utc: when the frame was complete, or when the camera failed.
        captured_ns: the same on the monotonic clock.
        deadline_ns: when a verdict comes too late, on the monotonic clock.
        frame: None when the camera gave none.
        part_id: what the line calls the part; None when it did not say.
    """

    trigger_id: str
    captured_utc: datetime
    captured_ns: int
    deadline_ns: int
    frame: Frame | None
    part_id: str | None = None


@dataclass(frozen=True)
class Settled:
    """A trigger with its final verdict.

    Attributes:
        taken_ns: when the verdict went out to the line, on the monotonic clock.
    """

    trigger: Trigger
    inspection: Inspection
    taken_ns: int


def no_verdict(cause: Cause, message: str) -> Inspection:
    """The inspection of a part that the inspector gave no result for."""
    empty = np.zeros((1, 1), dtype=np.bool_)
    nan = float("nan")
    return Inspection(Verdict.NO_VERDICT, nan, nan, None, empty, cause, message)


class Ledger:
    """Triggers from `open` to the one verdict that `take` gives for each. Safe for threads.

    Args:
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._open: dict[str, Trigger] = {}
        self._settled: deque[tuple[Trigger, Inspection]] = deque()
        self._closed = False

    def open(self, trigger: Trigger) -> None:
        """Enter a trigger, which will have a verdict from now on; ignored after `close`."""
        with self._changed:
            if self._closed:
                return
            self._open[trigger.trigger_id] = trigger
            self._changed.notify_all()

    def is_open(self, trigger: Trigger) -> bool:
        """Whether a trigger has no verdict yet and can still get one in time."""
        with self._changed:
            self._expire_overdue()
            return trigger.trigger_id in self._open

    def settle(self, trigger: Trigger, inspection: Inspection) -> bool:
        """Give a trigger its verdict; False when it has one already, and nothing changes."""
        with self._changed:
            if self._open.pop(trigger.trigger_id, None) is None:
                return False
            self._settled.append((trigger, inspection))
            self._changed.notify_all()
            return True

    def settle_open(self, cause: Cause, message: str) -> None:
        """Give every open trigger NO_VERDICT."""
        with self._changed:
            for trigger in list(self._open.values()):
                self.settle(trigger, no_verdict(cause, message))

    @property
    def is_finished(self) -> bool:
        """Whether it is closed, and every verdict was taken."""
        with self._changed:
            return self._closed and not self._open and not self._settled

    def take(self, timeout_s: float | None = None) -> Settled | None:
        """Wait for the next verdict, in the order they fell.

        None when there was none within `timeout_s`, or when closed and all were taken.

        A trigger that is open at its deadline is given out then, as NO_VERDICT. So is a verdict
        that fell in time and was not taken in time: sent late it would meet the next part.
        """
        ends_ns = None if timeout_s is None else self._clock_ns() + round(timeout_s * 1e9)
        with self._changed:
            while True:
                self._expire_overdue()
                if self._settled:
                    return self._take_first()
                is_late = ends_ns is not None and self._clock_ns() >= ends_ns
                if is_late or (self._closed and not self._open):
                    return None
                self._changed.wait(self._until_next_s(ends_ns))

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Wait until fewer than `size` verdicts are left to take; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._settled) < size, timeout_s)

    def close(self) -> None:
        """No trigger will be opened any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take_first(self) -> Settled:
        trigger, inspection = self._settled.popleft()
        self._changed.notify_all()
        now_ns = self._clock_ns()
        if inspection.cause is None and now_ns >= trigger.deadline_ns:
            inspection = _missed(trigger, "the outputs were still busy with earlier parts")
        return Settled(trigger, inspection, now_ns)

    def _expire_overdue(self) -> None:
        now_ns = self._clock_ns()
        for trigger in list(self._open.values()):
            if now_ns >= trigger.deadline_ns:
                self.settle(trigger, _missed(trigger, "the inspection was not done"))

    def _until_next_s(self, ends_ns: int | None) -> float | None:
        """Until the nearest deadline, or the end of a wait; None when neither comes."""
        moments = [trigger.deadline_ns for trigger in self._open.values()]
        moments += [] if ends_ns is None else [ends_ns]
        return max(0.0, (min(moments) - self._clock_ns()) / 1e9) if moments else None


def _missed(trigger: Trigger, why: str) -> Inspection:
    limit_ms = (trigger.deadline_ns - trigger.captured_ns) / 1e6
    return no_verdict(Cause.DEADLINE, f"no verdict within {limit_ms:g} ms of the frame: {why}")

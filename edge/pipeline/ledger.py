"""The ledger of triggers: each is settled exactly once, at its deadline at the latest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.part.frame import Frame
from edge.part.result import Settled, ViewResult, decisive
from edge.part.trigger import Trigger
from inspection.inspector import Inspection, no_verdict
from inspection.verdict import Cause

PARTS_MAX = 256
"""Parts that wait for their verdict. Of a flood of triggers no more than these are opened."""


@dataclass
class _Part:
    trigger: Trigger
    frames: dict[str, Frame] = field(default_factory=dict)
    results: dict[str, ViewResult] = field(default_factory=dict)

    @property
    def lacks_frames(self) -> bool:
        return len(self.frames.keys() | self.results.keys()) < len(self.trigger.recipes)

    @property
    def views(self) -> tuple[ViewResult, ...]:
        """The results so far, in the order of the configuration."""
        return tuple(self.results[view] for view in self.trigger.recipes if view in self.results)

    def judge(self, view: str, inspection: Inspection, now_ns: int) -> None:
        """Notes the result of a view, unless it has one."""
        recipe = self.trigger.recipes[view]
        result = ViewResult(view, recipe, self.frames.get(view), inspection, now_ns)
        self.results.setdefault(view, result)


class Ledger:
    """Triggers from `open` to the one verdict that `take` gives for each. Safe for threads.

    A part has its verdict when all of its views were reported, when it is settled as a whole, or at
    its deadline. The verdicts leave in the order of the triggers, by which a PLC counts its parts:
    a part that is settled early waits for those before it, whose deadlines are earlier.

    A thread takes its lock as the last one, and waits for nothing while it holds it.

    Args:
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._open: dict[str, _Part] = {}
        self._settled: dict[str, tuple[_Part, Inspection]] = {}
        self._order: deque[str] = deque()  # of the triggers that were not taken
        self._in_hand = 0
        self._unfinished = 0
        self._is_woken = False
        self._unnoted: set[str] = set()
        self._closed = False

    def open(self, trigger: Trigger, is_noted: bool = True) -> None:
        """Enters a trigger, which gets a verdict from now on; ignored after `close`.

        Args:
            is_noted: whether `wait_until_noted` need not wait for `note`.
        """
        with self._changed:
            if self._closed:
                return
            self._open[trigger.trigger_id] = _Part(trigger)
            self._order.append(trigger.trigger_id)
            self._in_hand += 1
            if not is_noted:
                self._unnoted.add(trigger.trigger_id)
            self._changed.notify_all()

    def note(self, trigger: Trigger) -> None:
        """Marks a trigger as noted."""
        with self._changed:
            self._unnoted.discard(trigger.trigger_id)
            self._changed.notify_all()

    def wait_until_noted(self, trigger: Trigger) -> None:
        """Waits until a trigger is noted, or until its deadline."""
        with self._changed:
            left_s = (trigger.deadline_ns - self._clock_ns()) / 1e9
            self._changed.wait_for(lambda: trigger.trigger_id not in self._unnoted, left_s)

    def is_open(self, trigger: Trigger) -> bool:
        """Returns whether a trigger has no verdict yet and can still get one in time."""
        with self._changed:
            self._expire_overdue()
            return trigger.trigger_id in self._open

    def attach(self, trigger: Trigger, view: str, frame: Frame) -> bool:
        """Adds the frame of a view; False when it came too late."""
        with self._changed:
            self._expire_overdue()
            part = self._open.get(trigger.trigger_id)
            if part is None or view in part.results:
                return False
            part.frames[view] = frame
            return True

    def report(self, trigger: Trigger, view: str, inspection: Inspection) -> bool:
        """Adds the result of a view; False when the part or the view is settled already."""
        with self._changed:
            self._expire_overdue()
            part = self._open.get(trigger.trigger_id)
            if part is None or view in part.results:
                return False
            part.judge(view, inspection, self._clock_ns())
            self._settle_judged(part)
            return True

    def settle(self, trigger: Trigger, inspection: Inspection) -> bool:
        """Settles a part as a whole; False when it has its verdict already."""
        with self._changed:
            part = self._open.get(trigger.trigger_id)
            if part is None:
                return False
            for view in part.trigger.recipes:
                part.judge(view, inspection, self._clock_ns())
            self._settle(part, inspection)
            return True

    def settle_open(self, cause: Cause, message: str) -> None:
        """Gives every open trigger NO_VERDICT."""
        with self._changed:
            for part in list(self._open.values()):
                self.settle(part.trigger, no_verdict(cause, message))

    @property
    def is_finished(self) -> bool:
        """Whether the ledger is closed, and every verdict was taken."""
        with self._changed:
            return self._closed and not self._order

    def take(self, timeout_s: float | None = None) -> Settled | None:
        """Waits for the next verdict, in the order of the triggers.

        None when there was none within `timeout_s` or before `wake`, or when closed and all were
        taken. A trigger that is open at its deadline leaves then, as NO_VERDICT.
        """
        ends_ns = None if timeout_s is None else self._clock_ns() + round(timeout_s * 1e9)
        with self._changed:
            while True:
                self._expire_overdue()
                if (settled := self._take_first()) is not None:
                    return settled
                is_late = ends_ns is not None and self._clock_ns() >= ends_ns
                if is_late or self._is_woken or self.is_finished:
                    self._is_woken = False
                    return None
                self._changed.wait(self._until_next_s(ends_ns))

    def wake(self) -> None:
        """Lets `take` return at once, the present call or the next."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def hand_out(self) -> None:
        """Marks that one of the verdicts that were taken waits at the outputs."""
        with self._changed:
            self._in_hand -= 1

    @property
    def has_parts_in_hand(self) -> bool:
        """Whether a part has a trigger, and no verdict that waits at the outputs or was told."""
        return self._in_hand > 0

    def finish(self) -> None:
        """Marks that the outputs were told one of the verdicts that were taken."""
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    @property
    def is_crowded(self) -> bool:
        """Whether so many parts wait for their verdict that a further one must not be opened."""
        return len(self._order) >= PARTS_MAX

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Waits until fewer than `size` verdicts are untold; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._settled) + self._unfinished < size, timeout_s
            )

    def close(self) -> None:
        """Opens no more triggers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _settle_judged(self, part: _Part) -> None:
        """Settles a part when each of its views has a result."""
        if len(part.results) == len(part.trigger.recipes):
            self._settle(part, decisive(part.views).inspection)

    def _settle(self, part: _Part, inspection: Inspection) -> None:
        del self._open[part.trigger.trigger_id]
        self._settled[part.trigger.trigger_id] = part, inspection
        self._changed.notify_all()

    def _take_first(self) -> Settled | None:
        if not self._order or self._order[0] not in self._settled:
            return None
        part, inspection = self._settled.pop(self._order.popleft())
        self._unfinished += 1
        self._changed.notify_all()
        return Settled(part.trigger, inspection, part.views, self._clock_ns())

    def _expire_overdue(self) -> None:
        now_ns = self._clock_ns()
        for part in list(self._open.values()):
            if now_ns >= part.trigger.deadline_ns:
                self.settle(part.trigger, _missed(part.trigger))
            elif now_ns >= part.trigger.frames_due_ns and part.lacks_frames:
                self._report_frameless(part)

    def _report_frameless(self, part: _Part) -> None:
        """Gives NO_VERDICT to the views whose frame did not come."""
        cause = Cause.VIEW_MISSING if part.frames else Cause.NO_FRAME
        limit_ms = (part.trigger.frames_due_ns - part.trigger.triggered_ns) / 1e6
        message = f"no frame within {limit_ms:g} ms of the trigger"
        for view in part.trigger.recipes:
            if view not in part.frames:
                part.judge(view, no_verdict(cause, message), self._clock_ns())
        self._settle_judged(part)

    def _until_next_s(self, ends_ns: int | None) -> float | None:
        """Seconds until the next moment to act, or the end of a wait; None when neither comes."""
        moments = [part.trigger.deadline_ns for part in self._open.values()]
        moments += [part.trigger.frames_due_ns for part in self._open.values() if part.lacks_frames]
        moments += [] if ends_ns is None else [ends_ns]
        return max(0.0, (min(moments) - self._clock_ns()) / 1e9) if moments else None


def _missed(trigger: Trigger) -> Inspection:
    limit_ms = (trigger.deadline_ns - trigger.triggered_ns) / 1e6
    why = "the inspection was not done"
    return no_verdict(Cause.DEADLINE, f"no verdict within {limit_ms:g} ms of the trigger: {why}")

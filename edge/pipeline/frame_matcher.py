"""Which part a frame belongs to: the one that waits, or an earlier one that still owes it.

One part at a time waits for its frames. Each view gives it one, within the frame limit of the
trigger; a later frame is not taken for the next part's:

- a part that a further one overtakes, or whose time is over, is closed as it is;
- each view it still lacks then owes a frame, and the next one of that view is thrown away when it
  comes within one more frame limit, counted from the end of the exposure where that comes later;
- a camera that the station exposes is not exposed while it owes a frame: see `FrameMatcher.owes`;
- any other camera goes on. A frame that is thrown away then may have been the next part's own. When
  a trigger announced that part, and it waits for its whole time and gets no other one, it was, and
  the part owes none. Where frames announce the parts, it may have come before its part, as one of
  the part before: the part owes its frame.

So a lost frame costs a few parts their verdict, and not all that follow; unless nobody exposes and
parts come within one frame limit of each other, or within two of them where frames announce the
parts: then no order of frames shows which part lacks its own, and none is taken before a pause.

No part gets the frame of another, as long as a frame is late by less than twice the frame limit;
where the station does not expose, frames of two parts in a row must not both come later than their
limit and after the next part.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edge.part.shot import PartInspector
from edge.part.trigger import Trigger

_log = logging.getLogger(__name__)


@dataclass
class WaitingPart:
    """A part whose frames are coming in.

    Attributes:
        inspectors: of each view, chosen at the trigger.
        lacking: the views whose frame is still to come.
        refusal: why it is not inspected; empty when it is.
    """

    trigger: Trigger
    inspectors: Mapping[str, PartInspector]
    lacking: set[str]
    refusal: str = ""


class _Debt(NamedTuple):
    """A frame that a closed part still owes, and the end of the time in which it may come."""

    part: WaitingPart
    until_ns: int


class FrameMatcher:
    """The part that waits, and the frames that earlier parts owe. One thread at a time calls it.

    Args:
        frame_limit_ns: time after the closing of its part in which a frame is owed.
        by_frames: whether the first frame of a part announces it; else a frame follows its trigger.
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(
        self, frame_limit_ns: int, *, by_frames: bool, clock_ns: Callable[[], int]
    ) -> None:
        self._frame_limit_ns = frame_limit_ns
        self._by_frames = by_frames
        self._clock_ns = clock_ns
        self._part: WaitingPart | None = None
        self._debts: defaultdict[str, deque[_Debt]] = defaultdict(deque)
        self._paid_ns: dict[str, int] = {}  # when each view's newest owed frame was complete
        self._begun_ns: int | None = None
        self._has_warned = False

    @property
    def part(self) -> WaitingPart | None:
        """The part that frames may still come in for; None when none lacks any."""
        self._close_done()
        return self._part

    def begin(self, part: WaitingPart) -> None:
        """Let frames come in for a part, which overtakes the one that waits."""
        self._close_done()
        if self._part is not None:
            self._close(self._part)
        self._part = part

    def watch_pace(self, part: WaitingPart) -> None:
        """Warn once when an owed frame may come as late as that of the next part."""
        if self._by_frames and len(part.inspectors) == 1:
            return  # it has its frame already
        begun_ns, self._begun_ns = self._begun_ns, part.trigger.triggered_ns
        if begun_ns is None or self._has_warned:
            return
        apart_ns = part.trigger.triggered_ns - begun_ns
        if apart_ns < 2 * self._frame_limit_ns:
            self._has_warned = True
            _log.warning(
                "two parts came within %.0f ms, and a frame may take %g ms: a lost frame costs the "
                "parts after it their verdict too. Set trigger.frame_limit_ms below half of the "
                "time between two parts",
                *(apart_ns / 1e6, self._frame_limit_ns / 1e6),
            )

    def owes(self, view: str) -> bool:
        """Whether an earlier part's frame may still come; one of a new exposure may be it."""
        self._close_done()
        return bool(self._due(view))

    def was_owed(self, view: str, came_ns: int) -> bool:
        """Whether a frame that came belongs to an earlier part. Ask once for each frame.

        Args:
            came_ns: when it was complete.
        """
        self._close_done()  # an overdue part owes the frame from now on
        if not self._due(view):
            return False
        self._settle_first(view)
        self._paid_ns[view] = came_ns
        return True

    def owe(self, view: str, part: WaitingPart) -> None:
        """Expect a frame of an earlier part, whose exposure has only ended now."""
        earlier = [debt for debt in self._due(view) if debt.part is not part]
        self._debts[view] = deque([*earlier, _Debt(part, self._clock_ns() + self._frame_limit_ns)])

    def forgive(self, view: str) -> None:
        """Expect no earlier frame of a view: its camera is lost."""
        while self._debts[view]:
            self._settle_first(view)

    def _due(self, view: str) -> deque[_Debt]:
        """The frames of a view that may still come, those of the earliest part first."""
        debts = self._debts[view]
        while debts and self._clock_ns() >= debts[0].until_ns:
            debts.popleft()  # an exposure that ends later owes its frame all the same
        return debts

    def _settle_first(self, view: str) -> None:
        debt = self._debts[view].popleft()
        debt.part.lacking.discard(view)  # an exposure that ends later owes nothing

    def _close_done(self) -> None:
        """Close a part that lacks no frame or whose time is over."""
        part = self._part
        if part is None:
            return
        if not part.lacking or self._clock_ns() >= part.trigger.frames_due_ns:
            self._close(part)

    def _close(self, part: WaitingPart) -> None:
        self._part = None
        closed_ns = min(self._clock_ns(), part.trigger.frames_due_ns)
        for view in part.lacking:
            if not self._has_paid_for_another(part, view):
                self._due(view).append(_Debt(part, closed_ns + self._frame_limit_ns))

    def _has_paid_for_another(self, part: WaitingPart, view: str) -> bool:
        """Whether the frame of an announced part was thrown away as that of an earlier one.

        A part that is overtaken has not waited for its whole time: its frame may still come.
        """
        if self._by_frames or self._clock_ns() < part.trigger.frames_due_ns:
            return False
        return self._paid_ns.get(view, -1) >= part.trigger.triggered_ns

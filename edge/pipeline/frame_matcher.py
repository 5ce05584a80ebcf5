"""Which part a frame belongs to: the one that waits, or an earlier one that still owes it.

One part at a time waits for its frames. Each view gives it one, within the frame limit of the
trigger; a later frame is not taken for the next part's:

- a part that a further one overtakes, or whose time is over, is closed as it is;
- each view it still lacks then owes a frame, and the next one of that view is thrown away when it
  comes within one more frame limit, counted from the end of the exposure where that comes later.

So a lost or late frame costs parts their verdict and gives none the frame of another, as long as
it is late by less than the time between two parts without the frame limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edge.part.shot import PartInspector
from edge.part.trigger import Trigger


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
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(self, frame_limit_ns: int, clock_ns: Callable[[], int]) -> None:
        self._frame_limit_ns = frame_limit_ns
        self._clock_ns = clock_ns
        self._part: WaitingPart | None = None
        self._debts: dict[str, _Debt] = {}

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

    def was_owed(self, view: str) -> bool:
        """Whether a frame that came belongs to an earlier part. Ask once for each frame."""
        self._close_done()  # an overdue part owes the frame from now on
        debt = self._settle_debt(view)
        return debt is not None and self._clock_ns() < debt.until_ns

    def owe(self, view: str, part: WaitingPart) -> None:
        """Expect a frame of an earlier part, whose exposure has only ended now."""
        self._debts[view] = _Debt(part, self._clock_ns() + self._frame_limit_ns)

    def forgive(self, view: str) -> None:
        """Expect no earlier frame of a view: its camera is lost."""
        self._settle_debt(view)

    def _settle_debt(self, view: str) -> _Debt | None:
        debt = self._debts.pop(view, None)
        if debt is not None:
            debt.part.lacking.discard(view)  # an exposure that ends later owes nothing
        return debt

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
        debt = _Debt(part, closed_ns + self._frame_limit_ns)
        self._debts |= dict.fromkeys(part.lacking, debt)

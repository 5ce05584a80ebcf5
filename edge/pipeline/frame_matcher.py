"""Which frame belongs to which part.

One part at a time waits for its frames. Each view gives it one, within the frame limit of the
trigger; a frame that comes later is not taken for the next part's:

- a part that a further one overtakes, or whose time is over, is closed as it is;
- each view it still lacks owes a frame then, and the next one of that view is thrown away when it
  comes within one more frame limit.

So a lost or late frame costs parts their verdict and gives none the frame of another, as long as
it is late by less than the time between two parts without the frame limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.part.trigger import Trigger
from edge.pipeline.views import PartInspector


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


class FrameMatcher:
    """The part that waits, and the frames that those before it owe. One thread at a time calls it.

    Args:
        frame_limit_ns: for how long after its part was closed a frame is owed.
        clock_ns: monotonic clock in nanoseconds.
    """

    def __init__(self, frame_limit_ns: int, clock_ns: Callable[[], int]) -> None:
        self._frame_limit_ns = frame_limit_ns
        self._clock_ns = clock_ns
        self._part: WaitingPart | None = None
        self._owed_until_ns: dict[str, int] = {}

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
        """Whether the frame that came is that of an earlier part. Ask once for each frame."""
        self._close_done()  # what is overdue owes the frame from now on
        return self._clock_ns() < self._owed_until_ns.pop(view, 0)

    def forgive(self, view: str) -> None:
        """The camera of a view is lost, and with it the frames it owed."""
        self._owed_until_ns.pop(view, None)

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
        until_ns = closed_ns + self._frame_limit_ns
        self._owed_until_ns |= dict.fromkeys(part.lacking, until_ns)

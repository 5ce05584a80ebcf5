"""A part with its final verdict."""

from __future__ import annotations

from dataclasses import dataclass

from edge.part.trigger import Trigger
from edge.part.view import ViewResult
from inspection.inspector import Inspection


@dataclass(frozen=True)
class Settled:
    """A trigger with its final verdict.

    Attributes:
        inspection: the verdict on the part: that of one of the views, or NO_VERDICT for the part
            as a whole.
        views: the result of each view, in the order of the configuration.
        taken_ns: when the verdict went out to the line, on the monotonic clock.
    """

    trigger: Trigger
    inspection: Inspection
    views: tuple[ViewResult, ...]
    taken_ns: int

    @property
    def decisive(self) -> ViewResult:
        """The view whose inspection is the part's; the first view when there is none."""
        deciding = (result for result in self.views if result.inspection is self.inspection)
        return next(deciding, self.views[0])

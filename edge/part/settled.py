"""A part with its final verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.part.trigger import Trigger
from edge.part.view import ViewResult
from inspection.inspector import Inspection
from inspection.verdict import Cause, Thresholds, Verdict


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


def no_verdict(cause: Cause, message: str) -> Inspection:
    """The inspection of a part that the inspector gave no result for."""
    empty = np.zeros((1, 1), dtype=np.bool_)
    nan = float("nan")
    return Inspection(Verdict.NO_VERDICT, nan, Thresholds(nan, nan), None, empty, cause, message)

"""The result of a part: of each view, and of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.part.frame import Frame
from edge.part.trigger import Trigger
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection
from inspection.verdict import OF_SEVERAL_VIEWS

ONLY_VIEW = "main"  # the name where a line has a single camera


@dataclass(frozen=True)
class ViewResult:
    """The result of one view of a part.

    Attributes:
        recipe: the recipe, artefact and thresholds behind the inspection.
        frame: None when the camera gave none.
        judged_ns: when the view had its result, on the monotonic clock.
    """

    view: str
    recipe: RecipeIdentity
    frame: Frame | None
    inspection: Inspection
    judged_ns: int


def decisive(results: Sequence[ViewResult]) -> ViewResult:
    """Returns the view that decides on the part: the worst of REJECT, NO_VERDICT, REVIEW, PASS.

    Of equal ones the first.
    """
    return max(results, key=lambda result: OF_SEVERAL_VIEWS.index(result.inspection.verdict))


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

"""What one camera's view says of a part, and which view decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.part.frame import Frame
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection
from inspection.verdict import Verdict

ONLY_VIEW = "main"  # the name where a line has a single camera

# A defect that one view saw stays one whatever another view would show, so REJECT stands above
# NO_VERDICT: the fail-safe action for a part that nobody judged must not let a known defect pass.
# A side that was not judged may hide one, so NO_VERDICT stands above REVIEW.
_SEVERITY = (Verdict.PASS, Verdict.REVIEW, Verdict.NO_VERDICT, Verdict.REJECT)


@dataclass(frozen=True)
class ViewResult:
    """What one view says of a part.

    Attributes:
        recipe: what the inspection rests on.
        frame: None when the camera gave none.
        judged_ns: when the view had its result, on the monotonic clock.
    """

    view: str
    recipe: RecipeIdentity
    frame: Frame | None
    inspection: Inspection
    judged_ns: int


def decisive(results: Sequence[ViewResult]) -> ViewResult:
    """The view that decides on the part: the worst of REJECT, NO_VERDICT, REVIEW, PASS.

    The first one of those that say the same.
    """
    return max(results, key=lambda result: _SEVERITY.index(result.inspection.verdict))

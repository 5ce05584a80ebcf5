"""The views of a part: one camera each, and the inspector that judges what it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge.calibrated import RecipeIdentity
from edge.camera.base import Camera, Frame
from edge.inspector import Inspection, Prepared
from edge.verdict import Verdict

ONLY_VIEW = "main"  # the name where a line has a single camera

# A defect that one view saw stays one whatever another view would show, so REJECT stands above
# NO_VERDICT: the fail-safe action for a part that nobody judged must not let a known defect pass.
# A side that was not judged may hide one, so NO_VERDICT stands above REVIEW.
_SEVERITY = (Verdict.PASS, Verdict.REVIEW, Verdict.NO_VERDICT, Verdict.REJECT)


class PartInspector(Protocol):
    """What the pipeline needs of `edge.Inspector`; nothing raises for a frame or an engine."""

    @property
    def identity(self) -> RecipeIdentity:
        """What its verdicts rest on."""

    def prepare(self, frame: npt.NDArray[np.uint8]) -> Prepared:
        """Preprocess one frame, while `infer` runs on another thread."""

    def infer(self, prepared: Prepared) -> Inspection:
        """Judge it; on the thread that owns the engine."""

    def warm(self) -> None:
        """Run the engine without a part; EngineError when it failed."""


class ViewCamera(NamedTuple):
    """A camera, and what exposes it where it does not expose by itself; see `View`."""

    camera: Camera
    expose: Callable[[], None] | None = None


@dataclass
class View:
    """One camera's view of every part.

    Attributes:
        camera: opened and closed by the pipeline. A changeover may replace it, with `expose`.
        inspector: stays its opener's. `Intake.change_inspectors` replaces it: each part is judged
            by the one that stood here at its trigger.
        expose: makes the camera take one frame, from any thread; CameraError when it does not. None
            where the camera takes them by itself.
    """

    name: str
    camera: Camera
    inspector: PartInspector
    expose: Callable[[], None] | None = None


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

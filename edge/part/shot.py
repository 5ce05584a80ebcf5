"""One frame on its way through the pipeline, with the inspector that judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge.part.frame import Frame
from edge.part.trigger import Trigger
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection
from inspection.layout import PreparedFrame


class PartInspector(Protocol):
    """The methods of `inspection.Inspector` that a pipeline uses. Only `warm` raises."""

    @property
    def identity(self) -> RecipeIdentity:
        """The recipe, artefact and thresholds behind its verdicts."""

    @property
    def engines(self) -> tuple[object, ...]:
        """Its engines, in the order in which they see a part; views may share them."""

    def prepare(self, frame: npt.NDArray[np.uint8]) -> PreparedFrame | Inspection:
        """Preprocess one frame, while `infer` runs on another thread; NO_VERDICT refuses it."""

    def infer(self, prepared: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
        """Judge it; `deadline_ns` is that of its part, on the monotonic clock."""

    def warm(self, engine: object) -> None:
        """Run one of its engines without a part; raises EngineError when it fails."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame of a part, and the inspector that was in force at the trigger."""

    trigger: Trigger
    view: str
    frame: Frame
    inspector: PartInspector

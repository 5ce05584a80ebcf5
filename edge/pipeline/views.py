"""The views of a part: one camera each, and the inspector that judges what it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge.camera.base import Camera
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection, Prepared


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

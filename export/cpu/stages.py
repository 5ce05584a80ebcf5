"""The times of the steps around an engine: preparing a frame, and deciding on its map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from export.timing import RUNS, WARM_UP, Image
from inspection.bundle import Bundle, calibrated_recipes
from inspection.engine import Prediction
from inspection.golden import GoldenFrame, golden_frames
from inspection.inspector import Inspector
from inspection.verdict import Verdict


@dataclass(frozen=True)
class Stages:
    """Median milliseconds of the steps around an engine, which are the same for all engines.

    Attributes:
        frames: number of native frames that were measured in turn.
        height, width: their size in pixels.
        decide_ms: on the golden frame with the highest score, whose mask takes the most time.
        has_zones: True when the recipe has zones, and so no first stage.
    """

    recipe: str
    frames: int
    height: int
    width: int
    preprocess_ms: float
    decide_ms: float
    has_zones: bool

    @property
    def both_ms(self) -> float:
        """Returns the time that an inspection takes beside its engine."""
        return self.preprocess_ms + self.decide_ms


def stages_around_engine(bundle: Bundle, recipe: str, frames: Sequence[Image]) -> Stages | None:
    """Times the steps around an engine with the layout, zones and thresholds of a recipe.

    Args:
        frames: native frames, uint8 (H, W) grey or (H, W, 3) BGR. Those on which the recipe finds
            no part are left out, and those of another size than the first one that is left.

    Returns:
        None when the recipe is not calibrated, or no frame is left.

    Raises:
        BundleError: the calibration was changed.
    """
    if recipe not in calibrated_recipes(bundle.folder):
        return None
    calibration = bundle.read_calibration(bundle.calibration_path(recipe), "calibrate again")
    worst = max(golden_frames(bundle), key=lambda frame: frame.score)
    with Inspector(bundle, calibration, _Answering(worst)) as inspector:
        taken = [f for f in frames if inspector.inspect(f).verdict is not Verdict.NO_VERDICT]
        taken = [frame for frame in taken if frame.shape == taken[0].shape]
        measured = [
            inspector.inspect(frame).times for frame in islice(cycle(taken), WARM_UP + RUNS)
        ][WARM_UP:]
    if not measured:
        return None
    return Stages(
        recipe=recipe,
        frames=len(taken),
        height=taken[0].shape[0],
        width=taken[0].shape[1],
        preprocess_ms=float(np.median([times.preprocess_ns for times in measured])) / 1e6,
        decide_ms=float(np.median([times.decide_ns for times in measured])) / 1e6,
        has_zones=calibration.has_zones,
    )


class _Answering:
    """An engine that takes no time: it gives the expected result of one golden frame."""

    def __init__(self, frame: GoldenFrame) -> None:
        scores = np.array([frame.score], np.float32)
        self._answer = Prediction(scores, frame.map[np.newaxis])

    def infer(self, batch: Image, deadline_ns: int | None = None) -> Prediction:  # noqa: ARG002
        """Implements `Engine.infer`."""
        return self._answer

    def close(self) -> None:
        """Implements `Engine.close`."""

"""Drawn defects through a calibrated bundle: the obvious ones must not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inspection.errors import named
from inspection.images import read_frame
from inspection.inspector import Inspector
from inspection.verdict import Verdict
from training.comparison_pictures import dealt, drawn_on, wanted_defects
from training.config import TrainConfig
from training.drawn_defects import CONTRASTS
from training.part_mask import ground_of

_DRAWN = 30
_MOST_IMAGES = 10
# Other defects than those that chose the model.
_SEED_OFFSET = 1


class ObviousDefects(NamedTuple):
    """Verdicts on good images with an obvious drawn defect.

    Attributes:
        drawn: number of defects of each kind.
        passed: number of those that passed.
    """

    drawn: Counter[str]
    passed: Counter[str]

    def lines(self) -> list[str]:
        """Returns the result for the user; a warning names the kinds that pass."""
        total, passed = self.drawn.total(), self.passed.total()
        if not passed:
            return [f"rejects all {total} obvious defects drawn on good images"]
        kinds = named([f"{self.passed[k]} of {self.drawn[k]} {k}" for k in sorted(self.passed)])
        escapes = f"{passed} of {total} obvious defects drawn on good images: {kinds}"
        advice = (
            "such real defects would pass too; a larger input (--smallest-defect-px) shows smaller "
            "ones, and more good images teach what is usual"
        )
        return [f"warning: passes {escapes}", f"  {advice}"]


def inspect_obvious_defects(
    inspector: Inspector, good: Sequence[Path], config: TrainConfig, *, smallest_px: float
) -> ObviousDefects:
    """Draws obvious defects on good images and inspects them.

    Args:
        good: images of the calibration.
        config: of the training, for the seed and the inspected part of the frames.
        smallest_px: as for `draw_defect`.
    """
    window = config.data.window
    frames = [read_frame(path, window) for path in good[:_MOST_IMAGES]]
    crop = config.data.crop
    shown = frames if crop is None else [crop.of(frame) for frame in frames]
    ground = ground_of(shown)
    result = ObviousDefects(Counter(), Counter())
    defects = dealt(wanted_defects(_DRAWN, ["obvious"]), range(len(frames)))
    seed = config.fit.seed + _SEED_OFFSET
    for wanted, number in zip(defects.wanted, defects.images, strict=True):
        defect = drawn_on(shown[number], ground, wanted, seed=seed, smallest_px=smallest_px)
        if defect.contrast < CONTRASTS["obvious"].least:
            continue  # a piece that looks like the place that it is pasted to
        frame = defect.frame
        if crop is not None:
            frame = frames[number].copy()
            crop.of(frame)[...] = defect.frame
        result.drawn[wanted.kind] += 1
        if inspector.inspect(frame).verdict is Verdict.PASS:
            result.passed[wanted.kind] += 1
    return result

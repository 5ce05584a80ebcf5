"""Drawn defects through a calibrated bundle: the obvious ones must not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from inspection.errors import named
from inspection.images import read_image
from inspection.inspector import Inspector
from inspection.verdict import Verdict
from training.comparison_pictures import drawn_on, wanted_defects

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
            return [f"rejects all {total} obvious defects drawn on held-out good images"]
        kinds = named([f"{self.passed[k]} of {self.drawn[k]} {k}" for k in sorted(self.passed)])
        escapes = f"{passed} of {total} obvious defects drawn on held-out good images: {kinds}"
        advice = (
            "such real defects would pass too; try more --minutes, a larger --size, more images"
        )
        return [f"warning: passes {escapes}", f"  {advice}"]


def inspect_obvious_defects(
    inspector: Inspector, held_out: Sequence[Path], *, seed: int, width: float | None = None
) -> ObviousDefects:
    """Draws obvious defects on good images and inspects them.

    Args:
        held_out: good images that the model has not learnt.
        width: as for `draw_defect`.
    """
    images = held_out[:_MOST_IMAGES]
    result = ObviousDefects(Counter(), Counter())
    for path, wanted in zip(images, wanted_defects(len(images), _DRAWN, ["obvious"]), strict=True):
        defects = drawn_on(read_image(path), wanted, seed=seed + _SEED_OFFSET, width=width)
        for one, defect in zip(wanted, defects, strict=True):
            result.drawn[one.kind] += 1
            if inspector.inspect(defect.frame).verdict is Verdict.PASS:
                result.passed[one.kind] += 1
    return result

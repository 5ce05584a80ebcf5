"""Escapes, when defects are at hand: their rate with bounds.

Never required: thresholds come from good parts. What is said here holds for defects like those at
hand; kinds that are missing among them, or rarer on the line than among them, it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from calibration.scores import score_images
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import CameraError
from inspection.images import list_images
from inspection.inspector import open_engine
from reports.proportion import Proportion, proportion


def escape_rate(
    values: Sequence[Sequence[float]], thresholds: Sequence[float], *, confidence: float
) -> Proportion:
    """Share of defective parts that pass: those that exceed the threshold of no zone.

    Args:
        values: of each part, its value in each zone; a single one without zones. Independent parts
            that set neither the model nor the thresholds.
    """
    escaped = sum(all(v <= t for v, t in zip(part, thresholds, strict=True)) for part in values)
    return proportion(escaped, len(values), confidence=confidence)


def defect_values(
    bundle: Bundle, calibration: Calibration, folders: Sequence[Path], *, engine: str
) -> list[tuple[float, ...]]:
    """The values of images of defective parts, measured as the calibration was, see `escape_rate`.

    Images that the model was trained on, or that repeat another, are left out.

    Raises:
        CameraError: a folder or an image that cannot be used, or nothing is left.
        EngineError: the artefact does not run.
    """
    images = [path for folder in folders for path in list_images(folder)]
    with closing(open_engine(bundle, engine=engine, artefact=calibration.artefact)) as opened:
        scored = score_images(
            images,
            opened,
            bundle.manifest.preprocessing,
            calibration.layout,
            exclude=bundle.trained_on(),
        )
    if not scored.scores:
        raise CameraError(f"the model was trained on all {len(images)} images of defective parts")
    return [score.values for score in scored.scores]

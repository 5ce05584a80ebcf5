"""The escape rate with its bounds, where there are images of defective parts.

A calibration needs none: thresholds come from good parts. The rate holds for defects like those in
the images. It says nothing about kinds that are missing there, or that the line sees more rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from calibration.scores import CountedImages, score_images
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import CameraError
from inspection.opening import open_engine
from reports.proportion import Proportion, proportion


def escape_rate(
    values: Sequence[Sequence[float]], thresholds: Sequence[float], *, confidence: float
) -> Proportion:
    """Returns the share of defective parts that pass: they exceed the threshold of no zone.

    Args:
        values: for each part, its value in each zone; a single one without zones. The parts are
            independent, and neither the model nor the thresholds come from them.
    """
    escaped = sum(all(v <= t for v, t in zip(part, thresholds, strict=True)) for part in values)
    return proportion(escaped, len(values), confidence=confidence)


def defect_values(
    bundle: Bundle,
    calibration: Calibration,
    images: Sequence[Path],
    *,
    engine: str | None,
) -> list[tuple[float, ...]]:
    """Measures images of defective parts as the calibration measured good ones.

    It leaves out images that the model was trained on, or that repeat another.

    Returns:
        the values for `escape_rate`.

    Raises:
        CameraError: an image cannot be used, or no image is left.
        EngineError: the artefact does not run.
    """
    engine = engine or calibration.engine or None
    with closing(open_engine(bundle, engine=engine, artefact=calibration.artefact)) as opened:
        scored = score_images(
            images,
            opened,
            bundle.manifest.preprocessing,
            calibration.layout,
            counted=CountedImages(bundle.trained_on()),
        )
    if not scored.scores:
        raise CameraError(f"the model was trained on all {len(images)} images of defective parts")
    return [score.values for score in scored.scores]

"""The escape rate with its bounds, where there are images of defective parts.

A calibration needs none: thresholds come from good parts. The rate holds for defects like those in
the images. It says nothing about kinds that are missing there, or that the line sees more rarely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        values: those of `defect_values`. The parts are independent, and neither the model nor the
            thresholds come from them.
    """
    escaped = sum(all(v <= t for v, t in zip(part, thresholds, strict=True)) for part in values)
    return proportion(escaped, len(values), confidence=confidence)


def defect_values(
    bundle: Bundle,
    calibration: Calibration,
    images: Sequence[Path],
    *,
    engine: str | None,
    part_of: Callable[[Path], str] | None = None,
) -> list[tuple[float, ...]]:
    """Measures images of defective parts as the calibration measured good ones.

    It leaves out images that the model was trained on, all others of their parts, and images that
    repeat another.

    Args:
        part_of: names the part that an image shows, within its folder; the highest value of its
            images counts. None when every image is another part.

    Returns:
        for each part, its value in each zone; a single one without zones. A part without a verdict
        has infinite values: the line sets it aside, so that it does not pass.

    Raises:
        CameraError: an image cannot be used, or no image is left.
        EngineError: the artefact does not run.
    """
    engine = engine or calibration.engine or None
    in_folder = None if part_of is None else _within_folders(part_of)
    with closing(open_engine(bundle, engine=engine, artefact=calibration.artefact)) as opened:
        scored = score_images(
            images,
            opened,
            bundle.manifest.preprocessing,
            calibration.layout,
            counted=CountedImages(bundle.trained_on(), part_of=in_folder),
            may_lack_verdict=True,
        )
    if not (scored.scores or scored.no_verdict):
        raise CameraError(f"the model was trained on all {len(images)} images of defective parts")
    set_aside = (math.inf,) * (len(calibration.zone_thresholds) or 1)
    parts: dict[str, tuple[float, ...]] = {}
    for path, values in (
        *((score.path, score.values) for score in scored.scores),
        *((path, set_aside) for path in scored.no_verdict),
    ):
        part = (in_folder or str)(path)
        parts[part] = tuple(map(max, values, parts.get(part, values)))
    return list(parts.values())


def _within_folders(part_of: Callable[[Path], str]) -> Callable[[Path], str]:
    """Names the parts of several folders, each with its own."""
    return lambda path: f"{path.parent}/{part_of(path)}"

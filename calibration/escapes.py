"""Escapes, when defects are at hand: their rate with bounds.

Never required: thresholds come from good parts. What is said here holds for defects like those at
hand; kinds that are missing among them, or rarer on the line than among them, it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import beta

from calibration.scores import score_images
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import CameraError, ConfigError
from inspection.images import list_images
from inspection.inspector import open_engine


@dataclass(frozen=True)
class Proportion:
    """A count out of a total with its Clopper-Pearson (1934) bounds.

    Attributes:
        lower: holds at `confidence` by itself.
        upper: holds at `confidence` by itself; the two together at 2 * confidence - 1.
    """

    count: int
    total: int
    lower: float
    upper: float
    confidence: float

    @property
    def rate(self) -> float:
        """The observed share."""
        return self.count / self.total


def proportion(count: int, total: int, *, confidence: float) -> Proportion:
    """Exact bounds of a binomial share, each one-sided at the confidence.

    Args:
        total: number of independent parts, at least 1.

    Raises:
        ConfigError: no parts, or a confidence outside 0.5 to 1.
    """
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"the confidence is {confidence}: it lies between 0.5 and 1, like 0.95")
    if not 0 <= count <= total or total == 0:
        raise ConfigError(f"{count} of {total} parts is no share: bring at least one part")
    lower = float(beta.ppf(1 - confidence, count, total - count + 1)) if count else 0.0
    upper = float(beta.ppf(confidence, count + 1, total - count)) if count < total else 1.0
    return Proportion(count, total, lower, upper, confidence)


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

"""From a bundle and good images to a calibration of one recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from calibration.scores import score_images
from calibration.threshold import ToleranceLimit, tolerance_limit
from edge.bundle import REFERENCE_ARTEFACT, Bundle, Calibration
from edge.errors import CameraError
from edge.inspector import open_engine


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration that was written, and what went into it."""

    calibration: Calibration
    limit: ToleranceLimit
    path: Path
    fitted: list[Path]
    repeated: list[Path]


def calibrate(
    bundle: Bundle,
    images: Sequence[Path],
    *,
    false_reject_rate: float,
    confidence: float = 0.95,
    recipe: str = "default",
    engine: str = "onnxruntime",
    artefact: str = REFERENCE_ARTEFACT,
    threads: int | None = None,
    report: Callable[[], object] = lambda: None,
) -> CalibrationResult:
    """Set the thresholds of `recipe` from images of good parts, and write them into the bundle.

    Images that the model was fitted to are left out: their scores are lower than those of parts it
    has not seen. The image threshold and the pixel threshold are both tolerance limits, the second
    one of the highest map value of each part, so that a good part shows an empty mask.

    Raises:
        CameraError: images that cannot be used, or none that the model was not fitted to.
        ConfigError: a rate outside its range.
        EngineError: the artefact does not run.
    """
    opened = open_engine(bundle, engine=engine, artefact=artefact, threads=threads)
    try:
        scores, fitted, repeated = score_images(
            images, opened, bundle.manifest.preprocessing, bundle.trained_on(), report
        )
    finally:
        opened.close()
    if not scores:
        raise CameraError(
            f"all {len(images)} images were used in training: a threshold needs good parts that "
            "the model has not seen"
        )
    rates = {"false_reject_rate": false_reject_rate, "confidence": confidence}
    limit = tolerance_limit([s.score for s in scores], **rates)
    pixel = tolerance_limit([s.map_maximum for s in scores], **rates)
    calibration = Calibration(
        recipe=recipe,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        artefact=artefact,
        artefact_sha256=bundle.manifest.files[artefact],
        false_reject_rate_target=false_reject_rate,
        confidence=confidence,
        false_reject_rate_bound=limit.bound,
        threshold_score=limit.threshold,
        threshold_pixel=pixel.threshold,
        scores={s.sha256: s.score for s in scores},
    ).sealed()
    path = bundle.add_calibration(calibration)
    return CalibrationResult(calibration, limit, path, fitted, repeated)

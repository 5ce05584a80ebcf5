"""From a bundle and good images to a calibration of one recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from calibration.drift import baseline_of_images
from calibration.pixels import PixelLimit, part_summary, pixel_limit
from calibration.scores import GoodScore, score_images
from calibration.threshold import ToleranceLimit, review_limits, tolerance_limit
from edge.bundle import REFERENCE_ARTEFACT, Bundle
from edge.calibrated import Calibration
from edge.errors import CameraError
from edge.inspector import open_engine


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration that was written, and what went into it.

    Attributes:
        review: the limit of the review band; None without one.
        fitted, repeated: images that were left out.
        images: the files behind the scores, by hash.
    """

    calibration: Calibration
    limit: ToleranceLimit
    review: ToleranceLimit | None
    pixel: PixelLimit
    path: Path
    fitted: list[Path]
    repeated: list[Path]
    images: dict[str, Path]


@dataclass(frozen=True)
class Wish:
    """What a calibration is to promise.

    Attributes:
        false_reject_rate: share of good parts that may be rejected.
        confidence: that each promise holds, over draws of good parts.
        review_rate: share of good parts that may be reviewed or rejected; None for no review band.
        minimum_area_px: smallest region of the mask, in pixels of the anomaly map; None chooses it.
        part_of: names the part that an image shows; None when every image is another part.
    """

    false_reject_rate: float
    confidence: float = 0.95
    review_rate: float | None = None
    minimum_area_px: int | None = None
    part_of: Callable[[Path], str] | None = None


def calibrate(
    bundle: Bundle,
    images: Sequence[Path],
    wish: Wish,
    *,
    recipe: str = "default",
    engine: str = "onnxruntime",
    artefact: str = REFERENCE_ARTEFACT,
    threads: int | None = None,
    report: Callable[[], object] = lambda: None,
    author: str = "",
    reason: str = "",
) -> CalibrationResult:
    """Set the thresholds of `recipe` from images of good parts, and write them into the bundle.

    Images that the model was fitted to are left out: their scores are lower than those of parts it
    has not seen. The thresholds are tolerance limits of the scores of parts; pixel threshold and
    smallest area are set so that as few good parts show a mask as may be rejected. The calibration
    that was active before goes to the history, see `calibration.history`.

    Raises:
        CameraError: images that cannot be used, or none that the model was not fitted to.
        ConfigError: a rate outside its range, or too few parts for a review band.
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
    limit, review, pixel = _limits(scores, wish)
    calibration = Calibration(
        recipe=recipe,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        artefact=artefact,
        artefact_sha256=bundle.sha256(artefact),
        false_reject_rate_target=wish.false_reject_rate,
        confidence=wish.confidence,
        false_reject_rate_bound=limit.bound,
        review_rate_bound=review and review.bound,
        mask_rate_bound=pixel.mask_rate_bound,
        threshold_score=limit.threshold,
        threshold_pixel=pixel.threshold,
        threshold_review=review and review.threshold,
        minimum_area_px=pixel.minimum_area,
        scores={s.sha256: s.score for s in scores},
        parts={s.sha256: wish.part_of(s.path) for s in scores} if wish.part_of else {},
        author=author,
        reason=reason,
        data_sha256=digest_of_images(s.sha256 for s in scores),
        drift=baseline_of_images(
            {s.path: s.score for s in scores}, bundle.manifest.preprocessing.crop
        ),
    )
    path = bundle.add_calibration(calibration)
    files = {s.sha256: s.path for s in scores}
    written = bundle.calibration(recipe, artefact)
    return CalibrationResult(written, limit, review, pixel, path, fitted, repeated, files)


def digest_of_images(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of images: the same set gives the same, in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(hashes)).encode()).hexdigest()


def _limits(
    scores: Sequence[GoodScore], wish: Wish
) -> tuple[ToleranceLimit, ToleranceLimit | None, PixelLimit]:
    part_of = wish.part_of or str
    frames: dict[str, list[GoodScore]] = {}
    for score in scores:
        frames.setdefault(part_of(score.path), []).append(score)
    highest = [max(frame.score for frame in part) for part in frames.values()]
    rates = {"false_reject_rate": wish.false_reject_rate, "confidence": wish.confidence}
    pixel = pixel_limit(
        [part_summary([frame.summary for frame in part]) for part in frames.values()],
        mask_rate=wish.false_reject_rate,
        confidence=wish.confidence,
        minimum_area=wish.minimum_area_px,
    )
    if wish.review_rate is None:
        return tolerance_limit(highest, **rates), None, pixel
    return *review_limits(highest, review_rate=wish.review_rate, **rates), pixel

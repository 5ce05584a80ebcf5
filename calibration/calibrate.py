"""From a bundle and good images to a calibration of one recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from calibration.drift import baseline_of_images
from calibration.limits import Limits, Wish, limits_of
from calibration.scores import GoodScore, score_images
from edge.bundle import REFERENCE_ARTEFACT, Bundle
from edge.calibrated import Calibration, ZoneThresholds
from edge.errors import CameraError
from edge.inspector import open_engine
from edge.layout import Layout, Preparation
from edge.verdict import score_of_zones

MAP_DECIDES = (
    "with zones the highest value of the anomaly map decides, which is not this model's own score "
    "and may tell parts apart worse: compare with linewarden evaluate"
)


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration that was written, and what went into it.

    Attributes:
        limits: what is promised.
        fitted, repeated: images that were left out.
        images: the files behind the scores, by hash.
        replaces_score: whether zones put the maximum of the map in the place of another score.
    """

    calibration: Calibration
    limits: Limits
    path: Path
    fitted: list[Path]
    repeated: list[Path]
    images: dict[str, Path]
    replaces_score: bool


def calibrate(
    bundle: Bundle,
    images: Sequence[Path],
    wish: Wish,
    *,
    recipe: str = "default",
    layout: Layout | None = None,
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

    Args:
        layout: zones and alignment of the recipe, kept with its thresholds; None inspects the whole
            frame, or the crop of the bundle.

    Raises:
        CameraError: images that cannot be used, or none that the model was not fitted to.
        ConfigError: a rate outside its range, or too few parts for zones or a review band.
        EngineError: the artefact does not run.
    """
    preparation = Preparation(bundle.manifest.preprocessing, layout)
    opened = open_engine(bundle, engine=engine, artefact=artefact, threads=threads)
    try:
        scores, fitted, repeated = score_images(
            images, opened, preparation, bundle.trained_on(), report
        )
    finally:
        opened.close()
    if not scores:
        raise CameraError(
            f"all {len(images)} images were used in training: a threshold needs good parts that "
            "the model has not seen"
        )
    limits = limits_of(scores, wish, layout.zones if layout is not None else ())
    names = layout.zone_names if layout is not None else ()
    pixels, review = limits.pixels, limits.review
    calibration = Calibration(
        recipe=recipe,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        artefact=artefact,
        artefact_sha256=bundle.sha256(artefact),
        false_reject_rate_target=wish.false_reject_rate,
        confidence=wish.confidence,
        false_reject_rate_bound=limits.limit.bound,
        review_rate_bound=limits.review_limit and limits.review_limit.bound,
        mask_rate_bound=limits.mask_rate_bound,
        threshold_score=max(limits.reject),
        threshold_pixel=max(pixel.threshold for pixel in pixels),
        threshold_review=review and max(review),
        minimum_area_px=min(pixel.minimum_area for pixel in pixels),
        scores={s.sha256: score_of_zones(s.values, limits.reject) for s in scores},
        parts=_named(scores, wish.part_of),
        author=author,
        reason=reason,
        data_sha256=digest_of_images(s.sha256 for s in scores),
        drift=baseline_of_images(
            {s.path: score_of_zones(s.values, limits.reject) for s in scores},
            bundle.manifest.preprocessing.crop,
        ),
        layout=layout,
        zone_thresholds={
            name: ZoneThresholds(
                score=limits.reject[place],
                pixel=pixels[place].threshold,
                review=review and review[place],
                minimum_area_px=pixels[place].minimum_area,
            )
            for place, name in enumerate(names)
        },
        zone_scores={s.sha256: s.values for s in scores} if names else {},
        lots=_named(scores, wish.lot_of),
        modelled_rate=limits.tail and limits.tail.rate,
    )
    path = bundle.add_calibration(calibration)
    files = {s.sha256: s.path for s in scores}
    written = bundle.calibration(recipe, artefact)
    replaces_score = bool(names) and not all(s.is_of_map for s in scores)
    return CalibrationResult(written, limits, path, fitted, repeated, files, replaces_score)


def digest_of_images(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of images: the same set gives the same, in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(hashes)).encode()).hexdigest()


def _named(scores: Sequence[GoodScore], name: Callable[[Path], str] | None) -> dict[str, str]:
    return {score.sha256: name(score.path) for score in scores} if name else {}

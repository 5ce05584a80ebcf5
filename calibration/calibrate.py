"""From a bundle and good images to a calibration of one recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from calibration.drift import baseline_of_images, figures_of_images
from calibration.limits import Limits, Wish, limits_of
from calibration.order import ordered_channels
from calibration.scores import GoodScore, ScoredImages, score_images
from inspection.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.engine import Engine
from inspection.errors import CameraError
from inspection.inspector import open_engine
from inspection.layout import Layout
from inspection.verdict import Thresholds, score_of_zones

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
        in_order: figures that are alike in neighbouring files, see `calibration.order`; none for
            parts in lots, which are told apart.
    """

    calibration: Calibration
    limits: Limits
    path: Path
    fitted: list[Path]
    repeated: list[Path]
    images: dict[str, Path]
    replaces_score: bool
    in_order: tuple[str, ...]


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
    with closing(open_engine(bundle, engine=engine, artefact=artefact, threads=threads)) as opened:
        scored = _scored(bundle, images, opened, layout, report)
    limits = limits_of(scored.scores, wish, layout.zones if layout is not None else ())
    scores = {s.sha256: score_of_zones(s.values, limits.reject) for s in scored.scores}
    figures, reference = figures_of_images([s.look for s in scored.scores], list(scores.values()))
    names = layout.zone_names if layout is not None else ()
    calibration = Calibration(
        recipe=recipe,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        artefact=artefact,
        artefact_sha256=bundle.sha256(artefact),
        **_promised(limits, wish),
        scores=scores,
        parts=_named(scored.scores, wish.part_of),
        author=author,
        reason=reason,
        data_sha256=digest_of_images(scores),
        drift=baseline_of_images(figures, reference),
        layout=layout,
        zone_thresholds=limits.of_zones(names),
        zone_scores={s.sha256: s.values for s in scored.scores} if names else {},
        lots=_named(scored.scores, wish.lot_of),
    )
    path = bundle.add_calibration(calibration)
    return CalibrationResult(
        bundle.calibration(recipe, artefact),
        limits,
        path,
        scored.fitted,
        scored.repeated,
        {s.sha256: s.path for s in scored.scores},
        replaces_score=bool(names) and not all(s.is_of_map for s in scored.scores),
        in_order=()
        if wish.lot_of
        else ordered_channels([s.path for s in scored.scores], figures, wish.part_of),
    )


def _scored(
    bundle: Bundle,
    images: Sequence[Path],
    engine: Engine,
    layout: Layout | None,
    report: Callable[[], object],
) -> ScoredImages:
    """The scores of what the model was not fitted to, of which there must be some."""
    scored = score_images(
        images,
        engine,
        bundle.manifest.preprocessing,
        layout,
        exclude=bundle.trained_on(),
        report=report,
    )
    if not scored.scores:
        raise CameraError(
            f"all {len(images)} images were used in training: a threshold needs good parts that "
            "the model has not seen"
        )
    return scored


def _promised(limits: Limits, wish: Wish) -> dict[str, Any]:
    """The fields of a calibration that say what was asked for, and what is promised."""
    pixels, review = limits.pixels, limits.review
    return {
        "false_reject_rate_target": wish.false_reject_rate,
        "confidence": wish.confidence,
        "false_reject_rate_bound": limits.limit.bound,
        "review_rate_bound": limits.review_limit and limits.review_limit.bound,
        "mask_rate_bound": limits.mask_rate_bound,
        "thresholds": Thresholds(
            reject=max(limits.reject),
            pixel=max(pixel.threshold for pixel in pixels),
            review=max(review) if review else None,
            minimum_area_px=min(pixel.minimum_area for pixel in pixels),
        ),
        "modelled_rate": limits.tail and limits.tail.rate,
    }


def digest_of_images(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of images: the same set gives the same, in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(hashes)).encode()).hexdigest()


def _named(scores: Sequence[GoodScore], name: Callable[[Path], str] | None) -> dict[str, str]:
    return {score.sha256: name(score.path) for score in scores} if name else {}

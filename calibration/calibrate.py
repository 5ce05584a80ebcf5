"""From a bundle and good images to a calibration of one recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from calibration.drift import baseline_of_images, figures_of_images
from calibration.order import ordered_channels
from calibration.scores import GoodScore, ScoredImages, score_images
from calibration.thresholds import CalibrationTargets, PromisedThresholds, thresholds_for
from inspection.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.engine import Engine
from inspection.errors import CameraError
from inspection.inspector import open_engine
from inspection.layout import Layout
from inspection.verdict import score_of_zones

MAP_DECIDES = (
    "with zones the highest value of the anomaly map decides, which is not this model's own score "
    "and may tell parts apart worse: compare with linewarden evaluate"
)


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration that was written, and what went into it.

    Attributes:
        promised: what is promised.
        fitted, repeated: images that were left out.
        images: the files behind the scores, by hash.
        replaces_score: whether zones put the maximum of the map in the place of another score.
        in_order: figures that are alike in neighbouring files, see `calibration.order`; none for
            parts in lots, which are told apart.
    """

    calibration: Calibration
    promised: PromisedThresholds
    path: Path
    fitted: list[Path]
    repeated: list[Path]
    images: dict[str, Path]
    replaces_score: bool
    in_order: tuple[str, ...]


def calibrate(
    bundle: Bundle,
    images: Sequence[Path],
    targets: CalibrationTargets,
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
    good = scored.scores
    promised = thresholds_for(good, targets, layout.zones if layout is not None else ())
    scores = {g.sha256: score_of_zones(g.values, promised.reject) for g in good}
    figures, reference = figures_of_images([g.frame for g in good], list(scores.values()))
    path = bundle.add_calibration(
        Calibration(
            recipe=recipe,
            created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            author=author,
            reason=reason,
            artefact=artefact,
            artefact_sha256=bundle.sha256(artefact),
            scores=scores,
            drift=baseline_of_images(figures, reference),
            **_promise(promised, targets, layout),
            **_evidence(good, targets, layout),
        )
    )
    return CalibrationResult(
        calibration=bundle.calibration(recipe, artefact),
        promised=promised,
        path=path,
        fitted=scored.fitted,
        repeated=scored.repeated,
        images={g.sha256: g.path for g in good},
        replaces_score=_has_zones(layout) and not all(g.is_of_map for g in good),
        in_order=_in_order(good, figures, targets),
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


def _promise(
    promised: PromisedThresholds, targets: CalibrationTargets, layout: Layout | None
) -> dict[str, Any]:
    """The fields of a calibration that say what was asked for, and what is promised."""
    return {
        "false_reject_rate_target": targets.false_reject_rate,
        "confidence": targets.confidence,
        "false_reject_rate_bound": promised.reject_limit.bound,
        "review_rate_bound": promised.review_limit and promised.review_limit.bound,
        "mask_rate_bound": promised.mask_rate_bound,
        "modelled_rate": promised.tail and promised.tail.rate,
        "thresholds": promised.of_part(),
        "zone_thresholds": promised.of_zones(layout.zone_names) if layout is not None else {},
        "layout": layout,
    }


def _evidence(
    good: Sequence[GoodScore], targets: CalibrationTargets, layout: Layout | None
) -> dict[str, Any]:
    """The fields of a calibration that say which images it rests on."""
    return {
        "zone_scores": {g.sha256: g.values for g in good} if _has_zones(layout) else {},
        "parts": _named(good, targets.part_of),
        "lots": _named(good, targets.lot_of),
        "data_sha256": digest_of_images(g.sha256 for g in good),
    }


def _in_order(
    good: Sequence[GoodScore], figures: Mapping[str, Sequence[float]], targets: CalibrationTargets
) -> tuple[str, ...]:
    if targets.lot_of:
        return ()
    return ordered_channels([g.path for g in good], figures, targets.part_of)


def _has_zones(layout: Layout | None) -> bool:
    return layout is not None and bool(layout.zones)


def digest_of_images(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted hashes of images: the same set gives the same, in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(hashes)).encode()).hexdigest()


def _named(scores: Sequence[GoodScore], name: Callable[[Path], str] | None) -> dict[str, str]:
    return {score.sha256: name(score.path) for score in scores} if name else {}

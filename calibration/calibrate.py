"""Calibrates one recipe of a bundle with images of good parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from calibration.activation import activate
from calibration.drift import baseline_of_images, figures_of_images
from calibration.learnt import LearntImages, promise_of
from calibration.order import ordered_channels
from calibration.outliers import Outliers, find_outliers
from calibration.scores import CountedImages, GoodScore, ScoredImages, score_images
from calibration.thresholds import CalibrationTargets, PromisedThresholds, thresholds_for
from calibration.tolerance import ToleranceLimit
from inspection.bundle import Bundle, Chosen, chosen_here
from inspection.bundle.calibration_file import Calibration
from inspection.engine import TritonServer
from inspection.errors import CameraError
from inspection.layout import Layout
from inspection.layout.zones import Zone
from inspection.opening import open_chosen
from inspection.verdict import score_of_zones

MAP_DECIDES = (
    "with zones or ignored areas the highest value of the anomaly map decides. It is not this "
    "model's own score and may separate good from defective parts less well: compare with "
    "linewarden evaluate"
)


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration as written or measured, with the images behind it.

    Attributes:
        promised: the thresholds with their promises.
        path: of the active calibration of the recipe.
        fitted: images left out because the model was fitted to them.
        fitted_parts: images left out because the model was fitted to others of their part, by part.
        repeated: images left out because they repeat another.
        images: the files behind the scores, by hash.
        replaces_score: true when zones put the maximum of the map in place of another score.
        in_order: figures that are alike in neighbouring files, see `calibration.order`; none for
            parts in lots.
        outliers: images that stand out and count all the same.
        learnt: predictions that took the place of the artefact's.
    """

    calibration: Calibration
    promised: PromisedThresholds
    path: Path
    fitted: list[Path]
    fitted_parts: dict[str, list[Path]]
    repeated: list[Path]
    images: dict[str, Path]
    replaces_score: bool
    in_order: tuple[str, ...]
    outliers: Outliers
    learnt: LearntImages


@dataclass(frozen=True)
class CalibrationSettings:
    """The recipe to calibrate, the artefact to run, and the images to leave out.

    Attributes:
        layout: zones and alignment of the recipe, kept with its thresholds; None inspects the whole
            frame, or the crop of the bundle.
        engine, artefact: None for what `linewarden build` chose here; see `chosen_here`.
        threads: of the engine; None for all cores.
        server: for the engine `triton`.
        learnt: images that count although the model was fitted to them, with their predictions.
        without: names of images that a person leaves out, by SHA-256 of the file.
    """

    recipe: str = "default"
    layout: Layout | None = None
    engine: str | None = None
    artefact: str | None = None
    threads: int | None = None
    server: TritonServer | None = None
    learnt: LearntImages = field(default_factory=LearntImages)
    without: Mapping[str, str] = field(default_factory=dict)

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones that are drawn; none for the whole frame, or for all that is not ignored."""
        return self.layout.zones if self.layout is not None else ()

    @property
    def has_zones(self) -> bool:
        """Whether the map decides by zones; what is ignored makes a zone of all the rest."""
        return self.layout is not None and bool(self.layout.zone_names)


DEFAULT = CalibrationSettings()


def calibrate(
    bundle: Bundle,
    images: Sequence[Path],
    targets: CalibrationTargets,
    settings: CalibrationSettings = DEFAULT,
    *,
    report: Callable[[], object] = lambda: None,
    author: str = "",
    reason: str = "",
    replaces: str | None = None,
) -> CalibrationResult:
    """Sets the thresholds of a recipe from images of good parts, and writes them into the bundle.

    The calibration that was active before goes to the history, see `calibration.history`.

    Args:
        report: called after each image.
        replaces: seal of the only calibration that this one may replace, see
            `Bundle.active_seal`. None for the one that is active at the call.

    Raises:
        BundleError: another calibration became active in the meantime; nothing was changed.
        CameraError, ConfigError, EngineError: as for `measure`.
    """
    if replaces is None:
        replaces = bundle.active_seal(settings.recipe)
    measured = measure(bundle, images, targets, settings, report=report)
    active = activate(bundle, measured.calibration, author=author, reason=reason, replaces=replaces)
    return replace(measured, calibration=active)


def measure(
    bundle: Bundle,
    images: Sequence[Path],
    targets: CalibrationTargets,
    settings: CalibrationSettings = DEFAULT,
    *,
    report: Callable[[], object] = lambda: None,
) -> CalibrationResult:
    """Measures the thresholds of a recipe; writes nothing, so that the calibration has no seal.

    It leaves out images that the model was fitted to, and all others of their parts: they score
    lower than new parts. Reject and review thresholds are tolerance limits of the scores of parts.
    The pixel threshold and the smallest area let at most the target rate of good parts show a mask.

    Args:
        report: called after each image.

    Raises:
        CameraError: an image cannot be used, or the model was fitted to all of them.
        ConfigError: a rate is outside its range, or there are too few parts for zones or a review
            band.
        EngineError: the artefact does not run.
    """
    chosen = chosen_here(bundle, settings.engine, settings.artefact)
    scored = _scored(bundle, chosen, images, targets, settings, report=report)
    good = scored.scores
    promised = _promised(good, targets, settings)
    scores = {g.sha256: score_of_zones(g.values, promised.reject) for g in good}
    outliers = find_outliers(good, scores, targets, settings.zones)
    figures, reference = figures_of_images([g.frame for g in good], list(scores.values()))
    calibration = Calibration(
        scores=scores,
        drift=baseline_of_images(figures, reference, _named(good, targets.part_of).values()),
        outliers=dict(outliers.spreads),
        **_origin(bundle, chosen, settings),
        **_promise(promised, targets, settings.layout),
        **_evidence(good, targets, settings),
    )
    return CalibrationResult(
        calibration=calibration,
        promised=promised,
        path=bundle.calibration_path(settings.recipe),
        fitted=scored.fitted,
        fitted_parts=scored.fitted_parts,
        repeated=scored.repeated,
        images={g.sha256: g.path for g in good},
        replaces_score=settings.has_zones and not all(g.is_of_map for g in good),
        in_order=_in_order(good, figures, targets),
        outliers=outliers,
        learnt=settings.learnt,
    )


def _scored(
    bundle: Bundle,
    chosen: Chosen,
    images: Sequence[Path],
    targets: CalibrationTargets,
    settings: CalibrationSettings,
    *,
    report: Callable[[], object],
) -> ScoredImages:
    """Scores the images that the model was not fitted to; refuses a set without any."""
    engine = open_chosen(bundle, chosen, threads=settings.threads, server=settings.server)
    with closing(engine):
        scored = score_images(
            images,
            engine,
            bundle.manifest.preprocessing,
            settings.layout,
            counted=CountedImages(
                bundle.trained_on(),
                settings.learnt.predictions,
                settings.without,
                targets.part_of,
            ),
            report=report,
        )
    if not scored.scores:
        left_out = len(settings.without)
        rest = f", or they are left out by hand ({left_out})" if left_out else ""
        what = f"all {len(images)} images"
        if scored.fitted_parts:
            what = f"images of all parts in these {len(images)} images"
        raise CameraError(
            f"the model was trained on {what}{rest}: bring good parts that it has not seen"
        )
    return scored


def _promised(
    good: Sequence[GoodScore], targets: CalibrationTargets, settings: CalibrationSettings
) -> PromisedThresholds:
    return promise_of(thresholds_for(good, targets, settings.zones), settings.learnt.judged)


def _origin(bundle: Bundle, chosen: Chosen, settings: CalibrationSettings) -> dict[str, Any]:
    """Returns the fields of a calibration that say what was measured, and when."""
    artefact = bundle.bound_to(chosen.artefact)
    return {
        "recipe": settings.recipe,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "artefact": artefact,
        "artefact_sha256": bundle.sha256(artefact),
        "engine": bundle.rounding_engine(artefact, chosen.engine),
        "judged": settings.learnt.judged,
        "without": dict(settings.without),
    }


def _promise(
    promised: PromisedThresholds, targets: CalibrationTargets, layout: Layout | None
) -> dict[str, Any]:
    """Returns the fields of a calibration with its targets, thresholds and promises."""
    limit = promised.reject_limit
    return {
        "false_reject_rate_target": targets.false_reject_rate,
        "confidence": targets.confidence,
        "false_reject_rate_bound": limit.bound,
        "false_reject_rate_average": limit.average if isinstance(limit, ToleranceLimit) else None,
        "review_rate_bound": promised.review_limit and promised.review_limit.bound,
        "mask_rate_bound": promised.mask_rate_bound,
        "modelled_rate": promised.tail and promised.tail.rate,
        "thresholds": promised.of_part(),
        "zone_thresholds": promised.of_zones(layout.zone_names) if layout is not None else {},
        "layout": layout,
    }


def _evidence(
    good: Sequence[GoodScore], targets: CalibrationTargets, settings: CalibrationSettings
) -> dict[str, Any]:
    """Returns the fields of a calibration with the images behind it."""
    return {
        "zone_scores": {g.sha256: g.values for g in good} if settings.has_zones else {},
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


def digest_of_images(hashes: Iterable[str]) -> str:
    """Returns the SHA-256 over the sorted hashes: a set of images has one digest in any order."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(hashes)).encode()).hexdigest()


def _named(scores: Sequence[GoodScore], name: Callable[[Path], str] | None) -> dict[str, str]:
    return {score.sha256: name(score.path) for score in scores} if name else {}

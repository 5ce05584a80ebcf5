"""Measurement of a calibrated bundle on labelled images, through the artefact of the line.

AUROC, average precision and AUPRO show how well scores and maps separate good from bad. The rates
at the calibrated threshold show the behaviour of the line. Test images do not choose anything.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from inspection.bundle import Chosen, computed_precision
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import Manifest
from inspection.config.loading import StrictModel
from inspection.errors import named
from inspection.images import NameExpression
from inspection.inspector import Inspector
from inspection.verdict import Verdict
from reports.classification import DEFECTIVE, GOOD, REVIEW, ClassificationReport, classification
from reports.proportion import proportion
from training.inspected import InspectedPart, InspectedSample, parts_of
from training.metrics import UndefinedMetricError
from training.separation import Metric, Separation, by_category, computed, separation

BOUND_CONFIDENCE = 0.95
_PREDICTED = {Verdict.PASS: GOOD, Verdict.REJECT: DEFECTIVE, Verdict.REVIEW: REVIEW}


class Rate(StrictModel):
    """A share with its two-sided Clopper-Pearson interval at 95 %."""

    count: int
    of: int
    rate: float
    low: float
    high: float


class SampleResult(StrictModel):
    """The artefact's result for one image; there is no score without a verdict."""

    name: str
    sha256: str
    verdict: Verdict
    score: float | None


class RanEngine(StrictModel):
    """A file of the bundle on the engine that ran it.

    Attributes:
        artefact: graph or plan.
        precision: see `inspection.bundle.chosen.computed_precision`.
        verdicts: number of images that have their verdict from it.
    """

    engine: str
    artefact: str
    artefact_sha256: str
    precision: str
    verdicts: int


class Evaluation(Separation):
    """Figures of one recipe of one bundle on one data set.

    A figure that these images do not define is None; `undefined` has the reason under its name.

    Attributes:
        part_name: expression that names the part of an image. The counts, the rates and the
            classification are of parts, all other figures of images. None when every image is
            another part.
        data_sha256: over the test images, their labels and their masks.
        artefact: file that the thresholds were measured through; `artefact_sha256` is its hash.
        engines: files that judged the images, in the order in which they saw an image; empty when
            they are not known.
        early_pass_rate: share of the images with a verdict that a first stage passed; None when one
            engine judged all.
        good: number of good parts with a verdict, which rates refer to; likewise `defective`.
        classification: at the calibrated threshold, of the parts with a verdict.
        categories: the same figures for each kind of product, where there are several.
        promised_false_reject_rate: upper bound from the calibration, at `confidence`.
        map_size: (height, width) of the anomaly map, the resolution of the pixel figures.
        without_mask: number of defective parts without a drawn mask; pixel figures leave them out.
        vanished_masks: number of defects outside the crop, or too small for a pixel at `map_size`;
            pixel figures leave these parts out.
        no_verdict: images without a verdict, with the reason; all figures leave them out.
        doubts: reasons against the figures.
    """

    data_set: str
    data_sha256: str
    part_name: str | None = None
    created_utc: str
    bundle: str
    bundle_seal: str
    model: str
    backbone: str | None
    recipe: str
    artefact: str
    artefact_sha256: str
    calibration_seal: str
    engines: tuple[RanEngine, ...] = ()
    early_pass_rate: Rate | None = None
    good: int
    defective: int
    categories: dict[str, Separation]
    threshold: float
    threshold_review: float | None
    threshold_pixel: float
    promised_false_reject_rate: float
    confidence: float
    false_reject_rate: Rate | None
    escape_rate: Rate | None
    review_rate_good: Rate | None
    review_rate_defective: Rate | None
    escapes_by_defect: dict[str, Rate]
    classification: ClassificationReport
    latency_p50_ms: float | None
    map_size: tuple[int, int]
    without_mask: int
    vanished_masks: int
    undefined: dict[str, str]
    no_verdict: dict[str, str]
    doubts: tuple[str, ...]
    samples: tuple[SampleResult, ...]


def evaluate(
    inspector: Inspector,
    data_set: str,
    inspected: Sequence[InspectedSample],
    data_doubts: Sequence[str] = (),
    part_of: NameExpression | None = None,
) -> Evaluation:
    """Computes the figures of samples that `inspector` inspected, of the data set so named.

    Args:
        data_doubts: those of the data set.
        part_of: names the part that an image shows; None when every image is another part.

    Raises:
        ConfigError: `part_of` does not match the name of an image.
    """
    manifest, calibration = inspector.bundle.manifest, inspector.calibration
    judged = [s for s in inspected if s.is_judged]
    parts = [part for part in parts_of(inspected, part_of) if part.is_judged]
    unmasked = [s for s in judged if s.truth is None]
    vanished = [
        s for s in judged if not s.sample.is_good and s.truth is not None and not s.truth.any()
    ]
    values, undefined = computed(
        {
            **_rates(parts),
            "latency_p50_ms": lambda: _latency_p50_ms(judged),
            **separation(judged),
        }
    )
    return Evaluation(
        data_set=data_set,
        data_sha256=_data_sha256(inspected),
        part_name=part_of and part_of.expression,
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **_identity(manifest, calibration),
        **_stages(inspector, judged),
        good=sum(part.is_good for part in parts),
        defective=sum(not part.is_good for part in parts),
        **values,
        categories=by_category(judged),
        escapes_by_defect=_escapes_by_defect(parts),
        classification=classification((part.defect, _PREDICTED[part.verdict]) for part in parts),
        without_mask=len(unmasked),
        vanished_masks=len(vanished),
        undefined=undefined,
        no_verdict={s.name: s.inspection.message for s in inspected if not s.is_judged},
        doubts=(
            *_doubts_of_bundle(manifest, calibration),
            *_doubt_of_names(calibration, part_of),
            *data_doubts,
            *_doubts_of_data(inspected, frozenset(calibration.scores), unmasked, vanished),
        ),
        samples=tuple(map(_result, inspected)),
    )


def rate_of(count: int, of: int) -> Rate:
    """Returns a share of at least one with its Clopper-Pearson interval."""
    share = proportion(count, of, confidence=(1 + BOUND_CONFIDENCE) / 2)
    return Rate(count=count, of=of, rate=share.rate, low=share.lower, high=share.upper)


def _rates(parts: Sequence[InspectedPart]) -> dict[str, Metric]:
    good = [part for part in parts if part.is_good]
    defective = [part for part in parts if not part.is_good]

    def share(of: Sequence[InspectedPart], verdict: Verdict) -> Rate:
        if not of:
            kind = "good" if of is good else "defective"
            raise UndefinedMetricError(f"there is no {kind} part with a verdict")
        return rate_of(sum(part.verdict is verdict for part in of), len(of))

    return {
        "false_reject_rate": lambda: share(good, Verdict.REJECT),
        "escape_rate": lambda: share(defective, Verdict.PASS),
        "review_rate_good": lambda: share(good, Verdict.REVIEW),
        "review_rate_defective": lambda: share(defective, Verdict.REVIEW),
    }


def _latency_p50_ms(judged: Sequence[InspectedSample]) -> float:
    if not judged:
        raise UndefinedMetricError("there is no part with a verdict")
    times = [s.inspection.times for s in judged]
    return float(np.median([(t.preprocess_ns + t.infer_ns + t.decide_ns) / 1e6 for t in times]))


def _escapes_by_defect(parts: Sequence[InspectedPart]) -> dict[str, Rate]:
    of = Counter(part.defect for part in parts if not part.is_good)
    escaped = Counter(part.defect for part in parts if part.verdict is Verdict.PASS)
    return {kind: rate_of(escaped[kind], of[kind]) for kind in sorted(of)}


def _identity(manifest: Manifest, calibration: Calibration) -> dict[str, Any]:
    return {
        "bundle": manifest.name,
        "bundle_seal": manifest.seal,
        "model": manifest.model,
        "backbone": manifest.backbone,
        "map_size": (manifest.graph.height, manifest.graph.width),
        "recipe": calibration.recipe,
        "artefact": calibration.artefact,
        "artefact_sha256": calibration.artefact_sha256,
        "calibration_seal": calibration.seal,
        "threshold": calibration.thresholds.reject,
        "threshold_review": calibration.thresholds.review,
        "threshold_pixel": calibration.thresholds.pixel,
        "promised_false_reject_rate": calibration.false_reject_rate_bound,
        "confidence": calibration.confidence,
    }


def _stages(inspector: Inspector, judged: Sequence[InspectedSample]) -> dict[str, Any]:
    """Returns the engines that ran, and the share of the images that the first stage passed."""
    chosen = inspector.chosen
    if chosen is None:
        return {}
    early = sum(sample.inspection.is_early for sample in judged)
    last = _ran(inspector, chosen, len(judged) - early)
    if chosen.first is None:
        return {"engines": (last,)}
    stage = Chosen(chosen.first.engine, chosen.first.artefact, chosen.first.compute)
    return {
        "engines": (_ran(inspector, stage, early), last),
        "early_pass_rate": rate_of(early, len(judged)) if judged else None,
    }


def _ran(inspector: Inspector, chosen: Chosen, verdicts: int) -> RanEngine:
    return RanEngine(
        engine=chosen.engine,
        artefact=chosen.artefact,
        artefact_sha256=inspector.bundle.sha256(chosen.artefact),
        precision=computed_precision(inspector.bundle, chosen),
        verdicts=verdicts,
    )


def _data_sha256(inspected: Sequence[InspectedSample]) -> str:
    lines = sorted(f"{s.sha256} {s.sample.defect} {s.mask_sha256}\n" for s in inspected)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _result(sample: InspectedSample) -> SampleResult:
    score = sample.inspection.score
    return SampleResult(
        name=sample.name,
        sha256=sample.sha256,
        verdict=sample.inspection.verdict,
        score=score if math.isfinite(score) else None,
    )


def _doubts_of_bundle(manifest: Manifest, calibration: Calibration) -> list[str]:
    doubts = []
    backbone = manifest.model_config_values.get("backbone")
    if isinstance(backbone, dict) and backbone.get("weights") == "none":
        doubts.append(
            "the backbone is untrained: use the model to try the chain, and not to inspect parts"
        )
    promised, target = calibration.false_reject_rate_bound, calibration.false_reject_rate_target
    if promised > target:
        doubts.append(
            f"the calibration supports only a false reject rate of {promised:.1%} at "
            f"{calibration.confidence:.0%} confidence, not the target of {target:.1%} "
            f"(number of good parts: {calibration.part_count}): calibrate with more"
        )
    return doubts


def _doubt_of_names(calibration: Calibration, part_of: NameExpression | None) -> list[str]:
    several = len(set(calibration.parts.values())) < len(calibration.parts)
    if part_of is not None or not several:
        return []
    return [
        (
            "every image counts as one part here, and the calibration has several images of a "
            "part: give its --part-name"
        )
    ]


def _doubts_of_data(
    inspected: Sequence[InspectedSample],
    calibrated_on: frozenset[str],
    unmasked: Sequence[InspectedSample],
    vanished: Sequence[InspectedSample],
) -> list[str]:
    seen: dict[str, InspectedSample] = {}
    repeated = [s for s in inspected if seen.setdefault(s.sha256, s) is not s]
    contradictory = [s for s in repeated if s.sample.defect != seen[s.sha256].sample.defect]
    groups = {
        "the threshold was set with test images, so that new parts may have another false reject "
        "rate": [s for s in inspected if s.sha256 in calibrated_on],
        "the same image has two labels": contradictory,
        "an image repeats another, so that the bounds are too narrow": repeated,
        "there is no verdict, and all figures leave the part out": [
            s for s in inspected if not s.is_judged
        ],
        "there is no drawn mask in ground_truth, and pixel figures leave the part out": unmasked,
        "the defect lies outside the inspected region or is too small for one pixel of the anomaly "
        "map, and pixel figures leave the part out": vanished,
    }
    return [f"{what}: {named([s.name for s in of])}" for what, of in groups.items() if of]

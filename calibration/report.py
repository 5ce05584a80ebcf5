"""Reports a calibration as one HTML page: its promises and the evidence behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from calibration.calibrate import MAP_DECIDES, CalibrationResult
from calibration.curve import ThresholdCurve
from calibration.good_parts import curve_of, good_part_scores
from calibration.lots import LotLimit
from calibration.statements import (
    NO_PROMISE,
    left_out,
    on_average,
    order_notice,
    outlier_notice,
    uneven_notice,
    worth,
)
from calibration.thresholds import PromisedThresholds
from calibration.tolerance import ToleranceLimit
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import Manifest
from inspection.digits import comparable
from inspection.engine import Prediction
from inspection.images import read_frame
from inspection.inspector import Inspection, Inspector
from inspection.names import printable
from reports.charts import histogram, rate_curve
from reports.pages import Card, Cards, Notices, Picture, Plot, Section, Table, Text, write_page
from reports.pictures import data_url, native_heat, small_jpeg, with_zones

_SLIDER = (0.0, 0.25, 0.5, 0.75, 1.0)
_WORST = 8
_PICTURE_SIDE = 420  # px


def write_calibration_report(path: Path, result: CalibrationResult, inspector: Inspector) -> None:
    """Writes the page atomically.

    Args:
        result: the calibration; its images are still in their places.
        inspector: opened with this calibration; gives the maps of the worst good images.

    Raises:
        CameraError: one of these images can no longer be read.
    """
    calibration, manifest = result.calibration, inspector.bundle.manifest
    scores = list(good_part_scores(calibration).values())
    curve = curve_of(calibration)
    marks = _marks(calibration)
    sections: list[Section] = [
        Notices(notices(result)),
        Text("Promises", promises(result)),
        _zones(calibration),
        Plot(f"Scores of {len(scores)} good parts", histogram(scores, marks)),
        *(_slider(curve, marks) if curve else ()),
        *_outliers(result, inspector),
        Cards(
            "Good images with the highest scores",
            "They set the threshold. If one of them shows a defect, leave it out with --without. "
            "All maps have the same colour scale.",
            worst_cards(result, inspector),
        ),
        Table("Origin", _origin(calibration, manifest), kind="origin"),
    ]
    title = f"Calibration of {manifest.name}, recipe {calibration.recipe}"
    by = f", by {calibration.author}" if calibration.author else ""
    reason = f": {calibration.reason}" if calibration.reason else ""
    write_page(path, title, f"{calibration.created_utc}{by}{reason}", sections)


def promises(result: CalibrationResult) -> list[str]:
    """Says what the calibration promises."""
    promised, calibration = result.promised, result.calibration
    limit = promised.reject_limit
    confidence = f"{limit.confidence:.0%} confidence"
    if calibration.judged == "mirrored":
        return [sentence(f"threshold {calibration.thresholds.reject:.6g}: {NO_PROMISE}")]
    if calibration.judged is not None and isinstance(limit, ToleranceLimit):
        first, second = on_average(limit)
        reject = f"threshold {calibration.thresholds.reject:.6g}"
        sentences = [sentence(f"{reject} {first}"), sentence(second)]
        confidence = f"about {confidence}"
    else:
        sentences = [_rejected(promised, calibration, confidence), *map(sentence, worth(result))]
    if promised.review_limit is not None:
        above = (
            "the review threshold of a zone"
            if calibration.zone_thresholds
            else (f"{promised.review_limit.threshold:.6g}")
        )
        sentences.append(
            f"At most {promised.review_limit.bound:.2%} score above {above} and are "
            f"reviewed or rejected, with {confidence}."
        )
    if promised.tail is not None:
        sentences.append(
            f"The threshold comes from a {promised.tail.label}, for a false reject rate of "
            f"{promised.tail.rate:.3g}. Goodness of fit: p = {promised.tail.goodness_of_fit:.2f}."
        )
    if promised.mask_rate_bound is None or promised.mask_rate_bound == 1:
        return sentences
    if calibration.zone_thresholds:
        sentences.append(
            f"At most {promised.mask_rate_bound:.2%} show a mask in any zone, with {confidence}."
        )
    else:
        (pixel,) = promised.pixels
        sentences.append(
            f"At most {pixel.mask_rate_bound:.2%} have a region of {pixel.minimum_area_px} px or "
            f"more above {pixel.pixel:.6g} in their anomaly map, with {confidence}."
        )
    return sentences


def sentence(text: str) -> str:
    """Returns a statement for a page."""
    return f"{text[0].upper()}{text[1:]}."


def _rejected(promised: PromisedThresholds, calibration: Calibration, confidence: str) -> str:
    limit = promised.reject_limit
    above = f"score above {calibration.thresholds.reject:.6g} and are rejected"
    if calibration.zone_thresholds:
        above = "exceed the threshold of some zone and are rejected"
    if isinstance(limit, LotLimit):
        return (
            f"Of good parts of further lots like these {limit.lots}, at most {limit.bound:.2%} "
            f"{above}, with {confidence}, if these lots show how much lots differ; "
            f"{limit.bound_of_lots:.2%} if lots are only known to be independent."
        )
    return (
        f"Of further good parts like these {limit.parts}, at most {limit.bound:.2%} {above}, with "
        f"{confidence}, whatever the distribution of their scores."
    )


def notices(result: CalibrationResult) -> list[str]:
    """Returns the warnings to read first."""
    limit, missing = result.promised.reject_limit, result.promised.parts_missing
    judged = result.calibration.judged
    found = []
    if not limit.is_met and missing is None:
        found.append(
            f"the target of {limit.target:.2%} needs more lots, or lots that are more alike; until "
            f"then the promise is {limit.bound:.2%}"
        )
    elif missing is not None and missing > 0:
        which = " that the model has not learnt" if judged else f", {missing} more"
        about = "about " if judged else ""
        found.append(
            f"the target of {limit.target:.2%} needs {limit.parts + missing} good parts{which}; "
            "until then the promise is "
            + (f"{about}{limit.bound:.2%}" if limit.bound < 1 else "none")
        )
    found += [*uneven_notice(result), *order_notice(result)]
    if result.replaces_score:
        found.append(MAP_DECIDES)
    found += left_out(result)
    if not result.calibration.parts:
        found.append(
            "every image counts as one part: if there are several images of a part, "
            + ("the promise does not hold: teach" if judged else "calibrate")
            + " again with --part-name"
        )
    return found


def worst_cards(result: CalibrationResult, inspector: Inspector) -> list[Card]:
    """Draws the good images with the highest scores, on one colour scale."""
    scores = result.calibration.scores
    worst = sorted(scores, key=scores.__getitem__, reverse=True)[:_WORST]
    return cards_of(worst, result, inspector)


def cards_of(images: Sequence[str], result: CalibrationResult, inspector: Inspector) -> list[Card]:
    """Draws good images, by hash, on one colour scale; the maps are those behind the scores."""
    calibration = result.calibration
    window = inspector.bundle.manifest.preprocessing.window
    frames = [read_frame(result.images[image], window) for image in images]
    inspections = [
        _as_judged(inspector.inspect(frame), result.learnt.predictions.get(image))
        for image, frame in zip(images, frames, strict=True)
    ]
    maps = [inspection.anomaly_map for inspection in inspections]
    known = [one for one in maps if one is not None]
    low = min((float(one.min()) for one in known), default=0.0)
    high = max((float(one.max()) for one in known), default=0.0)
    high = high if high > low else low + 1.0
    cards = []
    for image, frame, inspection in zip(images, frames, inspections, strict=True):
        drawn = {
            "frame": with_zones(frame, inspection),
            "anomaly map": native_heat(frame, inspection, low, high),
        }
        pictures = tuple(
            Picture(title, data_url(small_jpeg(one, _PICTURE_SIDE)))
            for title, one in drawn.items()
            if one is not None
        )
        name = printable(result.images[image].name)
        score, _ = comparable(calibration.scores[image], calibration.thresholds.reject, digits=6)
        cards.append(Card(name, pictures, lines=(f"score {score}",)))
    return cards


def _outliers(result: CalibrationResult, inspector: Inspector) -> list[Cards]:
    found = list(result.outliers.spreads)[:_WORST]
    if not found:
        return []
    note = " ".join(map(sentence, outlier_notice(result)))
    return [Cards("Good images that stand out", note, cards_of(found, result, inspector))]


def _as_judged(inspection: Inspection, prediction: Prediction | None) -> Inspection:
    """Returns the inspection with the map of a model that had not learnt the image, if any."""
    if prediction is None:
        return inspection
    return replace(inspection, anomaly_map=prediction.maps[0])


def _marks(calibration: Calibration) -> list[tuple[str, float]]:
    """Returns the thresholds of a part by name, in rising order."""
    reject, review = calibration.thresholds.reject, calibration.thresholds.review
    return [("reject", reject)] if review is None else [("review", review), ("reject", reject)]


def _zones(calibration: Calibration) -> Table:
    zones = calibration.zone_thresholds
    shifted = (
        "The scores below are the values of the zone that is nearest to its threshold, or farthest "
        "above it, shifted to the highest threshold. "
    )
    return Table(
        "Zones",
        [
            (
                name,
                f"{zone.reject:.6g}",
                "-" if zone.review is None else f"{zone.review:.6g}",
                f"{zone.pixel:.6g}",
                f"{zone.minimum_area_px} px",
            )
            for name, zone in zones.items()
        ],
        ["zone", "reject above", "review above", "mask above", "smallest region"],
        note=(shifted if len(zones) > 1 else "")
        + "The frames at the end of this page show the zones.",
    )


def _slider(curve: ThresholdCurve, marks: list[tuple[str, float]]) -> tuple[Plot, Table]:
    # With few scores several positions have one threshold; the first of them is shown.
    points = {curve.at(position).reject: position for position in reversed(_SLIDER)}
    return (
        Plot(
            "Sensitivity slider",
            rate_curve(curve.thresholds, curve.expected, curve.bounds, marks),
            "False reject rate of a threshold: expected (solid), and its upper bound at "
            f"{curve.confidence:.0%} confidence (dashed).",
        ),
        Table(
            "Positions of the slider",
            [
                (f"{at}", f"{point.reject:.6g}", f"{point.expected:.2%}", f"{point.bound:.2%}")
                for at in sorted(points.values())
                for point in [curve.at(at)]
            ],
            ["position", "threshold", "expected false reject rate", "upper bound"],
        ),
    )


def _origin(calibration: Calibration, manifest: Manifest) -> list[tuple[str, str]]:
    previous = calibration.previous_seal
    replaced = f", replaces {previous}" if previous else ""
    data = calibration.data_sha256 or "not kept"
    return [
        ("bundle", f"{manifest.name}, seal {manifest.seal}"),
        ("artefact", f"{calibration.artefact}, SHA-256 {calibration.artefact_sha256}"),
        ("calibration", f"seal {calibration.seal}{replaced}"),
        ("images", f"{len(calibration.scores)}, SHA-256 over all {data}"),
    ]

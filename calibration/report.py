"""The report of a calibration as one HTML page: what is promised, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.calibrate import MAP_DECIDES, CalibrationResult
from calibration.charts import histogram, rate_curve
from calibration.good_parts import curve_of, good_part_scores
from calibration.lots import LotLimit
from calibration.pages import write_page
from calibration.pictures import jpeg_url, small_jpeg
from calibration.statements import order_notice
from calibration.thresholds import PromisedThresholds
from inspection.bundle.calibration_file import Calibration
from inspection.images import read_image
from inspection.inspector import Inspection, Inspector
from inspection.overlay import draw_zones, heat_map

_SLIDER = (0.0, 0.25, 0.5, 0.75, 1.0)
_WORST = 8
_PICTURE_SIDE = 420  # px


@dataclass(frozen=True)
class Card:
    """One of the good images that look worst; pictures as data URLs, each with its title."""

    name: str
    score: str
    pictures: tuple[tuple[str, str], ...]


def write_calibration_report(path: Path, result: CalibrationResult, inspector: Inspector) -> None:
    """Write the page, atomically. Everything it shows is in the file.

    Args:
        path: the HTML file.
        result: the calibration; its images are still where they were.
        inspector: opened with this calibration: it draws the maps of the worst good images.

    Raises:
        CameraError: one of these images cannot be read any more.
    """
    calibration = result.calibration
    scores = list(good_part_scores(calibration).values())
    curve = curve_of(calibration)
    thresholds = [("reject", calibration.thresholds.reject)]
    if calibration.thresholds.review is not None:
        thresholds.insert(0, ("review", calibration.thresholds.review))
    manifest = inspector.bundle.manifest
    write_page(
        path,
        "calibration.html.j2",
        calibration=calibration,
        bundle=manifest.name,
        bundle_seal=manifest.seal,
        promises=promises(result),
        notices=notices(result),
        histogram=histogram(scores, thresholds),
        curve=curve and rate_curve(curve, thresholds),
        slider=[(position, curve.at(position)) for position in _SLIDER] if curve else [],
        parts=len(scores),
        cards=worst_cards(result, inspector),
    )


def promises(result: CalibrationResult) -> list[str]:
    """What the calibration promises, in words."""
    promised, calibration = result.promised, result.calibration
    limit = promised.reject_limit
    confidence = f"{limit.confidence:.0%} confidence"
    sentences = [_rejected(promised, calibration, confidence)]
    if promised.review_limit is not None:
        above = (
            "the limit of review of a zone"
            if calibration.zone_thresholds
            else (f"{promised.review_limit.threshold:.6g}")
        )
        sentences.append(
            f"At most {promised.review_limit.bound:.2%} score above {above} and are "
            f"reviewed or rejected, with {confidence}."
        )
    if promised.tail is not None:
        sentences.append(
            f"The threshold is that of a {promised.tail.label}, for a false reject rate of "
            f"{promised.tail.rate:.3g}; its fit has p = {promised.tail.goodness_of_fit:.2f}."
        )
    if promised.mask_rate_bound is None:
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


def _rejected(promised: PromisedThresholds, calibration: Calibration, confidence: str) -> str:
    limit = promised.reject_limit
    above = f"score above {calibration.thresholds.reject:.6g} and are rejected"
    if calibration.zone_thresholds:
        above = "exceed the threshold of some zone and are rejected"
    if isinstance(limit, LotLimit):
        return (
            f"Of good parts of further lots like these {limit.lots}, at most {limit.bound:.2%} "
            f"{above}, with {confidence}, as far as these lots show how much lots differ; "
            f"{limit.bound_of_lots:.2%} if nothing is assumed but that lots are independent."
        )
    return (
        f"Of further good parts like these {limit.parts}, at most {limit.bound:.2%} {above}, with "
        f"{confidence}, whatever the distribution of their scores."
    )


def notices(result: CalibrationResult) -> list[str]:
    """What a reader must know first."""
    limit, missing = result.promised.reject_limit, result.promised.parts_missing
    found = []
    if not limit.is_met and missing is None:
        found.append(
            f"the {limit.target:.2%} that was asked for needs more lots, or lots that are more "
            f"alike: until then {limit.bound:.2%} is promised"
        )
    elif missing is not None and missing > 0:
        found.append(
            f"the {limit.target:.2%} that was asked for needs {limit.parts + missing} good parts, "
            f"{missing} more: until then {limit.bound:.2%} is promised"
        )
    found += order_notice(result)
    if result.replaces_score:
        found.append(MAP_DECIDES)
    if result.fitted:
        found.append(f"left out {len(result.fitted)} images that the model was trained on")
    if result.repeated:
        found.append(f"left out {len(result.repeated)} images that repeat another")
    if not result.calibration.parts:
        found.append(
            "every image counts as a part of its own: with several images of a part the promise "
            "needs --part-name"
        )
    return found


def worst_cards(result: CalibrationResult, inspector: Inspector) -> list[Card]:
    """The good images with the highest scores, on one colour scale."""
    scores = result.calibration.scores
    worst = sorted(scores, key=scores.__getitem__, reverse=True)[:_WORST]
    frames = [read_image(result.images[image]) for image in worst]
    inspections = [inspector.inspect(frame) for frame in frames]
    maps = [inspection.anomaly_map for inspection in inspections]
    known = [one for one in maps if one is not None]
    low = min((float(one.min()) for one in known), default=0.0)
    high = max((float(one.max()) for one in known), default=0.0)
    cards = []
    scale = (low, high if high > low else low + 1.0)
    for image, frame, inspection in zip(worst, frames, inspections, strict=True):
        drawn = [("frame", _with_zones(frame, inspection)), *_heat(frame, inspection, scale)]
        pictures = [(title, jpeg_url(small_jpeg(one, _PICTURE_SIDE))) for title, one in drawn]
        cards.append(Card(result.images[image].name, f"{scores[image]:.6g}", tuple(pictures)))
    return cards


def _with_zones(frame: npt.NDArray[np.uint8], inspection: Inspection) -> npt.NDArray[np.uint8]:
    if inspection.zones is None:
        return frame
    picture = np.array(frame if frame.ndim == 3 else np.repeat(frame[..., np.newaxis], 3, axis=2))
    draw_zones(picture, inspection)
    return picture


def _heat(
    frame: npt.NDArray[np.uint8], inspection: Inspection, scale: tuple[float, float]
) -> list[tuple[str, npt.NDArray[np.uint8]]]:
    """The map in the shape of what it covers of the frame; nothing when there is no map."""
    if inspection.anomaly_map is None:
        return []
    shown = frame if inspection.crop is None else inspection.crop.of(frame)
    heat = cv2.resize(heat_map(inspection.anomaly_map, *scale), shown.shape[1::-1])
    return [("anomaly map", np.asarray(heat, dtype=np.uint8))]

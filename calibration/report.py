"""The report of a calibration as one HTML page: what is promised, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from calibration.calibrate import CalibrationResult
from calibration.charts import histogram, rate_curve
from calibration.curve import ThresholdCurve
from calibration.pages import write_page
from calibration.pictures import jpeg_url, small_jpeg
from calibration.threshold import part_scores
from edge.calibrated import Calibration
from edge.images import read_image
from edge.inspector import Inspection, Inspector
from edge.overlay import heat_map

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
    curve = ThresholdCurve.of(scores, confidence=calibration.confidence)
    thresholds = [("reject", calibration.threshold_score)]
    if calibration.threshold_review is not None:
        thresholds.insert(0, ("review", calibration.threshold_review))
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
        curve=rate_curve(curve, thresholds),
        slider=[(position, curve.at(position)) for position in _SLIDER],
        parts=len(scores),
        cards=worst_cards(result, inspector),
    )


def good_part_scores(calibration: Calibration) -> dict[str, float]:
    """The score of each good part: the highest of its images."""
    names = [calibration.parts.get(image, image) for image in calibration.scores]
    return part_scores(list(calibration.scores.values()), names)


def promises(result: CalibrationResult) -> list[str]:
    """What the calibration promises, in words."""
    limit, pixel = result.limit, result.pixel
    confidence = f"{limit.confidence:.0%} confidence"
    rejected = (
        f"Of further good parts like these {limit.parts}, at most {limit.bound:.2%} score above "
        f"{limit.threshold:.6g} and are rejected, with {confidence}, whatever the distribution of "
        "their scores."
    )
    sentences = [rejected]
    if result.review is not None:
        sentences.append(
            f"At most {result.review.bound:.2%} score above {result.review.threshold:.6g} and are "
            f"reviewed or rejected, with {confidence}."
        )
    sentences.append(
        f"At most {pixel.mask_rate_bound:.2%} have a region of {pixel.minimum_area} px or more "
        f"above {pixel.threshold:.6g} in their anomaly map, with {confidence}."
    )
    return sentences


def notices(result: CalibrationResult) -> list[str]:
    """What a reader must know first."""
    limit, found = result.limit, []
    if not limit.is_met:
        found.append(
            f"the {limit.target:.2%} that was asked for needs {limit.parts_needed} good parts, "
            f"{limit.parts_needed - limit.parts} more: until then {limit.bound:.2%} is promised"
        )
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
        drawn = [("frame", frame), *_heat(frame, inspection, scale)]
        pictures = [(title, jpeg_url(small_jpeg(one, _PICTURE_SIDE))) for title, one in drawn]
        cards.append(Card(result.images[image].name, f"{scores[image]:.6g}", tuple(pictures)))
    return cards


def _heat(
    frame: npt.NDArray[np.uint8], inspection: Inspection, scale: tuple[float, float]
) -> list[tuple[str, npt.NDArray[np.uint8]]]:
    """The map in the shape of what it covers of the frame; nothing when there is no map."""
    if inspection.anomaly_map is None:
        return []
    shown = frame if inspection.crop is None else inspection.crop.of(frame)
    heat = cv2.resize(heat_map(inspection.anomaly_map, *scale), shown.shape[1::-1])
    return [("anomaly map", np.asarray(heat, dtype=np.uint8))]

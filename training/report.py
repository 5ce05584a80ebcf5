"""One HTML page per evaluation: figures, histogram, pictures; readable without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from edge.images import encode_jpeg
from edge.overlay import Image, blend_heat_map, colour_image, contour
from training.evaluation import Evaluation, InspectedSample, Rate
from training.figures import MapScale, score_histogram

_CARD_WIDTH = 360


def render_report(
    evaluation: Evaluation,
    samples: Sequence[InspectedSample],
    scale: MapScale,
    *,
    remarks: Sequence[str] = (),
    limit: int = 60,
) -> str:
    """The page as HTML.

    Args:
        evaluation: its figures.
        samples: what was inspected.
        scale: colours of the anomaly maps.
        remarks: what a reader must know first, for instance that the backbone is untrained.
        limit: at most so many parts are shown.
    """
    environment = Environment(
        loader=PackageLoader("training", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )
    ordered = sorted(samples, key=lambda s: (not (s.is_false_reject or s.is_escape), _name(s)))
    return environment.get_template("report.html.j2").render(
        title=f"Inspection of {evaluation.data_set}",
        subtitle=f"{evaluation.model}, backbone {evaluation.backbone or 'none'}; "
        f"{evaluation.good} good and {evaluation.defective} defective parts, through the "
        "deployed artefact at its calibrated threshold",
        remarks=[*remarks, *standing_remarks(evaluation)],
        figures=figure_rows(evaluation),
        histogram=_base64(score_histogram(samples)),
        cards=[_card(sample, scale) for sample in ordered[:limit]],
        total=len(samples),
        scale=f"{scale.low:.2f} to {scale.high:.2f}",
        provenance=[
            f"artefact SHA-256 {evaluation.artefact_sha256}",
            f"calibration {evaluation.calibration}",
        ],
    )


def standing_remarks(evaluation: Evaluation) -> list[str]:
    """What the figures themselves say a reader must know."""
    remarks = []
    if evaluation.promised_false_reject_rate > 0.02:
        remarks.append(
            "The good parts of the calibration support no lower false reject rate than "
            f"{evaluation.promised_false_reject_rate:.1%} at {evaluation.confidence:.0%} "
            "confidence. More good parts give a better promise."
        )
    if evaluation.no_verdict:
        remarks.append(f"{len(evaluation.no_verdict)} images could not be inspected.")
    if evaluation.vanished_masks:
        remarks.append(
            f"{evaluation.vanished_masks} defects are so small that their mask has no pixel at the "
            "model's resolution: pixel figures do not count them."
        )
    return remarks


def figure_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names and values of the figures, for people."""
    height, width = evaluation.map_size
    at = f"at {height}x{width}"
    rows = [
        ("false reject rate at the threshold", _rate(evaluation.false_reject_rate, "good parts")),
        ("escape rate at the threshold", _rate(evaluation.escape_rate, "defective parts")),
    ]
    rows += [
        (f"  escapes: {kind}", _rate(rate, "parts"))
        for kind, rate in evaluation.escapes_by_defect.items()
        if len(evaluation.escapes_by_defect) > 1
    ]
    rows += [
        (
            "false reject rate promised by the calibration",
            f"at most {evaluation.promised_false_reject_rate:.2%} "
            f"at {evaluation.confidence:.0%} confidence",
        ),
        ("image AUROC", _number(evaluation.image_auroc)),
        ("image average precision", _number(evaluation.image_average_precision)),
        ("best F1 (knows the labels)", _number(evaluation.best_f1)),
        (f"pixel AUROC {at}", _number(evaluation.pixel_auroc)),
        (f"AUPRO at 30 % {at}", _number(evaluation.aupro)),
        (f"pixel average precision {at}", _number(evaluation.pixel_average_precision)),
        ("frame to verdict, median", f"{evaluation.latency_p50_ms:.1f} ms"),
    ]
    return rows


def _card(sample: InspectedSample, scale: MapScale) -> dict[str, Any]:
    frame, inspection = sample.frame, sample.inspection
    heat = frame
    if inspection.anomaly_map is not None:
        heat = blend_heat_map(frame, scale.heat(inspection.anomaly_map))
    pictures = [frame, heat, contour(frame, inspection.native_mask(frame))]
    note = "false reject" if sample.is_false_reject else "escape" if sample.is_escape else ""
    return {
        "verdict": inspection.verdict.value,
        "score": "-" if np.isnan(inspection.score) else f"{inspection.score:.3f}",
        "threshold": f"{inspection.threshold:.3f}",
        "name": _name(sample),
        "note": note,
        "pictures": [_base64(encode_jpeg(_small(picture), 85)) for picture in pictures],
    }


def _small(picture: Image) -> Image:
    height, width = picture.shape[:2]
    factor = min(1.0, _CARD_WIDTH / width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(colour_image(picture), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _name(sample: InspectedSample) -> str:
    return f"{sample.sample.defect}/{sample.sample.path.name}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _number(value: float | None) -> str:
    return "not defined by these images" if value is None else f"{value:.4f}"


def _rate(rate: Rate | None, of: str) -> str:
    if rate is None:
        return f"no {of}"
    return (
        f"{rate.rate:.1%} ({rate.count} of {rate.of} {of}; 95 %: {rate.low:.1%} to {rate.high:.1%})"
    )

"""Pictures of results: panels per part with one scale for all of them, and score histograms."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge.images import encode_png
from edge.overlay import COLOURS, blend_heat_map, caption, colour_image, contour, heat_map
from training.evaluation import InspectedSample

Image = npt.NDArray[np.uint8]
_PANEL_HEIGHT = 220
_GAP = 6


class MapScale:
    """One colour scale for all maps of a figure: from a usual good pixel to a certain defect.

    Blue is the median of the highest values of good parts' maps less their spread, red lies as far
    above the pixel threshold as blue lies below it. So the threshold is in the middle, and a part
    looks hot when it exceeds it.
    """

    def __init__(self, samples: Sequence[InspectedSample], threshold: float) -> None:
        values = [s.inspection.anomaly_map for s in samples if s.inspection.anomaly_map is not None]
        lowest = min((float(np.median(value)) for value in values), default=threshold - 1.0)
        reach = max(threshold - lowest, 1e-6)
        self.low, self.high = threshold - reach, threshold + reach

    def heat(self, anomaly_map: npt.NDArray[np.float32]) -> Image:
        """Colours (H, W, 3) BGR of a map."""
        return heat_map(anomaly_map, self.low, self.high)


def panel(sample: InspectedSample, scale: MapScale) -> Image:
    """One part as a row: frame, ground truth, heat map, mask, contour; with a caption."""
    frame, inspection = sample.frame, sample.inspection
    mask = inspection.native_mask(frame)
    heat = frame
    if inspection.anomaly_map is not None:
        heat = blend_heat_map(frame, scale.heat(inspection.anomaly_map))
    pictures = [frame, _binary(sample.native_truth, frame), heat, _binary(mask, frame)]
    pictures.append(contour(frame, mask))
    row = np.hstack([_framed(picture) for picture in pictures])
    score = "no score" if np.isnan(inspection.score) else f"{inspection.score:.3f}"
    text = (
        f"{sample.sample.defect}/{sample.sample.path.stem}: {inspection.verdict.value}  "
        f"{score} / {inspection.threshold:.3f}"
    )
    return caption(row, text, COLOURS[inspection.verdict])


def figure_sheet(samples: Sequence[InspectedSample], scale: MapScale, limit: int = 12) -> Image:
    """Panels of chosen parts below each other, and the colour scale.

    Chosen are wrong verdicts first, then of each class the highest, median and lowest score.
    """
    rows = [panel(sample, scale) for sample in choose(samples, limit)]
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(
            row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for row in rows
    ]
    return np.vstack([*padded, _colour_bar(scale, width)]).astype(np.uint8)


def choose(samples: Sequence[InspectedSample], limit: int) -> list[InspectedSample]:
    """At most `limit` samples: wrong ones, then highest, median and lowest of each class."""
    wrong = [s for s in samples if s.is_false_reject or s.is_escape]
    chosen = wrong[: limit // 2]
    for kind in dict.fromkeys(s.sample.defect for s in samples):
        of_kind = sorted(
            (s for s in samples if s.sample.defect == kind), key=lambda s: -s.inspection.score
        )
        for position in dict.fromkeys((0, len(of_kind) // 2, len(of_kind) - 1)):
            chosen.append(of_kind[position])
    return list(dict.fromkeys(chosen))[:limit]


def score_histogram(samples: Sequence[InspectedSample]) -> bytes:
    """Scores of good and defective parts with the threshold, as PNG bytes."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    known = [s for s in samples if not np.isnan(s.inspection.score)]
    scores = [s.inspection.score for s in known]
    if scores:
        bins = np.linspace(min(scores), max(scores) + 1e-9, 41)
        for good, colour, name in ((True, "#4caf50", "good"), (False, "#f44336", "defective")):
            of = [s.inspection.score for s in known if s.sample.is_good == good]
            axes.hist(of, bins=list(bins), color=colour, alpha=0.7, label=f"{name} ({len(of)})")
        threshold = known[0].inspection.threshold
        axes.axvline(threshold, color="black", ls="--", lw=1, label=f"threshold {threshold:.3f}")
        axes.legend(frameon=False)
    axes.set(xlabel="raw score", ylabel="parts")
    axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def sheet_png(samples: Sequence[InspectedSample], scale: MapScale) -> bytes:
    """`figure_sheet` as PNG bytes."""
    return encode_png(figure_sheet(samples, scale))


def _framed(picture: Image) -> Image:
    """A picture at panel height with a white margin on its right."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * _PANEL_HEIGHT / height)), _PANEL_HEIGHT)
    small = cv2.resize(colour_image(picture), size, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.copyMakeBorder(small, 0, 0, 0, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    )


def _binary(mask: npt.NDArray[np.bool_] | None, frame: Image) -> Image:
    """White on black; grey all over when nobody drew the ground truth."""
    if mask is None:
        return np.full(frame.shape[:2], 128, np.uint8)
    return mask.astype(np.uint8) * 255


def _colour_bar(scale: MapScale, width: int) -> Image:
    ramp = np.linspace(scale.low, scale.high, width, dtype=np.float32)[None].repeat(16, axis=0)
    text = f"anomaly map, raw: {scale.low:.2f} (blue) to {scale.high:.2f} (red), threshold midway"
    return caption(scale.heat(ramp), text, (90, 90, 90))

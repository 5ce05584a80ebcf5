"""The drift baseline of good parts, and the limits of the charts that watch for drift.

One figure sets the limits of all charts in `inspection.drift.charts`: the number of parts between
two false alarms of the whole system (`run_length`). Every chart gets an equal share of the alarms.

- Run lengths: by Markov chain, of the CUSUM after Brook and Evans (1972), of the EWMA after Lucas
  and Saccucci (1990).
- Few parts: the mean of a baseline is itself off by chance. The limits assume a mean that is off as
  far as is plausible at `confidence` (the aim of Gandy and Kvaloy 2013), so that few parts give
  slow charts rather than false alarms.
- Window: its limit is the sum of two exact Kolmogorov limits, of the baseline at `confidence` and
  of the window at its share of the error probability, which corrects for repeated tests.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import kstwo, norm

from calibration.run_lengths import cusum_run_length, ewma_run_length, limit_for
from calibration.tolerance import require_share
from inspection.drift.baseline import Baseline
from inspection.drift.charts import MOVED
from inspection.drift.frame_figures import (
    GrayImage,
    frame_figures,
    position_figures,
    reference_from,
)
from inspection.errors import ConfigError
from inspection.images import encode_png
from inspection.preprocess import Crop

FEWEST_PARTS = 30
_CHARTS = 3


def baseline_from(
    figures: Mapping[str, Sequence[float]],
    *,
    run_length: float = 10_000,
    confidence: float = 0.9,
    window: int = 100,
    slack: float = 0.5,
    weight: float = 0.1,
) -> Baseline:
    """Makes a baseline with its limits from good parts that the model was not fitted to.

    Args:
        figures: for each channel (a key of `MOVED`), its value for each good part.
        run_length: mean number of good parts between two false alarms, over all charts.
        confidence: probability that the run length holds, over draws of the baseline.

    Raises:
        ConfigError: a channel is unknown, there are fewer than 30 parts, or a value is not finite.
    """
    require_share("confidence", confidence)
    n = _number_of_parts(figures)
    each = run_length * _CHARTS * len(figures)
    off = float(norm.ppf((1 + confidence) / 2)) / math.sqrt(n)

    def cusum(limit: float) -> float:
        return cusum_run_length(limit, slack, off)

    def ewma(limit: float) -> float:
        return ewma_run_length(limit, weight, off)

    deviation = math.sqrt(weight / (2 - weight))
    return Baseline(
        values={name: tuple(sorted(map(float, values))) for name, values in figures.items()},
        run_length=run_length,
        slack=slack,
        weight=weight,
        cusum_limit=limit_for(cusum, each),
        ewma_limit=limit_for(ewma, each) * deviation,
        window=window,
        window_limit=float(
            kstwo.isf(1 - confidence, n) + kstwo.isf(min(1.0, window / each), window)
        ),
    )


def _number_of_parts(figures: Mapping[str, Sequence[float]]) -> int:
    """Counts the parts; refuses figures that make no baseline."""
    counts = {len(values) for values in figures.values()}
    unknown = sorted(set(figures) - set(MOVED))
    if unknown or not figures:
        raise ConfigError(f"channels {unknown} are unknown; known are {', '.join(MOVED)}")
    if len(counts) != 1 or min(counts) < FEWEST_PARTS:
        raise ConfigError(
            f"the channels have {sorted(counts)} values: a drift baseline needs the same good "
            f"parts in every channel, at least {FEWEST_PARTS} of them"
        )
    if not all(np.isfinite(values).all() for values in figures.values()):
        raise ConfigError("a drift baseline needs finite values: leave out parts without them")
    return counts.pop()


@dataclass(frozen=True)
class FrameSummary:
    """The figures that a baseline needs of a good frame, so that no image is read twice.

    Attributes:
        figures: those of `frame_figures`, without the position.
        small: the frame of `reference_from`; one of all frames becomes the reference later.
        height: height of the frame in px; likewise `width`.
    """

    figures: Mapping[str, float]
    small: GrayImage
    height: int
    width: int

    @classmethod
    def of(cls, frame: npt.NDArray[np.uint8], crop: Crop | None) -> FrameSummary:
        """Summarises a frame, or the region of it that the crop of the bundle shows."""
        shown = frame if crop is None else crop.of(frame)
        return cls(frame_figures(shown), reference_from(shown), shown.shape[0], shown.shape[1])


def figures_of_images(
    frames: Sequence[FrameSummary], scores: Sequence[float]
) -> tuple[dict[str, list[float]], GrayImage]:
    """Returns every channel of `MOVED` for each good image, and the reference of their positions.

    The reference is the image with the middle score.
    """
    middle = sorted(range(len(scores)), key=scores.__getitem__)[len(scores) // 2]
    reference = frames[middle].small
    figures = [
        {
            **frame.figures,
            **position_figures(frame.small, reference, frame.height, frame.width),
            "score": score,
        }
        for frame, score in zip(frames, scores, strict=True)
    ]
    return {name: [one[name] for one in figures] for name in MOVED}, reference


def has_views(parts: Collection[str]) -> bool:
    """Whether there are several images of a part, by the name of the part of each image."""
    return len(set(parts)) < len(parts)


def baseline_of_images(
    figures: Mapping[str, Sequence[float]], reference: GrayImage, parts: Collection[str]
) -> Baseline | None:
    """Makes a baseline from `figures_of_images`; None with fewer than 30 images.

    None with several images of a part as well. They are views, each with its own figures, while the
    line watches one view at a time; and they are no independent values, as the limits assume.

    Args:
        parts: name of the part of each image; empty when every image is another part.
    """
    if len(figures["score"]) < FEWEST_PARTS or has_views(parts):
        return None
    return baseline_from(figures).model_copy(update={"reference_png": encode_png(reference)})

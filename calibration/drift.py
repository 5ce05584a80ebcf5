"""The drift baseline of good parts, and the limits of the charts that watch for drift.

The charts are those of `inspection.drift.charts`. Their limits follow from one figure, the parts
between two false alarms of the whole system (`run_length`), of which every chart gets an equal part
of the alarms. Run lengths of the CUSUM are those of Brook and Evans (1972), of the EWMA those of
Lucas and Saccucci (1990), both by Markov chain. A baseline of few parts is itself off by chance;
the limits are set for a mean that is off as far as is plausible at `confidence` (the aim of Gandy
and Kvaloy 2013), so that few parts give slow charts rather than false alarms. The limit of the
window is the sum of two exact Kolmogorov limits: of the baseline at `confidence`, and of the window
at as much error probability as its parts are worth, which is the correction for looking again and
again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    """Baseline and limits from good parts that the model was not fitted to.

    Args:
        figures: for each channel (a key of `MOVED`), its value for each good part.
        run_length: mean number of good parts between two false alarms, over all charts.
        confidence: that the run length holds, over draws of the baseline.

    Raises:
        ConfigError: unknown channels, fewer than 30 parts, values that are not finite.
    """
    require_share("confidence", confidence)
    counts = {len(values) for values in figures.values()}
    unknown = sorted(set(figures) - set(MOVED))
    if unknown or not figures:
        raise ConfigError(f"channels {unknown} are unknown; known are {', '.join(MOVED)}")
    if len(counts) != 1 or min(counts) < FEWEST_PARTS:
        raise ConfigError(
            f"the channels have {sorted(counts)} values: a drift baseline needs the same good "
            f"parts in every channel, at least {FEWEST_PARTS}"
        )
    if not all(np.isfinite(values).all() for values in figures.values()):
        raise ConfigError("a drift baseline needs finite values: leave out parts without them")
    (n,) = counts
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


@dataclass(frozen=True)
class FrameSummary:
    """What the baseline keeps of a good frame, so that no image is read twice.

    Attributes:
        figures: of `frame_figures`, without its position.
        small: of `reference_from`: any of them can be the reference, once all scores are known.
        height: of the frame; likewise `width`.
    """

    figures: Mapping[str, float]
    small: GrayImage
    height: int
    width: int

    @classmethod
    def of(cls, frame: npt.NDArray[np.uint8], crop: Crop | None) -> FrameSummary:
        """The summary of a frame, or of what the crop of the bundle shows of it."""
        shown = frame if crop is None else crop.of(frame)
        return cls(frame_figures(shown), reference_from(shown), shown.shape[0], shown.shape[1])


def figures_of_images(
    frames: Sequence[FrameSummary], scores: Sequence[float]
) -> tuple[dict[str, list[float]], GrayImage]:
    """Every channel of `MOVED` for each good image, and what positions were measured against.

    That is the image with the middle score.
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


def baseline_of_images(
    figures: Mapping[str, Sequence[float]], reference: GrayImage
) -> Baseline | None:
    """The baseline of good images; None when they are fewer than 30. See `figures_of_images`."""
    if len(figures["score"]) < FEWEST_PARTS:
        return None
    return baseline_from(figures).model_copy(update={"reference_png": encode_png(reference)})
